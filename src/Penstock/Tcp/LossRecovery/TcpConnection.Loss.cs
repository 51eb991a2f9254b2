using Penstock.Buffers;
using Penstock.Tcp.Congestion;
using Penstock.Tcp.LossRecovery;

namespace Penstock.Tcp;

/// <summary>
/// What a retransmission timeout makes of the flight (RFC 5681 3.1, RFC 8985 6.3): what was not SACKed is lost, sending starts over with one segment. Whether that was right is tested by
/// F-RTO and by <see cref="MayUndo"/>.
/// </summary>
internal sealed partial class TcpConnection
{
    private void EnterLoss(long now)
    {
        RecoveryState recovery = Recovery;
        bool newRecovery = recovery.State < CongestionState.Recovery;
        MarkLostByTimeout(now);

        // One reduction for what was in flight; the timeout of a retransmission is not another, unless something was acknowledged in between.
        if (recovery.State <= CongestionState.Disorder || _sndUna.AtOrAfter(recovery.HighSequence) || (recovery.State == CongestionState.Loss && _retransmits == 0))
        {
            recovery.PriorThreshold = recovery.CurrentThreshold;
            Cwnd.Prior = Cwnd.Window;
            Cwnd.Threshold = Congestion.ThresholdOnLoss();
            recovery.MarkForUndo(_sndUna, _retransOut);
        }

        Congestion.Begin(now, _sndNxt);
        Cwnd.Window = PacketsInFlight + 1;
        Cwnd.Counter = 0;
        Cwnd.StampNanos = now;
        if (recovery.State <= CongestionState.Disorder && _sackedOut >= _tcp.Settings.Reordering)
        {
            // Enough duplicates, and yet it took a timeout: less is reordered than was thought.
            _reordering = Math.Min(_reordering, _tcp.Settings.Reordering);
        }

        recovery.State = CongestionState.Loss;
        recovery.HighSequence = _sndNxt;
        recovery.TailProbeEnd = null;
        _ecn.OnReduction();
        BeginForwardRto(newRecovery);
    }

    private void MarkLostByTimeout(long now)
    {
        RecoveryState recovery = Recovery;
        PacketBuffer? head = _retransmitQueue.First;
        bool reneged = head is not null && (head.Segment & SegmentFlags.SackedAcked) != 0;
        if (reneged)
        {
            // RFC 2018 8: the peer SACKed the head and yet waits for it; what it reported is void.
            _stack.Counters.Add(StackCounter.TcpSackReneging);
            ForgetSacks();
        }

        for (PacketBuffer? buffer = head; buffer is not null; buffer = buffer.Next)
        {
            Visit();
            if (reneged && (buffer.Segment & SegmentFlags.SackedAcked) != 0)
            {
                buffer.Segment &= ~SegmentFlags.SackedAcked;
                _sackedOut -= buffer.SegmentCount;
            }
            else if (!reneged && buffer != head && buffer.SentNanos + recovery.Rack.RttNanos > now)
            {
                // RFC 8985 6.3: it has not had the time of a round trip yet.
                continue;
            }

            MarkLost(buffer);
        }

        if (!_sackOk)
        {
            _sackedOut = 0;
        }
    }

    /// <summary>
    /// RFC 2018 8 as Linux does it: the cumulative ACK stopped in front of what had been SACKed. Soon, but not at once, for the peer may just have been slow to see what it has, all of that is sent again.
    /// </summary>
    private bool WaitsForReneging(ref AckOutcome outcome)
    {
        if (!outcome.Reneging || !outcome.Advanced)
        {
            return false;
        }

        ArmRetransmitTimer(RetransmitTimerMode.Retransmit, outcome.NowNanos + Math.Max(Rtt.SmoothedNanos >> 1, 10 * Time.Nanos.PerMillisecond));
        outcome.RearmTimer = false;
        return true;
    }

    /// <summary>An ACK after a timeout, until everything sent before that is acknowledged.</summary>
    private void ProcessLoss(int duplicates, ref AckOutcome outcome)
    {
        RecoveryState recovery = Recovery;
        if (outcome.Advanced && UndoTimeout(byForwardRto: false))
        {
            return;
        }

        bool recovered = _sndUna.AtOrAfter(recovery.HighSequence);
        if (ForwardRtoDecides(duplicates, ref outcome))
        {
            return;
        }

        if (recovered)
        {
            UndoOrEnd();
            return;
        }

        if (!_sackOk)
        {
            if (duplicates > 0 && _sndNxt.After(recovery.HighSequence))
            {
                AddDuplicateAcks(duplicates, ref outcome);
            }
            else if (outcome.Advanced)
            {
                _sackedOut = 0;
            }
        }

        outcome.Rexmit = RetransmitKind.Lost;
    }
}
