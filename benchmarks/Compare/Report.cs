namespace Penstock.Benchmarks.Compare;

/// <summary>What one contestant reached in one row: a figure for each round, none where the run failed.</summary>
internal sealed record Figure(string Row, Contestant Contestant, IReadOnlyList<double?> Rounds)
{
    /// <summary>The rounds that gave something, in ascending order.</summary>
    public IReadOnlyList<double> Sorted() => [.. Rounds.OfType<double>().Order()];

    /// <summary>Null when no round gave anything; of two in the middle, their mean.</summary>
    public double? Median() => Report.MedianOf(Sorted());
}

/// <summary>Everything that a page is made of; what <c>--from</c> reads.</summary>
internal sealed record Report
{
    public required string Machine { get; init; }

    public required string Commit { get; init; }

    public required DateTimeOffset Date { get; init; }

    /// <summary>Tasks that ran or wanted to, as the kernel averaged them over a minute, before the first run.</summary>
    public required double LoadBefore { get; init; }

    public required int Rounds { get; init; }

    /// <summary>What each run measured.</summary>
    public required double SecondsARun { get; init; }

    public required double Minutes { get; init; }

    public required bool Quick { get; init; }

    /// <summary>Which version took part.</summary>
    public required IReadOnlyDictionary<Contestant, string> Versions { get; init; }

    /// <summary>Why one did not take part.</summary>
    public required IReadOnlyDictionary<Contestant, string> Absent { get; init; }

    public required IReadOnlyList<Figure> Figures { get; init; }

    public Figure? Find(string row, Contestant contestant) => Figures.FirstOrDefault(figure => figure.Row == row && figure.Contestant == contestant);

    public double? Median(string row, Contestant contestant) => Find(row, contestant)?.Median();

    /// <summary>How many times as good as <paramref name="other"/> Penstock is: the ratio of the medians, and the least and the most that a single round gave. Null without both.</summary>
    public (double OfMedians, double Least, double Most)? Ratio(Row row, Contestant other)
    {
        if (Find(row.Id, Contestant.Penstock) is not { } ours || Find(row.Id, other) is not { } theirs
            || ours.Median() is not > 0 || theirs.Median() is not > 0)
        {
            return null;
        }

        double Better(double our, double their) => row.LessIsBetter ? their / our : our / their;
        double ofMedians = Better(ours.Median()!.Value, theirs.Median()!.Value);
        double[] pairs = [.. ours.Rounds.Zip(theirs.Rounds, (our, their) => our > 0 && their > 0 ? Better(our.Value, their.Value) : (double?)null).OfType<double>()];
        return (ofMedians, pairs.Append(ofMedians).Min(), pairs.Append(ofMedians).Max());
    }

    public static double? MedianOf(IReadOnlyList<double> sorted)
    {
        int middle = sorted.Count / 2;
        return sorted.Count == 0 ? null : sorted.Count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
