using System.Runtime.InteropServices;
using Penstock.Bsd;

namespace Penstock.Native;

/// <summary>The few calls of the C library that descriptors and the shim need.</summary>
internal static unsafe partial class Libc
{
    private const int ReadWrite = 2, CloseOnExec = 0x80000;

    /// <summary>A real descriptor that does nothing: it makes the number ours, and lets a close that is not ours succeed.</summary>
    public static int OpenNull()
    {
        int descriptor = Open("/dev/null", ReadWrite | CloseOnExec);
        return descriptor >= 0 ? descriptor : -Marshal.GetLastPInvokeError();
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "close")]
    public static partial int Close(int descriptor);

    /// <summary>Reads a file at a place; less than 0: a negative error number.</summary>
    public static nint ReadAt(int descriptor, Span<byte> buffer, long offset)
    {
        fixed (byte* address = buffer)
        {
            nint read = ReadAt(descriptor, address, (nuint)buffer.Length, offset);
            return read >= 0 ? read : -Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>Where a file's next read would be, or a negative error number.</summary>
    public static long Position(int descriptor)
    {
        const int Current = 1;
        long at = Seek(descriptor, 0, Current);
        return at >= 0 ? at : -Marshal.GetLastPInvokeError();
    }

    public static void SetPosition(int descriptor, long offset) => _ = Seek(descriptor, offset, 0);

    [LibraryImport("libc", EntryPoint = "pread", SetLastError = true)]
    private static partial nint ReadAt(int descriptor, byte* buffer, nuint length, long offset);

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    private static partial long Seek(int descriptor, long offset, int from);

    [LibraryImport("libc", EntryPoint = "dlsym", StringMarshalling = StringMarshalling.Utf8)]
    private static partial void* Find(void* handle, string name);

    /// <summary>A symbol of whatever is loaded globally, as a preloaded library; null when there is none.</summary>
    public static void* FindGlobal(string name) => Find(null, name);
}
