using Penstock.Buffers;
using Penstock.Tcp.LossRecovery;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Tail-loss probes (RFC 8985 7): nothing follows the last segments of a flight that could show their loss, so after two round trips one more segment asks for an ACK, long before a timeout would; new data when there
/// is some, else the last segment again. One probe is under way at a time, its episode ends when it is known what became of it.
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>The least that a probe waits beyond two round trips (Linux: TCP_TIMEOUT_MIN_US).</summary>
    private const long ProbeGrainNanos = 2_000_000;

    /// <summary>Arms a probe in place of the timeout (RFC 8985 7.2); false when a probe makes no sense. <paramref name="advancing"/>: an ACK moved the timeout, which so counts from now and not from when the head was sent.</summary>
    private bool ScheduleLossProbe(bool advancing)
    {
        if (_tcp.Settings.EarlyRetrans is not (3 or 4) || _packetsOut == 0 || !_sackOk
            || Recovery.State is not (CongestionState.Open or CongestionState.Reducing))
        {
            return false;
        }

        long now = Now;
        long timeout = InitialRtoNanos;
        if (Rtt.HasSample)
        {
            timeout = 2 * Rtt.SmoothedNanos;

            // The ACK of a lone segment may be delayed.
            timeout += _packetsOut == 1 ? MinimumRtoNanos : ProbeGrainNanos;
        }

        long left = advancing ? _rtoNanos : LeftOfRto(now);
        if (left > 0)
        {
            timeout = Math.Min(timeout, left);
        }

        ArmAfterPace(RetransmitTimerMode.LossProbe, now, timeout);
        return true;
    }

    /// <summary>How long the head still has until its timeout; not above 0 when that is over.</summary>
    private long LeftOfRto(long now) => _retransmitQueue.First is { } head ? head.SentNanos + _rtoNanos - now : _rtoNanos;

    /// <summary>RFC 8985 7.3.</summary>
    private void SendLossProbe(long now)
    {
        RecoveryState recovery = Recovery;
        _timerMode = RetransmitTimerMode.LossProbe;

        // What is known to be lost needs no probe, it goes when it may. A smaller path MTU may have said so since this was armed.
        if (recovery.TailProbeEnd is null && _lostOut == 0 && TransmitProbe())
        {
            recovery.TailProbeEnd = _sndNxt;
            _stack.Counters.Add(StackCounter.TcpLossProbes);

            // The timeout counts from now, not from when the head was sent.
            _timerMode = RetransmitTimerMode.None;
        }

        RearmRetransmitTimer();
    }

    private bool TransmitProbe()
    {
        RecoveryState recovery = Recovery;
        recovery.TailProbeRetransmitted = false;
        int before = _packetsOut;
        int mss = CurrentMss();
        if (FirstToSend is { } next && PeerWindowAllows(next, mss))
        {
            // New data is the best probe: it carries its own news.
            WriteTransmit(mss, NagleMode.Push, pushOne: true, probing: true);
            return _packetsOut > before;
        }

        if (_retransmitQueue.Last is not { } last || IsInDevice(last))
        {
            return false;
        }

        // By the segments of now: since it was sent, SACK blocks may have taken room from them. Where they have grown, the first of the buffer goes, as in Linux.
        if (last.SegmentCount > 1 && last.Length > (last.SegmentCount - 1) * mss)
        {
            if (!Split(last, (last.SegmentCount - 1) * mss, mss, inRetransmitQueue: true))
            {
                return false;
            }

            last = _retransmitQueue.Last!;
        }

        // Not counted among the retransmissions in flight: the original most likely is. Its DSACK is told apart by the probe's own state.
        recovery.TailProbeRetransmitted = TransmitAgain(last, 1);
        return recovery.TailProbeRetransmitted;
    }

    /// <summary>RFC 8985 7.4: an ACK for the probe tells whether the probe repaired a loss, which then counts as one for the window.</summary>
    private void CheckTailProbe(PacketBuffer packet, ref AckOutcome outcome)
    {
        if (_recovery is not { TailProbeEnd: { } end } recovery || packet.Acknowledgment.Before(end))
        {
            return;
        }

        if (!recovery.TailProbeRetransmitted || outcome.ProbeDuplicateReported)
        {
            // New data arrived; or the probe did, and the original too.
            recovery.TailProbeEnd = null;
        }
        else if (packet.Acknowledgment.After(end))
        {
            // Nothing said that the probe was a duplicate, so it was not.
            recovery.BeginReduction(_sndNxt, Congestion.ThresholdOnLoss());
            _ecn.OnReduction();
            recovery.State = CongestionState.Reducing;
            recovery.EndReduction(outcome.NowNanos);
            KeepOpen();
            _stack.Counters.Add(StackCounter.TcpLossProbeRecovery);
        }
        else if (!outcome.Advanced && !outcome.IsNoDuplicate && !outcome.NewlyTagged)
        {
            // Without DSACK a plain duplicate ACK says the same.
            recovery.TailProbeEnd = null;
        }
    }
}
