using System.Runtime.InteropServices;

namespace Penstock.Tool.Demo.Lab;

/// <summary>Pinned memory of whole pages that begins on a page, used in a circle: what an application would send from.</summary>
internal sealed class PageRing
{
    public const int Page = 4096;
    private readonly byte[] _memory;
    private readonly int _start;
    private readonly int _size;
    private int _at;

    public PageRing(int bytes)
    {
        _size = (bytes + Page - 1) & ~(Page - 1);
        _memory = GC.AllocateArray<byte>(_size + Page, pinned: true);
        _start = (int)(-Marshal.UnsafeAddrOfPinnedArrayElement(_memory, 0) & (Page - 1));
    }

    /// <summary>The next <paramref name="bytes"/> in the circle, in one piece.</summary>
    public ReadOnlyMemory<byte> Next(int bytes)
    {
        if (_at + bytes > _size)
        {
            _at = 0;
        }

        ReadOnlyMemory<byte> next = At(_at, bytes);
        _at += bytes;
        return next;
    }

    /// <summary>Bytes at an offset from the first page.</summary>
    public ReadOnlyMemory<byte> At(int offset, int bytes) => _memory.AsMemory(_start + offset, bytes);
}
