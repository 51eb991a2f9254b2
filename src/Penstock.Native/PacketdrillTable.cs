using System.Runtime.InteropServices;
using Penstock.Bsd;

namespace Penstock.Native;

/// <summary>
/// packetdrill's interface to a stack in a shared object: a table of functions with its user data first, which it asks for by <c>packetdrill_interface_init</c>. Time is virtual
/// unless the flags say otherwise.
/// </summary>
internal static unsafe class PacketdrillTable
{
    private static NativeStack _stack = null!;

    [UnmanagedCallersOnly(EntryPoint = "packetdrill_interface_init")]
    private static void Init(byte* flags, void** table)
    {
        string text = Marshal.PtrToStringUTF8((nint)flags) ?? "";
        // Patience beyond the two hours of keepalive: in virtual time it costs nothing.
        string defaults = "time=virtual,link=packets,procfs=1,patience=10800"
            + (text.Contains("address=", StringComparison.Ordinal) ? "" : ",address=192.168.0.1/16")
            + (text.Contains("route=", StringComparison.Ordinal) ? "" : ",route=default");
#pragma warning disable CA1031 // packetdrill cannot be told: without a stack there is no run.
        try
        {
            _stack = NativeStack.Open($"{defaults},{text}");
        }
        catch (Exception error)
        {
            Errors.Log($"--so_flags={text}: {error.Message}", always: true);
            Environment.Exit(1);
        }
#pragma warning restore CA1031

        table[0] = null;
        table[1] = (delegate* unmanaged<void*, void>)&Free;
        table[2] = (delegate* unmanaged<void*, int, int, int, int>)&Socket;
        table[3] = (delegate* unmanaged<void*, int, byte*, uint, int>)&Bind;
        table[4] = (delegate* unmanaged<void*, int, int, int>)&Listen;
        table[5] = (delegate* unmanaged<void*, int, byte*, uint*, int>)&Accept;
        table[6] = (delegate* unmanaged<void*, int, byte*, uint, int>)&Connect;
        table[7] = (delegate* unmanaged<void*, int, byte*, nuint, nint>)&Read;
        table[8] = (delegate* unmanaged<void*, int, IoVector*, int, nint>)&ReadVectors;
        table[9] = (delegate* unmanaged<void*, int, byte*, nuint, int, nint>)&Receive;
        table[10] = (delegate* unmanaged<void*, int, byte*, nuint, int, byte*, uint*, nint>)&ReceiveFrom;
        table[11] = (delegate* unmanaged<void*, int, MessageHeader*, int, nint>)&ReceiveMessage;
        table[12] = (delegate* unmanaged<void*, int, byte*, nuint, nint>)&Write;
        table[13] = (delegate* unmanaged<void*, int, IoVector*, int, nint>)&WriteVectors;
        table[14] = (delegate* unmanaged<void*, int, byte*, nuint, int, nint>)&Send;
        table[15] = (delegate* unmanaged<void*, int, byte*, nuint, int, byte*, uint, nint>)&SendTo;
        table[16] = (delegate* unmanaged<void*, int, MessageHeader*, int, nint>)&SendMessage;
        table[17] = (delegate* unmanaged<void*, int, int, nint, int>)&Control;
        table[18] = (delegate* unmanaged<void*, int, ulong, int*, int>)&DeviceControl;
        table[19] = (delegate* unmanaged<void*, int, int>)&Close;
        table[20] = (delegate* unmanaged<void*, int, int, int>)&Shutdown;
        table[21] = (delegate* unmanaged<void*, int, int, int, byte*, uint*, int>)&GetOption;
        table[22] = (delegate* unmanaged<void*, int, int, int, byte*, uint, int>)&SetOption;
        table[23] = (delegate* unmanaged<void*, PollDescriptor*, ulong, int, int>)&Poll;
        table[24] = (delegate* unmanaged<void*, byte*, nuint, int>)&NetdevSend;
        table[25] = (delegate* unmanaged<void*, byte*, nuint*, long*, int>)&NetdevReceive;
        table[26] = (delegate* unmanaged<void*, uint, int>)&Sleep;
        table[27] = (delegate* unmanaged<void*, long*, void*, int>)&TimeOfDay;
        table[28] = (delegate* unmanaged<void*, int, int>)&EpollCreate;
        table[29] = (delegate* unmanaged<void*, int, int, int, byte*, int>)&EpollControl;
        table[30] = (delegate* unmanaged<void*, int, byte*, int, int, int>)&EpollWait;
        table[31] = (delegate* unmanaged<void*, int*, int>)&Pipe;
        table[32] = (delegate* unmanaged<void*, int, long*, int, long*, nuint, uint, nint>)&Splice;

        // packetdrill's assertions call the C library's getsockopt, and it has no slot for sendfile; the shim, when it is preloaded, sends those for our descriptors here.
        var set = (delegate* unmanaged<void*, void*, void>)Libc.FindGlobal("penstock_shim_set");
        if (set is not null)
        {
            set((delegate* unmanaged<int, int, int, byte*, uint*, int*, int>)&HookedGetOption, (delegate* unmanaged<int, int, long*, nuint, int*, nint>)&HookedSendFile);
        }
    }

