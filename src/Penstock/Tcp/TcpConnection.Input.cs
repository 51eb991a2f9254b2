using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Where a segment arrives, the connection owned: is it acceptable (RFC 9293 3.10.7, RFC 5961, RFC 7323), what does its acknowledgment do, what its data. The only way in,
/// whether it comes straight from the worker or out of the backlog.
/// </summary>
internal sealed partial class TcpConnection
{
    private long _lastInvalidAckNanos = long.MinValue / 2;
    private long _lastReceivedNanos;

    protected override void ProcessPacket(PacketBuffer packet)
    {
        int segments = Math.Max(1, packet.SegmentCount);
        _segmentsIn += segments;
        _dataSegmentsIn += packet.Length > 0 ? segments : 0;
        switch (State)
        {
            case TcpConnectionState.Closed:
                // It was found before it closed.
                _tcp.OnSegmentBehind(Key, packet, Worker);
                break;
            case TcpConnectionState.SynSent:
                ProcessInSynSent(packet);
                break;
            default:
                ProcessSynchronized(packet);
                break;
        }

        Memory.Reclaim();
    }

    private void ProcessSynchronized(PacketBuffer packet)
    {
        // RFC 9293 3.10.7.4, fifth: nothing without ACK is of use here. What is no SYN or reset either is not even answered (Linux).
        if ((packet.TcpFlags & (TcpFlags.Ack | TcpFlags.Syn | TcpFlags.Rst)) == 0 || !ValidateIncoming(packet) || (packet.TcpFlags & TcpFlags.Ack) == 0)
        {
            packet.Free();
            return;
        }

        if (!ProcessAck(packet))
        {
            packet.Free();
            return;
        }

        if (State == TcpConnectionState.Closed)
        {
            packet.Free();
            return;
        }

        if (State != TcpConnectionState.Established)
        {
            StepAfterAck(packet, out bool done);
            if (done)
            {
                packet.Free();
                return;
            }
        }

        if ((packet.TcpFlags & TcpFlags.Urg) != 0)
        {
            CheckUrgent(packet);
        }

        if (_urgentState == UrgentPending)
        {
            TakeUrgent(packet);
        }

        switch (State)
        {
            case TcpConnectionState.CloseWait:
            case TcpConnectionState.Closing:
            case TcpConnectionState.LastAck:
                // The peer has sent FIN: what is old, the FIN again too, shows that our ACK was lost. What begins before the FIN and goes on behind it contradicts the end that the peer had announced (Linux resets
                // for it). All else is noise, a second FIN too.
                if (packet.EndSequence.AtOrBefore(_rcvNxt) && packet.Sequence.Before(_rcvNxt))
                {
                    QueueData(packet);
                }
                else if (packet.Sequence.Before(_rcvNxt) && HasDataBeyond(packet, _rcvNxt))
                {
                    AbortOnData(packet);
                    return;
                }
                else
                {
                    packet.Free();
                }

                break;
            case TcpConnectionState.FinWait1:
            case TcpConnectionState.FinWait2:
                if (ReceiveShutdown && HasDataBeyond(packet, _rcvNxt))
                {
                    // RFC 9293 3.6.1: both ways are shut and nobody will read this any more; the peer has to know. A FIN behind data that came before is no reason.
                    AbortOnData(packet);
                    return;
                }

                QueueData(packet);
                break;
            default:
                QueueData(packet);
                break;
        }

        if (State == TcpConnectionState.Closed)
        {
            return;
        }

        // What the ACK allowed goes out before we decide whether an ACK of our own is still needed.
        if (_writeQueue.First is not null)
        {
            PushPending();
        }

        CheckSendSpace();
        CheckAckNeeded();
    }

    /// <summary>Data, or a FIN behind a gap, which says that there was some.</summary>
    private static bool HasDataBeyond(PacketBuffer packet, SequenceNumber edge) => packet.EndSequence != packet.Sequence && (packet.Sequence + packet.Length).After(edge);

    /// <summary>Ends the connection for data that nobody will read, and tells the peer as for a segment to nobody: at the number it acknowledges, without an ACK of ours (Linux does so).</summary>
    private void AbortOnData(PacketBuffer packet)
    {
        _stack.Counters.Add(StackCounter.TcpAbortOnData);
        _tcp.ReplyToUnknown(packet, Worker);
        packet.Free();
        Finish(State == TcpConnectionState.CloseWait ? SocketError.Shutdown : SocketError.ConnectionReset);
    }

