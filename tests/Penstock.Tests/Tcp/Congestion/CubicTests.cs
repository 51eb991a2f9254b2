using CsCheck;
using Penstock.Tcp.Congestion;

namespace Penstock.Tests.Tcp.Congestion;

public class CubicTests
{
    private const long Millisecond = AckedPath.Millisecond;

    private const double Beta = 717.0 / 1024;

    /// <summary>RFC 9438 4.2, figure 1, with C = 410/1024.</summary>
    private static double Curve(double seconds, double plateau, double start)
    {
        const double C = 410.0 / 1024;
        double k = Math.Cbrt((plateau - start) / C);
        return plateau + (C * Math.Pow(seconds - k, 3));
    }

    [Theory]
    [InlineData(100, 400)]
    [InlineData(100, 1000)]
    [InlineData(150, 3000)]
    [InlineData(60, 1500)]
    public void The_window_follows_the_curve_of_the_rfc_through_the_plateau_and_beyond(int rttMilliseconds, int plateau)
    {
        AckedPath path = AfterLoss(plateau);
        int start = path.Window.Window;
        long epoch = path.NowNanos;
        double worst = 0;
        while (path.Window.Window < plateau * 1.2)
        {
            path.Round(rttMilliseconds * Millisecond);
            double seconds = (path.NowNanos - epoch) / 1e9;
            double curve = Curve(seconds, plateau, start);

            // The curve begins with the first ACK, and the window chases it by at most one segment for each two acknowledged.
            double slope = 3 * 0.4 * Math.Pow(seconds - Math.Cbrt((plateau - start) / 0.4), 2) * rttMilliseconds / 1000;
            double allowed = 2 + (slope * 0.6);
            worst = Math.Max(worst, Math.Abs(path.Window.Window - curve) / allowed);
        }

        Assert.True(worst <= 1, $"off the curve by {worst:F2} of what is allowed");
    }

    [Fact]
    public void Window_over_time_after_a_loss_at_1000_segments()
    {
        // RTT 100 ms. K = cbrt(300 / 0.4) = 9.08 s: concave before, convex after.
        AckedPath path = AfterLoss(1000);
        long epoch = path.NowNanos;
        var table = new List<(int Second, int Window)>();
        for (int second = 1; second <= 14; second++)
        {
            while (path.NowNanos - epoch < second * AckedPath.Second)
            {
                path.Round(100 * Millisecond);
            }

            table.Add((second, path.Window.Window));
        }

        Assert.All(table, row => Assert.InRange(row.Window - Curve(row.Second, 1000, 700), -4, 2.5));
        Assert.All(table.Where(row => row.Second is > 5 and < 13), row => Assert.InRange(row.Window - Curve(row.Second, 1000, 700), -2, 2));
    }

    [Fact]
    public void A_loss_leaves_717_of_1024()
    {
        foreach ((int window, int threshold) in new[] { (1, 2), (2, 2), (3, 2), (10, 7), (100, 70), (1000, 700), (10_000_000, 7_001_953) })
        {
            var path = new AckedPath("cubic");
            path.Window.Window = window;
            Assert.Equal(threshold, path.Algorithm.ThresholdOnLoss());
        }
    }

    [Fact]
    public void Fast_convergence_lowers_the_plateau_when_a_loss_comes_below_the_last_one()
    {
        // Second loss at 900 < 1000: the plateau becomes 900 * (1 + beta) / 2 = 765, not 900.
        AckedPath path = AfterLoss(1000);
        path.Window.Window = 900;
        path.Lose();
        int start = path.Window.Window;
        Assert.Equal(630, start);
        long epoch = path.NowNanos;
        double k = Math.Cbrt((765 - start) / 0.4);
        while ((path.NowNanos - epoch) / 1e9 < k)
        {
            path.Round(100 * Millisecond);
        }

        Assert.InRange(path.Window.Window, 763, 767);
    }

    [Fact]
    public void On_a_short_path_it_grows_as_reno_with_the_same_beta_would()
    {
        // RTT 10 ms, window 20: the curve needs seconds for a segment, Reno gains 8/15 of a segment each round (RFC 9438 4.3).
        AckedPath path = AfterLoss(40);
        int start = path.Window.Window;
        double reno = start;
        for (int round = 0; round < 100; round++)
        {
            reno += 8.0 / 15;
            path.Round(10 * Millisecond);
            Assert.InRange(path.Window.Window, reno - 4, reno + 2);
        }
    }

    [Fact]
    public void A_small_window_grows_between_losses_that_come_every_few_milliseconds()
    {
        // A loss in eight round trips of a millisecond. Reno gains 8/15 of a segment in each (RFC 9438 4.3), and would come to rest at 14.
        var path = new AckedPath("cubic");
        path.TimeOut();
        path.Window.Window = 2;
        path.Window.Threshold = 2;
        var windows = new List<int>();
        for (int loss = 0; loss < 20; loss++)
        {
            path.Lose();
            for (int round = 0; round < 8; round++)
            {
                path.Round(Millisecond);
            }

            windows.Add(path.Window.Window);
        }

        Assert.All(windows, window => Assert.InRange(window, 3, 14));
    }

