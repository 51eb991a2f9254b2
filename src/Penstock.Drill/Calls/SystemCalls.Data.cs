using System.Net.Sockets;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>Reading, writing and waiting. Scripts send zeros and read zeros, unless they write a text where the buffer stands.</summary>
internal sealed partial class SystemCalls
{
    private const long MessageOutOfBand = 1, MessagePeek = 2, MessageDontWait = 0x40, MessageEndOfRecord = 0x80, MessageWaitAll = 0x100,
        MessageNoSignal = 0x4000, MessageMore = 0x8000;

    private static SystemCallAttempt Receive(Descriptor descriptor, string name, Arguments arguments)
    {
        (int size, long flags) = name switch
        {
            "read" => ((int)arguments.Long(2), 0),
            "readv" => (Arguments.Vectors(arguments[1]).Sum(), 0),
            "recvmsg" => (Message(arguments[1]), arguments.Long(2, 0)),
            _ => ((int)arguments.Long(2), arguments.Long(3, 0)),
        };
        RefuseOthers(arguments, name == "read" || name == "readv" ? 0 : name == "recvmsg" ? 2 : 3, flags,
            MessageOutOfBand | MessagePeek | MessageDontWait | MessageWaitAll);
        string? wanted = !arguments.IsEllipsis(1) && arguments[1] is StringExpression text ? text.Bytes : null;
        byte[] buffer = new byte[size];
        int done = 0;
        TcpReceiveFlags how = ((flags & MessagePeek) != 0 ? TcpReceiveFlags.Peek : 0) | ((flags & MessageOutOfBand) != 0 ? TcpReceiveFlags.OutOfBand : 0);
        bool waits = !descriptor.NonBlocking && (flags & MessageDontWait) == 0;
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

            int received = socket.TryReceive(buffer.AsSpan(done), how, out SocketError error);
            if (received > 0)
            {
                done += received;
                return (flags & MessageWaitAll) != 0 && done < size && waits ? null : Received(buffer.AsSpan(0, done), wanted);
            }

            if (done > 0 && received != TcpConnection.WouldBlock)
            {
                return Received(buffer.AsSpan(0, done), wanted);
            }

            return received switch
            {
                TcpConnection.WouldBlock => waits ? null : CallOutcome.Fail(Errno.EAGAIN),
                TcpConnection.Failed => CallOutcome.Fail(SocketErrors.ToErrno(error)),
                _ => new CallOutcome(0),
            };
        });
    }

    private static CallOutcome Received(ReadOnlySpan<byte> data, string? wanted)
    {
        string? mismatch = null;
        for (int i = 0; i < data.Length && mismatch is null; i++)
        {
            int expected = wanted is null || i >= wanted.Length ? 0 : wanted[i];
            if (data[i] != expected)
            {
                mismatch = $"byte {i} of what was read should be {expected} but is {data[i]}";
            }
        }

        return new CallOutcome(data.Length) { OutputMismatch = mismatch };
    }

    private static SystemCallAttempt Send(Descriptor descriptor, string name, Arguments arguments)
    {
        (int size, long flags) = name switch
        {
            "write" => ((int)arguments.Long(2), 0),
            "writev" => (Arguments.Vectors(arguments[1]).Sum(), 0),
            "sendmsg" => (Message(arguments[1]), arguments.Long(2, 0)),
            _ => ((int)arguments.Long(2), arguments.Long(3, 0)),
        };
        RefuseOthers(arguments, name is "write" or "writev" ? 0 : name == "sendmsg" ? 2 : 3, flags,
            MessageOutOfBand | MessageDontWait | MessageEndOfRecord | MessageNoSignal | MessageMore);
        byte[] data = new byte[size];
        if (!arguments.IsEllipsis(1) && arguments[1] is StringExpression text)
        {
            for (int i = 0; i < Math.Min(size, text.Bytes.Length); i++)
            {
                data[i] = (byte)text.Bytes[i];
            }
        }

        TcpSendFlags how = ((flags & MessageMore) != 0 ? TcpSendFlags.More : 0)
            | ((flags & MessageEndOfRecord) != 0 ? TcpSendFlags.EndOfRecord : 0)
            | ((flags & MessageOutOfBand) != 0 ? TcpSendFlags.OutOfBand : 0);
        bool waits = !descriptor.NonBlocking && (flags & MessageDontWait) == 0;
        int done = 0;
        return new SystemCallAttempt(() =>
        {
            if (descriptor.Socket is not { } socket)
            {
                return CallOutcome.Fail(Errno.EPIPE);
            }

            int sent = socket.TrySend(data.AsSpan(done), how, out SocketError error);
            if (sent >= 0)
            {
                done += sent;
                return done == size || !waits ? new CallOutcome(done) : null;
            }

            return sent == TcpConnection.WouldBlock
                ? waits ? null : CallOutcome.Fail(Errno.EAGAIN)
                : done > 0 ? new CallOutcome(done) : CallOutcome.Fail(SocketErrors.ToErrno(error));
        });
    }

    private static int Message(Expression expression) =>
        expression is StructExpression { Kind: StructKind.MessageHeader } message
            ? message.Get("msg_control") is { } control and not (ArrayExpression { Items.Count: 0 } or EllipsisExpression)
                ? throw new DrillStop(DrillOutcome.Skipped, control.At, "control messages are not run yet")
                : Arguments.Vectors(message.Get("msg_iov")!).Sum()
            : throw new DrillStop(DrillOutcome.Skipped, expression.At, "this is no msghdr");

    private static void RefuseOthers(Arguments arguments, int index, long flags, long known)
    {
        if ((flags & ~known) != 0)
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[index].At, $"the flags 0x{flags & ~known:x} are not run yet");
        }
    }

    private SystemCallAttempt Poll(Arguments arguments)
    {
        if (arguments[0] is not ArrayExpression array)
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[0].At, "an array of pollfd is expected here");
        }

        long timeout = arguments.Long(2);
        CallOutcome? Look(bool force)
        {
            int ready = 0;
            string? mismatch = null;
            foreach (Expression item in array.Items)
            {
                var entry = (StructExpression)item;
                long events = Arguments.Long(entry.Get("events")!);
                long number = Arguments.Long(entry.Get("fd")!);
                long found = _open.TryGetValue(number, out Descriptor? descriptor) ? PollEvents.Of(descriptor) & (events | 8 | 16) : 32;
                ready += found != 0 ? 1 : 0;
                if (mismatch is null && entry.Get("revents") is { } wanted and not EllipsisExpression && Arguments.Long(wanted) != found)
                {
                    mismatch = $"revents of descriptor {number} should be {ScriptPrinter.Print(wanted)} but is {PollEvents.Text(found)}";
                }
            }

            return ready > 0 || force || timeout == 0 ? new CallOutcome(ready) { OutputMismatch = mismatch } : null;
        }

        return new SystemCallAttempt(() => Look(false))
        {
            TimeoutNanos = timeout < 0 ? null : timeout * 1_000_000,
            OnTimeout = () => Look(true),
        };
    }
}
