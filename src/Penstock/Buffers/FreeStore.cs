using System.Runtime.CompilerServices;

namespace Penstock.Buffers;

/// <summary>Where a kind of block keeps its link while it lies in a <see cref="FreeStore{T, TLink}"/>.</summary>
internal interface IFreeLink<T>
    where T : class
{
    static abstract ref T? Of(T block);

    /// <summary>The link from the first block of a chain to the next chain.</summary>
    static abstract ref T? OfChain(T block);

    /// <summary>Lines of memory of a block that are written as soon as it is taken.</summary>
    static abstract int Lines { get; }
}

/// <summary>
/// Blocks that are kept for reuse. Whoever receives takes and whoever reads gives back, often at the same time on two processors: they use two stacks that lie apart in memory, and what was given back
/// is moved over as a whole when there is nothing left to take. Any thread.
/// </summary>
internal sealed class FreeStore<T, TLink>
    where T : class
    where TLink : struct, IFreeLink<T>
{
    private readonly Stack _toTake = new();
    private readonly Stack _returned = new();

    /// <summary>Blocks in it. Exact while nobody takes or returns.</summary>
    public int Count => Volatile.Read(ref _toTake.Count) + Volatile.Read(ref _returned.Count);

    /// <summary>A block, or null when there is none.</summary>
    public T? Take()
    {
        _toTake.Gate.Enter();
        MoveHoldingGate();
        if (_toTake.Head is null && _toTake.Chains is { } chain)
        {
            UnlinkChain(chain);
            _toTake.Head = chain;
        }

        T? block = _toTake.Head;
        if (block is not null)
        {
            _toTake.Head = TLink.Of(block);
            _toTake.Count--;
        }

        _toTake.Gate.Exit();
        return block;
    }

    /// <summary>A chain of <see cref="MagazineStack{T, TLink}.Chain"/> blocks, or null when there is none.</summary>
    public T? TakeChain()
    {
        if (Volatile.Read(ref _toTake.Chains) is null && Volatile.Read(ref _returned.Chains) is null)
        {
            return null;
        }

        _toTake.Gate.Enter();
        MoveHoldingGate();
        T? chain = _toTake.Chains;
        if (chain is not null)
        {
            UnlinkChain(chain);
            _toTake.Count -= MagazineStack<T, TLink>.Chain;
        }

        _toTake.Gate.Exit();
        return chain;
    }

    /// <summary>Gives back a chain of <see cref="MagazineStack{T, TLink}.Chain"/> blocks.</summary>
    public void ReturnChain(T chain)
    {
        _returned.Gate.Enter();
        TLink.OfChain(chain) = _returned.Chains;
        _returned.Chains = chain;
        _returned.Count += MagazineStack<T, TLink>.Chain;
        _returned.Gate.Exit();
    }

    public void Return(T block)
    {
        _returned.Gate.Enter();
        TLink.Of(block) = _returned.Head;
        _returned.Head = block;
        _returned.Count++;
        _returned.Gate.Exit();
    }

    /// <summary>Cleared, or a block that is kept would keep others alive that have made room since and are not counted any more.</summary>
    private void UnlinkChain(T chain)
    {
        _toTake.Chains = TLink.OfChain(chain);
        TLink.OfChain(chain) = null;
    }

    /// <summary>When there is nothing to take, makes all that was returned the blocks to take. The one place where a gate is entered within another, always in this order.</summary>
    private void MoveHoldingGate()
    {
        if (_toTake.Head is not null || _toTake.Chains is not null || (Volatile.Read(ref _returned.Head) is null && Volatile.Read(ref _returned.Chains) is null))
        {
            return;
        }

        _returned.Gate.Enter();
        (_toTake.Head, _toTake.Chains, _toTake.Count) = (_returned.Head, _returned.Chains, _returned.Count);
        (_returned.Head, _returned.Chains, _returned.Count) = (null, null, 0);
        _returned.Gate.Exit();
    }

    /// <summary>An object of its own that is larger than the two lines of memory which processors fetch at a time.</summary>
    private sealed class Stack
    {
        public SpinGate Gate;
        public int Count;
        public T? Head;

        /// <summary>The first blocks of chains: a chain is moved without a look at its other blocks, which lie in another processor's memory.</summary>
        public T? Chains;
        private Padding _padding;

        [InlineArray(14)]
        private struct Padding
        {
            private long _first;
        }
    }
}

