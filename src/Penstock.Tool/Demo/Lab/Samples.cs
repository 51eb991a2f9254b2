namespace Penstock.Tool.Demo.Lab;

/// <summary>Samples as points of a plot.</summary>
internal static class Samples
{
    /// <summary>The largest of each of about 400 equal groups: peaks are what matters.</summary>
    public static IReadOnlyList<(double X, double Y)> Thin(this IReadOnlyList<Sample> samples, Func<Sample, double> value) => Thin(samples, s => s.Millis, value);

    /// <summary>The same of what a ledger was seen to hold.</summary>
    public static IReadOnlyList<(double X, double Y)> Thin(this IReadOnlyList<LedgerSample> samples, Func<LedgerSample, double> value) => Thin(samples, s => s.Millis, value);

    private static IReadOnlyList<(double X, double Y)> Thin<T>(IReadOnlyList<T> samples, Func<T, double> millis, Func<T, double> value)
    {
        const int Most = 400;
        int group = Math.Max(1, (samples.Count + Most - 1) / Most);
        return [.. samples.Chunk(group).Select(g => (millis(g[0]), g.Max(value)))];
    }
}
