namespace Penstock.Tcp;

/// <summary>
/// The smallest round-trip time of the last five minutes (RFC 8985 6.2 step 1 wants it, draft-cardwell-iccrg-bbr-congestion-control a windowed one; Linux:
/// <c>tcp_min_rtt_wlen</c>), in constant space: Kathleen Nichols' filter keeps the best sample
/// and two later ones that stand in for it when it grows too old. What it says was measured within the window and is never above anything measured since; what
/// came before that and was better may be forgotten when stand-ins grow old close together, a price that Linux pays too. Samples that a delayed ACK may
/// have stretched are better not given to it when they lie above <see cref="CurrentNanos"/>.
/// </summary>
internal struct MinimumRtt
{
    /// <summary>net.ipv4.tcp_min_rtt_wlen.</summary>
    public const long DefaultWindowNanos = 300L * 1_000_000_000;

    /// <summary>What <see cref="CurrentNanos"/> says while nothing was measured.</summary>
    public const long Unknown = long.MaxValue;

    // Ordered by time, which orders them by value too: each is the smallest since some moment after the one before it was taken.
    private Measured _best;
    private Measured _second;
    private Measured _third;

    public readonly bool HasSample => _best.Valid;

    /// <summary>The minimum, nanoseconds.</summary>
    public readonly long CurrentNanos => _best.Valid ? _best.RttNanos : Unknown;

    /// <summary>Takes a sample; time must not go backward. Returns the minimum.</summary>
    public long Update(long nowNanos, long rttNanos, long windowNanos = DefaultWindowNanos)
    {
        var sample = new Measured(nowNanos, rttNanos);
        if (!_best.Valid || rttNanos <= _best.RttNanos || nowNanos - _third.AtNanos > windowNanos)
        {
            // A new minimum makes all before it worthless; so does a silence as long as the window.
            _best = _second = _third = sample;
            return rttNanos;
        }

        if (rttNanos <= _second.RttNanos)
        {
            _second = _third = sample;
        }
        else if (rttNanos <= _third.RttNanos)
        {
            _third = sample;
        }

        long age = nowNanos - _best.AtNanos;
        if (age > windowNanos)
        {
            Promote(sample);
            if (nowNanos - _best.AtNanos > windowNanos)
            {
                Promote(sample);
            }
        }
        else if (_second.AtNanos == _best.AtNanos && age > windowNanos / 4)
        {
            // Stand-ins are taken from different quarters, so that they seldom grow old together.
            _second = _third = sample;
        }
        else if (_third.AtNanos == _second.AtNanos && age > windowNanos / 2)
        {
            _third = sample;
        }

        return _best.RttNanos;
    }

    private void Promote(in Measured sample)
    {
        _best = _second;
        _second = _third;
        _third = sample;
    }

    private readonly struct Measured(long atNanos, long rttNanos)
    {
        public readonly bool Valid = true;
        public readonly long AtNanos = atNanos;
        public readonly long RttNanos = rttNanos;
    }
}
