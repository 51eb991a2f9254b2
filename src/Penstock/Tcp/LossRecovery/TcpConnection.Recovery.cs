using Penstock.Buffers;
using Penstock.Tcp.LossRecovery;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Fast recovery on per-segment state: when to enter it, what to send again, when it is over and when it was a mistake. What is lost is found by RACK (RFC 8985); without SACK,
/// duplicate ACKs stand in for it (RFC 6582).
/// </summary>
internal sealed partial class TcpConnection
{
    private void AlertRecovery(PacketBuffer packet, SequenceNumber before, int segments, ref AckOutcome outcome)
    {
        RecoveryState recovery = Recovery;
        bool duplicate = !outcome.Advanced && !outcome.CarriesData && !outcome.WindowUpdated && segments > 0;
        if (_packetsOut == 0)
        {
            _sackedOut = 0;
        }

        if (recovery.State == CongestionState.Open)
        {
            recovery.FirstRetransmitNanos = 0;
        }
        else if (_sndUna.AtOrAfter(recovery.HighSequence))
        {
            if (recovery.State == CongestionState.Reducing)
            {
                if (_sndUna != recovery.HighSequence)
                {
                    recovery.EndReduction(outcome.NowNanos);
                    recovery.State = CongestionState.Open;
                }
            }
            else if (recovery.State == CongestionState.Recovery)
            {
                if (!_sackOk)
                {
                    _sackedOut = 0;
                }

                TryUndo(ref outcome);
                if (EndsAtHighSequence())
                {
                    return;
                }

                recovery.EndReduction(outcome.NowNanos);
                recovery.State = CongestionState.Open;
                recovery.UndoMarker = null;
            }
        }

        switch (recovery.State)
        {
            case CongestionState.Recovery:
                if (!outcome.Advanced)
                {
                    if (!_sackOk && duplicate)
                    {
                        AddDuplicateAcks(segments, ref outcome);
                    }
                }
                else if (!_sackOk)
                {
                    // RFC 6582: a partial ACK names the next hole.
                    MarkHeadLost();
                }

                if (outcome.DuplicateReported && UndoIfAllDuplicate())
                {
                    TryOpen();
                    return;
                }

                return;
            case CongestionState.Loss:
                ProcessLoss(duplicate, segments, ref outcome);
                return;
            default:
                if (!_sackOk)
                {
                    if (outcome.Advanced)
                    {
                        _sackedOut = 0;
                    }

                    if (duplicate)
                    {
                        AddDuplicateAcks(segments, ref outcome);
                    }
                }

                if (outcome.DuplicateReported)
                {
                    UndoIfAllDuplicate();
                }

                if (!_sackOk && _sackedOut >= _reordering)
                {
                    MarkHeadLost();
                }

                if (_lostOut == 0)
                {
                    TryOpen();
                    return;
                }

                if (!IsMtuProbeLost())
                {
                    EnterRecovery();
                }

                return;
        }
    }

    private void EnterRecovery()
    {
        RecoveryState recovery = Recovery;
        _stack.Counters.Add(_sackOk ? StackCounter.TcpSackRecovery : StackCounter.TcpRenoRecovery);
        recovery.MarkForUndo(_sndUna, _retransOut);
        if (recovery.State < CongestionState.Reducing)
        {
            recovery.BeginReduction(_sndNxt, Congestion.ThresholdOnLoss());
        }
        else
        {
            recovery.HighSequence = _sndNxt;
        }

        recovery.State = CongestionState.Recovery;
    }

    /// <summary>Without SACK the recovery lasts until something above its end is acknowledged, so that late duplicates do not start another (RFC 6582 4).</summary>
    private bool EndsAtHighSequence() => !_sackOk && _sndUna == Recovery.HighSequence;

    /// <summary>After a timeout: until everything sent before it is acknowledged (Linux: tcp_process_loss).</summary>
    private void ProcessLoss(bool duplicate, int segments, ref AckOutcome outcome)
    {
        RecoveryState recovery = Recovery;
        if (outcome.Advanced && TryUndo(ref outcome))
        {
            return;
        }

        if (!_sackOk)
        {
            if (duplicate && _sndNxt.After(recovery.HighSequence))
            {
                AddDuplicateAcks(segments, ref outcome);
            }
            else if (outcome.Advanced)
            {
                _sackedOut = 0;
            }
        }

        if (_sndUna.AtOrAfter(recovery.HighSequence))
        {
            recovery.UndoMarker = null;
            recovery.State = CongestionState.Open;
            TryOpen();
        }
    }

    private void TryOpen()
    {
        RecoveryState recovery = Recovery;
        if (recovery.State == CongestionState.Reducing)
        {
            return;
        }

        recovery.State = _sackedOut + _lostOut > 0 ? CongestionState.Disorder : CongestionState.Open;
        if (recovery.State == CongestionState.Open && _retransOut == 0)
        {
            recovery.FirstRetransmitNanos = 0;
        }
        else
        {
            recovery.HighSequence = _sndNxt;
        }
    }

