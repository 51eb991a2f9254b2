using Penstock.Buffers;
using Penstock.Tcp.Congestion;
using Penstock.Tcp.LossRecovery;

namespace Penstock.Tcp;

/// <summary>
/// Taking a reduction back that was not necessary: the ACK echoes a timestamp from before the first retransmission (Eifel, RFC 3522 and RFC 4015), or DSACKs report every retransmission as a duplicate (RFC 3708).
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>Whether anything in flight was sent again, as far as the head shows (Linux: tcp_any_retrans_done).</summary>
    private bool AnyRetransmitted =>
        _retransOut > 0 || (_retransmitQueue.First is { } head && (head.Segment & SegmentFlags.RetransmittedOnce) != 0);

    /// <summary>With nothing in flight that was sent again, the next retransmission is a first one (Linux: tcp_retrans_stamp_cleanup).</summary>
    private void ForgetFirstRetransmit()
    {
        if (!AnyRetransmitted)
        {
            Recovery.FirstRetransmitNanos = 0;
        }
    }

    /// <summary>The echoed timestamp is from before that moment. False without one.</summary>
    private bool EchoesBefore(long nanos) =>
        _timestampsOk && _sawTimestamp && _rcvTsEcr != 0 && (int)(_rcvTsEcr - TimestampTicks(nanos)) < 0;

    /// <summary>Eifel (RFC 3522 3.2): what was acknowledged was the original, only late.</summary>
    private bool WasOnlyLate()
    {
        RecoveryState recovery = Recovery;
        if (recovery.FirstRetransmitNanos != 0)
        {
            return EchoesBefore(recovery.FirstRetransmitNanos);
        }

        // Nothing was sent again yet, as when a device holds it: so nothing that was can be what was acknowledged. Without SACK that is forgotten at the recovery's end.
        return State != TcpConnectionState.SynSent && (_sackOk || _sndUna.Before(recovery.HighSequence));
    }

    private bool MayUndo => Recovery.UndoMarker is not null && (Recovery.UndoRetransmits == 0 || WasOnlyLate());

    /// <summary>The recovery or loss is over: was it necessary at all? True when it is not to be left yet (<see cref="StaysAtHighSequence"/>).</summary>
    private bool UndoOrEnd()
    {
        RecoveryState recovery = Recovery;
        if (MayUndo)
        {
            _stack.Counters.Add(recovery.State == CongestionState.Loss ? StackCounter.TcpLossUndo : StackCounter.TcpFullUndo);
            UndoReduction(unmarkLost: false);
        }
        else
        {
            recovery.Rack.OnRecoveryEnded();
        }

        if (StaysAtHighSequence())
        {
            return true;
        }

        recovery.State = CongestionState.Open;
        return false;
    }

    /// <summary>RFC 3708: every retransmission was a duplicate.</summary>
    private bool UndoByDuplicates()
    {
        RecoveryState recovery = Recovery;
        if (recovery.UndoMarker is null || recovery.UndoRetransmits != 0)
        {
            return false;
        }

        recovery.Rack.OnRecoveryUndone();
        UndoReduction(unmarkLost: false);
        _stack.Counters.Add(StackCounter.TcpDsackUndo);
        return true;
    }

    /// <summary>
    /// A partial ACK in a recovery for something that had only been late: no more is taken for lost, and once no retransmission is under way the reduction is taken back. True when nothing else is to be done.
    /// </summary>
    private bool UndoPartially(Wire.SequenceNumber before)
    {
        RecoveryState recovery = Recovery;
        if (recovery.UndoMarker is null || !WasOnlyLate())
        {
            return false;
        }

        NoteReordering(before);
        if (_retransOut > 0)
        {
            return true;
        }

        ForgetFirstRetransmit();
        UndoReduction(unmarkLost: true);
        _stack.Counters.Add(StackCounter.TcpPartialUndo);
        KeepOpen();
        return false;
    }

    /// <summary>After a timeout: takes it back when it was not necessary; <paramref name="byForwardRto"/> says that F-RTO found so.</summary>
    private bool UndoTimeout(bool byForwardRto)
    {
        RecoveryState recovery = Recovery;
        if (!byForwardRto && !MayUndo)
        {
            return false;
        }

        UndoReduction(unmarkLost: true);
        _stack.Counters.Add(StackCounter.TcpLossUndo);
        if (byForwardRto)
        {
            _stack.Counters.Add(StackCounter.TcpSpuriousRtos);
        }

        _retransmits = 0;
        if (!StaysAtHighSequence() && (byForwardRto || _sackOk))
        {
            recovery.State = CongestionState.Open;
        }

        return true;
    }

    private void UndoReduction(bool unmarkLost)
    {
        RecoveryState recovery = Recovery;
        if (unmarkLost)
        {
            PacketBuffer? cursor = null;

            // Once for each recovery, so the walk is paid for by the segments that were marked.
            for (PacketBuffer? buffer = _retransmitQueue.First; buffer is not null; buffer = buffer.Next)
            {
                Visit();
                if ((buffer.Segment & SegmentFlags.Lost) != 0)
                {
                    buffer.Segment &= ~SegmentFlags.Lost;
                    if ((buffer.Segment & SegmentFlags.JudgedByRack) != 0)
                    {
                        // RACK would say the same again, of something that may just be as late as what turned out to be (Linux): a probe or a timeout finds it should it be lost.
                        _retransmitQueue.Leave(buffer);
                    }
                    else
                    {
                        recovery.Visited += _retransmitQueue.ReturnToSent(buffer, ref cursor);
                    }
                }
            }

            _lostOut = 0;
        }

        if (recovery.PriorThreshold != 0)
        {
            Cwnd.Window = Congestion.UndoWindow();
            if (recovery.PriorThreshold > Cwnd.Threshold)
            {
                Cwnd.Threshold = recovery.PriorThreshold;
                _ecn.WithdrawReduction();
            }
        }

        Cwnd.StampNanos = Now;
        recovery.UndoMarker = null;

        // What is in flight is looked at again: without the verdict that was taken back something else may be late.
        recovery.Rack.Advanced = true;
    }
}
