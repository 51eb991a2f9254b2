using Penstock.Tcp.Congestion;

namespace Penstock.Tests.Tcp.Congestion;

public class RenoTests
{
    private const long Rtt = 50 * AckedPath.Millisecond;

    [Fact]
    public void Slow_start_doubles_each_round_then_grows_by_one_a_round()
    {
        var path = new AckedPath("reno");
        path.Window.Threshold = 64;
        var windows = new List<int>();
        for (int round = 0; round < 7; round++)
        {
            windows.Add(path.Window.Window);
            path.Round(Rtt);
        }

        Assert.Equal([10, 20, 40, 64, 65, 66, 67], windows);
    }

    [Fact]
    public void Delayed_acks_do_not_slow_the_growth_down()
    {
        var path = new AckedPath("reno");
        path.Window.Threshold = 40;
        path.Round(Rtt, perAck: 2);
        path.Round(Rtt, perAck: 2);
        Assert.Equal(40, path.Window.Window);
        path.Round(Rtt, perAck: 2);
        Assert.Equal(41, path.Window.Window);
    }

    [Fact]
    public void What_the_threshold_leaves_of_a_stretch_ack_counts_toward_the_next_increase()
    {
        var path = new AckedPath("reno");
        path.Window.Threshold = 12;
        path.Ack(10, Rtt);
        Assert.Equal(12, path.Window.Window);
        Assert.Equal(8, path.Window.Counter);
        path.Ack(4, Rtt);
        Assert.Equal(13, path.Window.Window);
    }

    [Fact]
    public void The_sawtooth_is_the_textbooks()
    {
        var path = new AckedPath("reno");
        path.Window.Threshold = 16;
        path.Window.Window = 16;
        var peaks = new List<(int Peak, int After, int Rounds)>();
        int rounds = 0;
        while (peaks.Count < 3)
        {
            path.Round(Rtt);
            rounds++;
            if (path.Window.Window == 32)
            {
                path.Lose();
                peaks.Add((32, path.Window.Window, rounds));
                rounds = 0;
            }
        }

        Assert.Equal([(32, 16, 16), (32, 16, 16), (32, 16, 16)], peaks);
    }

    [Fact]
    public void An_application_limited_sender_does_not_grow()
    {
        var path = new AckedPath("reno") { WindowLimited = false };
        path.Round(Rtt);
        Assert.Equal(CongestionWindow.Initial, path.Window.Window);
        path.Window.Threshold = 5;
        path.Round(Rtt);
        Assert.Equal(CongestionWindow.Initial, path.Window.Window);
        Assert.Equal(0, path.Window.Counter);
    }

    [Theory]
    [InlineData(1, 2)]
    [InlineData(3, 2)]
    [InlineData(4, 2)]
    [InlineData(5, 2)]
    [InlineData(6, 3)]
    [InlineData(101, 50)]
    public void A_loss_halves_but_leaves_two(int window, int threshold)
    {
        var path = new AckedPath("reno");
        path.Window.Window = window;
        Assert.Equal(threshold, path.Algorithm.ThresholdOnLoss());
        Assert.Equal(window, path.Window.Window);
    }

    [Fact]
    public void Undo_gives_back_the_larger_of_the_two_windows()
    {
        var path = new AckedPath("reno");
        path.Window.Window = 40;
        path.Lose();
        Assert.Equal(40, path.Algorithm.UndoWindow());
        path.Window.Window = 44;
        Assert.Equal(44, path.Algorithm.UndoWindow());
    }

    [Fact]
    public void The_clamp_holds_in_both_phases()
    {
        var path = new AckedPath("reno");
        path.Window.Clamp = 15;
        path.Round(Rtt);
        Assert.Equal(15, path.Window.Window);
        path.Window.Threshold = 12;
        path.Round(Rtt);
        path.Round(Rtt);
        Assert.Equal(15, path.Window.Window);
    }

    [Fact]
    public void Every_available_name_can_be_made_and_no_other()
    {
        foreach (string name in CongestionControl.Available)
        {
            Assert.Equal(name, CongestionControl.Create(name, new CongestionWindow())?.Name);
        }

        Assert.Null(CongestionControl.Create("vegas", new CongestionWindow()));
    }
}
