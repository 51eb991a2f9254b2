using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Bsd;

namespace Penstock.Drill;

/// <summary>
/// The memory that a call of a script names: it never moves, and it is all zeros unless the script writes a text. To be kept alive for as long as anything refers to it by address, which
/// is beyond the call's end where it is a zero-copy send.
/// </summary>
internal sealed unsafe class CallMemory
{
    private readonly IoVector[] _vectors;
    private readonly byte[] _bytes;

    /// <param name="lengths">Bytes in each piece.</param>
    /// <param name="isNull">The script writes NULL: an address where nothing is.</param>
    public CallMemory(int[] lengths, bool isNull = false)
    {
        // A gap divides the pieces: two that lie side by side would be one to the stack.
        const int Gap = 64;
        _vectors = GC.AllocateArray<IoVector>(lengths.Length, pinned: true);
        _bytes = GC.AllocateArray<byte>(isNull ? 0 : checked(lengths.Sum() + (lengths.Length * Gap)), pinned: true);
        byte* next = isNull ? null : (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_bytes));
        for (int i = 0; i < lengths.Length; i++)
        {
            _vectors[i] = new IoVector(next, (nuint)lengths[i]);
            next += isNull ? 0 : lengths[i] + Gap;
        }
    }

    public IoVectors Vectors => new((IoVector*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_vectors)), _vectors.Length);

    /// <summary>Writes as much of a text as there is room for; each of its characters is a byte.</summary>
    public void Write(string text)
    {
        for (int i = 0; i < text.Length && Vectors.At(i) is { IsEmpty: false } rest; i++)
        {
            rest[0] = (byte)text[i];
        }
    }

    /// <summary>Null when the first <paramref name="count"/> bytes are as <paramref name="wanted"/> and then zero, else a sentence about the first that is not.</summary>
    public string? Compare(int count, string? wanted)
    {
        for (int i = 0; i < count; i++)
        {
            int expected = wanted is null || i >= wanted.Length ? 0 : wanted[i];
            if (Vectors.At(i)[0] is var found && found != expected)
            {
                return $"byte {i} of what was read should be {expected} but is {found}";
            }
        }

        // The addresses above do not keep the memory.
        GC.KeepAlive(this);
        return null;
    }
}
