using System.Net.Sockets;
using Penstock.Ownership;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>Reading and writing. Scripts send zeros and read zeros, unless they write a text where the buffer stands.</summary>
internal sealed partial class SystemCalls
{
    private const long MessageOutOfBand = 1, MessagePeek = 2, MessageDontWait = 0x40, MessageEndOfRecord = 0x80, MessageWaitAll = 0x100,
        MessageErrorQueue = 0x2000, MessageNoSignal = 0x4000, MessageMore = 0x8000, MessageZeroCopy = 0x4000000, MessageFastOpen = 0x20000000;

    private static SystemCallAttempt Receive(Descriptor descriptor, string name, Arguments arguments)
    {
        MessageArgument? message = name == "recvmsg" ? new MessageArgument(arguments[1]) : null;
        (int size, long flags) = name switch
        {
            "read" => (arguments.Size(2), 0),
            "readv" => (Arguments.Vectors(arguments[1]).Sum(), 0),
            "recvmsg" => (message!.Lengths.Sum(), arguments.Long(2, 0)),
            _ => (arguments.Size(2), arguments.Long(3, 0)),
        };
        RefuseOthers(arguments, name is "read" or "readv" ? 0 : name == "recvmsg" ? 2 : 3, flags,
            MessageOutOfBand | MessagePeek | MessageDontWait | MessageWaitAll | MessageErrorQueue);
        if ((flags & MessageErrorQueue) != 0)
        {
            return ReceiveError(descriptor, message);
        }

        string? wanted = !arguments.IsEllipsis(1) && arguments[1] is StringExpression text ? text.Bytes : null;
        bool isNull = arguments.IsNull(1) && size > 0;
        byte[] buffer = new byte[size];
        int done = 0;
        TcpReceiveFlags how = ((flags & MessagePeek) != 0 ? TcpReceiveFlags.Peek : 0) | ((flags & MessageOutOfBand) != 0 ? TcpReceiveFlags.OutOfBand : 0);
        bool waits = !descriptor.NonBlocking && (flags & MessageDontWait) == 0;
        CallOutcome Received()
        {
            string? mismatch = ContentMismatch(buffer.AsSpan(0, done), wanted)
                ?? message?.CompareControl(QueueMessages(descriptor))
                ?? message?.CompareFlags((flags & MessageOutOfBand) != 0 ? MessageOutOfBand : 0);
            return new CallOutcome(done) { OutputMismatch = mismatch };
        }

        return new SystemCallAttempt(() =>
        {
            if (descriptor.Socket is not { } socket)
            {
                return CallOutcome.Fail(Errno.ENOTCONN);
            }

            if (size == 0)
            {
                return new CallOutcome(0);
            }

            if (isNull && socket.Connection.ReadableBytes > 0)
            {
                return CallOutcome.Fail(Errno.EFAULT);
            }

            int received = socket.TryReceive(buffer.AsSpan(done), how, out SocketError error);
            if (received > 0)
            {
                done += received;
                return (flags & MessageWaitAll) != 0 && done < size && waits ? null : Received();
            }

            if (done > 0 && received != TcpConnection.WouldBlock)
            {
                return Received();
            }

            return received switch
            {
                TcpConnection.WouldBlock => waits ? null : CallOutcome.Fail(Errno.EAGAIN),
                TcpConnection.Failed => CallOutcome.Fail(SocketErrors.ToErrno(error)),
                _ => Received(),
            };
        });
    }

    /// <summary>MSG_ERRQUEUE: the oldest notification of zero-copy sends. Never waits, whatever the socket says.</summary>
    private static SystemCallAttempt ReceiveError(Descriptor descriptor, MessageArgument? message)
    {
        if (descriptor.Socket is not { } socket || !socket.TryReadZeroCopyNotification(out ZeroCopyNotification notification))
        {
            return Done(CallOutcome.Fail(Errno.EAGAIN));
        }

        var found = new ControlMessage(LevelIp, IpReceiveError, ExtendedError.From(notification));
        string? mismatch = message?.CompareControl([found]) ?? message?.CompareFlags(MessageErrorQueue);
        return Done(new CallOutcome(0) { OutputMismatch = mismatch });
    }

    /// <summary>TCP_CM_INQ: how much is left to read.</summary>
    private static List<ControlMessage> QueueMessages(Descriptor descriptor)
    {
        if (!descriptor.TellsQueue || descriptor.Connection is not { } connection)
        {
            return [];
        }

        return [new ControlMessage(LevelTcp, TcpInq, connection.ReadableHint)];
    }

