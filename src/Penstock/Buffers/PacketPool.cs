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
/// <para>
/// While there is plenty, each thread has a few small blocks at hand (<see cref="Magazine"/>): to take and give those back costs no interlocked operation. Towards the ceilings they count as rented.
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

    /// <summary>Threads that may have a magazine, and the part of the limit, one in so many, that all magazines together may keep from others.</summary>
    private const int MostMagazines = 128;
    private const int MagazineShare = 32;

    private static readonly int[] Sizes = [TinySlab, SmallSlab, PairSlab, FourSlab, MediumSlab, SendSlab, LargeSlab];

    private readonly Shelf[] _shelves = Array.ConvertAll(Sizes, static _ => new Shelf());
    private readonly FreeStore<PacketBuffer, BufferLink> _keptBuffers = new();
    private readonly long _passingCeiling;
    private readonly long _queueCeiling;
    private readonly TwoSidedSum _rented = new();
    private readonly long _plenty;
    private readonly Magazine?[] _magazines;
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
        _plenty = limit / 2;
        _magazines = new Magazine?[Math.Min(MostMagazines, limit / MagazineShare / Magazine.MostBytes)];
    }

    public long Limit { get; }

    /// <summary>Bytes that exist now: rented, or kept for reuse.</summary>
    public long HeldBytes => Volatile.Read(ref _held);

    public long HeldMaximumBytes => Volatile.Read(ref _heldMaximum);

    /// <summary>Bytes in use now; the rest of <see cref="HeldBytes"/> is kept for reuse.</summary>
    public long RentedBytes
    {
        get
        {
            long rented = _rented.Value;
            foreach (Magazine? magazine in _magazines)
            {
                rented -= magazine is null ? 0 : (magazine.BufferCount * (long)BufferCost) + (magazine.TinyCount * (long)CostOf(0)) + (magazine.Small.Count * (long)CostOf(1));
            }

            return rented;
        }
    }

    /// <summary>Slabs in use. Exact while nobody rents or returns.</summary>
    public long RentedSlabs
    {
        get
        {
            long rented = 0;
            foreach (Shelf shelf in _shelves)
            {
                rented += Volatile.Read(ref shelf.Created) - shelf.Kept.Count;
            }

            foreach (Magazine? magazine in _magazines)
            {
                rented -= magazine is null ? 0 : magazine.TinyCount + magazine.Small.Count;
            }

            return rented;
        }
    }

    /// <summary>Buffers in use. Exact while nobody rents or returns.</summary>
    public long RentedBuffers
    {
        get
        {
            long rented = Volatile.Read(ref _createdBuffers) - _keptBuffers.Count;
            foreach (Magazine? magazine in _magazines)
            {
                rented -= magazine?.BufferCount ?? 0;
            }

            return rented;
        }
    }

    /// <summary>Only packets that pass through get memory now: what waits in queues may not become more.</summary>
    public bool IsCrowded => _rented.IsAbove(_queueCeiling);

    /// <summary>Half of the limit is in use: time to take slabs no larger than what goes into them.</summary>
    public bool IsTight => _rented.IsAbove(Limit / 2);

    /// <summary>Requests refused because the limit was reached.</summary>
    public long Refusals => Volatile.Read(ref _refusals);

    /// <summary>
    /// Rents a slab of at least <paramref name="size"/> bytes with one reference. Null when the limit is reached;
    /// <paramref name="forced"/> lets the request dip into the reserve.
    /// </summary>
    public Slab? RentSlab(int size, bool forced = false) => RentSlab(MagazineOfThread(), size, forced ? Limit : _passingCeiling);

    /// <summary>Rents a slab for what the application queues; null also when only passing packets get memory.</summary>
    public Slab? RentQueueSlab(int size) => RentSlab(MagazineOfThread(), size, _queueCeiling);

    /// <summary>Rents an empty buffer; null when the limit is reached.</summary>
    public PacketBuffer? RentBuffer(bool forced = false) => RentBuffer(MagazineOfThread(), forced);

    /// <summary>Rents an empty buffer for what fits a tiny slab. One that was kept has such a slab with it, for <see cref="PacketBuffer.DetachSlab"/>; it is not charged.</summary>
    public PacketBuffer? RentBufferForTiny(bool forced)
    {
        Magazine? magazine = MagazineOfThread();
        if (magazine?.TakeAssembled() is { } whole)
        {
            whole.OnRented();
            return whole;
        }

        return RentBuffer(magazine, forced);
    }

    /// <summary>Rents a buffer with room for headers (<see cref="PacketBuffer.TryRentHead"/>); null when the limit is reached.</summary>
    public PacketBuffer? RentBufferWithHead(bool forced = false)
    {
        Magazine? magazine = MagazineOfThread();
        if (magazine?.TakeAssembled() is { } whole)
        {
            whole.OnRentedWithHead();
            return whole;
        }

        PacketBuffer? buffer = RentBuffer(magazine, forced);
        if (buffer is null)
        {
            return null;
        }

        if (RentSlab(magazine, TinySlab, forced ? Limit : _passingCeiling) is { } head)
        {
            buffer.AttachHead(head);
            return buffer;
        }

        buffer.Free();
        return null;
    }

    /// <summary>Rents a buffer and a slab of at least <paramref name="size"/> bytes for it; both null when the limit is reached.</summary>
    public PacketBuffer? RentBufferAndSlab(int size, bool forced, out Slab? slab)
    {
        Magazine? magazine = MagazineOfThread();
        if (size <= TinySlab && magazine?.TakeAssembled() is { } whole)
        {
            whole.OnRented();
            slab = whole.DetachSlab();
            return whole;
        }

        PacketBuffer? buffer = RentBuffer(magazine, forced);
        slab = buffer is null ? null : RentSlab(magazine, size, forced ? Limit : _passingCeiling);
        if (buffer is not null && slab is null)
        {
            buffer.Free();
            return null;
        }

        return buffer;
    }

    private PacketBuffer? RentBuffer(Magazine? magazine, bool forced)
    {
        PacketBuffer? buffer = magazine is not null ? TakeFrom(ref magazine.Buffers, _keptBuffers, BufferCost) : null;
        if (buffer is null && (buffer = RentSharedBuffer(forced)) is null)
        {
            return null;
        }

        buffer.Next = buffer.SentNext = null;
        buffer.OnRented();
        return buffer;
    }

    private PacketBuffer? RentSharedBuffer(bool forced)
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

    internal void Return(Slab slab) => Return(slab, MagazineOfThread());

    /// <summary>As <see cref="Return(Slab)"/>, by a caller who has looked up what the thread has at hand.</summary>
    internal void Return(Slab slab, Magazine? magazine)
    {
        DebugPoison(slab);
        if (slab.SizeClass <= Magazine.LargestClass && magazine is not null)
        {
            Shelf shelf = _shelves[slab.SizeClass];
            GiveTo(ref slab.SizeClass == 0 ? ref magazine.Tiny : ref magazine.Small, shelf.Kept, slab, CostOf(slab.SizeClass));
            return;
        }

        _shelves[slab.SizeClass].Kept.Return(slab);

        // Last: what is no longer counted as rented must be there to be taken.
        _rented.Remove(CostOf(slab.SizeClass));
    }

    internal void Return(PacketBuffer buffer, Magazine? magazine)
    {
        if (magazine is not null)
        {
            GiveTo(ref magazine.Buffers, _keptBuffers, buffer, BufferCost);
            return;
        }

        _keptBuffers.Return(buffer);
        _rented.Remove(BufferCost);
    }

    /// <summary>
    /// What to rent next for so many bytes: the smallest slab that holds them, or the largest that they fill where the smallest would leave more than a page empty.
    /// </summary>
    public static int FittingSize(int bytes)
    {
        int holding = ClassOf(bytes);
        return Sizes[holding] - bytes <= PairSlab ? Sizes[holding] : Sizes[holding - 1];
    }

    private static int CostOf(int sizeClass) => Sizes[sizeClass] + SlabOverhead;

    private static int ClassOf(int size) => size <= TinySlab ? 0 : LargerClassOf(size);

    private static int LargerClassOf(int size)
    {
        for (int i = 1; i < Sizes.Length; i++)
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
    internal static void DebugPoison(Slab slab) => slab.Array.AsSpan().Fill(0xDD);

    private Slab? RentSlab(Magazine? magazine, int size, long ceiling)
    {
        int sizeClass = ClassOf(size);
        int cost = CostOf(sizeClass);
        Shelf shelf = _shelves[sizeClass];
        Slab? slab = sizeClass <= Magazine.LargestClass && magazine is not null
            ? TakeFrom(ref sizeClass == 0 ? ref magazine.Tiny : ref magazine.Small, shelf.Kept, cost)
            : null;
        if (slab is not null)
        {
            slab.NextFree = slab.NextChain = null;
            slab.StartReferences();
            return slab;
        }

        if (!Admit(cost, ceiling))
        {
            return null;
        }

        slab = shelf.Kept.Take();
        if (slab is null)
        {
            MakeRoom(cost);
            Interlocked.Increment(ref shelf.Created);
            slab = new Slab(this, sizeClass, Sizes[sizeClass]);
        }

        slab.NextFree = slab.NextChain = null;
        slab.StartReferences();
        return slab;
    }

    /// <summary>The blocks that the calling thread has at hand; null when memory is not plenty, or the thread came late.</summary>
    internal Magazine? MagazineOfThread()
    {
        int thread = CurrentThread.Id;
        if ((uint)thread >= (uint)_magazines.Length)
        {
            return null;
        }

        if (_rented.IsAbove(_plenty))
        {
            EmptyMagazine(_magazines[thread]);
            return null;
        }

        return _magazines[thread] ??= new Magazine();
    }

    /// <summary>A block that this thread has at hand, after fetching some more if there was none; null when none is kept anywhere.</summary>
    private T? TakeFrom<T, TLink>(ref MagazineStack<T, TLink> hand, FreeStore<T, TLink> kept, int cost)
        where T : class
        where TLink : struct, IFreeLink<T>
    {
        if (hand.TryTake() is { } block)
        {
            return block;
        }

        long all = cost * (long)MagazineStack<T, TLink>.Chain;
        if (!_rented.TryAdd(all, _plenty))
        {
            return null;
        }

        if (kept.TakeChain() is not { } chain)
        {
            _rented.Remove(all);
            return null;
        }

        hand.Load(chain);
        return hand.TryTake();
    }

    private void GiveTo<T, TLink>(ref MagazineStack<T, TLink> hand, FreeStore<T, TLink> kept, T block, int cost)
        where T : class
        where TLink : struct, IFreeLink<T>
    {
        if (hand.Add(block, out T? full))
        {
            kept.ReturnChain(full!);

            // Last: what is no longer counted as rented must be there to be taken.
            _rented.Remove(cost * (long)MagazineStack<T, TLink>.Chain);
        }
    }

    private void Empty<T, TLink>(ref MagazineStack<T, TLink> hand, FreeStore<T, TLink> kept, int cost)
        where T : class
        where TLink : struct, IFreeLink<T>
    {
        while (hand.TryTake() is { } block)
        {
            kept.Return(block);
            _rented.Remove(cost);
        }
    }

    private void EmptyMagazine(Magazine? magazine)
    {
        if (magazine is not null)
        {
            while (magazine.TakeAssembled() is { } whole)
            {
                _shelves[0].Kept.Return(whole.DetachSlab()!);
                _rented.Remove(CostOf(0));
                _keptBuffers.Return(whole);
                _rented.Remove(BufferCost);
            }

            Empty(ref magazine.Buffers, _keptBuffers, BufferCost);
            Empty(ref magazine.Tiny, _shelves[0].Kept, CostOf(0));
            Empty(ref magazine.Small, _shelves[1].Kept, CostOf(1));
        }
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
        long held = Volatile.Read(ref _held);
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

            held = Volatile.Read(ref _held);
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
        long seen = Volatile.Read(ref _heldMaximum);
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

    /// <summary>
    /// Blocks of the small kinds that one thread has at hand. A thread is known by its managed id, which no other living thread has, so nobody else touches its magazine.
    /// </summary>
    internal sealed class Magazine
    {
        /// <summary>Larger classes are few, and cost more to fill than to fetch.</summary>
        public const int LargestClass = 1;

        public const int MostBytes = (2 * MagazineStack<Slab, SlabLink>.Chain * (BufferCost + TinySlab + SmallSlab + (2 * SlabOverhead)))
            + (MostAssembled * (BufferCost + TinySlab + SlabOverhead));

        private const int MostAssembled = 4;

        /// <summary>Buffers that have kept the tiny slab of their headers, or of their payload: who handles one short message after the other takes and gives back these.</summary>
        private readonly PacketBuffer?[] _assembled = new PacketBuffer?[MostAssembled];
        private int _assembledCount;

        public MagazineStack<PacketBuffer, BufferLink> Buffers;
        public MagazineStack<Slab, SlabLink> Tiny;
        public MagazineStack<Slab, SlabLink> Small;

        public int BufferCount => Buffers.Count + _assembledCount;

        public int TinyCount => Tiny.Count + _assembledCount;

        public bool HasRoomForAssembled => _assembledCount < MostAssembled;

        public void KeepAssembled(PacketBuffer buffer) => _assembled[_assembledCount++] = buffer;

        public PacketBuffer? TakeAssembled()
        {
            int count = _assembledCount;
            if (count == 0)
            {
                return null;
            }

            _assembledCount = --count;
            PacketBuffer? buffer = _assembled[count];
            _assembled[count] = null;
            return buffer;
        }
    }

    /// <summary>The slabs of one size.</summary>
    private sealed class Shelf
    {
        public readonly FreeStore<Slab, SlabLink> Kept = new();
        public long Created;
    }

    internal readonly struct SlabLink : IFreeLink<Slab>
    {
        public static ref Slab? Of(Slab block) => ref block.NextFree;

        public static ref Slab? OfChain(Slab block) => ref block.NextChain;

        public static int Lines => 1;
    }

    internal readonly struct BufferLink : IFreeLink<PacketBuffer>
    {
        public static ref PacketBuffer? Of(PacketBuffer block) => ref block.Next;

        public static ref PacketBuffer? OfChain(PacketBuffer block) => ref block.SentNext;

        public static int Lines => PacketBuffer.ObjectSize / 64;
    }
}
