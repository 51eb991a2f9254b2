using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Tcp.Congestion;
using Penstock.Tcp.LossRecovery;
using Penstock.Tcp.Pacing;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>What an incoming acknowledgment does: the window it offers, what it frees, the round-trip time it measures, and what follows for recovery and congestion control.</summary>
internal sealed partial class TcpConnection
{
    private RecoveryState? _recovery;
    private MinimumRtt _minimumRtt;

    internal RecoveryState Recovery => _recovery ??= new RecoveryState(Cwnd);

    private long MinimumRttNanos => _minimumRtt.CurrentNanos;

    /// <summary>Processes the acknowledgment of an acceptable segment. False: the whole segment is to be dropped.</summary>
    private bool ProcessAck(PacketBuffer packet)
    {
        SequenceNumber ack = packet.Acknowledgment;
        long now = Now;
        SequenceNumber before = _sndUna;
        if (ack.Before(_sndUna))
        {
            // RFC 5961 5.2: an ACK from before anything the peer could still be waiting for is an attack or a ghost.
            if (ack.Before(_sndUna - (int)Math.Min(_maxWindow, int.MaxValue)))
            {
                SendChallengeAck(now);
                return false;
            }

            if (_sackOk && packet.Options.SackCount > 0)
            {
                var late = new AckOutcome { NowNanos = now, OldestRttNanos = -1, NewestRttNanos = -1, SackRttNanos = -1, CarriesData = packet.Length > 0 };
                TagSackBlocks(packet, ref late);
                RackDetectLoss(now);
                AlertRecovery(packet, before, 0, ref late);
                TransmitRetransmitQueue();
            }

            return true;
        }

        if (ack.After(_sndNxt))
        {
            // RFC 9293 3.10.7.4: acknowledges what was never sent. Answered within the limit of RFC 5961.
            if (State == TcpConnectionState.SynReceived)
            {
                _tcp.ReplyToUnknown(packet, Worker);
            }
            else
            {
                SendChallengeAck(now);
            }

            return false;
        }

        if (packet.Sequence == packet.EndSequence)
        {
            _stack.Counters.Add(StackCounter.TcpPureAcks, Math.Max(1, packet.SegmentCount));
        }

        var outcome = new AckOutcome
        {
            NowNanos = now,
            OldestRttNanos = -1,
            NewestRttNanos = -1,
            SackRttNanos = -1,
            Advanced = ack.After(_sndUna),
            SackedBefore = _sackedOut > 0 ? _highestSacked : _sndUna,
            CarriesData = packet.Length > 0,
        };
        if (outcome.Advanced)
        {
            ForgetTries();
        }

        int packetsBefore = _packetsOut;
        UpdateTsRecent(packet, now);
        UpdateSendWindow(packet, ref outcome);
        if (_sackOk && packet.Options.SackCount > 0)
        {
            TagSackBlocks(packet, ref outcome);
        }

        _lastReceivedNanos = now;

        // Whatever a router said, it has passed: a later timeout has other reasons (Linux clears sk_err_soft here).
        _softError = SocketError.Success;

        // The peer lives, so probing may go on for ever; its pace is only reset by an open window (RFC 9293 3.8.6.1, in AckProbe).
        _probesOut = 0;
        if (packetsBefore == 0)
        {
            // Nothing was in flight: at most the answer to a window probe.
            AckProbe();
            CheckTailProbe(packet, ref outcome);
            return true;
        }

        int lostBefore = _lostOut;
        CleanRetransmitQueue(before, ref outcome);
        CheckMtuProbe();
        if (_sackOk)
        {
            RackDetectLoss(now);
        }

        CheckTailProbe(packet, ref outcome);
        bool dubious = !outcome.Advanced && !outcome.WindowUpdated && !outcome.CarriesData
            || outcome.NewlySacked > 0 || outcome.DuplicateReported || Recovery.State != CongestionState.Open || _sackedOut > 0 || _lostOut > 0;
        if (dubious)
        {
            AlertRecovery(packet, before, Math.Max(1, packet.SegmentCount), ref outcome);
        }

        ControlCongestion(lostBefore, ref outcome);
        EndAckRates(lostBefore, ref outcome);
        if (_lostOut > _retransOut || Recovery.State is CongestionState.Loss or CongestionState.Recovery)
        {
            TransmitRetransmitQueue();
        }

        if (outcome.Advanced || outcome.DataAcked)
        {
            RearmAfterAck(ref outcome);
        }

        if (_sending is { TimeoutSinceNanos: not 0 } sending && Recovery.State != CongestionState.Loss)
        {
            sending.EndTimeouts(now);
        }

        if (_packetsOut == 0)
        {
            StopWaitingFor(SendLimit.Busy);
            if (_writeQueue.First is null)
            {
                Notify(SocketEvents.Drained);
            }
        }

        return true;
    }

