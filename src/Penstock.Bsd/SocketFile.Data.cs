using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock.Bsd;

/// <summary>Reads a file at a place: the number of bytes, 0 at its end, or a negative error number.</summary>
internal delegate int ReadAt(Span<byte> buffer, long position);

/// <summary>Sending and receiving.</summary>
internal sealed partial class SocketFile
{
    public const int FlagOutOfBand = 1, FlagPeek = 2, FlagControlTruncated = 8, FlagTruncate = 0x20, FlagDontWait = 0x40, FlagEndOfRecord = 0x80, FlagWaitAll = 0x100,
        FlagErrorQueue = 0x2000, FlagNoSignal = 0x4000, FlagMore = 0x8000, FlagZeroCopy = 0x4000000, FlagFastOpen = 0x20000000;

    /// <summary>Bytes of an error queue's control message: a sock_extended_err and the address of an offender, which zero-copy has none of.</summary>
    private const int ExtendedErrorLength = 32;

    private volatile bool _wantsTurn;

    public override unsafe int Read(Span<byte> buffer)
    {
        fixed (byte* address = buffer)
        {
            var vector = new IoVector(address, (nuint)buffer.Length);
            return Read(new IoVectors(&vector, 1));
        }
    }

    public override unsafe int Write(ReadOnlySpan<byte> data)
    {
        fixed (byte* address = data)
        {
            var vector = new IoVector(address, (nuint)data.Length);
            return Write(new IoVectors(&vector, 1));
        }
    }

    /// <summary>As <see cref="Receive"/>, but a read of nothing asks nobody.</summary>
    public override int Read(IoVectors vectors) => vectors.Length == 0 ? 0 : Receive(vectors, 0);

    public override int Write(IoVectors vectors) => Send(vectors, 0);

    /// <summary>recv and its kin: what has come, at least as much as SO_RCVLOWAT says if it may wait, or all of it with MSG_WAITALL; 0 at the end.</summary>
    public int Receive(IoVectors vectors, int flags)
    {
        if (_socket is not { } socket)
        {
            return ReceiveUnconnected(flags);
        }

        long size = vectors.Length;
        if (size < 0)
        {
            return Result.Fail(Errno.EINVAL);
        }

        if ((flags & FlagTruncate) != 0 && size > 0)
        {
            return Discard(size, flags);
        }

        if ((flags & FlagPeek) != 0 && vectors.Count > 1)
        {
            return PeekMany(vectors, size, flags);
        }

        // Urgent data is there or not: nobody waits for it (Linux: tcp_recv_urg).
        bool waits = !NonBlocking && (flags & (FlagDontWait | FlagOutOfBand)) == 0;
        long target = (flags & FlagWaitAll) != 0 ? size : Math.Min(size, socket.Connection.ReceiveLowWater);
        long done = 0;
        var wait = new Blocking(this, waits, waits ? ReceiveDeadline() : Pace.Never);
        try
        {
            do
            {
                int result = ReceiveStep(vectors, flags, size, ref done);
                if ((result <= 0 && result != Result.WouldBlock) || (done > 0 && IsOver(socket.Connection, flags, done)))
                {
                    return done > 0 ? Received((int)done, flags) : result;
                }
            }
            while (done < Math.Max(1, target) && wait.Again());

            return done > 0 ? Received((int)done, flags) : Result.WouldBlock;
        }
        finally
        {
            wait.End();
        }
    }

    /// <summary>Whatever a receive waits for, it stops at the urgent mark, and a peek at the end, which no further byte will move.</summary>
    private bool IsOver(TcpConnection connection, int flags, long done) =>
        (flags & FlagPeek) == 0 ? connection.IsMarkAt(0) : connection.ReceiveEnded || connection.IsMarkAt(Math.Max(0, _peekOffset) + (int)done);

    /// <summary>A peek moves on what the next one shows, a read moves it back (Linux: sk_peek_offset_fwd, sk_peek_offset_bwd).</summary>
    private int Received(int count, int flags)
    {
        if (_peekOffset >= 0 && (flags & FlagOutOfBand) == 0)
        {
            _peekOffset = (flags & FlagPeek) != 0 ? _peekOffset + count : Math.Max(0, _peekOffset - count);
        }

        return count;
    }

    /// <summary>A receive without a connection, in the order of Linux's tcp_recvmsg: what went wrong, the end after a shutdown, and that there is none.</summary>
    private int ReceiveUnconnected(int flags) =>
        IsListening ? Result.Fail(Errno.ENOTCONN)
        : (flags & FlagOutOfBand) != 0 ? Result.Fail(Errno.EINVAL)
        : TakeOwnError() is var error and not Errno.None ? Result.Fail(error)
        : _receiveShutdown ? 0
        : Result.Fail(Errno.ENOTCONN);

