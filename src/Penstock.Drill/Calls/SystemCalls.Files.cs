using System.Net.Sockets;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>Pipes, files, and the calls that carry bytes between them and sockets.</summary>
internal sealed partial class SystemCalls
{
    private CallOutcome Pipe(Arguments arguments)
    {
        if (arguments[0] is not ArrayExpression { Items: [var first, var second] })
        {
            throw new DrillStop(DrillOutcome.Failed, arguments[0].At, "the numbers of both ends are expected here, as in pipe([5, 6])");
        }

        (long reading, long writing) = (Arguments.Long(first), Arguments.Long(second));
        if (reading < 0 || writing < 0 || reading == writing || _open.ContainsKey(reading) || _open.ContainsKey(writing))
        {
            throw new DrillStop(DrillOutcome.Failed, arguments[0].At, $"{reading} and {writing} cannot be the numbers of a new pipe: they are equal or in use");
        }

        const long NonBlocking = 2048;
        bool nonBlocking = (arguments.Long(1, 0) & NonBlocking) != 0;
        var pipe = new PipeBuffer();
        _open[reading] = new PipeEnd(pipe, reads: true) { NonBlocking = nonBlocking };
        _open[writing] = new PipeEnd(pipe, reads: false) { NonBlocking = nonBlocking };
        return new CallOutcome(0);
    }

    private CallOutcome OpenFile(Arguments arguments)
    {
        if (arguments[0] is not StringExpression path)
        {
            throw new DrillStop(DrillOutcome.Failed, arguments[0].At, "a file name in quotes is expected here");
        }

        return files.SizeOf(path.Bytes.TrimEnd('\0')) is { } size ? Fresh(new ZeroFile(size)) : CallOutcome.Fail(Errno.ENOENT);
    }

    private static CallOutcome ReadFile(OpenFile file, Arguments arguments)
    {
        int size = arguments.Size(2);
        switch (file)
        {
            case ZeroFile zeros:
                int count = zeros.CountFrom(zeros.Position, size);
                zeros.Position += count;
                return new CallOutcome(count);
            case PipeEnd { Reads: true } end:
                if (end.Pipe.Count == 0 && end.Pipe.HasWriter)
                {
                    return CallOutcome.Fail(Errno.EAGAIN); // nobody else could fill it: a drill has one thread
                }

                byte[] data = end.Pipe.Peek(size);
                end.Pipe.Drop(data.Length);
                string? wanted = !arguments.IsEllipsis(1) && arguments[1] is StringExpression text ? text.Bytes : null;
                return new CallOutcome(data.Length) { OutputMismatch = ContentMismatch(data, wanted) };
            default:
                return CallOutcome.Fail(file is PipeEnd ? Errno.EBADF : Errno.EINVAL);
        }
    }

    private static CallOutcome WriteFile(OpenFile file, Arguments arguments) => file switch
    {
        PipeEnd { Reads: false, Pipe.HasReader: false } => CallOutcome.Fail(Errno.EPIPE),
        PipeEnd { Reads: false } end => end.Pipe.Write(new byte[arguments.Size(2)]) is > 0 and var count ? new CallOutcome(count) : CallOutcome.Fail(Errno.EAGAIN),
        EpollInstance => CallOutcome.Fail(Errno.EINVAL),
        _ => CallOutcome.Fail(Errno.EBADF),
    };

    /// <summary>splice(2) between a socket and a pipe, in either direction. Reading stops before an urgent byte, as Linux's does.</summary>
    private SystemCallAttempt Splice(OpenFile from, Arguments arguments)
    {
        if (!_open.TryGetValue(arguments.Long(2), out OpenFile? to))
        {
            return Done(CallOutcome.Fail(Errno.EBADF));
        }

        const long NonBlock = 2, More = 4;
        int length = arguments.Size(4);
        long flags = arguments.Long(5, 0);
        bool hasOffset = !IsNullOffset(arguments, 1) || !IsNullOffset(arguments, 3);
        return (from, to) switch
        {
            _ when hasOffset => Done(CallOutcome.Fail(Errno.ESPIPE)),
            (Descriptor socket, PipeEnd { Reads: false } end) => new SystemCallAttempt(() => SpliceIn(socket, end, length, (flags & NonBlock) == 0)),
            (PipeEnd { Reads: true } end, Descriptor socket) => new SystemCallAttempt(() =>
                SpliceOut(end, socket, length, (flags & NonBlock) == 0, (flags & More) != 0 ? TcpSendFlags.More : 0)),
            _ => Done(CallOutcome.Fail(Errno.EINVAL)),
        };
    }

