using System.Text;
using System.Text.Json;

namespace Penstock.Tool.Demo;

/// <summary>Figures as JSON, one object a line, for <c>jq</c> and scripts.</summary>
internal static class FigureJson
{
    public static void Write(ExperimentReport report, TextWriter output)
    {
        foreach (Figure figure in report.Figures)
        {
            output.WriteLine(Line(figure));
        }
    }

    private static string Line(Figure figure)
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteString("experiment", figure.Experiment);
            json.WriteString("case", figure.Case);
            json.WriteString("metric", figure.Metric.Name);
            json.WriteNumber("value", Math.Round(figure.Value, 4));
            json.WriteString("unit", figure.Metric.Unit);
            json.WriteNumber("min", Math.Round(figure.Least, 4));
            json.WriteNumber("max", Math.Round(figure.Most, 4));
            json.WriteNumber("runs", figure.Runs.Count);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(bytes.ToArray());
    }
}
