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
            || (readable > 0 && (Memory.UnderPressure || Memory.ReceiveAlloc > Memory.ReceiveBuffer - (Memory.ReceiveBuffer >> 3) || OfferedWindow() <= _receiveMss || _urgentState != UrgentNone));
    }

    /// <summary>A receive with so much room has to wait for more than there is.</summary>
    public bool WaitsForMore(int room)
    {
        if (_rare is not { ReceiveLowWater: > 1 } rare || !IsSynchronized || _finReceived || ReceiveShutdown || Error != SocketError.Success)
        {
            return false;
        }

        rare.Wanted = Math.Min(rare.ReceiveLowWater, room);
        return !HasEnoughToRead(rare.Wanted);
    }

    /// <summary>Data came: wakes a reader, unless it waits for more.</summary>
    private void NotifyIfReadable()
    {
        if (_rare is not { ReceiveLowWater: > 1 } rare || _finReceived || HasEnoughToRead(Math.Min(rare.ReceiveLowWater, rare.Wanted)))
        {
            Notify(SocketEvents.Readable);
        }
    }

    /// <summary>What can be read, the end being one more, so that the reader comes back for it (TCP_INQ; measured on Linux 6.18).</summary>
    public int ReadableHint => Math.Max(0, ReadableBytes) + (_finReceived ? 1 : 0);

    /// <summary>
    /// Copies what is there into <paramref name="destination"/>. The caller owns the connection. Returns the count, 0 at the end of the stream, or
    /// <see cref="WouldBlock"/> or <see cref="Failed"/>.
    /// </summary>
    public int TryReceive(Span<byte> destination, TcpReceiveFlags flags)
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
        while (copied < destination.Length)
        {
            int run = peek ? PeekRun(destination[copied..], copied) : TakeRun(destination[copied..]);
            if (run == 0)
            {
                // Neither sleep nor leave before what waits in the backlog has been seen. A flush that brought no bytes is not repeated: a flood of
                // other packets must not keep a reader, whose release meets the backlog's limit.
                if (flushed || !FlushForReader() || (copied > 0 && IsUrgentByteNext))
                {
                    break;
                }

                flushed = true;
                continue;
            }

            copied += run;
            flushed = false;
            if (IsUrgentByteNext)
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

        if (Error != SocketError.Success)
        {
            return Failed;
        }

        if (_finReceived || ReceiveShutdown || State == TcpConnectionState.Closed)
        {
            return 0;
        }

        return destination.Length == 0 && ReadableBytes > 0 ? 0 : WouldBlock;
    }

    /// <summary>True when the next byte to be read is the urgent one (SIOCATMARK).</summary>
    public bool IsAtMark => _urgentState is UrgentValid or UrgentPending or UrgentRead && _copiedSeq == _urgentSequence;

    private bool IsUrgentByteNext => _urgentState != UrgentNone && _copiedSeq == _urgentSequence;

    private int TakeRun(Span<byte> destination)
    {
        SkipUrgent();
        if (_receiveQueue.First is not { } first)
        {
            return 0;
        }

        int take = LimitToMark(Math.Min(first.Length, destination.Length));
        if (take == 0)
        {
            return 0;
        }

        first.CopyPayloadTo(0, destination[..take]);
        Consume(first, take);
        ForgetPassedMark();
        return take;
    }

    private int PeekRun(Span<byte> destination, int offset)
    {
        PacketBuffer? buffer = _receiveQueue.First;
        while (buffer is not null && offset >= buffer.Length)
        {
            offset -= buffer.Length;
            buffer = buffer.Next;
        }

        return buffer is null ? 0 : buffer.CopyPayloadTo(offset, destination[..Math.Min(destination.Length, buffer.Length - offset)]);
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

    private int LimitToMark(int count)
    {
        // In line too: a read that went across the mark would leave nobody able to see where it was (RFC 9293 MUST-33).
        if (_urgentState == UrgentNone)
        {
            return count;
        }

        int before = _urgentSequence.Since(_copiedSeq);
        return before > 0 ? Math.Min(count, before) : count;
    }

    private int TryReceiveUrgent(Span<byte> destination, TcpReceiveFlags flags)
    {
        if (_urgentInline || _urgentState is UrgentNone or UrgentRead)
        {
            Error = SocketError.InvalidArgument;
            return Failed;
        }

        if (_urgentState == UrgentPending || destination.Length == 0)
        {
            return WouldBlock;
        }

        destination[0] = _urgentByte;
        if ((flags & TcpReceiveFlags.Peek) == 0)
        {
            _urgentState = UrgentRead;
        }

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
            if (2L * offered <= Math.Min(_windowClamp, FullWindow()))
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
