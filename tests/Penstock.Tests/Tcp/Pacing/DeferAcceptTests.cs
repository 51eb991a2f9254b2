using Penstock.Tcp;

namespace Penstock.Tests.Tcp.Pacing;

public class DeferAcceptTests
{
    [Theory]
    [InlineData(0.5, 1, 1)]
    [InlineData(1, 1, 1)]
    [InlineData(2, 2, 3)]
    [InlineData(3, 2, 3)]
    [InlineData(5, 3, 7)]
    [InlineData(127, 7, 127)]
    [InlineData(128, 8, 247)]
    public void The_wait_is_counted_in_timeouts_that_double(double seconds, int timeouts, int told)
    {
        Assert.Equal(timeouts, DeferAccept.Timeouts(TimeSpan.FromSeconds(seconds)));
        Assert.Equal(told, DeferAccept.Time(timeouts).TotalSeconds);
    }

    [Fact]
    public void No_time_is_longer_than_255_timeouts()
    {
        Assert.Equal(255, DeferAccept.Timeouts(TimeSpan.FromDays(1000)));
    }
}