/// <summary>
/// Blocks that one thread has at hand, linked: those in use, and at most one chain in reserve, so that a thread which takes and gives back in turn need not go to the store. A mutable struct: keep
/// it in a field.
/// </summary>
internal struct MagazineStack<T, TLink>
    where T : class
    where TLink : struct, IFreeLink<T>
{
    /// <summary>Blocks in a chain, the unit that is moved between here and the store.</summary>
    public const int Chain = 16;

    private T? _head;
    private int _loaded;
    private T? _reserve;

    public readonly int Count => _loaded + (_reserve is null ? 0 : Chain);

    public T? TryTake()
    {
        T? block = _head;
        if (block is null)
        {
            block = _reserve;
            if (block is null)
            {
                return null;
            }

            _reserve = null;
            _loaded = Chain;
        }

        _head = TLink.Of(block);
        _loaded--;
        Prefetch.Object(_head, TLink.Lines);
        return block;
    }

    /// <summary>Adds a block; true when <paramref name="full"/> is a chain too many, for the store.</summary>
    public bool Add(T block, out T? full)
    {
        full = null;
        if (_loaded == Chain)
        {
            full = _reserve;
            _reserve = _head;
            _head = null;
            _loaded = 0;
        }

        TLink.Of(block) = _head;
        _head = block;
        _loaded++;
        return full is not null;
    }

    /// <summary>Loads a chain; nothing is at hand.</summary>
    public void Load(T chain) => (_head, _loaded) = (chain, Chain);
}

/// <summary>A sum that two sides work on apart: one adds, one takes off, and only who comes near a ceiling looks at both.</summary>
internal sealed class TwoSidedSum
{
    private readonly Side _added = new();
    private readonly Side _removed = new();

    /// <summary>What is there now.</summary>
    public long Value
    {
        get
        {
            // In this order: what is read too late makes the sum too large, never too small.
            long removed = Volatile.Read(ref _removed.Sum);
            return Volatile.Read(ref _added.Sum) - removed;
        }
    }

    /// <summary>Adds <paramref name="count"/> unless the value would pass <paramref name="ceiling"/>.</summary>
    public bool TryAdd(long count, long ceiling)
    {
        // The other side first: what is added after this and removed again, as a grant with a higher ceiling may be, must not make room for us.
        long removed = Volatile.Read(ref _added.Seen);
        if (Volatile.Read(ref _added.Sum) + count - removed <= ceiling)
        {
            if (Interlocked.Add(ref _added.Sum, count) - removed <= ceiling)
            {
                return true;
            }

            Interlocked.Add(ref _added.Sum, -count);
        }

        // What was seen of the other side may be old, and then too much seems to be there: look again. Nothing is added that may have to be taken off: it would be in the way of a grant with a higher ceiling.
        removed = Volatile.Read(ref _removed.Sum);
        Volatile.Write(ref _added.Seen, removed);
        long sum = Volatile.Read(ref _added.Sum);
        while (sum + count - removed <= ceiling)
        {
            long seen = Interlocked.CompareExchange(ref _added.Sum, sum + count, sum);
            if (seen == sum)
            {
                return true;
            }

            sum = seen;
        }

        return false;
    }

    public void Remove(long count) => Interlocked.Add(ref _removed.Sum, count);

    /// <summary>Whether the value is above <paramref name="mark"/>.</summary>
    public bool IsAbove(long mark)
    {
        if (Volatile.Read(ref _added.Sum) - Volatile.Read(ref _added.Seen) <= mark)
        {
            return false;
        }

        long removed = Volatile.Read(ref _removed.Sum);
        Volatile.Write(ref _added.Seen, removed);
        return Volatile.Read(ref _added.Sum) - removed > mark;
    }

    private sealed class Side
    {
        public long Sum;

        /// <summary>The other side's sum when it was last looked at.</summary>
        public long Seen;
        private Padding _padding;

        [InlineArray(14)]
        private struct Padding
        {
            private long _first;
        }
    }
}
