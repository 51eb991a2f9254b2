using System.Runtime.InteropServices;
using Penstock.Bsd;
using Penstock.Sockets;

namespace Penstock.Native;

/// <summary>What include/penstock.h declares: the calls in the C way, with -1 and errno.</summary>
internal static unsafe class Exports
{
    /// <summary>Turns the kernel's kind of result into the C library's.</summary>
    internal static int Return(int result)
    {
        if (result >= 0)
        {
            return result;
        }

        Marshal.SetLastSystemError(-result);
        return -1;
    }

    [UnmanagedCallersOnly(EntryPoint = "penstock_stack_open")]
    private static nint StackOpen(byte* text) => Stacks.Open(text);

    [UnmanagedCallersOnly(EntryPoint = "penstock_stack_close")]
    private static int StackClose(nint stack) => Return(Stacks.Close(stack));

    [UnmanagedCallersOnly(EntryPoint = "penstock_error")]
    private static byte* Error() => Errors.Message;

    [UnmanagedCallersOnly(EntryPoint = "penstock_sysctl_set")]
    private static int SysctlSet(nint stack, byte* key, byte* value) => Return(Stacks.SetSetting(stack, key, value));

    [UnmanagedCallersOnly(EntryPoint = "penstock_sysctl_get")]
    private static int SysctlGet(nint stack, byte* key, byte* value, nuint size) => Return(Stacks.GetSetting(stack, key, value, size));

    [UnmanagedCallersOnly(EntryPoint = "penstock_sleep")]
    private static int Sleep(nint stack, ulong microseconds) => Return(Stacks.Sleep(stack, microseconds));

    [UnmanagedCallersOnly(EntryPoint = "penstock_time")]
    private static long Time(nint stack) => Stacks.ReadClock(stack) / 1000;

    [UnmanagedCallersOnly(EntryPoint = "penstock_netdev_send")]
    private static int NetdevSend(nint stack, byte* packet, nuint length) => Return(Stacks.Inject(Stacks.Find(stack), packet, length));

    [UnmanagedCallersOnly(EntryPoint = "penstock_netdev_receive")]
    private static int NetdevReceive(nint stack, byte* packet, nuint size, long microseconds, long* time) =>
        Return(Stacks.Take(Stacks.Find(stack), packet, size, microseconds < 0 ? null : microseconds, time));

    [UnmanagedCallersOnly(EntryPoint = "penstock_socket")]
    private static int Socket(nint stack, int domain, int type, int protocol) => Return(Calls.Socket(Stacks.Find(stack), domain, type, protocol));

    [UnmanagedCallersOnly(EntryPoint = "penstock_bind")]
    private static int Bind(int fd, byte* address, uint length) => Return(Calls.Bind(fd, address, length));

    [UnmanagedCallersOnly(EntryPoint = "penstock_listen")]
    private static int Listen(int fd, int backlog) => Return(Calls.Listen(fd, backlog));

    [UnmanagedCallersOnly(EntryPoint = "penstock_accept")]
    private static int Accept(int fd, byte* address, uint* length) => Return(Calls.Accept(fd, address, length, 0));

    [UnmanagedCallersOnly(EntryPoint = "penstock_accept4")]
    private static int Accept4(int fd, byte* address, uint* length, int flags) => Return(Calls.Accept(fd, address, length, flags));

    [UnmanagedCallersOnly(EntryPoint = "penstock_connect")]
    private static int Connect(int fd, byte* address, uint length) => Return(Calls.Connect(fd, address, length));

    [UnmanagedCallersOnly(EntryPoint = "penstock_getsockname")]
    private static int LocalName(int fd, byte* address, uint* length) => Return(Calls.LocalName(fd, address, length));

    [UnmanagedCallersOnly(EntryPoint = "penstock_getpeername")]
    private static int PeerName(int fd, byte* address, uint* length) => Return(Calls.PeerName(fd, address, length));

    [UnmanagedCallersOnly(EntryPoint = "penstock_read")]
    private static nint Read(int fd, byte* buffer, nuint length) => Return(Calls.Read(fd, buffer, length));

    [UnmanagedCallersOnly(EntryPoint = "penstock_readv")]
    private static nint ReadVectors(int fd, IoVector* vectors, int count) => Return(Calls.ReadVectors(fd, vectors, count));

    [UnmanagedCallersOnly(EntryPoint = "penstock_recv")]
    private static nint Receive(int fd, byte* buffer, nuint length, int flags) => Return(Calls.Receive(fd, buffer, length, flags, null, null));