    /// <summary>RFC 9293 3.10.7.4: SND.WND follows the newest segment.</summary>
    private void UpdateSendWindow(PacketBuffer packet, ref AckOutcome outcome)
    {
        uint window = packet.Window << (State == TcpConnectionState.SynSent || (packet.TcpFlags & TcpFlags.Syn) != 0 ? 0 : _sndWscale);
        bool newer = packet.Acknowledgment.After(_sndUna) || packet.Sequence.After(_sndWl1)
            || (packet.Sequence == _sndWl1 && (window > _sndWnd || window == 0));
        if (newer)
        {
            outcome.WindowUpdated = window != _sndWnd;
            _sndWl1 = packet.Sequence;
            if (_sndWnd != window)
            {
                if (_sndWnd == 0 && !IsOrphan)
                {
                    // What was tried against a closed window says nothing about the path: from here on tries count anew. An orphan's always count, or a peer could
                    // keep it for ever with windows that open and shut.
                    ForgetTries();
                }

                _sndWnd = window;
                if (_writeQueue.First is not null)
                {
                    RestartAfterIdle(Now);
                }

                if (window > _maxWindow)
                {
                    _maxWindow = window;
                    if (_mtuProbing is { IsBounding: false })
                    {
                        BoundByProbing();
                    }
                }
            }
        }

        if (outcome.Advanced)
        {
            _bytesAcked += packet.Acknowledgment.Since(_sndUna);
            _sndUna = packet.Acknowledgment;
            if (_urgentMode && _sndUp.Before(_sndUna))
            {
                _urgentMode = false;
            }
        }
    }

    /// <summary>Removes what is acknowledged from the head of the retransmit queue; never looks beyond.</summary>
    private void CleanRetransmitQueue(SequenceNumber before, ref AckOutcome outcome)
    {
        long now = outcome.NowNanos;
        while (_retransmitQueue.First is { } buffer && buffer.Sequence.Before(_sndUna))
        {
            int acked = buffer.SegmentCount;
            bool whole = buffer.EndSequence.AtOrBefore(_sndUna);
            if (!whole)
            {
                acked = TrimAcknowledged(buffer);
                if (acked == 0)
                {
                    break;
                }
            }

            SegmentFlags flags = buffer.Segment;
            if ((flags & SegmentFlags.RetransmittedOnce) != 0)
            {
                if ((flags & SegmentFlags.SackedRetransmitted) != 0)
                {
                    _retransOut -= acked;
                }

                outcome.RetransmittedAcked = true;
            }
            else if ((flags & SegmentFlags.SackedAcked) == 0)
            {
                outcome.NewestRttNanos = now - buffer.SentNanos;
                if (outcome.OldestRttNanos < 0)
                {
                    outcome.OldestRttNanos = now - buffer.SentNanos;
                }

                if (buffer.Sequence.Before(outcome.SackedBefore))
                {
                    NoteReordering(buffer.Sequence);
                }

                outcome.OriginalAcked = true;
            }

            if ((flags & SegmentFlags.SackedAcked) != 0)
            {
                _sackedOut -= acked;
            }
            else
            {
                if (_sackOk || acked > 0)
                {
                    RackAdvance(buffer, now);
                }

                outcome.NewlyAcked += acked;
                if ((buffer.TcpFlags & TcpFlags.Syn) == 0)
                {
                    Delivery.OnDelivered(buffer, acked, now);
                }
            }

            if ((flags & SegmentFlags.Lost) != 0)
            {
                _lostOut -= acked;
            }

            _packetsOut -= acked;
            outcome.Removed += acked;
            if ((buffer.TcpFlags & TcpFlags.Syn) != 0)
            {
                outcome.SynAcked = true;
            }
            else
            {
                outcome.DataAcked = true;
            }

            if (!whole)
            {
                break;
            }

            if (_retransmitHint == buffer)
            {
                _retransmitHint = buffer.Next;
            }

            _retransmitQueue.Remove(buffer);
            FreeQueued(buffer);
        }

        if (_highestSacked.Before(_sndUna))
        {
            _highestSacked = _sndUna;
        }

        if (!_sackOk)
        {
            if (outcome.Advanced)
            {
                RemoveDuplicateAcks(outcome.Removed, ref outcome);
            }
        }

        MeasureRtt(ref outcome);
    }

