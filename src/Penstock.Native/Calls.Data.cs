using Penstock.Bsd;
using Penstock.Sockets;

namespace Penstock.Native;

/// <summary>Moving bytes, and waiting for them.</summary>
internal static unsafe partial class Calls
{
    public static int Read(int descriptor, byte* buffer, nuint length)
    {
        var vector = new IoVector(buffer, length);
        return ReadVectors(descriptor, &vector, 1);
    }

    public static int Write(int descriptor, byte* buffer, nuint length)
    {
        var vector = new IoVector(buffer, length);
        return WriteVectors(descriptor, &vector, 1);
    }

    public static int ReadVectors(int descriptor, IoVector* vectors, int count) => Wrong(vectors, count) is var wrong and not 0
        ? wrong
        : On(descriptor, (Vectors: (nint)vectors, count), static (file, a) => file.Read(new IoVectors((IoVector*)a.Vectors, a.count)));

    public static int WriteVectors(int descriptor, IoVector* vectors, int count) => Wrong(vectors, count) is var wrong and not 0
        ? wrong
        : On(descriptor, (Vectors: (nint)vectors, count), static (file, a) => file.Write(new IoVectors((IoVector*)a.Vectors, a.count)));

    public static int Receive(int descriptor, byte* buffer, nuint length, int flags, byte* address, uint* addressLength)
    {
        var vector = new IoVector(buffer, length);
        if (addressLength is not null)
        {
            // A connected stream tells no addresses.
            *addressLength = 0;
        }

        _ = address;
        return OnSocket(descriptor, (Vector: (nint)(&vector), flags), static (socket, a) =>
        {
            if ((a.flags & SocketFile.FlagErrorQueue) != 0)
            {
                var none = new ControlMessages([]);
                return socket.ReceiveMessage(default, a.flags, ref none, out _);
            }

            return socket.Receive(new IoVectors((IoVector*)a.Vector, 1), a.flags);
        });
    }

    public static int Send(int descriptor, byte* buffer, nuint length, int flags)
    {
        var vector = new IoVector(buffer, length);
        return OnSocket(descriptor, (Vector: (nint)(&vector), flags), static (socket, a) => socket.Send(new IoVectors((IoVector*)a.Vector, 1), a.flags));
    }

    public static int ReceiveMessage(int descriptor, MessageHeader* message, int flags) => WrongMessage(message) is var wrong and not 0
        ? wrong
        : OnSocket(descriptor, (Message: (nint)message, flags), static (socket, a) =>
        {
            var header = (MessageHeader*)a.Message;
            var control = new ControlMessages(new Span<byte>(header->Control, header->Control is null ? 0 : (int)Math.Min(header->ControlLength, int.MaxValue)));
            int result = socket.ReceiveMessage(new IoVectors(header->Vectors, (int)header->VectorCount), a.flags, ref control, out int found);
            if (result >= 0)
            {
                header->ControlLength = (nuint)control.Length;
                header->NameLength = 0;
                header->Flags = found;
            }

            return result;
        });

    public static int SendMessage(int descriptor, MessageHeader* message, int flags)
    {
        int wrong = WrongMessage(message);
        if (wrong != 0)
        {
            return wrong;
        }

        if (message->ControlLength > 0)
        {
            // No control message means anything to a TCP send here.
            return Result.Fail(Errno.EINVAL);
        }

        return OnSocket(descriptor, (Message: (nint)message, flags), static (socket, a) =>
        {
            var header = (MessageHeader*)a.Message;
            return socket.Send(new IoVectors(header->Vectors, (int)header->VectorCount), a.flags);
        });
    }

    public static int Poll(PollDescriptor* entries, ulong count, int milliseconds)
    {
        if (count > 65536)
        {
            return Result.Fail(Errno.EINVAL);
        }

        if (entries is null && count > 0)
        {
            return Result.Fail(Errno.EFAULT);
        }

        Pace? pace = null;
        var all = new PollEntry[count];
        for (int i = 0; i < all.Length; i++)
        {
            OpenFile? file = entries[i].Descriptor < 0 ? null : Files[entries[i].Descriptor];
            pace ??= file?.Pace;
            all[i] = new PollEntry(file, entries[i].Descriptor < 0 ? PollMask.None : (PollMask)(ushort)entries[i].Events) { IsIgnored = entries[i].Descriptor < 0 };
        }

        // Nothing of ours to look at, and so no clock of ours: it ends at once, or says that it would wait for nothing.
        int result = pace is null
            ? Within(Idle, (all, milliseconds), static a => Polling.Poll(Idle, a.all, a.milliseconds))
            : Within(pace, (pace, all, milliseconds), static a => Polling.Poll(a.pace, a.all, a.milliseconds));
        for (int i = 0; i < all.Length; i++)
        {
            entries[i].Found = (short)all[i].Found;
        }

        return result;
    }