    /// <summary>State changes that the acknowledgment of our SYN or FIN brings (RFC 9293 3.10.7.4, fifth).</summary>
    private void StepAfterAck(PacketBuffer packet, out bool done)
    {
        done = false;
        switch (State)
        {
            case TcpConnectionState.SynReceived:
                if (_sndUna == _iss)
                {
                    done = true;
                    return;
                }

                EnterEstablished(packet);
                if (_finQueued)
                {
                    SetState(TcpConnectionState.FinWait1);
                }

                break;
            case TcpConnectionState.FinWait1:
                if (IsFinAcknowledged)
                {
                    SetState(TcpConnectionState.FinWait2);
                    Notify(SocketEvents.Drained);
                    if (IsOrphan && LingerTwoNanos < 0)
                    {
                        // TCP_LINGER2 below 0: nobody waits for the peer's FIN; it is told as if it had spoken to nobody (Linux).
                        _stack.Counters.Add(StackCounter.TcpAbortOnData);
                        _tcp.ReplyToUnknown(packet, Worker);
                        Finish(SocketError.Success);
                        done = true;
                        return;
                    }

                    done = StartFinWait2(packet);
                }

                break;
            case TcpConnectionState.Closing:
                if (IsFinAcknowledged)
                {
                    EnterTimeWait();
                    done = true;
                }

                break;
            case TcpConnectionState.LastAck:
                if (IsFinAcknowledged)
                {
                    Finish(SocketError.Success);
                    done = true;
                }

                break;
        }
    }

    private bool IsFinAcknowledged => _finQueued && _sndUna == _writeSeq;

    /// <summary>RFC 9293 3.10.7.4, first to fourth, with PAWS (RFC 7323 5) and RFC 5961. False: the segment is answered as it deserves and dropped.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool ValidateIncoming(PacketBuffer packet)
    {
        long now = Now;
        if (_timestampsOk)
        {
            if (packet.Options.HasTimestamps)
            {
                _sawTimestamp = true;
                _rcvTsVal = packet.Options.TsVal;
                _rcvTsEcr = packet.Options.TsEcr != 0 ? packet.Options.TsEcr - _tsOffset : 0;
                if ((packet.TcpFlags & TcpFlags.Rst) == 0 && IsPawsReject(packet, now))
                {
                    if (IsPureAck(packet) && packet.Sequence.Before(_rcvNxt))
                    {
                        // Overtaken on its way: common, and no reason to speak (Linux).
                        return false;
                    }

                    _stack.Counters.Add(StackCounter.PawsEstab);
                    if ((packet.TcpFlags & TcpFlags.Syn) != 0)
                    {
                        SendChallengeAck(now);
                        return false;
                    }

                    if (packet.Sequence != packet.EndSequence || MaySendInvalidAck(now))
                    {
                        SendDuplicateAck(packet);
                    }

                    return false;
                }
            }
            else
            {
                _sawTimestamp = false;
            }
        }

        if (!IsInWindow(packet))
        {
            // RFC 9293: an unacceptable segment is answered with an ACK, except for a reset.
            if ((packet.TcpFlags & TcpFlags.Rst) == 0)
            {
                if ((packet.TcpFlags & TcpFlags.Syn) != 0)
                {
                    _stack.Counters.Add(StackCounter.TcpSynChallenge);
                    SendChallengeAck(now);
                }
                else if (packet.Sequence != packet.EndSequence || MaySendInvalidAck(now))
                {
                    // Only what carries neither data nor FIN can be part of a loop of ACKs, so only that is limited.
                    SendDuplicateAck(packet);
                }
            }
            else if (IsResetAtFin(packet))
            {
                OnReset();
            }

            return false;
        }

        if ((packet.TcpFlags & TcpFlags.Rst) != 0)
        {
            // RFC 5961 3.2: only a reset at exactly the next byte is believed; with SACK, also one at the end of what we have reported.
            if (packet.Sequence == _rcvNxt || IsResetAtFin(packet) || IsResetBehindSack(packet))
            {
                OnReset();
            }
            else
            {
                SendChallengeAck(now);
            }

            return false;
        }

        if ((packet.TcpFlags & TcpFlags.Syn) != 0)
        {
            if (State == TcpConnectionState.SynReceived && (packet.TcpFlags & TcpFlags.Ack) != 0
                && packet.Sequence + 1 == _rcvNxt && packet.EndSequence == _rcvNxt && packet.Acknowledgment == _sndNxt)
            {
                // The SYN-ACK of a simultaneous open; its SYN has been taken in before, and like anything that comes again it is acknowledged at once, with a DSACK (measured on Linux 6.18): with the
                // peer's own SYN-ACK lost, nothing else would end its handshake.
                packet.TcpFlags &= ~TcpFlags.Syn;
                return true;
            }

            // RFC 5961 4.2: never a reason to drop the connection.
            _stack.Counters.Add(StackCounter.TcpSynChallenge);
            SendChallengeAck(now);
            return false;
        }

        return true;
    }