    /// <summary>Cuts whole acknowledged segments off the front of a super-segment; its true size shrinks by exactly those bytes (R2.20). Returns how many segments.</summary>
    private int TrimAcknowledged(PacketBuffer buffer)
    {
        if (buffer.SegmentCount <= 1)
        {
            return 0;
        }

        int before = buffer.SegmentCount;
        TrimToUnacknowledged(buffer);
        return before - buffer.SegmentCount;
    }

    private void TrimToUnacknowledged(PacketBuffer buffer)
    {
        int bytes = Math.Min(_sndUna.Since(buffer.Sequence), buffer.Length);
        int mss = buffer.GsoSize > 0 ? buffer.GsoSize : buffer.Length;
        buffer.TrimFront(bytes);
        buffer.Sequence = _sndUna;
        buffer.TrueSize -= bytes;
        if ((Omitted & Omission.TrimUncharges) == 0)
        {
            Memory.UnchargeSend(bytes, (buffer.Segment & SegmentFlags.PureZeroCopy) != 0 ? 0 : bytes);
        }

        SetSegments(buffer, mss);
    }

    /// <summary>R2.19: a buffer leaves the queues; its real head size counts, never a constant.</summary>
    private void FreeQueued(PacketBuffer buffer)
    {
        int charged = ChargeOf(buffer);
        if ((Omitted & Omission.RealHeadSize) != 0)
        {
            charged += PacketBuffer.ObjectSize - buffer.HeadTrueSize;
        }

        Memory.UnchargeSend(buffer.TrueSize, charged);
        buffer.Free();
    }

    /// <summary>What a queued buffer is charged: its payload only when it lies in the stack's memory (R2.17, R2.25).</summary>
    private static int ChargeOf(PacketBuffer buffer) => (buffer.Segment & SegmentFlags.PureZeroCopy) != 0 ? buffer.HeadTrueSize : buffer.TrueSize;

    private void MeasureRtt(ref AckOutcome outcome)
    {
        if (outcome.RetransmittedAcked)
        {
            // Karn (RFC 6298 3): what was acknowledged together with a retransmission had to wait for it, so its age is no round-trip time either.
            outcome.OldestRttNanos = outcome.NewestRttNanos = -1;
        }

        long sample = outcome.OldestRttNanos;
        if (sample < 0)
        {
            sample = outcome.SackRttNanos;
        }

        long newest = outcome.NewestRttNanos >= 0 ? outcome.NewestRttNanos : outcome.SackRttNanos;
        if (sample < 0 && _timestampsOk && _sawTimestamp && _rcvTsEcr != 0 && outcome.Advanced)
        {
            // RFC 7323 4.1: the echo tells which transmission was acknowledged, at the price of its millisecond.
            uint elapsed = TimestampTicks(outcome.NowNanos) - _rcvTsEcr;
            if (elapsed < int.MaxValue / 1000)
            {
                sample = Math.Max(elapsed, 1) * Nanos.PerMillisecond;
                newest = sample;
            }
        }

        if (newest > 0)
        {
            _minimumRtt.Update(outcome.NowNanos, newest);
        }

        if (sample < 0)
        {
            return;
        }

        Rtt.Sample(sample, _sndUna, _sndNxt);
        _rtoNanos = Rtt.RtoNanos;
        _backoff = 0;
        _backoffProbes = 0;
        Congestion.OnRttSample(SampleOf(0, newest, outcome.NowNanos));
    }

    private AckSample SampleOf(int acked, long rtt, long now) => new()
    {
        Acked = acked,
        RttNanos = rtt,
        SmoothedRttNanos = Rtt.SmoothedNanos,
        MinimumRttNanos = MinimumRttNanos,
        NowNanos = now,
        Unacknowledged = _sndUna,
        NextToSend = _sndNxt,
        PacketsInFlight = PacketsInFlight,
        WindowLimited = IsWindowLimited(),
        PacingRate = _sending is { } sending && sending.Pacer.Rate != Pacer.Unlimited ? sending.Pacer.Rate : 0,
        Paced = _sending is { Pacer.IsEnforced: true },
    };

    /// <summary>Growth is for flows that use their window: all of it, or half of it in slow start (RFC 7661, Linux: tcp_is_cwnd_limited).</summary>
    private bool IsWindowLimited() => Cwnd.IsLimited || (Cwnd.InSlowStart && Cwnd.Window < 2 * Cwnd.MaxPacketsOut);

