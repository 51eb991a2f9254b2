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

    public double Typical(Cell cell, Pairing pairing) => Typical(cell, Of(cell, pairing));

    /// <summary>Goodput of a cell's transfers: the median, or the mean of the logarithms where transfers are erratic.</summary>
    public static double Typical(Cell cell, IEnumerable<Outcome> outcomes)
    {
        double[] megabits = [.. outcomes.Select(outcome => outcome.Megabits).Order()];
        return cell.IsErratic ? GeometricMean(megabits) : Compare.Report.MedianOf(megabits) ?? double.NaN;
    }

    /// <summary>What Penstock reaches of what Linux does.</summary>
    public double Ratio(Cell cell, Pairing pairing) => Typical(cell, pairing) / Typical(cell, Pairing.Linux);

    /// <summary>How well <see cref="Ratio"/> is known, as a share of it: one standard error of the difference of the mean logarithms.</summary>
    public double StandardError(Cell cell, Pairing pairing) => StandardError(Outcomes.Where(outcome => outcome.Cell == cell.Name), pairing);

    /// <summary>The same for the transfers of one cell.</summary>
    public static double StandardError(IEnumerable<Outcome> ofCell, Pairing pairing)
    {
        double[] Logarithms(Pairing of) => [.. ofCell.Where(outcome => outcome.Pairing == of).Select(outcome => Math.Log(outcome.Megabits))];
        return Math.Sqrt(VarianceOfMean(Logarithms(pairing)) + VarianceOfMean(Logarithms(Pairing.Linux)));
    }

    /// <summary>The least and the most of the ratios for one seed; where transfers are erratic, one standard error to both sides.</summary>
    public (double Least, double Most) Spread(Cell cell, Pairing pairing)
    {
        if (cell.IsErratic)
        {
            double ratio = Ratio(cell, pairing), factor = Math.Exp(StandardError(cell, pairing));
            return (ratio / factor, ratio * factor);
        }

        double[] ratios = [.. Of(cell, pairing).Join(Of(cell, Pairing.Linux), ours => ours.Seed, theirs => theirs.Seed, (ours, theirs) => ours.Megabits / theirs.Megabits)];
        return (ratios.Min(), ratios.Max());
    }

    /// <summary>No byte came for half of the time that the transfer was watched.</summary>
    public bool Stalled(Cell cell, Pairing pairing) => Of(cell, pairing).Any(outcome => outcome.LongestGapSeconds > cell.Seconds / 2);

    public static double GeometricMean(IEnumerable<double> values) => Math.Exp(values.Average(Math.Log));

    /// <summary>Of few values nothing is known.</summary>
    private static double VarianceOfMean(double[] values)
    {
        double mean = values.Average();
        return values.Length < 2 ? double.PositiveInfinity : values.Sum(value => (value - mean) * (value - mean)) / (values.Length - 1) / values.Length;
    }
}
