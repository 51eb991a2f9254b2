using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Penstock.Buffers;

/// <summary>
/// Asks the processor to fetch memory that will be used soon: blocks and packets come from where another processor has used them last, and to wait for each line of them costs as much as to process a
/// packet. Hints: they do nothing where the processor has none, and an object that is moved meanwhile is fetched when it is used.
/// </summary>
internal static unsafe class Prefetch
{
    private const int LineSize = 64;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Memory(void* address)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(address);
        }
    }

    /// <summary>The first <paramref name="lines"/> lines of an object, eight at most; a constant, so that nothing is counted.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Object<T>(T? block, int lines)
        where T : class
    {
        if (Sse.IsSupported && block is not null)
        {
            byte* address = (byte*)Unsafe.As<T, nint>(ref block);
            Line(address, 0, lines);
            Line(address, 1, lines);
            Line(address, 2, lines);
            Line(address, 3, lines);
            Line(address, 4, lines);
            Line(address, 5, lines);
            Line(address, 6, lines);
            Line(address, 7, lines);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Line(byte* address, int line, int lines)
    {
        if (line < lines)
        {
            Sse.Prefetch0(address + (line * LineSize));
        }
    }
}