    private void ControlCongestion(int lostBefore, ref AckOutcome outcome)
    {
        RecoveryState recovery = Recovery;
        if (recovery.IsReducing)
        {
            recovery.Reduce(outcome.Delivered, Math.Max(0, _lostOut - lostBefore), outcome.Advanced, PacketsInFlight);
            return;
        }

        bool mayRaise = _reordering > _tcp.Settings.Reordering ? outcome.Delivered > 0 : outcome.DataAcked || outcome.Advanced;
        if (mayRaise && outcome.Delivered > 0)
        {
            long rtt = outcome.NewestRttNanos >= 0 ? outcome.NewestRttNanos : outcome.SackRttNanos;
            Congestion.OnAck(SampleOf(outcome.Delivered, rtt, outcome.NowNanos));
        }
    }

    /// <summary>Notes how much of the window was used in this round (Linux: tcp_cwnd_validate).</summary>
    private void ValidateCongestionWindow(bool limited)
    {
        if (_packetsOut == 0)
        {
            return;
        }

        if (!_cwndUsageSequence.AtOrAfter(_sndUna) || limited || (!Cwnd.IsLimited && _packetsOut > Cwnd.MaxPacketsOut))
        {
            Cwnd.IsLimited = limited;
            Cwnd.MaxPacketsOut = _packetsOut;
            _cwndUsageSequence = _sndNxt;
        }

        if (IsWindowLimited())
        {
            _cwndUsed = 0;
            Cwnd.StampNanos = Now;
            return;
        }

        _cwndUsed = Math.Max(_cwndUsed, _packetsOut);
        if (_sendWaits && _writeQueue.First is null && State is TcpConnectionState.Established or TcpConnectionState.CloseWait)
        {
            // The network would take more, and the application would give more, but for the buffer between them.
            _sending?.Limits.Start(SendLimit.SendBuffer, Now);
        }

        if (_tcp.Settings.SlowStartAfterIdle && Now - Cwnd.StampNanos >= _rtoNanos && Recovery.State == CongestionState.Open)
        {
            // Application-limited for a whole timeout: the window shrinks towards what was really used (RFC 2861).
            int used = Math.Max(_cwndUsed, CongestionWindow.Initial);
            if (used < Cwnd.Window)
            {
                Cwnd.Threshold = Math.Max(Cwnd.Threshold, (Cwnd.Window >> 1) + (Cwnd.Window >> 2));
                Cwnd.Window = (Cwnd.Window + used) >> 1;
            }

            Cwnd.StampNanos = Now;
            _cwndUsed = 0;
        }
    }

    private SequenceNumber _cwndUsageSequence;
    private int _cwndUsed;

    /// <summary>Sending after a pause longer than a timeout starts slowly again (RFC 5681 4.1, Linux: tcp_slow_start_after_idle).</summary>
    private void RestartAfterIdle(long now)
    {
        if (!_tcp.Settings.SlowStartAfterIdle || _packetsOut > 0)
        {
            return;
        }

        long idle = now - _lastDataSentNanos;
        if (_lastDataSentNanos == 0 || idle <= _rtoNanos)
        {
            return;
        }

        int restart = Math.Min(CongestionWindow.Initial, Cwnd.Window);
        Cwnd.Threshold = Math.Max(Cwnd.Threshold, (Cwnd.Window >> 1) + (Cwnd.Window >> 2));
        while ((idle -= _rtoNanos) > 0 && Cwnd.Window > restart)
        {
            Cwnd.Window >>= 1;
        }

        Cwnd.Window = Math.Max(Cwnd.Window, restart);
        Cwnd.StampNanos = now;
        _cwndUsed = 0;
    }

    private void OnTransmitStart(long now)
    {
        Congestion.OnTransmitStart(now, _lastDataSentNanos == 0 ? 0 : now - _lastDataSentNanos);
    }

    /// <summary>
    /// R1.15a: wakes a writer only when a third of the buffer is free, and lets the buffer grow first when it, not the network, was what held the sender back.
    /// </summary>
    private void CheckSendSpace()
    {
        if (!_sendWaits)
        {
            return;
        }

        if (PacketsInFlight < Cwnd.Window)
        {
            ExpandSendBuffer();
        }

        int wanted = (Omitted & Omission.WakeThreshold) != 0 ? 1 : Memory.WriteQueueBytes >> 1;
        if (Memory.SendBuffer - Memory.WriteQueueBytes >= wanted
            && (uint)_writeSeq.Since(_sndNxt) < NotSentLowWater)
        {
            _sendWaits = false;
            StopWaitingFor(SendLimit.SendBuffer);
            Notify(SocketEvents.Writable);
        }
    }
}
