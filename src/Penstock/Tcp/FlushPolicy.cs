namespace Penstock.Tcp;

/// <summary>
/// When a long send looks at its backlog: before each so many new buffers, and also, while it has a budget of time, before a chunk that would end behind it, between the chunks of one buffer
/// too: nothing waits longer than the budget. The chunks shrink to a page while the source is slow, so that one takes a small part of the budget. Decides only; the send loop looks, and reads the clock. The owner's.
/// </summary>
internal struct FlushPolicy
{
    /// <summary>The smallest chunk: what one page fault brings.</summary>
    public const int Page = 4096;

    /// <summary>The largest chunk: a whole send slab.</summary>
    public const int LargestChunk = Buffers.PacketPool.SendSlab;

    /// <summary>A chunk takes at most the budget divided by this.</summary>
    private const int ChunksPerBudget = 4;

    private int _everyBuffers;
    private long _budgetNanos;
    private int _newBuffers;
    private long _lookedAtNanos;
    private long _readAtNanos;
    private long _tookNanos;
    private int _chunk = LargestChunk;

    public FlushPolicy()
    {
    }

    /// <summary>Nothing is ever looked at.</summary>
    public readonly bool IsOff => _everyBuffers == 0;

    /// <summary>The clock has to be read after each chunk.</summary>
    public bool IsTimed { get; private set; }

    /// <summary>The budget is used up, or would be after another chunk like the last.</summary>
    public readonly bool IsLate => IsTimed && _readAtNanos - _lookedAtNanos + _tookNanos >= _budgetNanos;

    /// <summary>Bytes to copy before the clock is read again. Remembered from send to send: a source that was slow still is, as a rule.</summary>
    public readonly int Chunk => IsTimed ? _chunk : LargestChunk;

    /// <summary>A run of the send loop begins. One that is over with its first page needs no clock.</summary>
    public void Begin(int everyBuffers, long budgetNanos, long remaining)
    {
        _everyBuffers = everyBuffers;
        _budgetNanos = budgetNanos;
        _newBuffers = 0;
        IsTimed = everyBuffers > 0 && budgetNanos > 0 && remaining > Page;
    }

    /// <summary>The clock starts afresh, at the beginning and behind a flush: the time that the flush itself took says nothing about the source.</summary>
    public void Restart(long nowNanos)
    {
        _lookedAtNanos = _readAtNanos = nowNanos;
        _tookNanos = 0;
    }

    public void OnNewBuffer() => _newBuffers++;

    /// <summary>A chunk is queued. A slow copy shrinks the next at once, whole ones that were fast double it; what was only attached says nothing about how long a copy takes.</summary>
    public void OnChunk(int bytes, long nowNanos, bool copied)
    {
        _tookNanos = nowNanos - _readAtNanos;
        _readAtNanos = nowNanos;
        if (!copied)
        {
            return;
        }

        long fits = _tookNanos <= 0 ? LargestChunk : bytes * (_budgetNanos / ChunksPerBudget) / _tookNanos;
        if (fits < _chunk)
        {
            _chunk = Math.Max((int)fits & -Page, Page);
        }
        else if (bytes >= _chunk)
        {
            _chunk = (int)Math.Min(Math.Min(fits, _chunk * 2) & -Page, LargestChunk);
        }
    }

    /// <summary>True when the backlog is to be looked at now. Behind a look at least one chunk passes, or one new buffer if there is no budget, before the next (T9).</summary>
    public readonly bool IsDue(bool beforeNewBuffer) => (beforeNewBuffer && _everyBuffers > 0 && _newBuffers >= _everyBuffers) || IsLate;

    public void OnLook()
    {
        _newBuffers = 0;
        _lookedAtNanos = _readAtNanos;
        _tookNanos = 0;
    }
}