    /// <summary>
    /// RFC 9293 3.4, table 6. What begins in the window and ends beyond it is taken whole, but only into an empty queue: a peer that sends more than it may finds room for it once. A FIN may lie beyond (Linux).
    /// </summary>
    private bool IsInWindow(PacketBuffer packet)
    {
        if (packet.EndSequence.Before(_rcvWup))
        {
            return false;
        }

        SequenceNumber edge = AcceptableEdge;
        return !(packet.EndSequence - ((packet.TcpFlags & TcpFlags.Fin) != 0 ? 1 : 0)).After(edge) || (!packet.Sequence.After(edge) && !HasUnread);
    }

    private static bool IsPureAck(PacketBuffer packet) => (packet.TcpFlags & TcpFlags.Ack) != 0 && packet.Sequence == packet.EndSequence;

    /// <summary>A peer that closed its end resets with the sequence number before its FIN (RFC 5961 3.2, as Linux and macOS need it).</summary>
    private bool IsResetAtFin(PacketBuffer packet) =>
        packet.Sequence == _rcvNxt - 1
        && State is TcpConnectionState.CloseWait or TcpConnectionState.LastAck or TcpConnectionState.Closing;

    private bool IsResetBehindSack(PacketBuffer packet)
    {
        if (_outOfOrder is not { IsEmpty: false })
        {
            return false;
        }

        return packet.Sequence == _outOfOrder.HighestSacked(_rcvNxt);
    }

    /// <summary>RFC 7323 5.5: after so long the peer's clock may have wrapped, even one that counts microseconds (Linux), and what is remembered of it is worth nothing.</summary>
    private const long PawsLifetime = int.MaxValue / 1_000_000 * Nanos.PerSecond;

    /// <summary>RFC 7323 5.3: the timestamp runs backwards, and it is neither a harmless reordered ACK nor so long ago that the clock may have wrapped.</summary>
    private bool IsPawsReject(PacketBuffer packet, long now)
    {
        // One tick back is no older: clocks of several processors may differ by it (Linux: TCP_PAWS_WINDOW).
        if ((int)(_tsRecent - packet.Options.TsVal) <= 1 || HasForgottenTsRecent(now))
        {
            return false;
        }

        bool disorderedAck = IsPureAck(packet) && packet.Sequence == _rcvNxt && packet.Acknowledgment == _sndUna && !IsWindowNews(packet, packet.Window << _sndWscale)
            && (int)(_tsRecent - packet.Options.TsVal) <= Rtt.RtoNanos / Nanos.PerMillisecond * 1200 / 1000;
        return !disorderedAck;
    }

    private bool HasForgottenTsRecent(long now) => _tsRecent == 0 || now - _tsRecentNanos >= PawsLifetime;

    /// <summary>RFC 7323 4.3: TS.Recent moves only with a segment that covers the last byte we acknowledged.</summary>
    private void UpdateTsRecent(PacketBuffer packet, long now)
    {
        if (_sawTimestamp && packet.Sequence.AtOrBefore(_rcvWup) && ((int)(_rcvTsVal - _tsRecent) >= 0 || HasForgottenTsRecent(now)))
        {
            _tsRecent = _rcvTsVal;
            _tsRecentNanos = now;
        }
    }

    /// <summary>ACKs for segments that should not have come are limited for each connection, so that two confused ends do not talk for ever.</summary>
    private bool MaySendInvalidAck(long now)
    {
        if (now - _lastInvalidAckNanos < _tcp.Settings.InvalidRateLimitMilliseconds * Nanos.PerMillisecond)
        {
            _stack.Counters.Add(StackCounter.TcpAckSkipped);
            return false;
        }

        _lastInvalidAckNanos = now;
        return true;
    }

    /// <summary>RFC 5961 7: challenge ACKs are limited for each connection and for the stack.</summary>
    private void SendChallengeAck(long now)
    {
        if (!MaySendInvalidAck(now))
        {
            return;
        }

        if (!_tcp.TakeChallengeToken(now))
        {
            _stack.Counters.Add(StackCounter.TcpAckSkippedChallenge);
            return;
        }

        _stack.Counters.Add(StackCounter.TcpChallengeACK);
        SendAckNow();
    }

