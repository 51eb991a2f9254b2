using Penstock.Buffers;
using Penstock.Tcp.LossRecovery;
using Penstock.Tcp.Pacing;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// How large super-segments are (Linux: TSO). Large ones save work; but they leave in one burst, and one that takes the whole window leaves no ACKs to send the next by. So their size follows the rate, and one
/// that will be larger in a moment waits for that moment.
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>Payload bytes of one super-segment: 64 KiB less room for all headers (Linux: 65536 - 1 - MAX_TCP_HEADER).</summary>
    private const int MaximumSuperSegment = 65215;

    /// <summary>A super-segment is about as much as the rate makes in 1/1024 s (Linux: <c>sk_pacing_shift</c>).</summary>
    private const int BurstShift = 10;

    /// <summary>From so many halvings on, a round trip is too long to allow anything beyond the burst.</summary>
    private const int LongestRttHalvings = 32;

    /// <summary>Without a divisor of the window: not more is waited for than one ACK brings (Linux: tcp_max_tso_deferred_mss).</summary>
    private const int MostDeferred = 3;

    /// <summary>Payload that a queued buffer is filled to: a whole number of segments up to 64 KiB, but no more than half of the peer's largest window.</summary>
    private int SizeGoal(int mss)
    {
        if ((Omitted & Omission.SizeGoal) != Omission.None)
        {
            return MaximumSuperSegment - (MaximumSuperSegment % mss);
        }

        int knob = _tcp.Settings.SizeGoal;
        if (knob == 1 || Memory.Group is { UnderPressure: true })
        {
            // A buffer that was begun is filled, by force if need be, before the sender blocks (R2.4). In a group at its limit that excess, times its sockets, has to be small.
            return mss;
        }

        int goal = BoundToHalfWindow(knob > 0 ? Math.Min(knob, MaximumSuperSegment) : MaximumSuperSegment);
        return Math.Max(goal - (goal % mss), mss);
    }

    /// <summary>
    /// The most segments of one super-segment (Linux: tcp_tso_autosize): what the rate sends in a millisecond, and over short paths, where a burst does no harm, much more: all that fits
    /// below 0.5 ms of round trip, half of it below 1 ms (tcp_tso_rtt_log). At least tcp_min_tso_segs.
    /// </summary>
    private int SegmentsAtOnce(SendState sending, int mss)
    {
        TcpSettings settings = _tcp.Settings;
        long bytes = Keeps(Omission.SegmentsAutosized) ? sending.Pacer.Rate >> BurstShift : MaximumSuperSegment;
        long halvings = MinimumRttNanos / Nanos.PerMicrosecond >> Math.Min(settings.TsoRttLog, 62);
        if (halvings < LongestRttHalvings && bytes < MaximumSuperSegment)
        {
            bytes += MaximumSuperSegment >> (int)halvings;
        }

        // Over a loopback one segment may be longer than the largest super-segment, and at least one goes.
        long segments = Math.Max(Math.Min(bytes, MaximumSuperSegment) / mss, settings.MinTsoSegments);
        return (int)Math.Min(segments, Math.Max(1, MaximumSuperSegment / mss));
    }

    /// <summary>
    /// Segments that the congestion window lets go at once: half of it at most, so that ACKs keep coming, and no burst leaves where an ACK makes much room at once (Linux: tcp_cwnd_test). Limited transmit (RFC 3042) is
    /// no more than this: a segment that was SACKed, or that a duplicate ACK stands for, is no longer in flight, so each of the first duplicates lets a new one go.
    /// </summary>
    private int CongestionQuota()
    {
        int inFlight = PacketsInFlight;
        int window = Cwnd.Window;
        return inFlight >= window ? 0 : Math.Min(Math.Max(window >> 1, 1), window - inFlight);
    }

    /// <summary>
    /// Whether to wait for a bigger super-segment because an ACK is likely to allow it soon (Linux: tcp_tso_should_defer). What is waited for then is the congestion window or the peer's.
    /// </summary>
    private bool ShouldDefer(PacketBuffer buffer, int mss, int atOnce, ref bool windowLimited, ref bool peerLimited)
    {
        if (Recovery.State >= CongestionState.Recovery || _retransmitQueue.First is not { } head)
        {
            return false;
        }

        // Only within a burst: after a pause a single segment goes at once, as limited transmit (RFC 3042) and rate reduction (RFC 6937) need it.
        long now = Now;
        // A millisecond itself is one: where time stands still between two packets, as in virtual time, it passes to the nanosecond.
        if (now - _lastDataSentNanos >= Nanos.PerMillisecond)
        {
            return false;
        }

        long peer = (_sndUna + (int)_sndWnd).Since(buffer.Sequence);
        long congestion = (long)(Cwnd.Window - PacketsInFlight) * mss;
        long limit = Math.Min(peer, congestion);
        if (limit >= (long)atOnce * mss || (buffer != _writeQueue.Last && limit >= buffer.Length))
        {
            return false;
        }

        int divisor = _tcp.Settings.TsoWindowDivisor;
        if (divisor > 0 ? limit >= Math.Min(_sndWnd, (long)Cwnd.Window * mss) / divisor : limit > (long)MostDeferred * mss)
        {
            return false;
        }

        // The head's ACK comes a round trip after it was sent: what is later than half of one, or than a millisecond, is not worth the idle link.
        long untilAck = head.SentNanos + Rtt.SmoothedNanos - now;
        if (untilAck > Math.Min(Rtt.SmoothedNanos >> 1, Nanos.PerMillisecond))
        {
            return false;
        }

        if (congestion < peer)
        {
            if (congestion <= buffer.Length)
            {
                windowLimited = true;
                return true;
            }
        }
        else if (peer <= buffer.Length)
        {
            peerLimited = true;
            return true;
        }

        // Nothing will be added to a finished one.
        return (buffer.TcpFlags & TcpFlags.Fin) == 0 && (buffer.Segment & SegmentFlags.EndOfRecord) == 0;
    }

    private int SplitPoint(PacketBuffer buffer, int mss, int maximumSegments, NagleMode nagle)
    {
        int window = (_sndUna + (int)_sndWnd).Since(buffer.Sequence);
        int most = mss * maximumSegments;
        if (most <= window && buffer != _writeQueue.Last)
        {
            return most;
        }

        int needed = Math.Min(buffer.Length, window);
        if (most <= needed)
        {
            return most;
        }

        int partial = needed % mss;
        return NagleForbids(partial != 0, nagle) ? needed - partial : needed;
    }
}
