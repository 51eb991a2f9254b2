using System.Diagnostics.CodeAnalysis;

namespace Penstock.Buffers;

/// <summary>
/// All packet memory of one stack: slabs in a few size classes and the <see cref="PacketBuffer"/> objects. It is the
/// hard ledger: what exists here, rented or kept for reuse, never exceeds <see cref="Limit"/>, because room is
/// reserved before a block is created. The soft ledger, Linux's charges per socket, is in Accounting.
/// <para>
/// What is rented has three ceilings, so that memory which stays for long cannot lock out what gives memory back: the lowest for what applications queue
/// (<see cref="RentQueueSlab"/>, <see cref="IsCrowded"/>), above it room for packets that pass through, and on top a reserve for forced grants (first buffer, ACK, FIN, RST, received ACKs).
/// </para>
/// </summary>
internal sealed class PacketPool
{
    public const int TinySlab = 256;
    public const int SmallSlab = 2048;

    /// <summary>Two segments, the least that a super-segment is where the rate is low, and four. In a larger slab they would cost a receiver many times their bytes.</summary>
    public const int PairSlab = 4 * 1024, FourSlab = 8 * 1024;

    public const int MediumSlab = 16 * 1024;

    /// <summary>What sends copy into: several packets share one (Linux's 32 KiB page fragment).</summary>
    public const int SendSlab = 32 * 1024;

    /// <summary>Takes any IP packet with a link's offload header in front.</summary>
    public const int LargeSlab = 66 * 1024;

    /// <summary>What forced grants may use when the limit is reached.</summary>
    private const int DefaultReserve = 256 * 1024;

    /// <summary>The slab's object and its array's header: what a slab costs beyond its bytes.</summary>
    private const int SlabOverhead = 96;

    /// <summary>A buffer's object with the overflow table that it may get at any time, when it is too late to be refused.</summary>
    private const int BufferCost = PacketBuffer.ObjectSize + PacketBuffer.OverflowSize;

    private static readonly int[] Sizes = [TinySlab, SmallSlab, PairSlab, FourSlab, MediumSlab, SendSlab, LargeSlab];

    private readonly Shelf[] _shelves = Array.ConvertAll(Sizes, static _ => new Shelf());
    private readonly FreeStore<PacketBuffer, BufferLink> _keptBuffers = new();
    private readonly long _passingCeiling;
    private readonly long _queueCeiling;
    private readonly TwoSidedSum _rented = new();
    private long _createdBuffers;
    private long _held;
    private long _heldMaximum;
    private long _refusals;

    /// <summary>Creates a pool that will never hold more than <paramref name="limit"/> bytes.</summary>
    public PacketPool(long limit)
    {
        Limit = limit;
        long reserve = Math.Min(DefaultReserve, limit / 8);
        _passingCeiling = limit - reserve;
        _queueCeiling = _passingCeiling - Math.Max(reserve, limit / 16);
    }

    public long Limit { get; }

    /// <summary>Bytes that exist now: rented, or kept for reuse.</summary>
    public long HeldBytes => Interlocked.Read(ref _held);

    public long HeldMaximumBytes => Interlocked.Read(ref _heldMaximum);

    /// <summary>Bytes in use now; the rest of <see cref="HeldBytes"/> is kept for reuse.</summary>
    public long RentedBytes => _rented.Value;

    /// <summary>Slabs in use. Exact while nobody rents or returns.</summary>
    public long RentedSlabs
    {
        get
        {
            long rented = 0;
            foreach (Shelf shelf in _shelves)
            {
                rented += Interlocked.Read(ref shelf.Created) - shelf.Kept.Count;
            }

            return rented;
        }
    }

    /// <summary>Buffers in use. Exact while nobody rents or returns.</summary>
    public long RentedBuffers => Interlocked.Read(ref _createdBuffers) - _keptBuffers.Count;

    /// <summary>Only packets that pass through get memory now: what waits in queues may not become more.</summary>
    public bool IsCrowded => _rented.IsAbove(_queueCeiling);

    /// <summary>Half of the limit is in use: time to take slabs no larger than what goes into them.</summary>
    public bool IsTight => _rented.IsAbove(Limit / 2);

    /// <summary>Requests refused because the limit was reached.</summary>
    public long Refusals => Interlocked.Read(ref _refusals);

    /// <summary>
    /// Rents a slab of at least <paramref name="size"/> bytes with one reference. Null when the limit is reached;
    /// <paramref name="forced"/> lets the request dip into the reserve.
    /// </summary>
    public Slab? RentSlab(int size, bool forced = false) => RentSlab(size, forced ? Limit : _passingCeiling);

