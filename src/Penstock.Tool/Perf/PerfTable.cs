using System.Globalization;
using Spectre.Console;

namespace Penstock.Tool.Perf;

/// <summary>Results for people: a row a test, the median of its runs and their range.</summary>
internal static class PerfTable
{
    private const int PlainWidth = 120;

    public static void Write(IReadOnlyList<PerfResult> results, TextWriter output)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        if (!ReferenceEquals(output, Console.Out) || Console.IsOutputRedirected)
        {
            console.Profile.Width = PlainWidth;
        }

        var table = new Table { Border = TableBorder.Rounded };
        table.AddColumns(
            new TableColumn("test"),
            new TableColumn("median").RightAligned(),
            new TableColumn("unit"),
            new TableColumn("min").RightAligned(),
            new TableColumn("max").RightAligned(),
            new TableColumn("runs").RightAligned());
        foreach (PerfResult result in results)
        {
            table.AddRow(
                Markup.Escape(result.Test),
                $"[bold]{Text(result.Value)}[/]",
                Markup.Escape(result.Unit),
                Text(result.Least),
                Text(result.Most),
                result.Runs.Count.ToString(CultureInfo.InvariantCulture));
        }

        console.Write(table);
        console.WriteLine($"{Environment.ProcessorCount} processors, .NET {Environment.Version}, {PerfResult.Collector} GC, commit {PerfResult.Commit}.");
    }

    public static string Text(double value) => PerfResult.Rounded(value).ToString("#,0.####", CultureInfo.InvariantCulture);
}