    /// <summary>recvmsg: with control messages, and the error queue when it is asked for.</summary>
    public int ReceiveMessage(IoVectors vectors, int flags, scoped ref ControlMessages control, out int flagsOut)
    {
        flagsOut = 0;
        if ((flags & FlagErrorQueue) != 0)
        {
            return ReceiveError(ref control, out flagsOut);
        }

        int received = Receive(vectors, flags);
        flagsOut = received > 0 ? flags & FlagOutOfBand : 0;
        if (received >= 0 && _reportsQueue && Connection is { } connection)
        {
            Span<byte> queued = stackalloc byte[4];

            BinaryPrimitives.WriteInt32LittleEndian(queued, connection.ReadableHint);
            control.Add(LevelTcp, TcpInq, queued);
        }

        flagsOut |= control.IsTruncated ? FlagControlTruncated : 0;
        return received;
    }

    /// <summary>send and its kin: all of it, waiting for room, unless the socket is non-blocking.</summary>
    public int Send(IoVectors vectors, int flags)
    {
        if (_socket is not { } socket)
        {
            return Result.Fail((flags & FlagFastOpen) != 0 ? Errno.EOPNOTSUPP : TakeOwnError() is var error and not Errno.None ? error : Errno.EPIPE);
        }

        if ((flags & FlagFastOpen) != 0)
        {
            return Result.Fail(Errno.EOPNOTSUPP);
        }

        long size = vectors.Length;
        if (size < 0)
        {
            return Result.Fail(Errno.EINVAL);
        }

        TcpSendFlags how = ((flags & FlagMore) != 0 ? TcpSendFlags.More : 0)
            | ((flags & FlagEndOfRecord) != 0 ? TcpSendFlags.EndOfRecord : 0)
            | ((flags & FlagOutOfBand) != 0 ? TcpSendFlags.OutOfBand : 0);
        bool waits = !NonBlocking && (flags & FlagDontWait) == 0;
        return (flags & FlagZeroCopy) != 0 && _zeroCopy && !vectors.HasNull
            ? SendZeroCopy(socket, vectors, how, waits)
            : SendCopied(socket, vectors, how, waits);
    }