    [Fact]
    public void Without_a_loss_to_learn_from_one_segment_for_20_acknowledged_at_the_least()
    {
        // A timeout forgets the plateau. Rounds of 100 ms, ACKs 2 ms apart; the curve is not asked again within 31 ms while the window stands still.
        var path = new AckedPath("cubic");
        path.TimeOut();
        Assert.Equal(7, path.Window.Threshold);
        path.Window.Window = 7;
        var windows = new List<int>();
        for (int ack = 0; ack < 32; ack++)
        {
            path.NowNanos += (ack % 7 == 0 ? 88 : 2) * Millisecond;
            path.Ack(1, 100 * Millisecond);
            windows.Add(path.Window.Window);
        }

        // Reno's share comes first: 13 acknowledged give it a segment, which is seen when the next round asks.
        Assert.All(windows.Take(14), window => Assert.Equal(7, window));
        Assert.Equal(8, windows[14]);
        Assert.Equal(8, windows[20]);
        Assert.InRange(windows[31], 9, 10);
    }

    [Fact]
    public void A_round_grows_the_window_by_half_at_most()
    {
        // A plateau far above: the curve is steep at once.
        var path = new AckedPath("cubic");
        path.Window.Window = 2_000_000;
        path.Lose();
        path.Window.Window = 1000;
        path.Window.Threshold = 1000;
        for (int round = 0; round < 5; round++)
        {
            int before = path.Window.Window;
            path.Round(200 * Millisecond);
            Assert.InRange(path.Window.Window, before * 1.49, (before * 1.5) + 1);
        }
    }

    [Fact]
    public void Idle_time_does_not_count_on_the_curve()
    {
        AckedPath busy = AfterLoss(1000), idle = AfterLoss(1000);
        for (int round = 0; round < 30; round++)
        {
            busy.Round(100 * Millisecond);
            idle.Round(100 * Millisecond);
        }

        Assert.Equal(busy.Window.Window, idle.Window.Window);
        long pause = 60 * AckedPath.Second;
        idle.NowNanos += pause;
        idle.Algorithm.OnTransmitStart(idle.NowNanos, pause);
        for (int round = 0; round < 100; round++)
        {
            busy.Round(100 * Millisecond);
            idle.Round(100 * Millisecond);
            Assert.InRange(idle.Window.Window, busy.Window.Window - 1, busy.Window.Window + 1);
        }
    }

    [Fact]
    public void An_epoch_never_begins_in_the_future()
    {
        AckedPath path = AfterLoss(1000);
        path.Round(100 * Millisecond);
        path.Algorithm.OnTransmitStart(path.NowNanos, 1_000_000 * AckedPath.Second);
        path.Round(100 * Millisecond);
        Assert.InRange(path.Window.Window, 700, 760);
    }

    [Fact]
    public void An_application_limited_sender_does_not_grow()
    {
        var path = new AckedPath("cubic") { WindowLimited = false };
        path.Round(100 * Millisecond);
        Assert.Equal(CongestionWindow.Initial, path.Window.Window);
    }

    [Fact]
    public void Undo_gives_back_the_window_before_the_loss()
    {
        AckedPath path = AfterLoss(1000);
        Assert.Equal(1000, path.Algorithm.UndoWindow());
    }

    [Fact]
    public void An_epoch_of_a_year_does_not_overflow()
    {
        AckedPath path = AfterLoss(1000);
        path.Round(100 * Millisecond);
        path.NowNanos += 365 * 86400 * AckedPath.Second;
        int before = path.Window.Window;
        path.Round(100 * Millisecond);
        Assert.InRange(path.Window.Window, before * 1.45, before * 1.5 + 1);
    }

    [Fact]
    public void The_window_never_shrinks_on_an_ack_and_never_passes_its_clamp()
    {
        Gen<(int Acked, int Wait, int Rtt, int Event)> step = Gen.Select(Gen.Int[1, 40], Gen.Int[0, 300], Gen.Int[0, 400], Gen.Int[0, 60]);
        step.Array[1, 300].Sample(steps =>
        {
            var path = new AckedPath("cubic");
            path.Window.Clamp = 5000;
            foreach ((int acked, int wait, int rtt, int happens) in steps)
            {
                path.NowNanos += wait * Millisecond;
                switch (happens)
                {
                    case 0:
                        path.Lose();
                        break;
                    case 1:
                        path.TimeOut();
                        break;
                    case 2:
                        path.Algorithm.OnTransmitStart(path.NowNanos, wait * Millisecond);
                        break;
                }

                int before = path.Window.Window;
                path.Ack(acked, rtt * Millisecond);
                Assert.InRange(path.Window.Window, before, Math.Min(before + acked + 1, 5000));
                Assert.InRange(path.Window.Counter, 0, int.MaxValue);
            }
        });
    }

    [Fact]
    public void The_cube_root_is_exact()
    {
        Assert.Equal(0, Cubic.CubeRoot(0));
        Gen.Int[1, 2_000_000].Sample(root =>
        {
            ulong cube = (ulong)root * (ulong)root * (ulong)root;
            Assert.Equal(root, Cubic.CubeRoot(cube));
            Assert.Equal(root - 1, Cubic.CubeRoot(cube - 1));
        });
        for (int root = 1; root < 2000; root++)
        {
            Assert.Equal(root, Cubic.CubeRoot((ulong)root * (ulong)root * (ulong)root));
        }

        Assert.Equal(2_097_151, Cubic.CubeRoot(long.MaxValue));
    }

    /// <summary>A connection in congestion avoidance right after a loss at <paramref name="plateau"/>.</summary>
    private static AckedPath AfterLoss(int plateau)
    {
        var path = new AckedPath("cubic");
        path.Window.Window = plateau;
        path.Lose();
        Assert.Equal((int)(plateau * Beta), path.Window.Window);
        return path;
    }
}
