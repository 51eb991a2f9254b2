using System.Buffers;
using System.Runtime.InteropServices;
using Penstock.Buffers;

namespace Penstock.Sockets;

/// <summary>
/// One run of received bytes where it lies, as part of the sequence that a pipe reader hands out. Reused by its reader, and keeps it alive: a reader that nobody refers to gives all memory back, and the sequence
/// is still being read.
/// </summary>
internal sealed class ReceivedSegment(SlabPipeReader reader) : ReadOnlySequenceSegment<byte>
{
    public SlabPipeReader Reader { get; } = reader;

    private AddressMemory? _foreign;

    /// <summary>Where this run ends, counted from the beginning of the stream.</summary>
    public long End => RunningIndex + Memory.Length;

    public ReceivedSegment? Following => (ReceivedSegment?)Next;

    public unsafe void Show(ref Fragment fragment, long at)
    {
        RunningIndex = at;
        Memory = fragment.Owner is Slab slab
            ? MemoryMarshal.CreateFromPinnedArray(slab.Array, (int)(fragment.Address - slab.Address), fragment.Length)
            : (_foreign ??= new AddressMemory()).Over(fragment.Address, fragment.Length);
    }

    public void SetFollowing(ReceivedSegment? segment) => Next = segment;

    public void Skip(int count)
    {
        Memory = Memory[count..];
        RunningIndex += count;
    }

    /// <summary>Shows nothing any more; a position in it is one that no reader takes.</summary>
    public void Clear()
    {
        Memory = default;
        Next = null;
        RunningIndex = long.MinValue;
    }

    /// <summary>Memory that is no slab's: its owner keeps it pinned for as long as the buffer refers to it.</summary>
    private sealed unsafe class AddressMemory : MemoryManager<byte>
    {
        private byte* _address;
        private int _length;

        public Memory<byte> Over(byte* address, int length)
        {
            _address = address;
            _length = length;
            return CreateMemory(length);
        }

        public override Span<byte> GetSpan() => new(_address, _length);

        public override MemoryHandle Pin(int elementIndex = 0) => new(_address + elementIndex);

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }
}
