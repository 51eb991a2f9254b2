namespace Penstock.Tool.Demo;

/// <summary>What an experiment has found so far: figures by case and run, plots, remarks. Also where it says how far it is, and learns that it should stop.</summary>
internal sealed class ExperimentReport(Experiment experiment, Action<string> progress, CancellationToken stop)
{
    private readonly Dictionary<(string Case, Metric Metric), List<double>> _values = [];
    private readonly List<(string Case, Metric Metric)> _order = [];

    public Experiment Experiment => experiment;

    /// <summary>In the order of their first mention.</summary>
    public IEnumerable<Figure> Figures => _order.Select(key => new Figure(experiment.Id, key.Case, key.Metric, _values[key]));

    public List<PlotData> Plots { get; } = [];

    /// <summary>Sentences below the table.</summary>
    public List<string> Remarks { get; } = [];

    /// <summary>Says what is about to run; ends the experiment when the user wants it to end.</summary>
    public void Begin(string what)
    {
        stop.ThrowIfCancellationRequested();
        progress($"{experiment.Id} {what}");
    }

    /// <summary>Adds one run's value.</summary>
    public void Add(string name, Metric metric, double value)
    {
        if (!_values.TryGetValue((name, metric), out List<double>? runs))
        {
            _values.Add((name, metric), runs = []);
            _order.Add((name, metric));
        }

        runs.Add(value);
    }
}
