using Penstock.Buffers;
using Penstock.Tcp.LossRecovery;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// The state machine of losses (RFC 5681, RFC 6675; Linux: tcp_fastretrans_alert): when to enter a recovery, when it is over. What is lost is found by RACK (RFC 8985) or, without SACK, by duplicates
/// (RFC 6582); how the window comes down is <see cref="ProportionalRateReduction"/>'s, whether all of it was a mistake is found by TcpConnection.Undo and TcpConnection.ForwardRto.
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>
    /// An ACK that is not just progress, or comes while not all is well. <paramref name="before"/> is what was unacknowledged before it, <paramref name="duplicates"/> for how many duplicate ACKs it stands. What may
    /// be sent again is left in <see cref="AckOutcome.Rexmit"/>, for when the window is set.
    /// </summary>
    private void AlertRecovery(SequenceNumber before, int duplicates, ref AckOutcome outcome)
    {
        RecoveryState recovery = Recovery;
        if (_packetsOut == 0)
        {
            _sackedOut = 0;
        }

        if (outcome.CongestionEcho)
        {
            // RFC 3168 6.1.2: whatever else this ACK shows, the congestion was real.
            recovery.PriorThreshold = 0;
        }

        if (WaitsForReneging(ref outcome))
        {
            return;
        }

        if (recovery.State == CongestionState.Open)
        {
            recovery.FirstRetransmitNanos = 0;
        }
        else if (_sndUna.AtOrAfter(recovery.HighSequence))
        {
            switch (recovery.State)
            {
                case CongestionState.Reducing:
                    // Held until something above it is acknowledged, so that the peer has seen our CWR (RFC 3168 6.1.2).
                    if (_sndUna != recovery.HighSequence)
                    {
                        recovery.EndReduction(outcome.NowNanos);
                        recovery.State = CongestionState.Open;
                    }

                    break;
                case CongestionState.Recovery:
                    if (!_sackOk)
                    {
                        _sackedOut = 0;
                    }

                    if (UndoOrEnd())
                    {
                        return;
                    }

                    recovery.EndReduction(outcome.NowNanos);
                    break;
            }
        }

        switch (recovery.State)
        {
            case CongestionState.Recovery:
                if (!outcome.Advanced)
                {
                    if (!_sackOk)
                    {
                        AddDuplicateAcks(duplicates, ref outcome);
                    }
                }
                else if (UndoPartially(before))
                {
                    return;
                }

                if (UndoByDuplicates())
                {
                    TryOpen(outcome.CongestionEcho);
                }

                IdentifyLoss(ref outcome);
                if (recovery.State != CongestionState.Recovery)
                {
                    if (_lostOut == 0)
                    {
                        return;
                    }

                    // The undo was right and yet something is lost: reordering first, a loss then.
                    EnterRecovery(outcome.CongestionEcho);
                }

                break;
            case CongestionState.Loss:
                ProcessLoss(duplicates, ref outcome);
                IdentifyLoss(ref outcome);
                if (recovery.State != CongestionState.Open && !outcome.RetransmissionLost)
                {
                    return;
                }

                // The window is what it was, or what was sent again is lost: as after any other ACK.
                goto default;
            default:
                if (!_sackOk)
                {
                    if (outcome.Advanced)
                    {
                        _sackedOut = 0;
                    }

                    AddDuplicateAcks(duplicates, ref outcome);
                }

                if (recovery.State <= CongestionState.Disorder)
                {
                    UndoByDuplicates();
                }

                IdentifyLoss(ref outcome);
                if (_lostOut == 0)
                {
                    TryOpen(outcome.CongestionEcho);
                    return;
                }

                if (IsMtuProbeLost())
                {
                    return;
                }

                EnterRecovery(outcome.CongestionEcho);
                break;
        }

        outcome.Rexmit = RetransmitKind.Lost;
    }

    private void IdentifyLoss(ref AckOutcome outcome)
    {
        if (_retransmitQueue.First is null)
        {
            return;
        }

        if (!_sackOk)
        {
            MarkHeadLostByDuplicates(outcome.Advanced);
            return;
        }

        int before = _retransOut;
        if (RackDetectLoss(outcome.ArrivedNanos))
        {
            outcome.RearmTimer = false;
        }

        outcome.RetransmissionLost |= before > _retransOut;
    }

    private void EnterRecovery(bool congestionEcho)
    {
        RecoveryState recovery = Recovery;

        // A recovery may follow another without a moment between them: an echo is then compared with this one's first retransmission.
        ForgetFirstRetransmit();
        _stack.Counters.Add(_sackOk ? StackCounter.TcpSackRecovery : StackCounter.TcpRenoRecovery);
        recovery.PriorThreshold = 0;
        recovery.MarkForUndo(_sndUna, _retransOut);
        if (!recovery.IsReducing)
        {
            if (!congestionEcho)
            {
                recovery.PriorThreshold = recovery.CurrentThreshold;
            }

            BeginReduction();
        }

        recovery.State = CongestionState.Recovery;
    }

    private void BeginReduction()
    {
        Recovery.BeginReduction(_sndNxt, Congestion.ThresholdOnLoss());
        _ecn.OnReduction();
    }

    /// <summary>A sign of congestion without a loss (Linux: tcp_enter_cwr).</summary>
    private void EnterReduction()
    {
        RecoveryState recovery = Recovery;
        recovery.PriorThreshold = 0;
        if (recovery.State < CongestionState.Reducing)
        {
            recovery.UndoMarker = null;
            BeginReduction();
            recovery.State = CongestionState.Reducing;
        }
    }

    private void ReduceWindow(int delivered, int lost, bool advanced) =>
        Cwnd.Window = Recovery.Reduction.Window(Cwnd.Window, Cwnd.Threshold, delivered, lost, advanced, PacketsInFlight);

    private void TryOpen(bool congestionEcho)
    {
        RecoveryState recovery = Recovery;
        ForgetFirstRetransmit();
        if (congestionEcho)
        {
            EnterReduction();
        }

        if (recovery.State != CongestionState.Reducing)
        {
            KeepOpen();
        }
    }

    /// <summary>Open, or disordered while something is missing or under way again.</summary>
    private void KeepOpen()
    {
        RecoveryState recovery = Recovery;
        CongestionState state = _sackedOut + _lostOut > 0 || AnyRetransmitted ? CongestionState.Disorder : CongestionState.Open;
        if (recovery.State != state)
        {
            recovery.State = state;
            recovery.HighSequence = _sndNxt;
        }
    }

    /// <summary>A path MTU was lowered: segments that are too big count as lost, but not as a sign of congestion (RFC 1191 6.5).</summary>
    private void RetransmitAfterPathMtu()
    {
        int mss = CurrentMss();

        // One walk for each report that is believed and makes segments smaller (Linux: tcp_simple_retransmit).
        for (PacketBuffer? buffer = _retransmitQueue.First; buffer is not null; buffer = buffer.Next)
        {
            Visit();
            if ((buffer.GsoSize > 0 ? buffer.GsoSize : buffer.Length) > mss && (buffer.Segment & SegmentFlags.SackedAcked) == 0)
            {
                MarkLost(buffer);
            }
        }

        if (_lostOut == 0)
        {
            return;
        }

        if (!_sackOk)
        {
            LimitDuplicateAcks();
        }

        RecoveryState recovery = Recovery;
        if (recovery.State != CongestionState.Loss)
        {
            // The window is no smaller in bytes, but what was learned of the path in segments of another size no longer holds (Linux).
            recovery.HighSequence = _sndNxt;
            Cwnd.Threshold = recovery.CurrentThreshold;
            recovery.UndoMarker = null;
            recovery.PriorThreshold = 0;
            Congestion.Begin(Now, _sndNxt);
            recovery.State = CongestionState.Loss;
        }

        TransmitRetransmitQueue();
    }

}
