namespace Penstock.Ip;

/// <summary>A token bucket over nanoseconds. A mutable struct; its owner's gate or a benign race keeps it roughly right, never unbounded.</summary>
internal struct RateLimit(long nanosPerToken, int burst)
{
    private long _freeAt;

    /// <summary>Takes one token if there is one at <paramref name="nowNanos"/>. Thread-safe.</summary>
    public bool TryTake(long nowNanos)
    {
        while (true)
        {
            long seen = Volatile.Read(ref _freeAt);
            long start = Math.Max(seen, nowNanos - (nanosPerToken * burst));
            if (start + nanosPerToken > nowNanos)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref _freeAt, start + nanosPerToken, seen) == seen)
            {
                return true;
            }
        }
    }
}
