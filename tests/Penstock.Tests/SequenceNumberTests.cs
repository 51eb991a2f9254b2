using Penstock.Wire;

namespace Penstock.Tests;

public class SequenceNumberTests
{
    [Fact]
    public void Comparison_holds_across_the_wrap()
    {
        var before = new SequenceNumber(uint.MaxValue - 9);
        SequenceNumber after = before + 20;
        Assert.Equal(10u, after.Value);
        Assert.True(before.Before(after));
        Assert.True(after.After(before));
        Assert.Equal(20, after.Since(before));
        Assert.True((before + 5).Between(before, after));
        Assert.False((before - 1).Between(before, after));
    }
}
