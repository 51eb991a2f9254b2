using Penstock.Buffers;
using Penstock.Time;
using Penstock.Wire;
using Penstock.Tcp.LossRecovery;

namespace Penstock.Tcp;

/// <summary>
/// RACK (RFC 8985): a segment is lost when one sent sufficiently later has been delivered. Looks only at segments in the order they were sent, from the oldest, and
/// stops at the first that is young enough, so the work is bounded by what is found.
/// </summary>
internal sealed partial class TcpConnection
{
    private long _transmissions;
    private long _rackOrder;
    private SequenceNumber _rackEnd;
    private long _rackRttNanos;
    private bool _rackAdvanced;
    private bool _reorderingSeen;
    private int _reordering;
    private SequenceNumber _highestSacked;

    /// <summary>The retransmission to begin with: the first lost segment that was not sent again, or null for the head.</summary>
    private PacketBuffer? _retransmitHint;

    /// <summary>
    /// RFC 8985 6.2 compares times, and sequence numbers where those are equal. Here many transmissions have one time, a whole burst in virtual time, and a retransmission behind new data would pass for older than that;
    /// so they are counted, and only parts of one transmission, which were split since, are told apart by their sequence.
    /// </summary>
    private static bool SentAfter(long orderA, SequenceNumber endA, long orderB, SequenceNumber endB) =>
        orderA > orderB || (orderA == orderB && endA.After(endB));

    /// <summary>A segment was delivered: RFC 8985 6.2 steps 1 and 2.</summary>
    private void RackAdvance(PacketBuffer buffer, long now)
    {
        long rtt = now - buffer.SentNanos;
        if ((buffer.Segment & SegmentFlags.RetransmittedOnce) != 0)
        {
            // An ACK sooner than any round trip is for the original, not for the retransmission.
            if (MinimumRttNanos > 0 && rtt < MinimumRttNanos)
            {
                return;
            }
        }

        _rackAdvanced = true;
        _rackRttNanos = rtt;
        if (SentAfter(buffer.SentOrder, buffer.EndSequence, _rackOrder, _rackEnd))
        {
            _rackOrder = buffer.SentOrder;
            _rackEnd = buffer.EndSequence;
        }
    }

    /// <summary>How late a segment may be before it is lost (RFC 8985 6.2 step 4).</summary>
    private long RackReorderingWindow()
    {
        if (!_reorderingSeen && (Recovery.State >= CongestionState.Recovery || _sackedOut >= _reordering))
        {
            return 0;
        }

        return Math.Min(MinimumRttNanos >> 2, Rtt.SmoothedNanos);
    }

    /// <summary>Marks what must be lost; the segments that may be late yet are looked at again when the timer fires.</summary>
    private void RackDetectLoss(long now)
    {
        if (!_rackAdvanced)
        {
            return;
        }

        _rackAdvanced = false;
        long wait = RackScan(now);
        if (wait > 0)
        {
            ArmRetransmitTimer(RetransmitTimerMode.Reordering, now + wait);
        }
    }

    private long RackScan(long now)
    {
        long window = RackReorderingWindow();
        long wait = 0;
        PacketBuffer? buffer = _retransmitQueue.OldestSent;
        while (buffer is not null && SentAfter(_rackOrder, _rackEnd, buffer.SentOrder, buffer.EndSequence))
        {
            PacketBuffer? next = buffer.SentNext;
            long left = buffer.SentNanos + _rackRttNanos + window - now;
            if (left <= 0)
            {
                MarkLost(buffer);
            }
            else
            {
                wait = Math.Max(wait, left);
            }

            buffer = next;
        }

        return wait;
    }

    private void MarkLost(PacketBuffer buffer)
    {
        if ((buffer.Segment & SegmentFlags.SackedAcked) != 0)
        {
            return;
        }

        if ((buffer.Segment & SegmentFlags.SackedRetransmitted) != 0)
        {
            // The retransmission is lost too.
            buffer.Segment &= ~SegmentFlags.SackedRetransmitted;
            _retransOut -= buffer.SegmentCount;
        }

        if ((buffer.Segment & SegmentFlags.Lost) == 0)
        {
            buffer.Segment |= SegmentFlags.Lost;
            _lostOut += buffer.SegmentCount;
            _stack.Counters.Add(StackCounter.TcpLost, buffer.SegmentCount);
        }

        _retransmitQueue.Unsent(buffer);
        if (_retransmitHint is null || buffer.Sequence.Before(_retransmitHint.Sequence))
        {
            _retransmitHint = buffer;
        }
    }

    /// <summary>The reordering timer: RFC 8985 6.3.</summary>
    private void OnReorderingTimer(long now)
    {
        int before = PacketsInFlight;
        long wait = RackScan(now);
        if (before != PacketsInFlight)
        {
            if (Recovery.State != CongestionState.Recovery)
            {
                EnterRecovery();
            }

            TransmitRetransmitQueue();
        }

        if (wait > 0)
        {
            ArmRetransmitTimer(RetransmitTimerMode.Reordering, now + wait);
        }
        else if (_timerMode == RetransmitTimerMode.None)
        {
            RearmRetransmitTimer();
        }
    }

    /// <summary>A segment below the highest SACK was delivered without having been sent again: the network reorders.</summary>
    private void NoteReordering(SequenceNumber low)
    {
        if (!_highestSacked.After(low))
        {
            return;
        }

        int mss = Math.Max(_pathMss, 1);
        int distance = (_highestSacked.Since(low) + mss - 1) / mss;
        if (distance > _reordering)
        {
            _reordering = Math.Min(distance, _tcp.Settings.MaxReordering);
        }

        _reorderingSeen = true;
        Sending.ReorderingsSeen++;
        _stack.Counters.Add(StackCounter.TcpSackReorder);
    }
}
