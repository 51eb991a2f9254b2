using System.Runtime.InteropServices;

namespace Penstock.Tests.Wire;

/// <summary>A page of memory between two that fault when they are touched. Linux only.</summary>
internal sealed unsafe partial class GuardedPage : IDisposable
{
    public static readonly int Size = Environment.SystemPageSize;

    private const int ProtNone = 0, ProtReadWrite = 3, MapPrivateAnonymous = 0x22;

    private readonly nint _mapping;

    public GuardedPage()
    {
        _mapping = MMap(0, (nuint)Size * 3, ProtNone, MapPrivateAnonymous, -1, 0);
        if (_mapping == -1 || MProtect(_mapping + Size, (nuint)Size, ProtReadWrite) != 0)
        {
            throw new InvalidOperationException("no guarded page to be had");
        }
    }

    public Span<byte> Bytes => new((void*)(_mapping + Size), Size);

    public void Dispose() => _ = MUnmap(_mapping, (nuint)Size * 3);

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint MMap(nint address, nuint length, int protection, int flags, int descriptor, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int MProtect(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int MUnmap(nint address, nuint length);
}