    private void MarkHeadLost()
    {
        if (_retransmitQueue.First is not { } head)
        {
            return;
        }

        if (head.SegmentCount > 1)
        {
            Split(head, head.GsoSize, head.GsoSize, inRetransmitQueue: true);
        }

        MarkLost(head);
        LimitDuplicateAcks();
    }

    /// <summary>
    /// Eifel (RFC 3522): the ACK echoes a timestamp from before our first retransmission, so the original had arrived and the reduction was a mistake.
    /// </summary>
    private bool TryUndo(ref AckOutcome outcome)
    {
        RecoveryState recovery = Recovery;
        if (recovery.UndoMarker is null)
        {
            return false;
        }

        bool echoedEarlier = recovery.FirstRetransmitNanos != 0 && _timestampsOk && _sawTimestamp && _rcvTsEcr != 0
            && (int)(_rcvTsEcr - TimestampTicks(recovery.FirstRetransmitNanos)) < 0;
        if (!echoedEarlier && recovery.UndoRetransmits != 0)
        {
            return false;
        }

        UndoReduction(unmarkLost: recovery.State == CongestionState.Loss);
        _stack.Counters.Add(StackCounter.TcpFullUndo);
        recovery.State = CongestionState.Open;
        TryOpen();
        return true;
    }

    private bool UndoIfAllDuplicate()
    {
        RecoveryState recovery = Recovery;
        if (recovery.UndoMarker is null || recovery.UndoRetransmits != 0)
        {
            return false;
        }

        UndoReduction(unmarkLost: false);
        _stack.Counters.Add(StackCounter.TcpFullUndo);
        recovery.State = CongestionState.Open;
        return true;
    }

    private void UndoReduction(bool unmarkLost)
    {
        RecoveryState recovery = Recovery;
        if (unmarkLost)
        {
            for (PacketBuffer? buffer = _retransmitQueue.First; buffer is not null; buffer = buffer.Next)
            {
                buffer.Segment &= ~SegmentFlags.Lost;
            }

            _lostOut = 0;
            _retransmitHint = null;
        }

        Cwnd.Window = Congestion.UndoWindow();
        if (recovery.PriorThreshold > Cwnd.Threshold)
        {
            Cwnd.Threshold = recovery.PriorThreshold;
        }

        Cwnd.StampNanos = Now;
        recovery.UndoMarker = null;
    }

    /// <summary>A timeout: everything that was not SACKed is lost, and sending starts over with one segment (RFC 5681 3.1).</summary>
    private void EnterLoss(long now)
    {
        RecoveryState recovery = Recovery;
        bool fresh = recovery.State < CongestionState.Reducing || _sndUna.AtOrAfter(recovery.HighSequence)
            || (recovery.State == CongestionState.Loss && _retransmits == 0);
        _retransmitHint = null;
        bool reneged = _retransmitQueue.First is { } head && (head.Segment & SegmentFlags.SackedAcked) != 0;
        if (reneged)
        {
            // RFC 2018 8: the peer SACKed the head and yet waits for it; what it reported is void.
            _stack.Counters.Add(StackCounter.TcpSackReneging);
        }

        for (PacketBuffer? buffer = _retransmitQueue.First; buffer is not null; buffer = buffer.Next)
        {
            if (reneged && (buffer.Segment & SegmentFlags.SackedAcked) != 0)
            {
                buffer.Segment &= ~SegmentFlags.SackedAcked;
                _sackedOut -= buffer.SegmentCount;
            }

            if ((buffer.Segment & SegmentFlags.SackedAcked) == 0)
            {
                MarkLost(buffer);
            }
        }

        if (!_sackOk)
        {
            _sackedOut = 0;
        }

        if (reneged)
        {
            ForgetSacks();
        }

        if (fresh)
        {
            recovery.PriorThreshold = Cwnd.Threshold;
            Cwnd.Prior = Cwnd.Window;
            Cwnd.Threshold = Congestion.ThresholdOnLoss();
            Congestion.OnTimeout();
            recovery.MarkForUndo(_sndUna, _retransOut);
        }

        Cwnd.Window = PacketsInFlight + 1;
        Cwnd.Counter = 0;
        Cwnd.StampNanos = now;
        if (recovery.State <= CongestionState.Disorder && _sackedOut >= _tcp.Settings.Reordering)
        {
            _reordering = Math.Min(_reordering, _tcp.Settings.Reordering);
        }

        recovery.State = CongestionState.Loss;
        recovery.HighSequence = _sndNxt;
    }

    /// <summary>A path MTU was lowered: segments that are too big count as lost, but not as a sign of congestion (RFC 1191 6.5).</summary>
    private void RetransmitAfterPathMtu()
    {
        int mss = CurrentMss();
        for (PacketBuffer? buffer = _retransmitQueue.First; buffer is not null; buffer = buffer.Next)
        {
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
            recovery.HighSequence = _sndNxt;
            recovery.UndoMarker = null;
            recovery.PriorThreshold = 0;
            recovery.State = CongestionState.Loss;
        }

        TransmitRetransmitQueue();
    }

