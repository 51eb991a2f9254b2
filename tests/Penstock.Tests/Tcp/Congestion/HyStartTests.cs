using Penstock.Tcp.Congestion;

namespace Penstock.Tests.Tcp.Congestion;

/// <summary>The ends of slow start that CUBIC finds without a loss.</summary>
public class HyStartTests
{
    private const long Millisecond = AckedPath.Millisecond;

    [Theory]
    [InlineData(200, 16)] // an eighth would be 25 ms: at most 16
    [InlineData(80, 10)]
    [InlineData(20, 4)] // an eighth would be 2.5 ms: at least 4
    public void A_round_above_the_paths_delay_ends_slow_start_at_its_ninth_sample(int rtt, int rise)
    {
        AckedPath path = AfterFirstRound(rtt);
        Delays(path, (rtt + rise) * Millisecond, 9);
        Assert.Equal(CongestionWindow.InfiniteThreshold, path.Window.Threshold);

        path = AfterFirstRound(rtt);
        Delays(path, ((rtt + rise) * Millisecond) + 1, 8);
        Assert.Equal(CongestionWindow.InfiniteThreshold, path.Window.Threshold);
        int window = path.Window.Window;
        Delays(path, ((rtt + rise) * Millisecond) + 1, 1);
        Assert.Equal(window, path.Window.Threshold);
        Assert.Equal(window, path.Window.Window);
    }

    [Fact]
    public void One_sample_at_the_paths_delay_keeps_the_round_in_slow_start()
    {
        AckedPath path = AfterFirstRound(100);
        Delays(path, 100 * Millisecond, 1);
        Delays(path, 150 * Millisecond, 15);
        Assert.Equal(CongestionWindow.InfiniteThreshold, path.Window.Threshold);
    }

    [Fact]
    public void The_first_round_begins_when_something_is_acknowledged_and_not_with_a_SACK()
    {
        var path = new AckedPath("cubic");
        path.Window.Window = 20;
        Delays(path, 100 * Millisecond, 1, segments: 0);
        Delays(path, 130 * Millisecond, 8);
        Assert.Equal(CongestionWindow.InfiniteThreshold, path.Window.Threshold);
        Delays(path, 130 * Millisecond, 1);
        Assert.Equal(path.Window.Window, path.Window.Threshold);
    }

    [Fact]
    public void A_new_minimum_late_in_a_round_is_no_rise()
    {
        AckedPath path = AfterFirstRound(200);
        Delays(path, 201 * Millisecond, 8);
        Delays(path, 30 * Millisecond, 1);
        Assert.Equal(CongestionWindow.InfiniteThreshold, path.Window.Threshold);
    }

    [Fact]
    public void A_train_as_long_as_half_of_the_delay_ends_slow_start()
    {
        // RTT 30 ms, ACKs 1 ms apart, delay unchanged: the first opens the round, the 17th is 16 ms later, the first beyond 15.
        AckedPath path = AfterFirstRound(30);
        Assert.Equal(17, Train(path, 30));
        Assert.Equal(path.Window.Window, path.Window.Threshold);
    }

    [Fact]
    public void A_gap_of_more_than_two_milliseconds_cuts_the_train()
    {
        // The round lasts 22 ms, but what comes after the gap is no part of the train that opened it.
        AckedPath path = AfterFirstRound(30);
        Train(path, 30, limit: 5);
        path.NowNanos += 3 * Millisecond;
        Train(path, 30, limit: 15);
        Assert.Equal(CongestionWindow.InfiniteThreshold, path.Window.Threshold);
    }

    [Fact]
    public void A_train_ends_with_its_round()
    {
        // 20 segments a millisecond apart are no longer than half of 40 ms.
        AckedPath path = AfterFirstRound(40);
        Train(path, 40, limit: 40);
        Assert.Equal(CongestionWindow.InfiniteThreshold, path.Window.Threshold);
    }

