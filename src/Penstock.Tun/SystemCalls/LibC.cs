using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

[assembly: DisableRuntimeMarshalling]

namespace Penstock.SystemCalls;

/// <summary>
/// The system calls of this project, all of them blittable. The error number of a call that failed is fetched with
/// <see cref="Marshal.GetLastSystemError"/> right after it. Blocking calls are ordinary ones: suppressing the GC transition saves
/// nothing measurable and would stop the collector while they wait.
/// </summary>
internal static unsafe partial class LibC
{
    private const string Library = "libc";

    [LibraryImport(Library, EntryPoint = "open")]
    public static partial int Open(byte* path, int flags);

    [LibraryImport(Library, EntryPoint = "socket")]
    public static partial int Socket(int family, int type, int protocol);

    [LibraryImport(Library, EntryPoint = "read")]
    public static partial nint Read(int descriptor, void* buffer, nuint count);

    [LibraryImport(Library, EntryPoint = "write")]
    public static partial nint Write(int descriptor, void* buffer, nuint count);

    [LibraryImport(Library, EntryPoint = "writev")]
    public static partial nint WriteVector(int descriptor, IoVector* vectors, int count);

    [LibraryImport(Library, EntryPoint = "ioctl")]
    public static partial int IoControl(int descriptor, nuint request, void* argument);

    [LibraryImport(Library, EntryPoint = "ioctl")]
    public static partial int IoControl(int descriptor, nuint request, nuint argument);

    [LibraryImport(Library, EntryPoint = "fcntl")]
    public static partial int FileControl(int descriptor, int command, nint argument);

    [LibraryImport(Library, EntryPoint = "eventfd")]
    public static partial int EventDescriptor(uint initial, int flags);

    [LibraryImport(Library, EntryPoint = "ppoll")]
    public static partial int Poll(PollEntry* entries, nuint count, TimeSpec* timeout, void* signalMask);

    [LibraryImport(Library, EntryPoint = "prctl")]
    public static partial int ThreadControl(int option, nuint argument, nuint unused3, nuint unused4, nuint unused5);
}

/// <summary><c>struct iovec</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct IoVector
{
    public void* Address;
    public nuint Length;
}

/// <summary><c>struct pollfd</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PollEntry
{
    public const short Input = 0x1;
    public const short Error = 0x8;
    public const short HangUp = 0x10;
    public const short Invalid = 0x20;

    public int Descriptor;
    public short Wanted;
    public short Seen;
}

/// <summary><c>struct timespec</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct TimeSpec
{
    public nint Seconds;
    public nint Nanos;
}

/// <summary>Linux's error numbers that are told apart here; they are the same on every architecture .NET runs on.</summary>
internal static class ErrorNumber
{
    public const int OperationNotPermitted = 1;
    public const int NoEntry = 2;
    public const int Interrupted = 4;
    public const int Input = 5;
    public const int NoSuchAddress = 6;
    public const int BadDescriptor = 9;
    public const int TryAgain = 11;
    public const int AccessDenied = 13;
    public const int Busy = 16;
    public const int NoDevice = 19;
    public const int InvalidArgument = 22;
    public const int BrokenPipe = 32;
    public const int BadDescriptorState = 77;
    public const int ConnectionReset = 104;
    public const int NotConnected = 107;
    public const int ConnectionRefused = 111;
}

/// <summary>Flags and request codes of the calls in <see cref="LibC"/>, as Linux's headers define them.</summary>
internal static class Constants
{
    public const int OpenReadWrite = 2;
    public const int OpenNonBlocking = 0x800;
    public const int OpenCloseOnExec = 0x80000;

    public const int FileGetFlags = 3;
    public const int FileSetFlags = 4;

    public const int FamilyInternet = 2;
    public const int SocketDatagramCloseOnExec = 2 | 0x80000;

    public const int EventNonBlockingCloseOnExec = 0x800 | 0x80000;

    public const int SetTimerSlack = 29;

    // linux/if_tun.h
    public const nuint TunSetInterface = 0x4004_54CA;
    public const nuint TunSetPersist = 0x4004_54CB;
    public const nuint TunSetOffload = 0x4004_54D0;
    public const nuint TunSetHeaderSize = 0x4004_54D8;

    public const short InterfaceTun = 0x0001;
    public const short InterfaceNoPacketInformation = 0x1000;
    public const short InterfaceVirtioHeader = 0x4000;
    public const short InterfaceMultiQueue = 0x0100;

    public const nuint OffloadChecksum = 1;
    public const nuint OffloadTcp4 = 2;

    // linux/sockios.h
    public const nuint GetInterfaceFlags = 0x8913;
    public const nuint SetInterfaceFlags = 0x8914;
    public const nuint GetInterfaceAddress = 0x8915;
    public const nuint SetInterfaceAddress = 0x8916;
    public const nuint GetInterfaceNetmask = 0x891B;
    public const nuint SetInterfaceNetmask = 0x891C;
    public const nuint GetInterfaceMtu = 0x8921;
    public const nuint SetInterfaceMtu = 0x8922;
    public const nuint GetInterfaceQueueLength = 0x8942;
    public const nuint SetInterfaceQueueLength = 0x8943;

    public const short InterfaceUp = 0x1;
}
