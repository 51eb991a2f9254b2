using System.Text.Json;

namespace Penstock.Tool.Tests;

/// <summary>What <c>--json</c> printed, by case and metric.</summary>
internal sealed class DemoFigures
{
    private readonly Dictionary<(string Case, string Metric), double> _values = [];

    private DemoFigures(string lines)
    {
        foreach (string line in lines.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            using JsonDocument figure = JsonDocument.Parse(line);
            JsonElement root = figure.RootElement;
            Assert.StartsWith("E", root.GetProperty("experiment").GetString(), StringComparison.Ordinal);
            Assert.InRange(root.GetProperty("value").GetDouble(), root.GetProperty("min").GetDouble(), root.GetProperty("max").GetDouble());
            _values.Add((root.GetProperty("case").GetString()!, root.GetProperty("metric").GetString()!), root.GetProperty("value").GetDouble());
        }
    }

    public double this[string name, string metric] => _values[(name, metric)];

    public static async Task<DemoFigures> RunAsync(string demo, params string[] arguments) => new(await OutputAsync(demo, [.. arguments, "--json"]));

    public static async Task<string> OutputAsync(string demo, params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = await PenstockCommand.InvokeAsync(["demo", demo, .. arguments], output, error, TestContext.Current.CancellationToken);
        Assert.True(code == PenstockCommand.Success, error.ToString());
        return output.ToString();
    }
}
