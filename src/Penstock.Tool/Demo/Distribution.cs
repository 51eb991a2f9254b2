namespace Penstock.Tool.Demo;

/// <summary>Percentiles by nearest rank: each figure is a value that was measured.</summary>
internal static class Distribution
{
    public static double Percentile(IReadOnlyList<double> values, double percent)
    {
        if (values.Count == 0)
        {
            return 0;
        }

        double[] sorted = [.. values];
        Array.Sort(sorted);
        int rank = (int)Math.Ceiling(percent / 100 * sorted.Length);
        return sorted[Math.Clamp(rank - 1, 0, sorted.Length - 1)];
    }

    /// <summary>The values in order against the share of them that is not larger, thinned to about <paramref name="most"/> points.</summary>
    public static IReadOnlyList<(double X, double Y)> Cumulative(IReadOnlyList<double> values, int most = 300)
    {
        double[] sorted = [.. values];
        Array.Sort(sorted);
        var points = new List<(double, double)>();
        int step = Math.Max(1, sorted.Length / most);
        for (int i = 0; i < sorted.Length; i += step)
        {
            points.Add((sorted[i], (i + 1.0) / sorted.Length));
        }

        if (sorted.Length > 0)
        {
            points.Add((sorted[^1], 1));
        }

        return points;
    }
}
