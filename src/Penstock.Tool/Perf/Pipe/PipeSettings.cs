namespace Penstock.Tool.Perf.Pipe;

/// <summary>How much each pipe test does.</summary>
internal sealed record PipeSettings
{
    /// <summary>One short run of small sizes.</summary>
    public static PipeSettings Quick { get; } = new() { WarmUpRuns = 0, Runs = 1, Time = TimeSpan.FromMilliseconds(50), IdleConnections = 500, Operations = 4_000 };

    /// <summary>Runs of each test.</summary>
    public int Runs { get; init; } = 5;

    /// <summary>Runs before them that do not count: until code that runs often has been compiled for it.</summary>
    public int WarmUpRuns { get; init; } = 2;

    /// <summary>How long a run measures; it warms up for half as long before.</summary>
    public TimeSpan Time { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Connections of the idle test at its end; it also looks at a tenth of them.</summary>
    public int IdleConnections { get; init; } = 200_000;

    /// <summary>Receives that the allocation test makes.</summary>
    public int Operations { get; init; } = 1_000_000;
}
