using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Penstock.Tun.Tests;

/// <summary>
/// A pair of connected sockets that keep packet boundaries: one end is handed to a link as if it were a device, the other is where the
/// test writes and reads whatever bytes it likes. Needs no privileges.
/// </summary>
internal sealed unsafe partial class VirtualDevice : IDisposable
{
    private const int FamilyUnix = 1;
    private const int SequencedCloseOnExec = 5 | 0x80000;
    private readonly SafeFileHandle _far;

    public VirtualDevice()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "A link over a descriptor works on Linux only.");
        int* ends = stackalloc int[2];
        Assert.Equal(0, SocketPair(FamilyUnix, SequencedCloseOnExec, 0, ends));
        Near = new SafeFileHandle(ends[0], ownsHandle: true);
        _far = new SafeFileHandle(ends[1], ownsHandle: true);
    }

    /// <summary>The end for the link, which then owns it.</summary>
    public SafeFileHandle Near { get; }

    public void Write(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes)
        {
            Assert.Equal(bytes.Length, Write((int)_far.DangerousGetHandle(), start, (nuint)bytes.Length));
        }
    }

    public byte[] Read()
    {
        byte[] bytes = new byte[70_000];
        fixed (byte* start = bytes)
        {
            nint count = Read((int)_far.DangerousGetHandle(), start, (nuint)bytes.Length);
            Assert.True(count >= 0);
            return bytes[..(int)count];
        }
    }

    public void Dispose()
    {
        _far.Dispose();
        Near.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "socketpair")]
    private static partial int SocketPair(int family, int type, int protocol, int* ends);

    [LibraryImport("libc", EntryPoint = "write")]
    private static partial nint Write(int descriptor, byte* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "read")]
    private static partial nint Read(int descriptor, byte* buffer, nuint count);
}
