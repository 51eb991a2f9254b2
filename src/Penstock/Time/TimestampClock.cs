namespace Penstock.Time;

/// <summary>Turns a <see cref="TimeProvider"/>'s timestamps, of any frequency, into nanoseconds.</summary>
internal readonly struct TimestampClock(TimeProvider provider)
{
    private const long NanosPerSecond = 1_000_000_000;

    /// <summary>
    /// All clocks over the system's time start together: a stack with a device has several drivers, and a deadline or a stamp made with
    /// one worker's clock is compared with another's.
    /// </summary>
    private static readonly long SystemStart = TimeProvider.System.GetTimestamp();

    private readonly long _start = provider == TimeProvider.System ? SystemStart : provider.GetTimestamp();
    private readonly long _frequency = provider.TimestampFrequency;

    public long NowNanos
    {
        get
        {
            long ticks = provider.GetTimestamp() - _start;
            // One second in, so that no deadline computed from "now minus something" is negative.
            return _frequency == NanosPerSecond
                ? ticks + NanosPerSecond
                : (long)((Int128)ticks * NanosPerSecond / _frequency) + NanosPerSecond;
        }
    }
}
