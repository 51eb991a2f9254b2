using System.Net.Sockets;
using System.Runtime.CompilerServices;
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

    internal RecoveryState Recovery => _recovery ??= new RecoveryState(Cwnd, _sndUna);

    /// <summary>A queued buffer was looked at. Counted, so that tests can say what an ACK costs whatever it claims.</summary>
    private void Visit() => Recovery.Visited++;

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
            if (ack.Before(_sndUna - (int)Math.Min(Math.Min(_maxWindow, _bytesAcked), int.MaxValue)))
            {
                SendChallengeAck(now);
                return false;
            }

            if (_sackOk && packet.Options.SackCount > 0)
            {
                var late = new AckOutcome(now, ArrivalOf(packet, now)) { CarriesData = packet.Length > 0 };
                TagSackBlocks(packet, before, ref late);
                AlertRecovery(before, 0, ref late);
                TransmitAfterAck(late.Rexmit);
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

        // Written field by field where it stays: an initializer would copy all of it.
        var outcome = new AckOutcome(now, ArrivalOf(packet, now));
        outcome.Advanced = ack.After(_sndUna);
        outcome.SackedBefore = _sackedOut > 0 ? Recovery.HighestSacked : _sndUna;
        outcome.CarriesData = packet.Sequence != packet.EndSequence;
        outcome.CongestionEcho = _ecn.IsEcho(packet.TcpFlags) && Keeps(Omission.CongestionEchoReduces);
        if (outcome.Advanced)
        {
            _retransmits = 0;
        }

        int packetsBefore = _packetsOut;
        UpdateTsRecent(packet, now);
        UpdateSendWindow(packet, ref outcome);
        if (_sackOk && packet.Options.SackCount > 0)
        {
            TagSackBlocks(packet, before, ref outcome);
        }

        if ((packet.TcpFlags & TcpFlags.Cwr) != 0)
        {
            _ecn.OnReduced();

            // Whoever reduced may have a window of one segment, and waits for its ACK (Linux).
            _ackNow |= packet.Sequence != packet.EndSequence;
        }

        _lastReceivedNanos = now;

        // Whatever a router said, it has passed: a later timeout has other reasons (Linux clears sk_err_soft here).
        _softError = SocketError.Success;

        // The peer lives, so probing may go on for ever; its pace is only reset by an open window (RFC 9293 3.8.6.1, in AckProbe).
        _probesOut = 0;
        if (packetsBefore == 0)
        {
            if (outcome.DuplicateReported)
            {
                // Late news of the last recovery: it may have been a mistake.
                AlertRecovery(before, 0, ref outcome);
            }

            // Nothing was in flight: at most the answer to a window probe.
            AckProbe();
            CheckTailProbe(packet, ref outcome);
            return true;
        }

        long lostBefore = Recovery.Lost;
        CleanRetransmitQueue(ref outcome);
        if (_mtuProbing is { } probing)
        {
            CheckMtuProbe(probing);
        }

        RackAdjustWindow(outcome);
        CheckTailProbe(packet, ref outcome);
        if (!outcome.IsNoDuplicate || outcome.NewlyTagged || outcome.CongestionEcho || outcome.DuplicateReported || Recovery.State != CongestionState.Open)
        {
            int duplicates = 0;
            if (!outcome.Advanced && !outcome.IsNoDuplicate && !outcome.DuplicateReported)
            {
                // Pure ACKs that were merged in the backlog count for as many as they were.
                duplicates = Math.Max(1, packet.SegmentCount);
            }

            AlertRecovery(before, duplicates, ref outcome);
        }

        if (outcome.RearmTimer && !ScheduleLossProbe(advancing: true))
        {
            RearmRetransmitTimer();
        }

        int newlyLost = (int)(Recovery.Lost - lostBefore);
        ControlCongestion(newlyLost, ref outcome);
        EndAckRates(newlyLost, ref outcome);
        TransmitAfterAck(outcome.Rexmit);
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

    /// <summary>When a segment arrived at its link; a link that did not say so is believed to have been quick.</summary>
    private static long ArrivalOf(PacketBuffer packet, long now) => packet.ArrivalNanos > 0 ? Math.Min(packet.ArrivalNanos, now) : now;

    private void TransmitAfterAck(RetransmitKind kind)
    {
        if (kind == RetransmitKind.None || (kind == RetransmitKind.NewData && SendForwardRtoData()))
        {
            return;
        }

        TransmitRetransmitQueue();
    }

    /// <summary>RFC 9293 3.10.7.4: the segment is newer than the one that said the window last. Of those equally new, one that opens it, or shuts it, counts as newer.</summary>
    private bool IsWindowNews(PacketBuffer packet, uint window) =>
        packet.Acknowledgment.After(_sndUna) || packet.Sequence.After(_sndWl1) || (packet.Sequence == _sndWl1 && (window > _sndWnd || window == 0));

    /// <summary>RFC 9293 3.10.7.4: SND.WND follows the newest segment.</summary>
    private void UpdateSendWindow(PacketBuffer packet, ref AckOutcome outcome)
    {
        uint window = packet.Window << (State == TcpConnectionState.SynSent || (packet.TcpFlags & TcpFlags.Syn) != 0 ? 0 : _sndWscale);
        if (IsWindowNews(packet, window))
        {
            outcome.IsNewer = true;
            _sndWl1 = packet.Sequence;
            if (_sndWnd != window)
            {
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
            outcome.BytesAcked = packet.Acknowledgment.Since(_sndUna);
            _bytesAcked += outcome.BytesAcked - (State == TcpConnectionState.SynReceived ? 1 : 0);
            _sndUna = packet.Acknowledgment;
            if (_urgentMode && _sndUp.AtOrBefore(_sndUna))
            {
                _urgentMode = false;
            }
        }
    }

    /// <summary>Removes what is acknowledged from the head of the retransmit queue; never looks beyond.</summary>
    private void CleanRetransmitQueue(ref AckOutcome outcome)
    {
        RecoveryState recovery = Recovery;
        SequenceNumber lowestLate = _sndNxt;
        while (_retransmitQueue.First is { } buffer && buffer.Sequence.Before(_sndUna))
        {
            recovery.Visited++;
            SequenceNumber start = buffer.Sequence;
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
                outcome.TakeAckSample(buffer.SentNanos);
                lowestLate = SequenceNumber.Min(lowestLate, start);
                outcome.OriginalDelivered |= buffer.EndSequence.AtOrBefore(recovery.HighSequence);
            }

            if ((flags & SegmentFlags.SackedAcked) != 0)
            {
                _sackedOut -= acked;
            }
            else
            {
                outcome.NewlyAcked += acked;
                NoteDelivered(buffer, acked, ref outcome);
                if (_sackOk && !((flags & SegmentFlags.RetransmittedOnce) != 0 && EchoesBefore(buffer.SentNanos)))
                {
                    // Where the echo shows that it was the original, the retransmission has not been delivered.
                    RackAdvance(buffer, outcome);
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
                recovery.FirstRetransmitNanos = 0;
            }
            else
            {
                outcome.DataAcked = true;
            }

            if (!whole)
            {
                break;
            }

            _retransmitQueue.Remove(buffer);
            FreeQueued(buffer);
        }

        outcome.Reneging = _retransmitQueue.First is { } first && (first.Segment & SegmentFlags.SackedAcked) != 0;
        if (recovery.HighestSacked.Before(_sndUna))
        {
            recovery.HighestSacked = _sndUna;
        }

        bool measured = MeasureRtt(ref outcome);
        if (outcome.Removed > 0)
        {
            outcome.RearmTimer = true;
            if (!_sackOk)
            {
                RemoveDuplicateAcks(outcome.Removed, ref outcome);

                // Which of them was sent once is not known without SACK.
                outcome.OriginalDelivered &= !outcome.RetransmittedAcked;
            }
            else if (lowestLate.Before(outcome.SackedBefore))
            {
                // A hole was filled by what was only late.
                NoteReordering(lowestLate, SequenceNumber.Max(outcome.SackedBefore, recovery.HighestSacked));
            }
        }
        else if (measured && outcome.OldestSackedSentNanos >= 0 && _retransmitQueue.First is { } head && head.SentNanos > outcome.OldestSackedSentNanos)
        {
            // The sample is of something sent before the head was last sent, so the head's deadline can follow; of something sent later it must not, or the deadline would move on and on.
            outcome.RearmTimer = true;
        }
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
        if ((Omitted & Omission.TrimUncharges) == Omission.None)
        {
            Memory.UnchargeSendForNow(bytes, (buffer.Segment & SegmentFlags.PureZeroCopy) != 0 ? 0 : bytes);
        }

        SetSegments(buffer, mss);
    }

    /// <summary>R2.19: a buffer leaves the queues; its real head size counts, never a constant. The caller reclaims its pages, with others' or when the segment that acknowledges it is worked off.</summary>
    private void FreeQueued(PacketBuffer buffer)
    {
        int charged = ChargeOf(buffer);
        if ((Omitted & Omission.RealHeadSize) != Omission.None)
        {
            charged += PacketBuffer.ObjectSize - buffer.HeadTrueSize;
        }

        Memory.UnchargeSendForNow(buffer.TrueSize, charged);
        buffer.Free();
    }

    /// <summary>What a queued buffer is charged: its payload only when it lies in the stack's memory (R2.17, R2.25).</summary>
    private static int ChargeOf(PacketBuffer buffer) => (buffer.Segment & SegmentFlags.PureZeroCopy) != 0 ? buffer.HeadTrueSize : buffer.TrueSize;

    /// <summary>RFC 6298 with Karn's rule, from acknowledged and SACKed segments, and RFC 7323 4.1. True when there was a sample.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool MeasureRtt(ref AckOutcome outcome)
    {
        long until = _tcp.Settings.RttFromArrival ? outcome.ArrivedNanos : outcome.NowNanos;
        long sample = -1;
        if (outcome.OldestAckedSentNanos >= 0 && !outcome.RetransmittedAcked)
        {
            // What was acknowledged together with a retransmission had to wait for it, so its age is no round-trip time either.
            sample = until - outcome.OldestAckedSentNanos;
            outcome.NewestRttNanos = outcome.OnPath(outcome.NewestAckedSentNanos);
        }

        if (outcome.OldestSackedSentNanos >= 0)
        {
            sample = sample >= 0 ? sample : until - outcome.OldestSackedSentNanos;
            outcome.NewestRttNanos = outcome.OnPath(outcome.NewestSackedSentNanos);
        }

        if (sample < 0 && _timestampsOk && _sawTimestamp && _rcvTsEcr != 0 && outcome.Removed > 0)
        {
            // The echo tells which transmission was acknowledged, at the price of its millisecond.
            sample = EchoedRtt(until);
            outcome.NewestRttNanos = EchoedRtt(outcome.ArrivedNanos);
        }

        if (sample < 0)
        {
            return false;
        }

        if (!MayBeDelayed(outcome) || outcome.NewestRttNanos <= MinimumRttNanos)
        {
            UpdateMinimumRtt(outcome.NewestRttNanos, outcome.NowNanos);
        }

        TakeRttSample(sample);
        _backoff = 0;

        Congestion.OnRttSample(new DelaySample
        {
            RttNanos = outcome.NewestRttNanos,
            NowNanos = outcome.ArrivedNanos,
            Unacknowledged = _sndUna,
            NextToSend = _sndNxt,
            PacingRate = _sending is { } sending && sending.Pacer.Rate != Pacer.Unlimited ? sending.Pacer.Rate : 0,
            Paced = _sending is { Pacer.IsEnforced: true },
        });
        return true;
    }

    /// <summary>The time since the transmission that the peer's timestamp echoes (RFC 7323 4.1), nanoseconds, at least a tick of the clock; -1 when the echo makes no sense.</summary>
    private long EchoedRtt(long untilNanos)
    {
        uint elapsed = TimestampTicks(untilNanos) - _rcvTsEcr;
        return elapsed < int.MaxValue / 1000 ? Math.Max(elapsed, 1) * Nanos.PerMillisecond : -1;
    }

    /// <summary>
    /// The ACK of a lone small segment, which the peer may well have delayed (RFC 9293 3.8.6.3). Where there are no others the path's smallest round-trip time, when it grows old, would become that of the peer's timer.
    /// </summary>
    private bool MayBeDelayed(in AckOutcome outcome) =>
        outcome.NewlyAcked == 1 && outcome.Removed == 1 && !outcome.SynAcked && !outcome.RetransmittedAcked && outcome.BytesAcked < SegmentPayload() && outcome.PriorDelivered + 1 == Delivery.Delivered
        && _sackedOut == 0 && !outcome.NewlyTagged && !outcome.CongestionEcho && !outcome.DuplicateReported;

    private void UpdateMinimumRtt(long rttNanos, long now)
    {
        // A path without any delay gets a millisecond, Linux's tick: a quarter of nothing would be no patience with reordering at all.
        _minimumRtt.Update(now, rttNanos > 0 ? rttNanos : Nanos.PerMillisecond, _tcp.Settings.MinimumRttWindowSeconds * Nanos.PerSecond);
    }

    private void TakeRttSample(long sample)
    {
        Rtt.Sample(sample, _sndUna, _sndNxt);
        _rtoNanos = Rtt.RtoNanos;
    }

    private void ControlCongestion(int newlyLost, ref AckOutcome outcome)
    {
        if (Recovery.IsReducing)
        {
            ReduceWindow(outcome.Delivered, newlyLost, outcome.Advanced);
            return;
        }

        // A network that is known to reorder gets credit for what is SACKed; else only progress counts (RFC 5681).
        bool mayRaise = outcome.DataAcked || (_reordering > _tcp.Settings.Reordering && (outcome.SynAcked || outcome.NewlyTagged));
        if (mayRaise)
        {
            Congestion.OnAck(new AckSample
            {
                Acked = outcome.Delivered,
                MinimumRttNanos = MinimumRttNanos,
                NowNanos = outcome.ArrivedNanos,
                WindowLimited = IsWindowLimited(),
            });
            Cwnd.StampNanos = outcome.NowNanos;
        }
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

        int wanted = (Omitted & Omission.WakeThreshold) != Omission.None ? 1 : Memory.WriteQueueBytes >> 1;
        if (Memory.SendBuffer - Memory.WriteQueueBytes >= wanted
            && (uint)_writeSeq.Since(_sndNxt) < NotSentLowWater)
        {
            _sendWaits = false;
            StopWaitingFor(SendLimit.SendBuffer);
            Notify(SocketEvents.Writable);
        }
    }
}
