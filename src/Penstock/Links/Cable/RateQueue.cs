namespace Penstock.Links;

/// <summary>
/// The queue in front of a wire of limited rate. It holds no packets, only when each will have been sent: departures are known on arrival, since nothing
/// overtakes in it. Exact: fractions of a nanosecond are carried over. Guarded by its direction's gate.
/// </summary>
internal sealed class RateQueue
{
    private const long NanosPerSecond = 1_000_000_000;

    /// <summary>Departures later than this are refused: a wire this slow is cut.</summary>
    private const long Never = long.MaxValue / 4;

    private (long DepartureNanos, int Bytes)[] _ring = new (long, int)[16];
    private int _first;
    private int _count;
    private long _bytes;
    private long _freeNanos;
    private long _fraction;

    /// <summary>Queues a packet of <paramref name="bytes"/> and says when its last bit will have been sent; false when the queue is full.</summary>
    public bool TryEnter(CableRules rules, int bytes, long nowNanos, out long departureNanos)
    {
        while (_count > 0 && _ring[_first].DepartureNanos <= nowNanos)
        {
            _bytes -= _ring[_first].Bytes;
            _first = (_first + 1) & (_ring.Length - 1);
            _count--;
        }

        departureNanos = 0;
        if (_count >= rules.QueueLimit || (_count > 0 && _bytes + bytes > rules.QueueLimitBytes) || _freeNanos > Never)
        {
            return false;
        }

        if (_freeNanos < nowNanos)
        {
            // The wire was idle.
            _freeNanos = nowNanos;
            _fraction = 0;
        }

        // A packet has at most 65535 bytes and the rate at most 10^15, so this is far from overflowing. After a change of rate the fraction is cut to it.
        long scaled = (bytes * 8L * NanosPerSecond) + Math.Min(_fraction, rules.Rate - 1);
        (long nanos, _fraction) = Math.DivRem(scaled, rules.Rate);
        _freeNanos += nanos;

        // A packet has been sent when its last bit has: a fraction that is left counts as a begun nanosecond.
        departureNanos = _fraction == 0 ? _freeNanos : _freeNanos + 1;
        if (_count == _ring.Length)
        {
            Grow();
        }

        _ring[(_first + _count) & (_ring.Length - 1)] = (departureNanos, bytes);
        _count++;
        _bytes += bytes;
        return true;
    }

    private void Grow()
    {
        var next = new (long, int)[_ring.Length * 2];
        for (int i = 0; i < _count; i++)
        {
            next[i] = _ring[(_first + i) & (_ring.Length - 1)];
        }

        _ring = next;
        _first = 0;
    }
}