    [Theory]
    [InlineData(2, 0, false, 7)] // RTT 21 ms: 12 ms is the first beyond half of it
    [InlineData(2, 0, true, 12)] // 22 ms, beyond the whole: the pacer spreads segments itself, over up to half of the delay
    [InlineData(1, 0, false, 12)]
    [InlineData(1, 1_000_000, false, 13)] // bursts may take long at this rate; 1 ms is granted, so it must be beyond half of 22 ms
    [InlineData(1, 100_000_000_000, false, 12)] // a burst takes 2.6 us
    public void Pacing_and_bursts_lengthen_the_train_that_is_expected(int gapMilliseconds, long rate, bool paced, int acks)
    {
        AckedPath path = AfterFirstRound(21);
        path.PacingRate = rate;
        path.Paced = paced;
        Assert.Equal(acks, Train(path, 21, gapMilliseconds: gapMilliseconds));
    }

    [Fact]
    public void Below_a_window_of_16_nothing_is_concluded()
    {
        var path = new AckedPath("cubic");
        path.Window.Window = 2;
        path.Ack(1, 20 * Millisecond);
        for (int ack = 0; path.Window.Window < 15; ack++)
        {
            path.NowNanos += Millisecond;
            path.Ack(1, 100 * Millisecond);
        }

        Assert.Equal(CongestionWindow.InfiniteThreshold, path.Window.Threshold);
    }

    [Fact]
    public void It_speaks_once_and_again_after_a_timeout()
    {
        AckedPath path = AfterFirstRound(80);
        Delays(path, 100 * Millisecond, 9);
        int threshold = path.Window.Threshold;
        Assert.NotEqual(CongestionWindow.InfiniteThreshold, threshold);

        path.Window.Threshold = CongestionWindow.InfiniteThreshold;
        Delays(path, 200 * Millisecond, 12);
        Assert.Equal(CongestionWindow.InfiniteThreshold, path.Window.Threshold);

        path.TimeOut();
        path.Window.Threshold = CongestionWindow.InfiniteThreshold;
        for (int round = 0; round < 5; round++)
        {
            path.NowNanos += 70 * Millisecond;
            path.Ack(path.Window.Window, 80 * Millisecond);
        }

        Delays(path, 100 * Millisecond, 10);
        Assert.NotEqual(CongestionWindow.InfiniteThreshold, path.Window.Threshold);
    }

    [Fact]
    public void Samples_of_retransmitted_data_are_ignored()
    {
        AckedPath path = AfterFirstRound(80);
        Delays(path, -1, 15);
        Assert.Equal(CongestionWindow.InfiniteThreshold, path.Window.Threshold);
    }

    /// <summary>Slow start with 20 segments in flight and the path's delay known; the next ACK opens a round.</summary>
    private static AckedPath AfterFirstRound(int rttMilliseconds)
    {
        var path = new AckedPath("cubic");
        path.NowNanos += rttMilliseconds * Millisecond;
        path.Ack(10, rttMilliseconds * Millisecond);
        Assert.Equal(20, path.Window.Window);
        path.NowNanos += rttMilliseconds * Millisecond;
        return path;
    }

    /// <summary>ACKs too far apart for a train.</summary>
    private static void Delays(AckedPath path, long rttNanos, int count, int segments = 1)
    {
        for (int ack = 0; ack < count; ack++)
        {
            path.Ack(segments, rttNanos);
            path.NowNanos += 3 * Millisecond;
        }
    }

    /// <summary>Closely spaced ACKs until slow start ends; how many it took.</summary>
    private static int Train(AckedPath path, int rttMilliseconds, int limit = 20, int gapMilliseconds = 1)
    {
        for (int ack = 1; ack <= limit; ack++)
        {
            path.Ack(1, rttMilliseconds * Millisecond);
            if (path.Window.Threshold != CongestionWindow.InfiniteThreshold)
            {
                return ack;
            }

            path.NowNanos += gapMilliseconds * Millisecond;
        }

        return limit + 1;
    }
}
