using Penstock.Time;

namespace Penstock.Tcp.Pacing;

/// <summary>
/// The rate of one connection, and, where sending is held to it, when the next segment may go (Linux: <c>sk_pacing_rate</c> and TCP's internal pacing; there is no RFC of it). The rate is kept for every connection, since the size of
/// super-segments follows from it; it is enforced only when the application set a limit or the congestion control asks for it. The owner's.
/// </summary>
internal struct Pacer
{
    /// <summary>No rate is known, or no limit is set.</summary>
    public const long Unlimited = long.MaxValue;

    /// <summary>The first flight goes at once, paced or not (Linux).</summary>
    private const long FreeSegments = 10;

    private long _nextNanos;

    public Pacer()
    {
    }

    /// <summary>Bytes a second.</summary>
    public long Rate { get; private set; } = Unlimited;

    /// <summary>SO_MAX_PACING_RATE, bytes a second.</summary>
    public long MaximumRate { get; private set; } = Unlimited;

    /// <summary>Sending is held to <see cref="Rate"/>. Once it is, it stays so, as in Linux.</summary>
    public bool IsEnforced { get; private set; }

    /// <summary>When a sender that was held back is to try again.</summary>
    public long WakeNanos { get; set; } = long.MaxValue;

    /// <summary>When the next segment may go.</summary>
    public readonly long NextNanos => _nextNanos;

    public void SetRate(long bytesPerSecond) => Rate = Math.Min(bytesPerSecond, MaximumRate);

    public void SetMaximum(long bytesPerSecond)
    {
        MaximumRate = bytesPerSecond;
        IsEnforced |= bytesPerSecond != Unlimited;
        Rate = Math.Min(Rate, bytesPerSecond);
    }

    public void Enforce() => IsEnforced = true;

    /// <summary>Too early for the next segment.</summary>
    public readonly bool Holds(long now) => IsEnforced && _nextNanos > now;

    /// <summary>So much was sent now, as one packet: the next may go when the rate has made up for it.</summary>
    public void OnSent(int bytes, long now, long dataSegmentsSent)
    {
        if (!IsEnforced)
        {
            return;
        }

        long late = now - _nextNanos;
        _nextNanos = Math.Max(_nextNanos, now);
        if (Rate is > 0 and not Unlimited && dataSegmentsSent >= FreeSegments)
        {
            // A timer that came late is made up for, half of each packet's time at most.
            long time = bytes * Nanos.PerSecond / Rate;
            _nextNanos += time - Math.Clamp(late, 0, time / 2);
        }
    }

    /// <summary>
    /// The rate that a window and a round-trip time amount to, with room to grow: <paramref name="percent"/> of it. <see cref="Unlimited"/> while the round-trip time is not known
    /// (Linux: <c>tcp_update_pacing_rate</c>).
    /// </summary>
    public static long RateOf(int mss, int segments, int percent, long smoothedRttNanos)
    {
        if (smoothedRttNanos <= 0)
        {
            return Unlimited;
        }

        const long PercentPerSecond = Nanos.PerSecond / 100;
        long perRound = (long)mss * segments * percent;
        return perRound <= long.MaxValue / PercentPerSecond
            ? Math.Min(perRound * PercentPerSecond / smoothedRttNanos, Unlimited / 2)
            : (long)Math.Min((double)perRound * PercentPerSecond / smoothedRttNanos, Unlimited / 2);
    }
}
