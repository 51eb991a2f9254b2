using System.Runtime.CompilerServices;

namespace Penstock.Buffers;

/// <summary>Where a kind of block keeps its link while it lies in a <see cref="FreeStore{T, TLink}"/>.</summary>
internal interface IFreeLink<T>
    where T : class
{
    static abstract ref T? Of(T block);
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
        T? block = _toTake.Head ?? MoveHoldingGate();
        if (block is not null)
        {
            _toTake.Head = TLink.Of(block);
            _toTake.Count--;
        }

        _toTake.Gate.Exit();
        return block;
    }

    /// <summary>Up to <paramref name="most"/> blocks, linked; how many there are.</summary>
    public int Take(int most, out T? chain)
    {
        chain = null;
        if (Volatile.Read(ref _toTake.Head) is null && Volatile.Read(ref _returned.Head) is null)
        {
            return 0;
        }

        int count = 0;
        _toTake.Gate.Enter();
        T? last = null;
        for (T? block = _toTake.Head ?? MoveHoldingGate(); block is not null && count < most; block = TLink.Of(block))
        {
            chain ??= block;
            last = block;
            count++;
        }

        if (last is not null)
        {
            _toTake.Head = TLink.Of(last);
            _toTake.Count -= count;
            TLink.Of(last) = null;
        }

        _toTake.Gate.Exit();
        return count;
    }

    /// <summary>Gives back <paramref name="count"/> blocks that are linked from <paramref name="first"/> to <paramref name="last"/>.</summary>
    public void Return(T first, T last, int count)
    {
        _returned.Gate.Enter();
        TLink.Of(last) = _returned.Head;
        _returned.Head = first;
        _returned.Count += count;
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

    /// <summary>Makes all that was returned the blocks to take; the first of them. The one place where a gate is entered within another, always in this order.</summary>
    private T? MoveHoldingGate()
    {
        if (Volatile.Read(ref _returned.Head) is null)
        {
            return null;
        }

        _returned.Gate.Enter();
        T? head = _returned.Head;
        _toTake.Head = head;
        _toTake.Count += _returned.Count;
        _returned.Head = null;
        _returned.Count = 0;
        _returned.Gate.Exit();
        return head;
    }

    /// <summary>An object of its own that is larger than the two lines of memory which processors fetch at a time.</summary>
    private sealed class Stack
    {
        public SpinGate Gate;
        public int Count;
        public T? Head;
        private Padding _padding;

        [InlineArray(14)]
        private struct Padding
        {
            private long _first;
        }
    }
}

/// <summary>Blocks that one thread has at hand, linked. A mutable struct: keep it in a field.</summary>
internal struct MagazineStack<T, TLink>
    where T : class
    where TLink : struct, IFreeLink<T>
{
    private T? _head;

    public int Count { get; private set; }

    public T? TryTake()
    {
        T? block = _head;
        if (block is not null)
        {
            _head = TLink.Of(block);
            Count--;
        }

        return block;
    }

    public void Add(T block)
    {
        TLink.Of(block) = _head;
        _head = block;
        Count++;
    }

    /// <summary>Makes a linked chain of <paramref name="count"/> blocks all that is at hand; there was nothing.</summary>
    public void Fill(T? chain, int count) => (_head, Count) = (chain, count);

    /// <summary>Takes out <paramref name="count"/> blocks, of which there are as many, as a chain.</summary>
    public void Detach(int count, out T first, out T last)
    {
        first = last = _head!;
        for (int i = 1; i < count; i++)
        {
            last = TLink.Of(last)!;
        }

        _head = TLink.Of(last);
        Count -= count;
    }
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
        long added = Interlocked.Add(ref _added.Sum, count);
        if (added - Volatile.Read(ref _added.Seen) <= ceiling)
        {
            return true;
        }

        // What was seen of the other side may be old, and then too much seems to be there: look again.
        long removed = Volatile.Read(ref _removed.Sum);
        Volatile.Write(ref _added.Seen, removed);
        if (added - removed <= ceiling)
        {
            return true;
        }

        Interlocked.Add(ref _added.Sum, -count);
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