    private static string? ContentMismatch(ReadOnlySpan<byte> data, string? wanted)
    {
        for (int i = 0; i < data.Length; i++)
        {
            int expected = wanted is null || i >= wanted.Length ? 0 : wanted[i];
            if (data[i] != expected)
            {
                return $"byte {i} of what was read should be {expected} but is {data[i]}";
            }
        }

        return null;
    }

    private static SystemCallAttempt Send(Descriptor descriptor, string name, Arguments arguments)
    {
        MessageArgument? message = name == "sendmsg" ? new MessageArgument(arguments[1]) : null;
        int[] lengths = name switch
        {
            "writev" => Arguments.Vectors(arguments[1]),
            "sendmsg" => message!.Lengths,
            _ => [arguments.Size(2)],
        };
        long flags = name switch
        {
            "write" or "writev" => 0,
            "sendmsg" => arguments.Long(2, 0),
            _ => arguments.Long(3, 0),
        };
        int flagsAt = name is "write" or "writev" ? 0 : name == "sendmsg" ? 2 : 3;
        if ((flags & MessageFastOpen) != 0)
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[flagsAt].At, NoFastOpen);
        }

        RefuseOthers(arguments, flagsAt, flags,
            MessageOutOfBand | MessageDontWait | MessageEndOfRecord | MessageNoSignal | MessageMore | MessageZeroCopy);
        if (message is { HasControl: true })
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[1].At, "control messages of sendmsg are not run: the stack has none that TCP takes");
        }

        byte[] data = new byte[lengths.Sum()];
        if (!arguments.IsEllipsis(1) && arguments[1] is StringExpression text)
        {
            for (int i = 0; i < Math.Min(data.Length, text.Bytes.Length); i++)
            {
                data[i] = (byte)text.Bytes[i];
            }
        }

        bool isNull = arguments.IsNull(1) && data.Length > 0;
        bool zeroCopies = (flags & MessageZeroCopy) != 0 && descriptor.ZeroCopy;
        TcpSendFlags how = ((flags & MessageMore) != 0 ? TcpSendFlags.More : 0)
            | ((flags & MessageEndOfRecord) != 0 ? TcpSendFlags.EndOfRecord : 0)
            | ((flags & MessageOutOfBand) != 0 ? TcpSendFlags.OutOfBand : 0);
        bool waits = !descriptor.NonBlocking && (flags & MessageDontWait) == 0;
        ZeroCopyWrite? zeroCopy = null;
        int done = 0;
        bool sleeps = false;
        return new SystemCallAttempt(() =>
        {
            if (descriptor.Socket is not { } socket)
            {
                return CallOutcome.Fail(Errno.EPIPE);
            }

            if (isNull && socket.Connection.MaySend)
            {
                return CallOutcome.Fail(Errno.EFAULT);
            }

            if (sleeps && !WakesSender(socket))
            {
                return null;
            }

            zeroCopy ??= zeroCopies ? new ZeroCopyWrite(socket, data, lengths) : null;
            int sent = zeroCopy is not null ? zeroCopy.Try(how, out SocketError error) : socket.TrySend(data.AsSpan(done), how, out error);
            done = zeroCopy is not null ? zeroCopy.Queued : done + Math.Max(0, sent);
            bool mustWait = waits && (sent == TcpConnection.WouldBlock || (sent >= 0 && done < data.Length));
            if (mustWait)
            {
                sleeps = true;
                return null;
            }

            zeroCopy?.End();
            return done > 0 || sent >= 0 ? new CallOutcome(done)
                : CallOutcome.Fail(sent == TcpConnection.WouldBlock ? Errno.EAGAIN : SocketErrors.ToErrno(error));
        });
    }

    /// <summary>A sender that sleeps is not woken by every bit of room, but when a third of the buffer is free (Linux: sk_stream_write_space).</summary>
    private static bool WakesSender(TcpSocket socket) =>
        (socket.Connection.PollEvents & (SocketEvents.Writable | SocketEvents.Failed)) != 0;

    private static void RefuseOthers(Arguments arguments, int index, long flags, long known)
    {
        if ((flags & ~known) != 0)
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[index].At, $"the flags 0x{flags & ~known:x} are not run");
        }
    }
}
