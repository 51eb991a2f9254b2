using System.Globalization;

namespace Penstock.Drill;

/// <summary>
/// How far from its written time an event may happen. The larger of a fixed part and a share of the event's delay counts;
/// packetdrill's defaults are 4 ms and 12.5 %. Under virtual time a script may be held to <see cref="Exact"/>.
/// </summary>
internal readonly record struct TimingTolerance(long FixedNanos, double Percent)
{
    public static readonly TimingTolerance Default = new(4_000_000, 12.5);

    public static readonly TimingTolerance Exact = new(0, 0);

    /// <summary>The head options' tolerance where they give one, else <paramref name="otherwise"/>, each part for itself.</summary>
    public static TimingTolerance From(HeadOptions options, TimingTolerance otherwise) => new(
        options.GetLong("tolerance_usecs") is { } usecs ? usecs * 1000 : otherwise.FixedNanos,
        options.GetText("tolerance_percent") is { } percent
            ? double.Parse(percent, CultureInfo.InvariantCulture)
            : otherwise.Percent);

    /// <summary>The nanoseconds allowed on either side for an event that comes <paramref name="delayNanos"/> after the one before.</summary>
    public long Allowance(long delayNanos) => Math.Max(FixedNanos, (long)(Percent / 100.0 * Math.Max(0, delayNanos)));

    /// <summary>
    /// Null when <paramref name="actualNanos"/> is near enough to <paramref name="time"/>, else a sentence that says how far off it was.
    /// </summary>
    /// <param name="time">The written time, resolved: never relative.</param>
    /// <param name="previousNanos">When the event before happened.</param>
    /// <param name="actualNanos">When this one did. All times in nanoseconds after the script's start.</param>
    /// <param name="what">What happened, for the sentence: "the packet", "accept(...)'s return".</param>
    public string? Check(TimeSpec time, long previousNanos, long actualNanos, string what)
    {
        if (time.Kind == TimeKind.Any)
        {
            return null;
        }

        long allowance = Allowance(time.StartNanos - previousNanos);
        if (actualNanos >= time.StartNanos - allowance && actualNanos <= time.EndNanos + allowance)
        {
            return null;
        }

        bool early = actualNanos < time.StartNanos;
        long off = early ? time.StartNanos - actualNanos : actualNanos - time.EndNanos;
        string expected = time.IsRange
            ? $"between {Seconds(time.StartNanos)} s and {Seconds(time.EndNanos)} s"
            : $"at {Seconds(time.StartNanos)} s";
        return $"{what} was expected {expected} but came at {Seconds(actualNanos)} s, "
            + $"{Seconds(off)} s too {(early ? "early" : "late")} (tolerance {Seconds(allowance)} s)";
    }

    /// <summary>Nanoseconds as decimal seconds, without needless zeros: how scripts write times.</summary>
    internal static string Seconds(long nanos) => ((decimal)nanos / 1_000_000_000m).ToString("0.#########", CultureInfo.InvariantCulture);
}
