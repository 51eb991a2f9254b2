using Penstock.Buffers;
using Penstock.Tcp.LossRecovery;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Loss detection by time (RFC 8985 6): a segment is lost when one sent sufficiently later has been delivered; <see cref="Rack"/> says how much is sufficient. Looks only at segments in the order they were
/// sent, from the oldest, and stops at the first that was sent after what was delivered, or when enough are still waited for, so the work is bounded by what is found.
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>net.ipv4.tcp_recovery: the window stays as it is; three duplicates do not close it.</summary>
    private const int RecoveryFixedWindow = 2, RecoveryIgnoresDuplicates = 4;

    /// <summary>The reordering timer is no finer than this (Linux: TCP_TIMEOUT_MIN_US, RFC 8985 6.2 has no figure).</summary>
    private const long ReorderingGrainNanos = 2_000_000;

    /// <summary>
    /// Of those that may only be late so many are looked at, for the time of the last; beyond them the newest transmission that was delivered stands for all. An ACK would else cost as much as the holes before it, of which a
    /// peer can make half a window.
    /// </summary>
    private const int MostWaiting = 32;

    private long _transmissions;

    /// <summary>A segment was delivered: RFC 8985 6.2 steps 1 and 2. By the time the ACK arrived, not by when it is looked at: time in our backlog is no time on the path.</summary>
    private void RackAdvance(PacketBuffer buffer, in AckOutcome outcome) =>
        Recovery.Rack.OnDelivered(
            buffer.SentOrder, buffer.SentNanos, buffer.EndSequence, outcome.OnPath(buffer.SentNanos), (buffer.Segment & SegmentFlags.RetransmittedOnce) != 0, MinimumRttNanos);

    /// <summary>RFC 8985 6.2 step 4: widens or narrows the window by what DSACKs said.</summary>
    private void RackAdjustWindow(in AckOutcome outcome)
    {
        if (outcome.PriorDelivered >= 0 && (_tcp.Settings.Recovery & RecoveryFixedWindow) == 0)
        {
            Recovery.Rack.AdjustWindow(outcome.PriorDelivered, Delivery.Delivered);
        }
    }

    /// <summary>Marks what must be lost; what may only be late is looked at again when the timer fires. True when it was armed.</summary>
    private bool RackDetectLoss(long arrivedNanos)
    {
        if (!Recovery.Rack.Advanced)
        {
            return false;
        }

        Recovery.Rack.Advanced = false;
        long until = RackScan(arrivedNanos);
        if (until == 0)
        {
            return false;
        }

        // No later than the timeout that it stands in for: what arrived may have been under way for long (RFC 8985 6.3).
        ArmRetransmitTimer(RetransmitTimerMode.Reordering, Math.Min(Math.Max(until, Now) + ReorderingGrainNanos, Now + _rtoNanos));
        return true;
    }

    /// <summary>Until when the last of those that may only be late has time; 0 when there is none.</summary>
    private long RackScan(long nowNanos)
    {
        RecoveryState recovery = Recovery;
        long window = recovery.Rack.ReorderingWindow(
            recovery.ReorderingEvents > 0,
            recovery.State >= CongestionState.Recovery,
            _sackedOut >= _reordering && (_tcp.Settings.Recovery & RecoveryIgnoresDuplicates) == 0,
            MinimumRttNanos,
            Rtt.SmoothedNanos);
        long patience = recovery.Rack.RttNanos + window;
        long until = 0;
        int waiting = 0;
        PacketBuffer? buffer = _retransmitQueue.OldestSent;
        while (buffer is not null && recovery.Rack.IsSentBefore(buffer.SentOrder, buffer.EndSequence))
        {
            Visit();
            PacketBuffer? next = buffer.SentNext;
            long deadline = buffer.SentNanos + patience;
            if (deadline <= nowNanos)
            {
                MarkLost(buffer);
                buffer.Segment |= SegmentFlags.JudgedByRack;
            }
            else
            {
                until = Math.Max(until, deadline);
                if (++waiting == MostWaiting)
                {
                    // None that follows is due: they were sent later, but not after what was delivered.
                    return Math.Max(until, recovery.Rack.SentNanos + patience);
                }
            }

            buffer = next;
        }

        return until;
    }

    /// <summary>The reordering timer: RFC 8985 6.3.</summary>
    private void OnReorderingTimer(long now)
    {
        int inFlight = PacketsInFlight;
        long lost = Recovery.Lost;
        RackScan(now);
        if (inFlight != PacketsInFlight)
        {
            if (Recovery.State != CongestionState.Recovery)
            {
                EnterRecovery(congestionEcho: false);
                ReduceWindow(delivered: 1, (int)(Recovery.Lost - lost), advanced: false);
            }

            TransmitRetransmitQueue();
        }

        if (_timerMode != RetransmitTimerMode.Retransmit)
        {
            // This timer stood in for the timeout, which goes on from where it was.
            _timerMode = RetransmitTimerMode.Reordering;
            RearmRetransmitTimer();
        }
    }

    /// <summary>Marks a segment lost; one whose retransmission was under way is lost again.</summary>
    private void MarkLost(PacketBuffer buffer)
    {
        if ((buffer.Segment & SegmentFlags.SackedAcked) != 0)
        {
            // A tail-loss probe of something that had been SACKed.
            _retransmitQueue.Leave(buffer);
            return;
        }

        bool again = false;
        if ((buffer.Segment & SegmentFlags.SackedRetransmitted) != 0)
        {
            buffer.Segment &= ~SegmentFlags.SackedRetransmitted;
            _retransOut -= buffer.SegmentCount;
            again = true;
        }

        bool first = (buffer.Segment & SegmentFlags.Lost) == 0;
        if (first)
        {
            buffer.Segment |= SegmentFlags.Lost;
            _lostOut += buffer.SegmentCount;
        }

        RecoveryState recovery = Recovery;
        if (first || again)
        {
            recovery.Lost += buffer.SegmentCount;
            _stack.Counters.Add(StackCounter.TcpLost, buffer.SegmentCount);
        }

        recovery.Visited += _retransmitQueue.MoveToLost(buffer);
    }
}