    public static int EpollCreate(NativeStack? stack, int flags) => stack is null || (flags & ~CloseOnExec) != 0
        ? Result.Fail(Errno.EINVAL)
        : Within(stack.Pace, stack, static s => Files.Add(new EpollFile(s.Pace)));

    public static int EpollControl(int epoll, int operation, int descriptor, byte* given)
    {
        const int Delete = 2;
        if (given is null && operation != Delete)
        {
            return Result.Fail(Errno.EFAULT);
        }

        if (Files[descriptor] is not { } file)
        {
            return Result.Fail(Errno.EBADF);
        }

        (uint events, ulong data) = given is null ? default : EpollEvent.Read(given);
        return On(epoll, (operation, descriptor, file, events, data), static (instance, a) =>
            instance is EpollFile of ? of.Control(a.operation, a.descriptor, a.file, a.events, a.data) : Result.Fail(Errno.EINVAL));
    }

    public static int EpollWait(int epoll, byte* events, int most, int milliseconds) => events is null
        ? Result.Fail(Errno.EFAULT)
        : On(epoll, (Events: (nint)events, most, milliseconds), static (instance, a) => instance is EpollFile of
            ? of.Wait(a.most, a.milliseconds, (index, found, data) => EpollEvent.Write((byte*)a.Events, index, found, data))
            : Result.Fail(Errno.EINVAL));

    public static int Pipe(NativeStack? stack, int* descriptors, int flags)
    {
        if (stack is null || (flags & ~(NonBlock | CloseOnExec)) != 0)
        {
            return Result.Fail(Errno.EINVAL);
        }

        if (descriptors is null)
        {
            return Result.Fail(Errno.EFAULT);
        }

        return Within(stack.Pace, (stack, Descriptors: (nint)descriptors, flags), static a =>
        {
            (PipeFile reader, PipeFile writer) = PipeFile.Make(a.stack.Pace);
            reader.NonBlocking = writer.NonBlocking = (a.flags & NonBlock) != 0;
            int first = Files.Add(reader);
            int second = first < 0 ? first : Files.Add(writer);
            if (second < 0)
            {
                _ = first < 0 ? 0 : Files.Close(first);
                return second;
            }

            ((int*)a.Descriptors)[0] = first;
            ((int*)a.Descriptors)[1] = second;
            return 0;
        });
    }

    /// <summary>splice: between a socket and a pipe. Neither has offsets; one that is given must be null, or 0 as packetdrill writes it.</summary>
    public static int Splice(int from, long* fromOffset, int to, long* toOffset, nuint length, uint flags)
    {
        if ((fromOffset is not null && *fromOffset != 0) || (toOffset is not null && *toOffset != 0))
        {
            return Result.Fail(Errno.ESPIPE);
        }

        if (Files[to] is not { } target)
        {
            return Result.Fail(Errno.EBADF);
        }

        return On(from, (target, Most: (int)Math.Min(length, int.MaxValue), flags), static (source, a) => PipeFile.Splice(source, a.target, a.Most, a.flags));
    }

    /// <summary>sendfile: from a file of the kernel's into a socket.</summary>
    public static int SendFile(int to, int from, long* offset, nuint count) => OnSocket(to, (from, Offset: (nint)offset, Count: (int)Math.Min(count, int.MaxValue)), static (socket, a) =>
    {
        var given = (long*)a.Offset;
        if (Files[a.from] is not null)
        {
            return Result.Fail(Errno.EINVAL);
        }

        long start = given is null ? Libc.Position(a.from) : *given;
        if (start < 0)
        {
            return given is null ? (int)start : Result.Fail(Errno.EINVAL);
        }

        int result = socket.SendFile((buffer, position) => (int)Libc.ReadAt(a.from, buffer, position), ref start, a.Count);
        if (given is null)
        {
            Libc.SetPosition(a.from, start);
        }
        else
        {
            *given = start;
        }

        return result;
    });

    private static readonly RealPace Idle = new();

    private static int Wrong(IoVector* vectors, int count) =>
        count is < 0 or > IoVectors.Most ? Result.Fail(Errno.EINVAL) : vectors is null && count > 0 ? Result.Fail(Errno.EFAULT) : 0;

    private static int WrongMessage(MessageHeader* message) => message is null
        ? Result.Fail(Errno.EFAULT)
        : message->VectorCount > IoVectors.Most ? Result.Fail(Errno.EMSGSIZE) : Wrong(message->Vectors, (int)message->VectorCount);
}
