using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>The application's reads: takes bytes out of the receive queue, gives their memory back and tells the peer when the window has opened enough to be worth it.</summary>
internal sealed partial class TcpConnection
{
    /// <summary>Result of <see cref="TryReceive"/> when nothing is there yet.</summary>
    public const int WouldBlock = -1;

    /// <summary>Result of <see cref="TryReceive"/> when the connection failed; <see cref="TakeError"/> says why.</summary>
    public const int Failed = -2;

    /// <summary>Results of <see cref="TryReceive"/> for urgent data when there is none, and when the connection is gone: the call is refused, and an error of the connection stays where it is.</summary>
    private const int NothingUrgent = -3, Gone = -4;

    /// <summary>Why a receive gave <paramref name="received"/>; takes the connection's error where it is that.</summary>
    public SocketError TakeReceiveError(int received) => received switch
    {
        Failed => TakeError(),
        NothingUrgent => SocketError.InvalidArgument,
        Gone => SocketError.NotConnected,
        _ => SocketError.Success,
    };

    /// <summary>True when a receive would not wait: data, the end, or an error.</summary>
    public bool IsReadable => HasEnoughToRead(ReceiveLowWater) || _finReceived || ReceiveShutdown || State == TcpConnectionState.Closed || Error != SocketError.Success;

    protected override bool HasNothingToReceive =>
        State == TcpConnectionState.Established && _receiveQueue.First is null && Error == SocketError.Success && !ReceiveShutdown && _urgentState == UrgentNone && _rare is null;

    /// <summary>
    /// So much is there as is waited for (SO_RCVLOWAT), or so much that no more can come before it is read: the buffer is nearly full or the window nearly shut (Linux: tcp_epollin_ready).
    /// </summary>
    public bool HasEnoughToRead(int wanted)
    {
        int readable = ReadableBytes;
        return readable >= wanted
            || (readable > 0 && (Memory.UnderPressure || Memory.ReceiveAlloc > Memory.ReceiveBuffer - (Memory.ReceiveBuffer >> 3) || OfferedWindow() <= _receiveMss));
    }

    /// <summary>A receive with so much room has to wait for more than there is.</summary>
    public bool WaitsForMore(int room)
    {
        if (_rare is not { ReceiveLowWater: > 1 } rare || !IsSynchronized || _finReceived || ReceiveShutdown || Error != SocketError.Success)
        {
            return false;
        }

        rare.Wanted = Math.Min(rare.ReceiveLowWater, room);
        return !IsWorthReading(rare.Wanted);
    }

    /// <summary>Also what little there is at an urgent byte: a read stops there, whatever it waits for.</summary>
    private bool IsWorthReading(int wanted) => HasEnoughToRead(wanted) || (_urgentState != UrgentNone && ReadableBytes > 0);

    /// <summary>The urgent byte is so far from the front of what can be read: a receive that has something stops there.</summary>
    public bool IsMarkAt(int offset) => IsUrgentByte(_copiedSeq + offset);

    /// <summary>Data came: wakes a reader, unless it waits for more.</summary>
    private void NotifyIfReadable()
    {
        if (_rare is not { ReceiveLowWater: > 1 } rare || _finReceived || IsWorthReading(Math.Min(rare.ReceiveLowWater, rare.Wanted)))
        {
            Notify(SocketEvents.Readable);
        }
    }

    /// <summary>What can be read, the end being one more, so that the reader comes back for it (TCP_INQ; measured on Linux 6.18).</summary>
    public int ReadableHint => Math.Max(0, ReadableBytes) + (_finReceived ? 1 : 0);

    /// <summary>
    /// Copies what is there into <paramref name="destination"/>. The caller owns the connection. Returns the count, 0 at the end of the stream, also when the connection broke after the
    /// peer's FIN (Linux: SOCK_DONE), or <see cref="WouldBlock"/>, or what <see cref="TakeReceiveError"/> explains. Without room: 0 where there is something to read.
    /// </summary>
    /// <param name="destination">Where the bytes go.</param>
    /// <param name="flags">How.</param>
    /// <param name="peekOffset">Where a peek begins, bytes behind the front (SO_PEEK_OFF).</param>
    public int TryReceive(Span<byte> destination, TcpReceiveFlags flags, int peekOffset = 0)
    {
        if ((flags & TcpReceiveFlags.OutOfBand) != 0)
        {
            return TryReceiveUrgent(destination, flags);
        }

        if (State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived)
        {
            return WouldBlock;
        }

        bool peek = (flags & TcpReceiveFlags.Peek) != 0;
        int copied = 0;
        bool flushed = false;
        SequenceNumber at = peek ? _copiedSeq + peekOffset : _copiedSeq;
        while (copied < destination.Length)
        {
            int run = peek ? PeekRun(destination[copied..], ref at) : TakeRun(destination[copied..]);
            at = peek ? at : _copiedSeq;
            if (run == 0)
            {
                // Neither sleep nor leave before what waits in the backlog has been seen. A flush that brought no bytes is not repeated: a flood of
                // other packets must not keep a reader, whose release meets the backlog's limit.
                if (flushed || !FlushForReader() || (copied > 0 && IsUrgentByte(at)))
                {
                    break;
                }

                flushed = true;
                continue;
            }

            copied += run;
            flushed = false;
            if (IsUrgentByte(at))
            {
                // A read stops at the mark, in line or not, so that the reader can find it (Linux).
                break;
            }
        }

        if (copied > 0)
        {
            if (!peek)
            {
                long now = Now;
                AdjustReceiveSpace(now);
                AfterRead(copied);
            }

            return copied;
        }

        if (_finReceived || (destination.Length == 0 && ReadableBytes > 0))
        {
            return 0;
        }

        return Error != SocketError.Success ? Failed : ReceiveShutdown || State == TcpConnectionState.Closed ? 0 : WouldBlock;
    }

