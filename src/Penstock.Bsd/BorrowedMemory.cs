using System.Buffers;

namespace Penstock.Bsd;

/// <summary>Memory of a caller that is no .NET object's: for zero-copy sends, whose caller promises not to touch it before the notification.</summary>
internal sealed unsafe class BorrowedMemory(byte* address, int length) : MemoryManager<byte>
{
    /// <summary>A list of buffers as one sequence.</summary>
    public static ReadOnlySequence<byte> Sequence(IoVectors vectors)
    {
        Segment? first = null;
        Segment? last = null;
        for (int i = 0; i < vectors.Count; i++)
        {
            IoVector vector = vectors.First[i];
            if (vector.Length > 0)
            {
                last = new Segment(new BorrowedMemory(vector.Base, (int)vector.Length).Memory, last);
                first ??= last;
            }
        }

        return first is null ? ReadOnlySequence<byte>.Empty : new ReadOnlySequence<byte>(first, 0, last!, last!.Memory.Length);
    }

    public override Span<byte> GetSpan() => new(address, length);

    public override MemoryHandle Pin(int elementIndex = 0) => new(address + elementIndex);

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, Segment? before)
        {
            Memory = memory;
            if (before is not null)
            {
                RunningIndex = before.RunningIndex + before.Memory.Length;
                before.Next = this;
            }
        }
    }
}
