using System.Diagnostics.CodeAnalysis;

namespace Penstock.Buffers;

/// <summary>
/// All packet memory of one stack: slabs in a few size classes and the <see cref="PacketBuffer"/> objects. It is the
/// hard ledger: what exists here, rented or kept for reuse, never exceeds <see cref="Limit"/>, because room is
/// reserved before a block is created. The soft ledger, Linux's charges per socket, is in Accounting.
/// </summary>
internal sealed class PacketPool
{
    public const int TinySlab = 256;
    public const int SmallSlab = 2048;
    public const int MediumSlab = 16 * 1024;

    /// <summary>What sends copy into: several packets share one (Linux's 32 KiB page fragment).</summary>
    public const int SendSlab = 32 * 1024;

    /// <summary>Takes any IP packet with a link's offload header in front.</summary>
    public const int LargeSlab = 66 * 1024;

    /// <summary>What forced grants (first buffer, ACK, FIN, RST) may use when the limit is reached.</summary>
    private const int DefaultReserve = 256 * 1024;

    private static readonly int[] Sizes = [TinySlab, SmallSlab, MediumSlab, SendSlab, LargeSlab];

    private readonly Shelf[] _shelves = new Shelf[Sizes.Length];
    private readonly long _reserve;
    private SpinGate _bufferGate;
    private PacketBuffer? _freeBuffers;
    private long _held;
    private long _heldMaximum;
    private long _rentedSlabs;
    private long _rentedBuffers;
    private long _refusals;

    /// <summary>Creates a pool that will never hold more than <paramref name="limit"/> bytes.</summary>
    public PacketPool(long limit)
    {
        Limit = limit;
        _reserve = Math.Min(DefaultReserve, limit / 8);
    }

    public long Limit { get; }

    /// <summary>Bytes that exist now: rented, or kept for reuse.</summary>
    public long HeldBytes => Interlocked.Read(ref _held);

    public long HeldMaximumBytes => Interlocked.Read(ref _heldMaximum);

    public long RentedSlabs => Interlocked.Read(ref _rentedSlabs);

    public long RentedBuffers => Interlocked.Read(ref _rentedBuffers);

    /// <summary>Requests refused because the limit was reached.</summary>
    public long Refusals => Interlocked.Read(ref _refusals);

    /// <summary>
    /// Rents a slab of at least <paramref name="size"/> bytes with one reference. Null when the limit is reached;
    /// <paramref name="forced"/> lets the request dip into the reserve.
    /// </summary>
    public Slab? RentSlab(int size, bool forced = false)
    {
        int sizeClass = ClassOf(size);
        ref Shelf shelf = ref _shelves[sizeClass];
        shelf.Gate.Enter();
        Slab? slab = shelf.Free;
        if (slab is not null)
        {
            shelf.Free = slab.NextFree;
            shelf.Count--;
        }

        shelf.Gate.Exit();
        if (slab is null)
        {
            if (!Reserve(Sizes[sizeClass], forced))
            {
                return null;
            }

            slab = new Slab(this, sizeClass, Sizes[sizeClass]);
        }

        slab.NextFree = null;
        slab.StartReferences();
        Interlocked.Increment(ref _rentedSlabs);
        return slab;
    }

    /// <summary>Rents an empty buffer; null when the limit is reached.</summary>
    public PacketBuffer? RentBuffer(bool forced = false)
    {
        _bufferGate.Enter();
        PacketBuffer? buffer = _freeBuffers;
        if (buffer is not null)
        {
            _freeBuffers = buffer.Next;
        }

        _bufferGate.Exit();
        if (buffer is null)
        {
            if (!Reserve(PacketBuffer.ObjectSize, forced))
            {
                return null;
            }

            buffer = new PacketBuffer(this);
        }

        Interlocked.Increment(ref _rentedBuffers);
        buffer.Next = null;
        buffer.OnRented();
        return buffer;
    }

    internal void Return(Slab slab)
    {
        Interlocked.Decrement(ref _rentedSlabs);
        DebugPoison(slab);
        ref Shelf shelf = ref _shelves[slab.SizeClass];
        shelf.Gate.Enter();
        slab.NextFree = shelf.Free;
        shelf.Free = slab;
        shelf.Count++;
        shelf.Gate.Exit();
    }

    internal void Return(PacketBuffer buffer)
    {
        Interlocked.Decrement(ref _rentedBuffers);
        _bufferGate.Enter();
        buffer.Next = _freeBuffers;
        _freeBuffers = buffer;
        _bufferGate.Exit();
    }

    private static int ClassOf(int size)
    {
        for (int i = 0; i < Sizes.Length; i++)
        {
            if (size <= Sizes[i])
            {
                return i;
            }
        }

        ThrowTooLarge(size);
        return 0;
    }

    [DoesNotReturn]
    private static void ThrowTooLarge(int size) =>
        throw new ArgumentOutOfRangeException(nameof(size), size, $"A slab holds at most {LargeSlab} bytes.");

    [System.Diagnostics.Conditional("DEBUG")]
    private static void DebugPoison(Slab slab) => slab.Array.AsSpan().Fill(0xDD);

    private bool Reserve(int size, bool forced)
    {
        long ceiling = forced ? Limit : Limit - _reserve;
        while (true)
        {
            long held = Interlocked.Read(ref _held);
            if (held + size <= ceiling)
            {
                if (Interlocked.CompareExchange(ref _held, held + size, held) == held)
                {
                    NoteMaximum(held + size);
                    return true;
                }
            }
            else if (!DropOneKeptSlab())
            {
                Interlocked.Increment(ref _refusals);
                return false;
            }
        }
    }

    /// <summary>Gives one unused slab, of any class, back to the runtime so that another class can have its room.</summary>
    private bool DropOneKeptSlab()
    {
        for (int i = _shelves.Length - 1; i >= 0; i--)
        {
            ref Shelf shelf = ref _shelves[i];
            shelf.Gate.Enter();
            Slab? slab = shelf.Free;
            if (slab is not null)
            {
                shelf.Free = slab.NextFree;
                shelf.Count--;
            }

            shelf.Gate.Exit();
            if (slab is not null)
            {
                Interlocked.Add(ref _held, -slab.Size);
                return true;
            }
        }

        return false;
    }

    private void NoteMaximum(long held)
    {
        long seen = Interlocked.Read(ref _heldMaximum);
        while (held > seen)
        {
            long was = Interlocked.CompareExchange(ref _heldMaximum, held, seen);
            if (was == seen)
            {
                return;
            }

            seen = was;
        }
    }

    private struct Shelf
    {
        public SpinGate Gate;
        public Slab? Free;
        public int Count;
    }
}