    /// <summary>splice(2) out of the socket: what has come goes into a pipe.</summary>
    public int SpliceTo(PipeFile pipe, int most, bool waits)
    {
        if (_socket is not { } socket)
        {
            return ReceiveUnconnected(flags: 0);
        }

        byte[] buffer = ArrayPool<byte>.Shared.Rent(65536);
        var wait = new Blocking(this, waits && !NonBlocking, ReceiveDeadline(), pipe);
        try
        {
            do
            {
                lock (pipe.Turn)
                {
                    // Reader and room that were seen are still there when the bytes have been taken.
                    if (pipe.IsBroken)
                    {
                        return Result.Fail(Errno.EPIPE);
                    }

                    int room = Math.Min(Math.Min(most, pipe.Room), 65536);
                    if (room == 0)
                    {
                        if (most == 0)
                        {
                            return 0;
                        }

                        continue;
                    }

                    if (socket.Connection.IsAtMark)
                    {
                        // The urgent byte is no part of what splice moves, and it does not step over it (Linux: tcp_splice_read).
                        return 0;
                    }

                    int received = socket.TryReceive(buffer.AsSpan(0, room), TcpReceiveFlags.None, out SocketError error);
                    if (received > 0)
                    {
                        return pipe.TryWrite(buffer.AsSpan(0, received));
                    }

                    if (received != TcpConnection.WouldBlock)
                    {
                        return received == 0 ? 0 : Result.Fail(error);
                    }
                }
            }
            while (wait.Again());

            return Result.WouldBlock;
        }
        finally
        {
            wait.End();
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>splice(2) into the socket: what a pipe holds is sent.</summary>
    public int SpliceFrom(PipeFile pipe, int most, bool more, bool waits)
    {
        if (_socket is not { } socket)
        {
            return Result.Fail(TakeOwnError() is var left and not Errno.None ? left : Errno.EPIPE);
        }

        byte[] buffer = ArrayPool<byte>.Shared.Rent(65536);
        var wait = new Blocking(this, waits && !NonBlocking, SendDeadline(), pipe);
        try
        {
            do
            {
                lock (pipe.Turn)
                {
                    // Looked at before: a writer may write and close in between.
                    bool isBroken = pipe.IsBroken;
                    int count = pipe.Peek(buffer.AsSpan(0, Math.Min(most, 65536)));
                    if (count == 0)
                    {
                        if (isBroken || most == 0)
                        {
                            return 0;
                        }

                        continue;
                    }

                    int sent = socket.TrySend(buffer.AsSpan(0, count), more ? TcpSendFlags.More : TcpSendFlags.None, out SocketError error);
                    if (sent > 0)
                    {
                        pipe.Skip(sent);
                        return sent;
                    }

                    if (sent == TcpConnection.Failed)
                    {
                        return Result.Fail(error);
                    }
                }
            }
            while (wait.Again());

            return Result.WouldBlock;
        }
        finally
        {
            wait.End();
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>
    /// sendfile(2): from a file that can be read at any place. <paramref name="position"/> is where it begins, and in the end where it has come to. Waits as a send of the bytes would.
    /// </summary>
    public unsafe int SendFile(ReadAt file, ref long position, int most)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(65536);
        int done = 0;
        int failure = 0;
        try
        {
            while (done < most)
            {
                int wanted = Math.Min(65536, most - done);
                int read = file(buffer.AsSpan(0, wanted), position);
                if (read <= 0)
                {
                    failure = read;
                    break;
                }

                bool more = read == wanted && done + read < most;
                int sent;
                fixed (byte* address = buffer)
                {
                    var vector = new IoVector(address, (nuint)read);
                    sent = Send(new IoVectors(&vector, 1), more ? FlagMore : 0);
                }

                position += Math.Max(sent, 0);
                done += Math.Max(sent, 0);
                if (sent < read)
                {
                    failure = Math.Min(sent, 0);
                    break;
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        return done > 0 ? done : failure;
    }

    private int ReceiveStep(IoVectors vectors, int flags, long size, ref long done)
    {
        if (_socket is not { } socket)
        {
            return ReceiveUnconnected(flags);
        }

        TcpReceiveFlags how = ((flags & FlagPeek) != 0 ? TcpReceiveFlags.Peek : 0) | ((flags & FlagOutOfBand) != 0 ? TcpReceiveFlags.OutOfBand : 0);
        if ((flags & FlagPeek) != 0)
        {
            // From the front again: nothing was taken.
            done = 0;
        }

        if (done == 0 && vectors.HasNull && socket.Connection.ReadableBytes > vectors.LengthBeforeNull)
        {
            return ReceiveNowhere(socket, how);
        }

        if (size == 0)
        {
            int nothing = socket.TryReceive([], how, out SocketError refusal);
            return nothing == 0 ? 0 : nothing == TcpConnection.WouldBlock ? Result.WouldBlock : Result.Fail(refusal);
        }

        while (done < size)
        {
            if (done > 0 && socket.Connection.Error != SocketError.Success)
            {
                // What was read counts; the error is for the next call.
                return 0;
            }

            Span<byte> part = vectors.At(done);
            if (IoVectors.IsNull(part))
            {
                return done > 0 ? Result.Fail(Errno.EFAULT) : ReceiveNowhere(socket, how);
            }

            int received = socket.TryReceive(part, how, out SocketError error, Math.Max(0, _peekOffset));
            if (received <= 0)
            {
                return received switch
                {
                    TcpConnection.WouldBlock => Result.WouldBlock,
                    0 => 0,
                    _ => Result.Fail(error),
                };
            }

            done += received;
            if (how != TcpReceiveFlags.None || received < part.Length || socket.Connection.IsAtMark)
            {
                // At the mark a read stops, so that the reader can find it.
                break;
            }
        }

        return 1;
    }

    /// <summary>A read into memory that is not there: what any read would say if there is nothing to copy, else EFAULT. Takes nothing.</summary>
    private static int ReceiveNowhere(TcpSocket socket, TcpReceiveFlags how)
    {
        Span<byte> one = stackalloc byte[1];
        return socket.TryReceive(one, how | TcpReceiveFlags.Peek, out SocketError error) switch
        {
            > 0 => Result.Fail(Errno.EFAULT),
            0 => 0,
            TcpConnection.WouldBlock => Result.WouldBlock,
            _ => Result.Fail(error),
        };
    }

    private unsafe int PeekMany(IoVectors vectors, long size, int flags)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)Math.Min(size, 1 << 20));
        try
        {
            int received;
            fixed (byte* address = buffer)
            {
                var one = new IoVector(address, (nuint)Math.Min(size, buffer.Length));
                received = Receive(new IoVectors(&one, 1), flags);
            }

            if (received > vectors.LengthBeforeNull)
            {
                return Result.Fail(Errno.EFAULT);
            }

            if (received > 0)
            {
                vectors.CopyFrom(buffer.AsSpan(0, received));
            }

            return received;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>MSG_TRUNC: the bytes are taken and thrown away.</summary>
    private unsafe int Discard(long size, int flags)
    {
        bool peeks = (flags & FlagPeek) != 0;
        byte[] buffer = ArrayPool<byte>.Shared.Rent(peeks ? (int)Math.Min(size, Math.Max(65536, Connection?.ReadableBytes ?? 0)) : 65536);
        try
        {
            long done = 0;
            while (done < size)
            {
                int received;
                fixed (byte* address = buffer)
                {
                    var one = new IoVector(address, (nuint)Math.Min(size - done, buffer.Length));
                    received = Receive(new IoVectors(&one, 1), (flags & ~FlagTruncate) | (done > 0 && (flags & FlagWaitAll) == 0 ? FlagDontWait : 0));
                }

                if (received <= 0 || peeks)
                {
                    return done > 0 ? (int)done : received;
                }

                done += received;
            }

            return (int)done;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>MSG_ERRQUEUE: the oldest notification of zero-copy sends, as a sock_extended_err. Never waits.</summary>
    private int ReceiveError(scoped ref ControlMessages control, out int flagsOut)
    {
        flagsOut = 0;
        if (_socket is not { } socket || !socket.TryReadZeroCopyNotification(out ZeroCopyNotification notification))
        {
            return Result.WouldBlock;
        }

        const byte OriginZeroCopy = 5, CodeCopied = 1;
        Span<byte> data = stackalloc byte[ExtendedErrorLength];
        data.Clear();
        data[4] = OriginZeroCopy;
        data[6] = notification.Copied ? CodeCopied : (byte)0;
        BinaryPrimitives.WriteUInt32LittleEndian(data[8..], notification.First);
        BinaryPrimitives.WriteUInt32LittleEndian(data[12..], notification.Last);
        const int ReceiveErrors = 11; // IP_RECVERR
        control.Add(LevelIp, ReceiveErrors, data);
        flagsOut = FlagErrorQueue | (control.IsTruncated ? FlagControlTruncated : 0);
        return 0;
    }

    private int SendCopied(TcpSocket socket, IoVectors vectors, TcpSendFlags how, bool waits)
    {
        // A fault ends the send where it comes, after what comes before it: whether anything can be sent at all, and room for it.
        bool faults = vectors.HasNull;
        var source = new VectorSource(vectors, vectors.LengthBeforeNull);
        long done = 0;
        var wait = new Blocking(this, waits, waits ? SendDeadline() : Pace.Never);
        try
        {
            do
            {
                if (done > 0 && socket.Connection.Error != SocketError.Success)
                {
                    // What was queued counts; the error is for the next call.
                    return (int)done;
                }

                int sent = socket.TrySend(ref source, how, out SocketError error);
                if (sent == TcpConnection.Failed)
                {
                    return done > 0 ? (int)done : Result.Fail(error);
                }

                done += Math.Max(sent, 0);
                if (source.Remaining == 0 && sent != TcpConnection.WouldBlock)
                {
                    return done == 0 && faults ? Result.Fail(Errno.EFAULT) : (int)done;
                }
            }
            while (wait.Again());

            return done > 0 ? (int)done : Result.WouldBlock;
        }
        finally
        {
            wait.End();
        }
    }

    private int SendZeroCopy(TcpSocket socket, IoVectors vectors, TcpSendFlags how, bool waits)
    {
        var attempt = new TcpSocket.ZeroCopyAttempt(socket, BorrowedMemory.Sequence(vectors));
        var wait = new Blocking(this, waits, waits ? SendDeadline() : Pace.Never);
        SocketError error = SocketError.Success;
        try
        {
            while (!attempt.Try(how, out error) && error == SocketError.Success)
            {
                if (!attempt.HasTurn)
                {
                    // Another thread's send has it; that one tells when it is done.
                    _wantsTurn = true;
                }

                if (!wait.Again())
                {
                    break;
                }
            }
        }
        finally
        {
            wait.End();
            attempt.End();
            if (_wantsTurn)
            {
                _wantsTurn = false;
                Notify(PollMask.WakeWritable);
            }
        }

        return attempt.Queued > 0 || attempt.IsDone ? (int)attempt.Queued : error == SocketError.Success ? Result.WouldBlock : Result.Fail(error);
    }

    private long ReceiveDeadline() => _receiveTimeoutNanos > 0 ? Pace.NowNanos + _receiveTimeoutNanos : Pace.Never;

    private long SendDeadline() => _sendTimeoutNanos > 0 ? Pace.NowNanos + _sendTimeoutNanos : Pace.Never;
}