    [UnmanagedCallersOnly(EntryPoint = "penstock_recvfrom")]
    private static nint ReceiveFrom(int fd, byte* buffer, nuint length, int flags, byte* address, uint* addressLength) =>
        Return(Calls.Receive(fd, buffer, length, flags, address, addressLength));

    [UnmanagedCallersOnly(EntryPoint = "penstock_recvmsg")]
    private static nint ReceiveMessage(int fd, MessageHeader* message, int flags) => Return(Calls.ReceiveMessage(fd, message, flags));

    [UnmanagedCallersOnly(EntryPoint = "penstock_write")]
    private static nint Write(int fd, byte* buffer, nuint length) => Return(Calls.Write(fd, buffer, length));

    [UnmanagedCallersOnly(EntryPoint = "penstock_writev")]
    private static nint WriteVectors(int fd, IoVector* vectors, int count) => Return(Calls.WriteVectors(fd, vectors, count));

    [UnmanagedCallersOnly(EntryPoint = "penstock_send")]
    private static nint Send(int fd, byte* buffer, nuint length, int flags) => Return(Calls.Send(fd, buffer, length, flags));

    [UnmanagedCallersOnly(EntryPoint = "penstock_sendto")]
    private static nint SendTo(int fd, byte* buffer, nuint length, int flags, byte* address, uint addressLength) => Return(Calls.Send(fd, buffer, length, flags));

    [UnmanagedCallersOnly(EntryPoint = "penstock_sendmsg")]
    private static nint SendMessage(int fd, MessageHeader* message, int flags) => Return(Calls.SendMessage(fd, message, flags));

    [UnmanagedCallersOnly(EntryPoint = "penstock_fcntl")]
    private static int Control(int fd, int command, long argument) => Return(Calls.Control(fd, command, argument));

    [UnmanagedCallersOnly(EntryPoint = "penstock_ioctl")]
    private static int DeviceControl(int fd, ulong request, int* argument) => Return(Calls.DeviceControl(fd, request, argument));

    [UnmanagedCallersOnly(EntryPoint = "penstock_getsockopt")]
    private static int GetOption(int fd, int level, int name, byte* value, uint* length) => Return(Calls.GetOption(fd, level, name, value, length));

    [UnmanagedCallersOnly(EntryPoint = "penstock_setsockopt")]
    private static int SetOption(int fd, int level, int name, byte* value, uint length) => Return(Calls.SetOption(fd, level, name, value, length));

    [UnmanagedCallersOnly(EntryPoint = "penstock_shutdown")]
    private static int Shutdown(int fd, int how) => Return(Calls.Shutdown(fd, how));

    [UnmanagedCallersOnly(EntryPoint = "penstock_close")]
    private static int Close(int fd) => Return(Calls.Close(fd));

    [UnmanagedCallersOnly(EntryPoint = "penstock_poll")]
    private static int Poll(PollDescriptor* entries, ulong count, int milliseconds) => Return(Calls.Poll(entries, count, milliseconds));

    [UnmanagedCallersOnly(EntryPoint = "penstock_epoll_create1")]
    private static int EpollCreate(nint stack, int flags) => Return(Calls.EpollCreate(Stacks.Find(stack), flags));

    [UnmanagedCallersOnly(EntryPoint = "penstock_epoll_ctl")]
    private static int EpollControl(int epoll, int operation, int fd, byte* given) => Return(Calls.EpollControl(epoll, operation, fd, given));

    [UnmanagedCallersOnly(EntryPoint = "penstock_epoll_wait")]
    private static int EpollWait(int epoll, byte* events, int most, int milliseconds) => Return(Calls.EpollWait(epoll, events, most, milliseconds));

    [UnmanagedCallersOnly(EntryPoint = "penstock_pipe2")]
    private static int Pipe(nint stack, int* descriptors, int flags) => Return(Calls.Pipe(Stacks.Find(stack), descriptors, flags));

    [UnmanagedCallersOnly(EntryPoint = "penstock_splice")]
    private static nint Splice(int from, long* fromOffset, int to, long* toOffset, nuint length, uint flags) =>
        Return(Calls.Splice(from, fromOffset, to, toOffset, length, flags));

    [UnmanagedCallersOnly(EntryPoint = "penstock_sendfile")]
    private static nint SendFile(int to, int from, long* offset, nuint count) => Return(Calls.SendFile(to, from, offset, count));
}
