namespace Penstock.Time;

/// <summary>Units of time; the stack counts nanoseconds.</summary>
internal static class Nanos
{
    public const long PerMicrosecond = 1_000;
    public const long PerMillisecond = 1_000_000;
    public const long PerSecond = 1_000_000_000;

    public static long From(TimeSpan span) => span.Ticks * 100;
}
