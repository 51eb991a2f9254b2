namespace Penstock.Tool.Perf.Pipe;

/// <summary>One way to measure; it may give several results, which then belong together and come from the same runs.</summary>
internal abstract class PipeTest
{
    /// <summary>The tests by which it is chosen.</summary>
    public abstract IReadOnlyList<string> Names { get; }

    /// <summary>Measures what was asked for and adds a figure a run to <paramref name="report"/>.</summary>
    public abstract Task RunAsync(PipeSettings settings, PipeReport report);
}

/// <summary>Collects the figures of a test as they come, and says on the way what is going on.</summary>
/// <param name="chosen">The names that were asked for.</param>
/// <param name="progress">Gets a line now and then.</param>
/// <param name="stop">Ends the test.</param>
internal sealed class PipeReport(IReadOnlySet<string> chosen, Action<string> progress, CancellationToken stop)
{
    private readonly List<(string Test, string Unit, List<double> Runs)> _figures = [];
    private bool _warmingUp;

    public CancellationToken Stop => stop;

    public IEnumerable<PerfResult> Results => _figures.Select(f => new PerfResult(f.Test, f.Unit, f.Runs));

    public bool IsChosen(string test) => chosen.Contains(test);

    public void Progress(string what) => progress(what);

    /// <summary>Does <paramref name="run"/> as often as was asked for; what the first runs find does not count.</summary>
    public async Task RepeatAsync(PipeSettings settings, Func<Task> run)
    {
        for (int i = -settings.WarmUpRuns; i < settings.Runs; i++)
        {
            _warmingUp = i < 0;
            await run().ConfigureAwait(false);
        }
    }

    /// <summary>Adds what one run of <paramref name="test"/> found.</summary>
    public void Add(string test, string unit, double value, string remark = "")
    {
        string found = $"{PerfTable.Text(value)} {unit}{(remark.Length == 0 ? "" : $" ({remark})")}";
        if (_warmingUp)
        {
            progress($"{test} warming up: {found}");
            return;
        }

        (string Test, string Unit, List<double> Runs) figure = _figures.Find(f => f.Test == test);
        if (figure.Runs is null)
        {
            figure = (test, unit, []);
            _figures.Add(figure);
        }

        figure.Runs.Add(value);
        progress($"{test} run {figure.Runs.Count}: {found}");
    }
}