    private static bool IsNullOffset(Arguments arguments, int index) =>
        arguments.IsEllipsis(index) || arguments.IsNull(index) || arguments[index] is ArrayExpression { Items: [NumberExpression { Value: 0 }] };

    private static CallOutcome? SpliceIn(Descriptor descriptor, PipeEnd end, int length, bool mayWait)
    {
        if (descriptor.Socket is not { } socket)
        {
            return CallOutcome.Fail(Errno.ENOTCONN);
        }

        if (!end.Pipe.HasReader)
        {
            return CallOutcome.Fail(Errno.EPIPE);
        }

        byte[] data = new byte[Math.Min(length, Math.Min(end.Pipe.Room, socket.Connection.BytesBeforeUrgent))];
        bool waits = mayWait && !descriptor.NonBlocking && !end.NonBlocking;
        if (data.Length == 0)
        {
            return length == 0 || end.Pipe.Room > 0 ? new CallOutcome(0) : waits ? null : CallOutcome.Fail(Errno.EAGAIN);
        }

        int received = socket.TryReceive(data, TcpReceiveFlags.None, out SocketError error);
        return received switch
        {
            TcpConnection.WouldBlock => waits ? null : CallOutcome.Fail(Errno.EAGAIN),
            TcpConnection.Failed => CallOutcome.Fail(SocketErrors.ToErrno(error)),
            _ => new CallOutcome(end.Pipe.Write(data.AsSpan(0, received))),
        };
    }

    private static CallOutcome? SpliceOut(PipeEnd end, Descriptor descriptor, int length, bool mayWait, TcpSendFlags flags)
    {
        if (descriptor.Socket is not { } socket)
        {
            return CallOutcome.Fail(Errno.EPIPE);
        }

        byte[] data = end.Pipe.Peek(length);
        bool waits = mayWait && !descriptor.NonBlocking && !end.NonBlocking;
        if (data.Length == 0)
        {
            return !end.Pipe.HasWriter || length == 0 ? new CallOutcome(0) : waits ? null : CallOutcome.Fail(Errno.EAGAIN);
        }

        int sent = socket.TrySend(data, flags, out SocketError error);
        end.Pipe.Drop(Math.Max(0, sent));
        return sent switch
        {
            TcpConnection.WouldBlock => waits ? null : CallOutcome.Fail(Errno.EAGAIN),
            TcpConnection.Failed => CallOutcome.Fail(SocketErrors.ToErrno(error)),
            _ => new CallOutcome(sent),
        };
    }

    private SystemCallAttempt SendFile(OpenFile to, Arguments arguments)
    {
        if (!_open.TryGetValue(arguments.Long(1), out OpenFile? from))
        {
            return Done(CallOutcome.Fail(Errno.EBADF));
        }

        if (to is not Descriptor descriptor || from is not ZeroFile file)
        {
            return Done(CallOutcome.Fail(Errno.EINVAL));
        }

        long? offset = arguments.IsEllipsis(2) || arguments.IsNull(2) ? null : arguments.Long(2);
        int count = file.CountFrom(offset ?? file.Position, arguments.Size(3));
        int done = 0;
        bool sleeps = false;
        return new SystemCallAttempt(() =>
        {
            if (descriptor.Socket is not { } socket)
            {
                return CallOutcome.Fail(Errno.EPIPE);
            }

            if (sleeps && !WakesSender(socket))
            {
                return null;
            }

            int sent = socket.TrySend(new byte[count - done], TcpSendFlags.None, out SocketError error);
            done += Math.Max(0, sent);
            file.Position += offset is null ? Math.Max(0, sent) : 0;
            if (done < count && !descriptor.NonBlocking && sent is >= 0 or TcpConnection.WouldBlock)
            {
                sleeps = true;
                return null;
            }

            return done > 0 || sent >= 0 ? new CallOutcome(done)
                : CallOutcome.Fail(sent == TcpConnection.WouldBlock ? Errno.EAGAIN : SocketErrors.ToErrno(error));
        });
    }
}