    private void SendDuplicateAck(PacketBuffer packet)
    {
        if (packet.EndSequence != packet.Sequence && packet.Sequence.Before(_rcvNxt))
        {
            _stack.Counters.Add(StackCounter.DelayedACKLost);
            EnterQuickAck(16);
            NoteOldDuplicate(packet.Sequence, SequenceNumber.Min(packet.EndSequence, _rcvNxt));
        }

        SendAckNow();
    }

    /// <summary>The peer reset the connection (RFC 9293 3.10.7.4, second).</summary>
    private void OnReset()
    {
        SocketError error = State switch
        {
            TcpConnectionState.SynSent => SocketError.ConnectionRefused,
            TcpConnectionState.CloseWait => SocketError.Shutdown,
            TcpConnectionState.Closed => SocketError.Success,
            _ => SocketError.ConnectionReset,
        };
        if (State is TcpConnectionState.Established or TcpConnectionState.CloseWait)
        {
            _stack.Counters.Add(StackCounter.TcpEstabResets);
        }
        else if (State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived)
        {
            _stack.Counters.Add(StackCounter.TcpAttemptFails);
        }

        Finish(error);
    }

    protected override bool TryCoalesce(PacketBuffer tail, PacketBuffer packet)
    {
        const TcpFlags Same = TcpFlags.Ece | TcpFlags.Cwr | TcpFlags.Ae;
        const TcpFlags Never = TcpFlags.Syn | TcpFlags.Rst | TcpFlags.Urg;
        if (!_tcp.Settings.BacklogCoalesce
            || (tail.EndSequence != packet.Sequence && Keeps(Omission.CoalesceSequence))
            || (((tail.TcpFlags ^ packet.TcpFlags) & Same) != 0 && Keeps(Omission.CoalesceCongestionBits))
            || (((tail.TcpFlags | packet.TcpFlags) & Never) != 0 && Keeps(Omission.CoalesceControlBits))
            || ((tail.TcpFlags & packet.TcpFlags & TcpFlags.Ack) == 0 && Keeps(Omission.CoalesceBothAck))
            || (tail.TcpFlags & TcpFlags.Fin) != 0
            || (tail.Tos != packet.Tos && Keeps(Omission.CoalesceTypeOfService))
            || (!HaveSameOptions(tail, packet) && Keeps(Omission.CoalesceOptions))
            || (packet.Length > 0 && ((tail.Segment | packet.Segment) & SegmentFlags.ZeroCopy) != 0)
            || (tail.FragmentCount + packet.FragmentCount > PacketBuffer.MaximumFragments && Keeps(Omission.CoalesceFragments)))
        {
            return false;
        }

        int payload = packet.TrueSize - packet.HeadTrueSize;
        int segments = Math.Max(1, tail.SegmentCount) + (Keeps(Omission.CoalesceSegments) ? Math.Max(1, packet.SegmentCount) : 0);
        if (packet.Length > 0)
        {
            int tailSize = tail.GsoSize > 0 ? tail.GsoSize : tail.Length;
            tail.GsoSize = Math.Max(tailSize, packet.GsoSize > 0 ? packet.GsoSize : packet.Length);
            tail.TakePayload(packet);
            tail.TrueSize += payload;
        }

        tail.EndSequence = packet.EndSequence;
        tail.TcpFlags |= packet.TcpFlags & (TcpFlags.Fin | TcpFlags.Psh);
        tail.SegmentCount = segments;
        if (packet.Acknowledgment.AtOrAfter(tail.Acknowledgment) && Keeps(Omission.CoalesceNewest))
        {
            tail.Acknowledgment = packet.Acknowledgment;
            tail.Window = packet.Window;
        }

        tail.ArrivalNanos = packet.ArrivalNanos;
        return true;
    }

    private bool Keeps(Omission rule) => (Omitted & rule) == Omission.None;

    private static bool HaveSameOptions(PacketBuffer tail, PacketBuffer packet) =>
        tail.Options.HasTimestamps == packet.Options.HasTimestamps
        && tail.Options.TsVal == packet.Options.TsVal
        && tail.Options.TsEcr == packet.Options.TsEcr
        && tail.Options.SackBlocks.SequenceEqual(packet.Options.SackBlocks);
}
