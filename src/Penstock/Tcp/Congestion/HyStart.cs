using Penstock.Wire;

namespace Penstock.Tcp.Congestion;

/// <summary>
/// Finds the end of slow start before a loss does (Ha and Rhee's HyStart in Linux's form, not RFC 9406's HyStart++, which knows no trains and tries a slower
/// growth first): a train of closely spaced ACKs that is as long as half of the path's delay, or a round whose delays lie above the path's. It says so once; the window is its caller's.
/// </summary>
internal struct HyStart
{
    /// <summary>Below this window the figures are too coarse to mean something, segments.</summary>
    private const int LowWindow = 16;

    /// <summary>Samples of a round before its smallest delay counts.</summary>
    private const int DelaySamples = 8;

    private const long SmallestRiseNanos = 4_000_000, LargestRiseNanos = 16_000_000;

    /// <summary>ACKs that are closer than this belong to one train.</summary>
    private const long TrainGapNanos = 2_000_000;

    /// <summary>A train may be longer for segments that were made and sent in bursts: four of the largest super-segments, but no more than 1 ms.</summary>
    private const long BurstBytes = 4 * 65536, LargestBurstNanos = 1_000_000;

    private bool _found;
    private SequenceNumber _roundEnd;
    private long _roundStartNanos;
    private long _lastAckNanos;
    private long _smallestDelayNanos;
    private int _samples;

    /// <summary>The first round ends when something is acknowledged that is sent from here on.</summary>
    public HyStart(long nowNanos, SequenceNumber nextToSend)
    {
        BeginRound(nowNanos, nextToSend);
    }

    /// <summary>
    /// Takes the delay of one ACK in slow start; true when slow start should end here. <paramref name="minimumRttNanos"/> is the path's delay, this sample
    /// included. After it was true once it stays silent.
    /// </summary>
    public bool FindsExit(in DelaySample sample, int window, long minimumRttNanos)
    {
        if (_found)
        {
            return false;
        }

        if (sample.Unacknowledged.After(_roundEnd))
        {
            BeginRound(sample.NowNanos, sample.NextToSend);
        }

        if (window < LowWindow)
        {
            return false;
        }

        // Both look at every sample: each keeps count.
        _found = TrainIsLong(sample, minimumRttNanos) | DelayRose(sample.RttNanos, minimumRttNanos);
        return _found;
    }

    private void BeginRound(long nowNanos, SequenceNumber nextToSend)
    {
        _roundEnd = nextToSend;
        _roundStartNanos = nowNanos;
        _lastAckNanos = nowNanos;
        _smallestDelayNanos = long.MaxValue;
        _samples = 0;
    }

    private bool TrainIsLong(in DelaySample sample, long minimumRttNanos)
    {
        if (sample.NowNanos - _lastAckNanos > TrainGapNanos)
        {
            return false;
        }

        _lastAckNanos = sample.NowNanos;
        long length = minimumRttNanos + BurstNanos(sample.PacingRate);
        if (!sample.Paced)
        {
            // Segments that left back to back and come back spread over half of the path's delay: the path is half full, and the next round fills it.
            // A pacer spreads them itself, over as much as that half.
            length >>= 1;
        }

        return sample.NowNanos - _roundStartNanos > length;
    }

    private bool DelayRose(long rttNanos, long minimumRttNanos)
    {
        _smallestDelayNanos = Math.Min(_smallestDelayNanos, rttNanos);
        if (_samples < DelaySamples)
        {
            _samples++;
            return false;
        }

        return _smallestDelayNanos > minimumRttNanos + Math.Clamp(minimumRttNanos >> 3, SmallestRiseNanos, LargestRiseNanos);
    }

    private static long BurstNanos(long bytesPerSecond) =>
        bytesPerSecond <= 0 ? 0 : Math.Min(LargestBurstNanos, BurstBytes * 1_000_000_000 / bytesPerSecond);
}