    [UnmanagedCallersOnly]
    private static void Free(void* data)
    {
        // The process ends, and the descriptors that are left were closed behind our back: nothing is to be given back.
    }

    [UnmanagedCallersOnly]
    private static int HookedGetOption(int fd, int level, int name, byte* value, uint* length, int* handled)
    {
        if (Calls.Files[fd] is null)
        {
            return 0;
        }

        *handled = 1;
        return Exports.Return(Calls.GetOption(fd, level, name, value, length));
    }

    [UnmanagedCallersOnly]
    private static nint HookedSendFile(int to, int from, long* offset, nuint count, int* handled)
    {
        if (Calls.Files[to] is null)
        {
            return 0;
        }

        *handled = 1;
        return Exports.Return(Calls.SendFile(to, from, offset, count));
    }

    [UnmanagedCallersOnly]
    private static int Socket(void* data, int domain, int type, int protocol) => Exports.Return(Calls.Socket(_stack, domain, type, protocol));

    [UnmanagedCallersOnly]
    private static int Bind(void* data, int fd, byte* address, uint length) => Exports.Return(Calls.Bind(fd, address, length));

    [UnmanagedCallersOnly]
    private static int Listen(void* data, int fd, int backlog) => Exports.Return(Calls.Listen(fd, backlog));

    [UnmanagedCallersOnly]
    private static int Accept(void* data, int fd, byte* address, uint* length) => Exports.Return(Calls.Accept(fd, address, length, 0));

    [UnmanagedCallersOnly]
    private static int Connect(void* data, int fd, byte* address, uint length) => Exports.Return(Calls.Connect(fd, address, length));

    [UnmanagedCallersOnly]
    private static nint Read(void* data, int fd, byte* buffer, nuint length) => Exports.Return(Calls.Read(fd, buffer, length));

    [UnmanagedCallersOnly]
    private static nint ReadVectors(void* data, int fd, IoVector* vectors, int count) => Exports.Return(Calls.ReadVectors(fd, vectors, count));

    [UnmanagedCallersOnly]
    private static nint Receive(void* data, int fd, byte* buffer, nuint length, int flags) => Exports.Return(Calls.Receive(fd, buffer, length, flags, null, null));

    [UnmanagedCallersOnly]
    private static nint ReceiveFrom(void* data, int fd, byte* buffer, nuint length, int flags, byte* address, uint* addressLength) =>
        Exports.Return(Calls.Receive(fd, buffer, length, flags, address, addressLength));

    [UnmanagedCallersOnly]
    private static nint ReceiveMessage(void* data, int fd, MessageHeader* message, int flags) => Exports.Return(Calls.ReceiveMessage(fd, message, flags));

