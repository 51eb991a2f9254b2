using System.Reflection;
using System.Runtime;
using System.Text;
using System.Text.Json;

namespace Penstock.Tool.Perf;

/// <summary>What the runs of one test came to.</summary>
/// <param name="Test">The test's name, as in <c>pipe.rr64</c>.</param>
/// <param name="Unit">Of <paramref name="Runs"/>.</param>
/// <param name="Runs">A figure for each run, in order; at least one.</param>
internal sealed record PerfResult(string Test, string Unit, IReadOnlyList<double> Runs)
{
    public double Least => Runs.Min();

    public double Most => Runs.Max();

    /// <summary>The median; of two in the middle, their mean.</summary>
    public double Value
    {
        get
        {
            double[] sorted = [.. Runs.Order()];
            int middle = sorted.Length / 2;
            return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
        }
    }

    /// <summary>How this process collects garbage.</summary>
    public static string Collector =>
        $"{(GCSettings.IsServerGC ? "server" : "workstation")}{(GCSettings.LatencyMode == GCLatencyMode.Batch ? "" : " concurrent")}";

    /// <summary>The commit that the tool was built from, as the build wrote it into the version.</summary>
    public static string Commit
    {
        get
        {
            string version = typeof(PerfResult).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";
            int mark = version.IndexOf('+', StringComparison.Ordinal);
            return mark < 0 ? "unknown" : version[(mark + 1)..][..Math.Min(12, version.Length - mark - 1)];
        }
    }

    /// <summary>One line, without its end.</summary>
    public string ToJson()
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteString("test", Test);
            json.WriteNumber("value", Rounded(Value));
            json.WriteString("unit", Unit);
            json.WriteNumber("min", Rounded(Least));
            json.WriteNumber("max", Rounded(Most));
            json.WriteNumber("runs", Runs.Count);
            json.WriteString("gc", Collector);
            json.WriteString("commit", Commit);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(bytes.ToArray());
    }

    /// <summary>As many decimals as mean something.</summary>
    public static double Rounded(double value) => Math.Round(value, Math.Abs(value) switch { >= 1000 => 0, >= 10 => 2, _ => 4 });
}
