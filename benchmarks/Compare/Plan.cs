using System.IO.Enumeration;

namespace Penstock.Benchmarks.Compare;

/// <summary>What is measured and how often.</summary>
internal sealed record Plan
{
    public const int FullRounds = 5;
    public const int QuickRounds = 2;

    public required int Rounds { get; init; }

    /// <summary>What each run measures.</summary>
    public required double Seconds { get; init; }

    public required bool Quick { get; init; }

    /// <summary>Which rows, as <c>pipe.bulk.*</c>; null for all.</summary>
    public string? Only { get; init; }

    /// <summary>Idle connections take as long as everything else in a round together, and their figure hardly moves.</summary>
    public int IdleRounds => Math.Min(Rounds, Quick ? 1 : 2);

    public bool Wants(string row) => Only is null || FileSystemName.MatchesSimpleExpression(Only, row);
}

/// <summary>Collects the figures as they come and tells what happens.</summary>
internal sealed class Ledger(int rounds, Action<string> progress)
{
    private readonly Dictionary<(string Row, Contestant Contestant), double?[]> _figures = [];

    public IReadOnlyList<Figure> Figures => [.. _figures.Select(entry => new Figure(entry.Key.Row, entry.Key.Contestant, entry.Value))];

    public void Add(string row, Contestant contestant, int round, double? value)
    {
        if (!_figures.TryGetValue((row, contestant), out double?[]? all))
        {
            _figures[(row, contestant)] = all = new double?[rounds];
        }

        all[round] = value;
    }

    /// <summary>The cell exists although nothing could be measured: it shows as failed.</summary>
    public void AddFailure(string row, Contestant contestant, string why)
    {
        Add(row, contestant, 0, null);
        progress($"{row}, {Contest.Title(contestant)}: failed: {why}");
    }

    /// <summary>One line for a row in a round: everybody's figure.</summary>
    public void Tell(string row, int round)
    {
        IEnumerable<string> cells = _figures.Where(entry => entry.Key.Row == row && entry.Value[round] is not null)
            .Select(entry => $"{Contest.Title(entry.Key.Contestant)} {Numbers.Text(entry.Value[round]!.Value)}");
        progress($"round {round + 1} of {rounds}  {row}: {string.Join(", ", cells)} {Contest.Find(row).Unit}");
    }
}
