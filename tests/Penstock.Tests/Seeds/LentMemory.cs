using System.Buffers;
using System.Runtime.InteropServices;

namespace Penstock.Tests.Seeds;

/// <summary>Memory that an application lends to a send: counts what is done with it, is spoiled when it comes back, and fails where a test wants it to.</summary>
internal sealed class LentMemory(int bytes) : MemoryManager<byte>
{
    public const byte Spoiled = 0xEE;
    private readonly byte[] _memory = Filled(bytes);
    private int _pins;
    private int _unpins;
    private int _disposals;

    public int Pins => Volatile.Read(ref _pins);

    public int Pinned => Pins - Volatile.Read(ref _unpins);

    public int Disposals => Volatile.Read(ref _disposals);

    public bool PinFails { get; init; }

    public bool UnpinFails { get; init; }

    public bool DisposeFails { get; init; }

    public byte[] Array => _memory;

    public override Span<byte> GetSpan() => _memory;

    public override unsafe MemoryHandle Pin(int elementIndex = 0)
    {
        if (PinFails)
        {
            throw new InvalidOperationException("this memory can not be pinned");
        }

        Interlocked.Increment(ref _pins);
        return new MemoryHandle((byte*)Marshal.UnsafeAddrOfPinnedArrayElement(_memory, elementIndex), default, this);
    }

    public override void Unpin()
    {
        Interlocked.Increment(ref _unpins);
        if (UnpinFails)
        {
            throw new InvalidOperationException("this memory can not be unpinned");
        }
    }

    protected override void Dispose(bool disposing)
    {
        Interlocked.Increment(ref _disposals);
        _memory.AsSpan().Fill(Spoiled);
        if (DisposeFails)
        {
            throw new InvalidOperationException("this memory can not be taken back");
        }
    }

    /// <summary>Several memories as one sequence.</summary>
    public static ReadOnlySequence<byte> Sequence(params ReadOnlySpan<ReadOnlyMemory<byte>> parts)
    {
        Part first = new(parts[0], null), last = first;
        foreach (ReadOnlyMemory<byte> part in parts[1..])
        {
            last = new Part(part, last);
        }

        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private static byte[] Filled(int bytes)
    {
        byte[] memory = GC.AllocateUninitializedArray<byte>(bytes, pinned: true);
        for (int i = 0; i < bytes; i++)
        {
            // Never the value that spoils it.
            memory[i] = (byte)(i % 199);
        }

        return memory;
    }

    private sealed class Part : ReadOnlySequenceSegment<byte>
    {
        public Part(ReadOnlyMemory<byte> memory, Part? before)
        {
            Memory = memory;
            if (before is not null)
            {
                before.Next = this;
                RunningIndex = before.RunningIndex + before.Memory.Length;
            }
        }
    }
}
