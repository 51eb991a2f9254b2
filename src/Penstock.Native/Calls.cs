using System.Net;
using Penstock.Bsd;
using Penstock.Sockets;

namespace Penstock.Native;

/// <summary>
/// The calls with a C program's arguments: finds the descriptor's file, enters its clock, and keeps every exception inside. Results are the kernel's: a negative error number is a
/// failure. What libpenstock exports and packetdrill's table are both made of these.
/// </summary>
internal static unsafe partial class Calls
{
    public const int NonBlock = OpenFile.NonBlockFlag, CloseOnExec = 0x80000;

    public static DescriptorTable Files { get; } = new(Libc.OpenNull, descriptor => _ = Libc.Close(descriptor));

    public static int Socket(NativeStack? stack, int domain, int type, int protocol)
    {
        const int Stream = 1, Tcp = 6;
        if (stack is null)
        {
            return Result.Fail(Errno.EINVAL);
        }

        if (domain != SocketAddressIn.Inet)
        {
            return Result.Fail(Errno.EAFNOSUPPORT);
        }

        if ((type & ~(NonBlock | CloseOnExec)) != Stream)
        {
            return Result.Fail(Errno.ESOCKTNOSUPPORT);
        }

        return protocol is 0 or Tcp
            ? Within(stack.Pace, (stack, type), static a => Files.Add(a.stack.MakeSocket((a.type & NonBlock) != 0)))
            : Result.Fail(Errno.EPROTONOSUPPORT);
    }

    public static int Bind(int descriptor, byte* address, uint length) => SocketAddressIn.Read(address, length, out IPEndPoint? local) is var wrong and not 0
        ? wrong
        : local is null ? Result.Fail(Errno.EAFNOSUPPORT) : OnSocket(descriptor, local, static (socket, a) => socket.Bind(a));

    public static int Listen(int descriptor, int backlog) => OnSocket(descriptor, backlog, static (socket, most) => socket.Listen(most));

    public static int Accept(int descriptor, byte* address, uint* length, int flags) => (flags & ~(NonBlock | CloseOnExec)) != 0
        ? Result.Fail(Errno.EINVAL)
        : OnSocket(descriptor, (Address: (nint)address, Length: (nint)length, flags), static (socket, a) =>
        {
            int result = socket.Accept((a.flags & NonBlock) != 0, out SocketFile? accepted);
            if (result < 0)
            {
                return result;
            }

            if (accepted!.RemoteEndPoint is { } remote)
            {
                SocketAddressIn.Write(remote, (byte*)a.Address, (uint*)a.Length);
            }

            int given = Files.Add(accepted);
            if (given < 0)
            {
                accepted.Close();
            }

            return given;
        });

    public static int Connect(int descriptor, byte* address, uint length) => SocketAddressIn.Read(address, length, out IPEndPoint? remote) is var wrong and not 0
        ? wrong
        : OnSocket(descriptor, remote, static (socket, to) => to is null ? socket.Disconnect() : socket.Connect(to));

    public static int Shutdown(int descriptor, int how) => OnSocket(descriptor, how, static (socket, half) => socket.Shutdown(half));

    public static int Close(int descriptor) => On(descriptor, descriptor, static (_, number) => Files.Close(number));

    public static int LocalName(int descriptor, byte* address, uint* length) => address is null || length is null
        ? Result.Fail(Errno.EFAULT)
        : OnSocket(descriptor, (Address: (nint)address, Length: (nint)length), static (socket, a) =>
        {
            SocketAddressIn.Write(socket.LocalEndPoint, (byte*)a.Address, (uint*)a.Length);
            return 0;
        });

    public static int PeerName(int descriptor, byte* address, uint* length) => address is null || length is null
        ? Result.Fail(Errno.EFAULT)
        : OnSocket(descriptor, (Address: (nint)address, Length: (nint)length), static (socket, a) =>
        {
            if (socket.RemoteEndPoint is not { } remote)
            {
                return Result.Fail(Errno.ENOTCONN);
            }

            SocketAddressIn.Write(remote, (byte*)a.Address, (uint*)a.Length);
            return 0;
        });

    public static int SetOption(int descriptor, int level, int name, byte* value, uint length) => value is null && length > 0
        ? Result.Fail(Errno.EFAULT)
        : OnSocket(descriptor, (level, name, Value: (nint)value, length), static (socket, a) =>
            socket.SetOption(a.level, a.name, new ReadOnlySpan<byte>((byte*)a.Value, (int)Math.Min(a.length, 4096))));

    public static int GetOption(int descriptor, int level, int name, byte* value, uint* length) => value is null || length is null
        ? Result.Fail(Errno.EFAULT)
        : OnSocket(descriptor, (level, name, Value: (nint)value, Length: (nint)length), static (socket, a) =>
        {
            var size = (uint*)a.Length;
            int written = socket.GetOption(a.level, a.name, new Span<byte>((byte*)a.Value, (int)Math.Min(*size, 4096)));
            if (written < 0)
            {
                return written;
            }

            *size = (uint)written;
            return 0;
        });

    /// <summary>fcntl: the flags of the descriptor and of the file, and duplicates.</summary>
    public static int Control(int descriptor, int command, long argument) => On(descriptor, (descriptor, command, argument), static (file, a) =>
    {
        const int Duplicate = 0, GetDescriptorFlags = 1, SetDescriptorFlags = 2, GetFlags = 3, SetFlags = 4, DuplicateCloseOnExec = 1030;
        switch (a.command)
        {
            case Duplicate or DuplicateCloseOnExec:
                return Files.Duplicate(a.descriptor);
            case GetDescriptorFlags:
                // The null device behind it is opened so, and a program that is executed would find nothing else there.
                return 1;
            case SetDescriptorFlags:
                return 0;
            case GetFlags:
                return file.StatusFlags;
            case SetFlags:
                file.StatusFlags = (int)a.argument;
                return 0;
            default:
                return Result.Fail(Errno.EINVAL);
        }
    });

    public static int DeviceControl(int descriptor, ulong request, int* argument) => On(descriptor, (request, Argument: (nint)argument), static (file, a) =>
        a.Argument == 0 ? Result.Fail(Errno.EFAULT) : file.Control(a.request, ref *(int*)a.Argument));

    /// <summary>Runs a call on a descriptor's file: in its clock, with every exception turned into an error number.</summary>
    private static int On<T>(int descriptor, T arguments, Func<OpenFile, T, int> call)
    {
        if (Files[descriptor] is not { } file)
        {
            return Result.Fail(Errno.EBADF);
        }

#pragma warning disable CA1031 // No managed exception may reach a C caller: it would end the process.
        try
        {
            file.Pace.Enter();
            try
            {
                return call(file, arguments);
            }
            finally
            {
                file.Pace.Exit();
            }
        }
        catch (Exception error)
        {
            return Errors.Note(error);
        }
#pragma warning restore CA1031
    }

    private static int OnSocket<T>(int descriptor, T arguments, Func<SocketFile, T, int> call) =>
        On(descriptor, (arguments, call), static (file, a) => file is SocketFile socket ? a.call(socket, a.arguments) : Result.Fail(Errno.ENOTSOCK));

    private static int Within<T>(Pace pace, T arguments, Func<T, int> call)
    {
#pragma warning disable CA1031 // As above.
        try
        {
            pace.Enter();
            try
            {
                return call(arguments);
            }
            finally
            {
                pace.Exit();
            }
        }
        catch (Exception error)
        {
            return Errors.Note(error);
        }
#pragma warning restore CA1031
    }
}