    [UnmanagedCallersOnly]
    private static nint Write(void* data, int fd, byte* buffer, nuint length) => Exports.Return(Calls.Write(fd, buffer, length));

    [UnmanagedCallersOnly]
    private static nint WriteVectors(void* data, int fd, IoVector* vectors, int count) => Exports.Return(Calls.WriteVectors(fd, vectors, count));

    [UnmanagedCallersOnly]
    private static nint Send(void* data, int fd, byte* buffer, nuint length, int flags) => Exports.Return(Calls.Send(fd, buffer, length, flags));

    [UnmanagedCallersOnly]
    private static nint SendTo(void* data, int fd, byte* buffer, nuint length, int flags, byte* address, uint addressLength) =>
        Exports.Return(Calls.Send(fd, buffer, length, flags));

    [UnmanagedCallersOnly]
    private static nint SendMessage(void* data, int fd, MessageHeader* message, int flags) => Exports.Return(Calls.SendMessage(fd, message, flags));

    [UnmanagedCallersOnly]
    private static int Control(void* data, int fd, int command, nint argument) => Exports.Return(Calls.Control(fd, command, argument));

    [UnmanagedCallersOnly]
    private static int DeviceControl(void* data, int fd, ulong request, int* argument) => Exports.Return(Calls.DeviceControl(fd, request, argument));

    [UnmanagedCallersOnly]
    private static int Close(void* data, int fd) => Exports.Return(Calls.Close(fd));

    [UnmanagedCallersOnly]
    private static int Shutdown(void* data, int fd, int how) => Exports.Return(Calls.Shutdown(fd, how));

    [UnmanagedCallersOnly]
    private static int GetOption(void* data, int fd, int level, int name, byte* value, uint* length) => Exports.Return(Calls.GetOption(fd, level, name, value, length));

    [UnmanagedCallersOnly]
    private static int SetOption(void* data, int fd, int level, int name, byte* value, uint length) => Exports.Return(Calls.SetOption(fd, level, name, value, length));

    [UnmanagedCallersOnly]
    private static int Poll(void* data, PollDescriptor* entries, ulong count, int milliseconds) => Exports.Return(Calls.Poll(entries, count, milliseconds));

    [UnmanagedCallersOnly]
    private static int NetdevSend(void* data, byte* packet, nuint length) => Exports.Return(Stacks.Inject(_stack, packet, length));

    [UnmanagedCallersOnly]
    private static int NetdevReceive(void* data, byte* packet, nuint* length, long* time)
    {
        // A length of 0 ends the script; -1 would have it ask again for ever.
        int taken = Stacks.Take(_stack, packet, *length, null, time);
        *length = (nuint)Math.Max(0, taken);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static int Sleep(void* data, uint microseconds) => Exports.Return(Stacks.Sleep(_stack, microseconds));

    [UnmanagedCallersOnly]
    private static int TimeOfDay(void* data, long* time, void* zone)
    {
        long micros = _stack.ReadClock() / 1000;
        time[0] = micros / 1_000_000;
        time[1] = micros % 1_000_000;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static int EpollCreate(void* data, int size) => Exports.Return(Calls.EpollCreate(_stack, 0));

    [UnmanagedCallersOnly]
    private static int EpollControl(void* data, int epoll, int operation, int fd, byte* given) => Exports.Return(Calls.EpollControl(epoll, operation, fd, given));

    [UnmanagedCallersOnly]
    private static int EpollWait(void* data, int epoll, byte* events, int most, int milliseconds) => Exports.Return(Calls.EpollWait(epoll, events, most, milliseconds));

    [UnmanagedCallersOnly]
    private static int Pipe(void* data, int* descriptors) => Exports.Return(Calls.Pipe(_stack, descriptors, 0));

    [UnmanagedCallersOnly]
    private static nint Splice(void* data, int from, long* fromOffset, int to, long* toOffset, nuint length, uint flags) =>
        Exports.Return(Calls.Splice(from, fromOffset, to, toOffset, length, flags));
}
