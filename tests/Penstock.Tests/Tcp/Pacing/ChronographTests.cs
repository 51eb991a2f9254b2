using Penstock.Tcp.Pacing;

namespace Penstock.Tests.Tcp.Pacing;

public class ChronographTests
{
    [Fact]
    public void Only_the_best_reason_counts_and_all_of_them_are_busy_time()
    {
        var time = default(Chronograph);
        time.Start(SendLimit.Busy, 100);
        time.Start(SendLimit.SendBuffer, 110);
        time.Start(SendLimit.ReceiveWindow, 120);
        time.Start(SendLimit.Busy, 130);
        Assert.Equal(SendLimit.SendBuffer, time.Running);
        Assert.Equal(40, time.Spent(SendLimit.SendBuffer, 150));
        Assert.Equal(0, time.Spent(SendLimit.ReceiveWindow, 150));
        Assert.Equal(50, time.SpentBusy(150));
    }

    [Fact]
    public void A_reason_that_ends_leaves_the_network_and_the_last_ACK_leaves_nothing()
    {
        var time = default(Chronograph);
        time.Start(SendLimit.ReceiveWindow, 0);
        time.Stop(SendLimit.SendBuffer, idle: false, 10);
        Assert.Equal(SendLimit.ReceiveWindow, time.Running);
        time.Stop(SendLimit.ReceiveWindow, idle: false, 30);
        Assert.Equal(SendLimit.Busy, time.Running);
        time.Stop(SendLimit.Busy, idle: true, 50);
        Assert.Equal(SendLimit.None, time.Running);
        Assert.Equal(30, time.Spent(SendLimit.ReceiveWindow, 1000));
        Assert.Equal(50, time.SpentBusy(1000));
    }
}
