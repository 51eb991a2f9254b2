using Spectre.Console;

namespace Penstock.Tool.Demo;

/// <summary>An experiment as a table for people: a row a metric, a column a case; the median of the runs, and their range where they differ.</summary>
internal static class FigureTable
{
    private const int PlainWidth = 150;

    public static void Write(ExperimentReport report, DemoSettings settings, TextWriter output)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        if (!ReferenceEquals(output, Console.Out) || Console.IsOutputRedirected)
        {
            console.Profile.Width = PlainWidth;
        }

        Experiment experiment = report.Experiment;
        console.MarkupLine($"[bold]{experiment.Id}  {Markup.Escape(experiment.Title)}[/]");
        console.WriteLine(settings.Live ? experiment.LiveSetup : experiment.Setup);
        console.WriteLine($"Differs: {experiment.Switch}");
        console.WriteLine($"Control: {experiment.Control}");
        Figure[] figures = [.. report.Figures];
        string[] cases = [.. figures.Select(f => f.Case).Distinct()];
        var table = new Table { Border = TableBorder.Rounded };
        table.AddColumn("");
        foreach (string name in cases)
        {
            table.AddColumn(new TableColumn(Markup.Escape(name)).RightAligned());
        }

        foreach (Metric metric in figures.Select(f => f.Metric).Distinct())
        {
            table.AddRow([Markup.Escape(metric.Label), .. cases.Select(c => Markup.Escape(Cell(figures.FirstOrDefault(f => f.Case == c && f.Metric == metric))))]);
        }

        if (cases.Length > 0)
        {
            console.Write(table);
        }

        foreach (string remark in report.Remarks)
        {
            console.WriteLine(remark);
        }

        console.WriteLine(Footing(experiment, settings));
        console.WriteLine();
    }

    /// <summary>The median, and below it the range.</summary>
    public static string Cell(Figure? figure)
    {
        if (figure is null)
        {
            return "";
        }

        string median = figure.Metric.Text(figure.Value), least = figure.Metric.Text(figure.Least), most = figure.Metric.Text(figure.Most);
        return least == most ? median : $"{median}\n({Range(least, most)})";
    }

    /// <summary>The unit once, if both have the same.</summary>
    private static string Range(string least, string most)
    {
        int unit = least.LastIndexOf(' ');
        return unit > 0 && most.EndsWith(least[unit..], StringComparison.Ordinal) ? $"{least[..unit]} .. {most}" : $"{least} .. {most}";
    }

    /// <summary>How the figures came about.</summary>
    public static string Footing(Experiment experiment, DemoSettings settings) => experiment.RealTime || settings.Live
        ? "Measured in real time on this machine: median of the runs, their range in brackets."
        : $"Virtual time, seeds {settings.Seed}..{settings.Seed + (ulong)settings.Runs - 1}: median of the runs, their range in brackets.";
}
