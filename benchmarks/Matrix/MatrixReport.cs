namespace Penstock.Benchmarks.Matrix;

/// <summary>Everything that the page and the plot are made of; what <c>--from</c> reads.</summary>
internal sealed record MatrixReport
{
    public const double RowFloor = 0.9;
    public const double CellFloor = 0.7;

    public required string Machine { get; init; }

    public required string Commit { get; init; }

    public required DateTimeOffset Date { get; init; }

    public required double LoadBefore { get; init; }

    public required double LoadAfter { get; init; }

    public required int Seeds { get; init; }

    public required double Minutes { get; init; }

    public required IReadOnlyList<Outcome> Outcomes { get; init; }

    public IEnumerable<Cell> Cells => Cell.All.Where(cell => Outcomes.Any(outcome => outcome.Cell == cell.Name));

    public IEnumerable<Outcome> Of(Cell cell, Pairing pairing) => Outcomes.Where(outcome => outcome.Cell == cell.Name && outcome.Pairing == pairing);

    public double Median(Cell cell, Pairing pairing) => Compare.Report.MedianOf([.. Of(cell, pairing).Select(outcome => outcome.Megabits).Order()]) ?? double.NaN;

    /// <summary>What Penstock reaches of what Linux does: the ratio of the medians.</summary>
    public double Ratio(Cell cell, Pairing pairing) => Median(cell, pairing) / Median(cell, Pairing.Linux);

    /// <summary>The least and the most of the ratios for one seed.</summary>
    public (double Least, double Most) Spread(Cell cell, Pairing pairing)
    {
        double[] ratios = [.. Of(cell, pairing).Join(Of(cell, Pairing.Linux), ours => ours.Seed, theirs => theirs.Seed, (ours, theirs) => ours.Megabits / theirs.Megabits)];
        return (ratios.Min(), ratios.Max());
    }

    /// <summary>No byte came for half of the time that the transfer was watched.</summary>
    public bool Stalled(Cell cell, Pairing pairing) => Of(cell, pairing).Any(outcome => outcome.LongestGapSeconds > cell.Seconds / 2);

    public static double GeometricMean(IEnumerable<double> values) => Math.Exp(values.Average(Math.Log));
}