    /// <summary>True when the next byte to be read is the urgent one (SIOCATMARK).</summary>
    public bool IsAtMark => _urgentState is UrgentValid or UrgentPending or UrgentRead && _copiedSeq == _urgentSequence;

    private bool IsUrgentByte(SequenceNumber at) => _urgentState != UrgentNone && at == _urgentSequence;

    /// <summary>What poll wants to be there: out of line an urgent byte that stands next is nothing to read (Linux: tcp_poll).</summary>
    private int PollLowWater => ReceiveLowWater + (!_urgentInline && IsUrgentByte(_copiedSeq) ? 1 : 0);

    private int TakeRun(Span<byte> destination)
    {
        SkipUrgent();
        if (_receiveQueue.First is not { } first)
        {
            return 0;
        }

        int take = LimitToMark(Math.Min(first.Length, destination.Length), _copiedSeq);
        if (take == 0)
        {
            return 0;
        }

        first.CopyPayloadTo(0, destination[..take]);
        Consume(first, take);
        ForgetPassedMark();
        return take;
    }

    /// <summary>Copies from one buffer without taking: as far as a read would go, and over the urgent byte where a read would step over it. <paramref name="at"/> is moved behind.</summary>
    private int PeekRun(Span<byte> destination, ref SequenceNumber at)
    {
        if (!_urgentInline && IsUrgentByte(at) && at.Before(_rcvNxt))
        {
            at += 1;
        }

        int offset = at.Since(_copiedSeq);
        PacketBuffer? buffer = _receiveQueue.First;
        while (buffer is not null && offset >= buffer.Length)
        {
            offset -= buffer.Length;
            buffer = buffer.Next;
        }

        if (buffer is null)
        {
            return 0;
        }

        int run = buffer.CopyPayloadTo(offset, destination[..LimitToMark(Math.Min(destination.Length, buffer.Length - offset), at)]);
        at += run;
        return run;
    }

    private void Consume(PacketBuffer first, int count)
    {
        _copiedSeq += count;
        if (count == first.Length)
        {
            _receiveQueue.Remove(first);
            Memory.UnchargeReceive(first.TrueSize);
            first.Free();
        }
        else
        {
            // The slab stays held until its last byte is read, and so does its charge.
            first.TrimFront(count);
            first.Sequence += count;
        }
    }

    /// <summary>Out of line, the urgent byte is not part of the stream: reading steps over it.</summary>
    private void SkipUrgent()
    {
        if (_urgentInline || _urgentState == UrgentNone || _copiedSeq != _urgentSequence || _receiveQueue.First is not { } first)
        {
            return;
        }

        Consume(first, 1);
        ForgetPassedMark();
    }

    /// <summary>Behind the mark there is no urgent byte any more, taken or not (Linux).</summary>
    private void ForgetPassedMark()
    {
        if (_urgentState != UrgentNone && _copiedSeq.After(_urgentSequence))
        {
            _urgentState = UrgentNone;
        }
    }

    private int LimitToMark(int count, SequenceNumber at)
    {
        // In line too: a read that went across the mark would leave nobody able to see where it was (RFC 9293 MUST-33).
        if (_urgentState == UrgentNone)
        {
            return count;
        }

        int before = _urgentSequence.Since(at);
        return before > 0 ? Math.Min(count, before) : count;
    }

    /// <summary>Linux: tcp_recv_urg. The byte is taken although there may be no room for it.</summary>
    private int TryReceiveUrgent(Span<byte> destination, TcpReceiveFlags flags)
    {
        if (_urgentInline || _urgentState is UrgentNone or UrgentRead)
        {
            return NothingUrgent;
        }

        if (State == TcpConnectionState.Closed && !_finReceived)
        {
            return Gone;
        }

        if (_urgentState == UrgentPending)
        {
            return ReceiveEnded ? 0 : WouldBlock;
        }

        if ((flags & TcpReceiveFlags.Peek) == 0)
        {
            _urgentState = UrgentRead;
        }

        if (destination.IsEmpty)
        {
            return 0;
        }

        destination[0] = _urgentByte;
        return 1;
    }

    /// <summary>After a read: an ACK that carries a much larger window, or one that was waiting for the reader (RFC 9293 3.8.6.2.2; Linux: tcp_cleanup_rbuf).</summary>
    private void AfterRead(int copied)
    {
        if (!IsSynchronized)
        {
            return;
        }

        _noReceiveMemory &= copied == 0;
        bool now = false;
        if (_ackScheduled)
        {
            // The peer's write has been read to its end: it may wait for the ACK (Linux: ICSK_ACK_PUSHED, and PUSHED2 also in a conversation).
            now = _rcvNxt.Since(_rcvWup) > _receiveMss || (copied > 0 && Memory.ReceiveAlloc == 0 && (_writeEnds > 1 || (_writeEnds > 0 && !IsInteractive)));
        }

        if (!now && copied > 0 && !_finReceived)
        {
            uint offered = OfferedWindow();
            if (2L * offered <= WindowLimit)
            {
                uint next = ComputeWindow();
                now = next > 0 && next >= 2 * offered;
            }
        }

        if (now)
        {
            SendAckNow();
        }
    }
}