    /// <summary>Sends lost segments again as far as the window allows; begins where the last run ended.</summary>
    private void TransmitRetransmitQueue()
    {
        if (_packetsOut == 0 || _lostOut <= _retransOut)
        {
            return;
        }

        bool armed = false;
        PacketBuffer? buffer = _retransmitHint ?? _retransmitQueue.First;
        while (buffer is not null && _lostOut > _retransOut && !WaitsForPace(Sending))
        {
            PacketBuffer? next = buffer.Next;
            if ((buffer.Segment & (SegmentFlags.Lost | SegmentFlags.SackedRetransmitted | SegmentFlags.SackedAcked)) != SegmentFlags.Lost)
            {
                buffer = next;
                continue;
            }

            int quota = Cwnd.Window - PacketsInFlight;
            if (quota <= 0)
            {
                _retransmitHint = buffer;
                break;
            }

            bool head = buffer == _retransmitQueue.First;
            if (!RetransmitBuffer(buffer, quota))
            {
                _retransmitHint = buffer;
                break;
            }

            _stack.Counters.Add(
                Recovery.State == CongestionState.Loss ? StackCounter.TcpSlowStartRetrans : StackCounter.TcpFastRetrans, buffer.SegmentCount);
            Recovery.OnSent(buffer.SegmentCount);
            armed |= head;
            _retransmitHint = buffer.Next;
            buffer = buffer.Next;
        }

        if (armed && _timerMode != RetransmitTimerMode.Reordering)
        {
            RearmRetransmitTimer();
        }
    }

    /// <summary>Sends one buffer again, at most <paramref name="maximumSegments"/> of it. False when it could not be sent now.</summary>
    private bool RetransmitBuffer(PacketBuffer buffer, int maximumSegments)
    {
        if (IsInDevice(buffer))
        {
            // Nothing is known of what the network did to it: it has not been there yet.
            _stack.Counters.Add(StackCounter.TcpSpuriousRtxHostQueues);
            return false;
        }

        _mtuProbing?.Abandon();
        if (buffer.Sequence.Before(_sndUna))
        {
            // Also of a single segment, and the counts follow when it was several.
            int before = buffer.SegmentCount;
            TrimToUnacknowledged(buffer);
            AdjustCounts(buffer.Segment, buffer.SegmentCount - before);
        }

        RefreshRoute();
        int mss = CurrentMss();
        int window = (_sndUna + (int)_sndWnd).Since(buffer.Sequence);
        if (window <= 0 && buffer.Sequence != _sndUna)
        {
            // Beyond a window that shrank: only the head may still be tried, as a probe (RFC 9293 3.8.6).
            return false;
        }

        int limit = mss * Math.Max(1, Math.Min(maximumSegments, MaximumSuperSegment / mss));
        if (window > 0 && buffer.Length > window)
        {
            limit = Math.Min(limit, Math.Max(window, 1));
        }

        if (buffer.Length > limit && !Split(buffer, limit, mss, inRetransmitQueue: true))
        {
            return false;
        }

        int counted = buffer.SegmentCount;
        SetSegments(buffer, mss);
        if (counted != buffer.SegmentCount)
        {
            AdjustCounts(buffer.Segment, buffer.SegmentCount - counted);
        }

        int space = window > 0 ? Math.Min(mss, window) : mss;
        if (buffer.Length < space)
        {
            CollapseFollowing(buffer, space);
        }

        if (!Transmit(buffer))
        {
            _stack.Counters.Add(StackCounter.TcpRetransFail);
            return false;
        }

        long now = buffer.SentNanos;
        _totalRetransmits += buffer.SegmentCount;
        _bytesRetransmitted += buffer.Length;
        _stack.Counters.Add(StackCounter.TcpRetransSegs, buffer.SegmentCount);
        if ((buffer.TcpFlags & TcpFlags.Syn) != 0)
        {
            _stack.Counters.Add(StackCounter.TcpSynRetrans);
        }

        if ((buffer.Segment & SegmentFlags.SackedRetransmitted) == 0)
        {
            buffer.Segment |= SegmentFlags.SackedRetransmitted;
            _retransOut += buffer.SegmentCount;
        }

        buffer.Segment |= SegmentFlags.RetransmittedOnce;
        if (Recovery.FirstRetransmitNanos == 0)
        {
            Recovery.FirstRetransmitNanos = now;
        }

        if (Recovery.UndoRetransmits < 0)
        {
            Recovery.UndoRetransmits = 0;
        }

        Recovery.UndoRetransmits += buffer.SegmentCount;
        _retransmitQueue.MoveToNewest(buffer);
        return true;
    }
}
