using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Smoothed round-trip time, its variance and the retransmission timeout they give (RFC 6298), with Linux's refinements: the deviation that counts is the
/// largest of the last round, so that it does not fade within a window of samples; a fall of the delay does not widen it as a rise does; the smallest timeout
/// is a floor of the variance term, not of the sum. Karn's rule and the exponential backoff are its caller's. Only the connection's owner calls it.
/// </summary>
internal sealed class RttEstimator
{
    public const long DefaultRtoMinNanos = 200_000_000;

    public const long DefaultRtoMaxNanos = 120_000_000_000;

    /// <summary>RFC 6298 (2.1): the timeout while nothing was measured.</summary>
    public const long InitialRtoNanos = 1_000_000_000;

    // Fixed point: 8 times the smoothed time, 4 times each deviation (which RFC 6298's K = 4 makes the very term of the timeout).
    private long _smoothed8;
    private long _deviation4;
    private long _roundMaximum4;
    private long _variance4;
    private SequenceNumber _roundEnd;

    /// <summary>The least that the variance adds to the smoothed time, nanoseconds.</summary>
    public long RtoMinNanos { get; set; } = DefaultRtoMinNanos;

    /// <summary>Upper bound of the timeout, nanoseconds.</summary>
    public long RtoMaxNanos { get; set; } = DefaultRtoMaxNanos;

    public bool HasSample => _smoothed8 != 0;

    /// <summary>Smoothed round-trip time, nanoseconds; 0 while nothing was measured.</summary>
    public long SmoothedNanos => _smoothed8 >> 3;

    /// <summary>Smoothed mean deviation, nanoseconds (Linux: <c>tcpi_rttvar</c>).</summary>
    public long VarianceNanos => _deviation4 >> 2;

    /// <summary>The retransmission timeout without backoff, nanoseconds (RFC 6298 2.3).</summary>
    public long RtoNanos => Math.Min(HasSample ? SmoothedNanos + _variance4 : InitialRtoNanos, RtoMaxNanos);

    /// <summary>
    /// Takes one measured round-trip time. <paramref name="unacknowledged"/> is the first sequence number not acknowledged after the ACK that brought it,
    /// <paramref name="nextToSend"/> the end of what has been sent: a round is over when all that had been sent at its start is acknowledged.
    /// </summary>
    public void Sample(long rttNanos, SequenceNumber unacknowledged, SequenceNumber nextToSend)
    {
        rttNanos = Math.Max(rttNanos, 1);
        if (!HasSample)
        {
            // RFC 6298 (2.2): SRTT = R, RTTVAR = R/2.
            _smoothed8 = rttNanos << 3;
            _deviation4 = rttNanos << 1;
            _variance4 = Math.Max(_deviation4, RtoMinNanos);
            _roundMaximum4 = _variance4;
            _roundEnd = nextToSend;
            return;
        }

        // RFC 6298 (2.3): alpha = 1/8, beta = 1/4.
        long error = rttNanos - (_smoothed8 >> 3);
        _smoothed8 = Math.Max(_smoothed8 + error, 1);
        long change = Math.Abs(error) - (_deviation4 >> 2);
        if (error < 0 && change > 0)
        {
            // A path that became faster must not make the timeout longer: such a change counts an eighth only.
            change >>= 3;
        }

        _deviation4 += change;
        if (_deviation4 > _roundMaximum4)
        {
            _roundMaximum4 = _deviation4;
            _variance4 = Math.Max(_variance4, _roundMaximum4);
        }

        if (unacknowledged.After(_roundEnd))
        {
            // A quiet round takes a quarter of the way down to its own largest deviation.
            if (_roundMaximum4 < _variance4)
            {
                _variance4 -= (_variance4 - _roundMaximum4) >> 2;
            }

            _roundEnd = nextToSend;
            _roundMaximum4 = RtoMinNanos;
        }
    }
}