    /// <summary>Rents a slab for what the application queues; null also when only passing packets get memory.</summary>
    public Slab? RentQueueSlab(int size) => RentSlab(size, _queueCeiling);

    /// <summary>Rents an empty buffer; null when the limit is reached.</summary>
    public PacketBuffer? RentBuffer(bool forced = false)
    {
        if (!Admit(BufferCost, forced ? Limit : _passingCeiling))
        {
            return null;
        }

        PacketBuffer? buffer = _keptBuffers.Take();
        if (buffer is null)
        {
            MakeRoom(BufferCost);
            Interlocked.Increment(ref _createdBuffers);
            buffer = new PacketBuffer(this);
        }

        buffer.Next = null;
        buffer.OnRented();
        return buffer;
    }

    /// <summary>Counts memory that a link holds for packets in another form; false when there is no room for it.</summary>
    public bool TryTakeRoom(int bytes)
    {
        if (!Admit(bytes, _passingCeiling))
        {
            return false;
        }

        MakeRoom(bytes);
        return true;
    }

    public void GiveRoom(int bytes)
    {
        Interlocked.Add(ref _held, -bytes);
        _rented.Remove(bytes);
    }

    internal void Return(Slab slab)
    {
        DebugPoison(slab);
        _shelves[slab.SizeClass].Kept.Return(slab);

        // Last: what is no longer counted as rented must be there to be taken.
        _rented.Remove(CostOf(slab.SizeClass));
    }

    internal void Return(PacketBuffer buffer)
    {
        _keptBuffers.Return(buffer);
        _rented.Remove(BufferCost);
    }

    private static int CostOf(int sizeClass) => Sizes[sizeClass] + SlabOverhead;

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

    private Slab? RentSlab(int size, long ceiling)
    {
        int sizeClass = ClassOf(size);
        int cost = CostOf(sizeClass);
        if (!Admit(cost, ceiling))
        {
            return null;
        }

        Shelf shelf = _shelves[sizeClass];
        Slab? slab = shelf.Kept.Take();
        if (slab is null)
        {
            MakeRoom(cost);
            Interlocked.Increment(ref shelf.Created);
            slab = new Slab(this, sizeClass, Sizes[sizeClass]);
        }

        slab.NextFree = null;
        slab.StartReferences();
        return slab;
    }

    /// <summary>
    /// Counts what is about to be rented, unless the sum would pass the ceiling. Whoever is admitted gets memory: the sum of what is admitted never passes the limit, so beside it there is room, free or
    /// kept for reuse.
    /// </summary>
    private bool Admit(int cost, long ceiling)
    {
        if (_rented.TryAdd(cost, ceiling))
        {
            return true;
        }

        Interlocked.Increment(ref _refusals);
        return false;
    }

    /// <summary>Makes room within the limit for a block that was admitted, if need be in place of one that is kept for reuse.</summary>
    private void MakeRoom(int cost)
    {
        var spinner = default(SpinWait);
        long held = Interlocked.Read(ref _held);
        while (true)
        {
            if (held + cost <= Limit)
            {
                long seen = Interlocked.CompareExchange(ref _held, held + cost, held);
                if (seen == held)
                {
                    NoteMaximum(held + cost);
                    return;
                }

                held = seen;
                continue;
            }

            if (!DropOneKept())
            {
                // What is kept is on its way from one hand to another.
                spinner.SpinOnce(sleep1Threshold: -1);
            }

            held = Interlocked.Read(ref _held);
        }
    }

    /// <summary>Gives one unused slab, the largest there is, or buffer back to the runtime so that another kind can have its room.</summary>
    private bool DropOneKept()
    {
        for (int i = _shelves.Length - 1; i >= 0; i--)
        {
            if (_shelves[i].Kept.Take() is not null)
            {
                Interlocked.Decrement(ref _shelves[i].Created);
                Interlocked.Add(ref _held, -CostOf(i));
                return true;
            }
        }

        if (_keptBuffers.Take() is null)
        {
            return false;
        }

        Interlocked.Decrement(ref _createdBuffers);
        Interlocked.Add(ref _held, -BufferCost);
        return true;
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

    /// <summary>The slabs of one size.</summary>
    private sealed class Shelf
    {
        public readonly FreeStore<Slab, SlabLink> Kept = new();
        public long Created;
    }

    private readonly struct SlabLink : IFreeLink<Slab>
    {
        public static ref Slab? Of(Slab block) => ref block.NextFree;
    }

    private readonly struct BufferLink : IFreeLink<PacketBuffer>
    {
        public static ref PacketBuffer? Of(PacketBuffer block) => ref block.Next;
    }
}
