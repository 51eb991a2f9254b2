using Spectre.Console;

namespace Penstock.Benchmarks.Compare;

/// <summary>The report for who sits before the terminal: what the page says, in tables that fit there.</summary>
internal static class Terminal
{
    private const int PlainWidth = 150;

    public static void Write(Report report, TextWriter output)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        if (!ReferenceEquals(output, Console.Out) || Console.IsOutputRedirected)
        {
            console.Profile.Width = PlainWidth;
        }

        Floor[] floors = [.. Floor.All.Where(floor => report.Find(floor.Row, Contestant.Penstock) is not null)];
        if (floors.Length > 0)
        {
            Draw(console, ["test", "floor", "Penstock", "beside it", "times as good", "met"], floors.Select(floor => Page.Cells(report, floor)));
        }

        Contestant[] all = [.. Enum.GetValues<Contestant>().Where(contestant => report.Figures.Any(figure => figure.Contestant == contestant))];
        Draw(
            console,
            ["test", "unit", .. all.Select(Contest.Title)],
            Contest.Rows.Where(row => report.Figures.Any(figure => figure.Row == row.Id))
                .Select(row => (string[])[row.Id, row.Unit, .. all.Select(contestant => Page.Cell(report, row.Id, contestant))]));
        console.WriteLine($"{report.Machine}. Commit {report.Commit}.");
        foreach ((Contestant contestant, string why) in report.Absent)
        {
            console.WriteLine($"Not here: {Contest.Title(contestant)} ({why}).");
        }
    }

    private static void Draw(IAnsiConsole console, string[] head, IEnumerable<string[]> rows)
    {
        var table = new Table { Border = TableBorder.Rounded };
        table.AddColumns([.. head.Select(title => new TableColumn(Markup.Escape(title)))]);
        foreach (string[] row in rows)
        {
            table.AddRow([.. row.Select(Markup.Escape)]);
        }

        console.Write(table);
    }
}
