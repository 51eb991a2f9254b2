using System.Net;

namespace Penstock.Tool.Demo.Html;

/// <summary>The page of <c>--html</c>: tables, plots and how to get the figures again, in one file that asks the network for nothing.</summary>
internal static class ReportPage
{
    public static void Write(IReadOnlyList<ExperimentReport> reports, DemoSettings settings, TextWriter page)
    {
        page.Write(
            $"""
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>Penstock: experiments {Encode(string.Join(", ", reports.Select(r => r.Experiment.Id)))}</title>
            <style>
            {Style()}
            </style>
            </head>
            <body>
            <main>
            <header>
            <h1>Penstock experiments</h1>
            <p>Two unmodified stacks, a cable between them, and one switch that differs. Bad figures in a control's column are wanted: they show what the switch is good for.</p>
            <nav>
            """);
        foreach (ExperimentReport report in reports)
        {
            page.Write($"<a href=\"#{report.Experiment.Id}\"><b>{report.Experiment.Id}</b> {Encode(report.Experiment.Title)}</a>\n");
        }

        page.Write("</nav>\n</header>\n");
        foreach (ExperimentReport report in reports)
        {
            Write(report, settings, page);
        }

        page.Write("</main>\n</body>\n</html>\n");
    }

    private static void Write(ExperimentReport report, DemoSettings settings, TextWriter page)
    {
        Experiment experiment = report.Experiment;
        page.Write(
            $"""
            <section id="{experiment.Id}">
            <h2><span>{experiment.Id}</span> {Encode(experiment.Title)}</h2>
            <p>{Encode(settings.Live ? experiment.LiveSetup : experiment.Setup)}</p>
            <dl><dt>Differs</dt><dd>{Encode(experiment.Switch)}</dd><dt>Control</dt><dd>{Encode(experiment.Control)}</dd></dl>

            """);
        Table(report, page);
        foreach (string remark in report.Remarks)
        {
            page.Write($"<p>{Encode(remark)}</p>\n");
        }

        for (int i = 0; i < report.Plots.Count; i++)
        {
            PlotData plot = report.Plots[i];
            page.Write($"<figure>\n<h3>{Encode(plot.Title)}</h3>\n<div class=\"plot\">{PlotSvg.Draw(plot, $"{experiment.Id}-{i}")}</div>\n<figcaption>{Encode(plot.Caption)}</figcaption>\n</figure>\n");
        }

        page.Write($"<p class=\"footing\">{Encode(FigureTable.Footing(experiment, settings))}</p>\n</section>\n");
    }

    private static void Table(ExperimentReport report, TextWriter page)
    {
        Figure[] figures = [.. report.Figures];
        string[] cases = [.. figures.Select(f => f.Case).Distinct()];
        page.Write("<div class=\"scroll\"><table>\n<thead><tr><th></th>");
        foreach (string name in cases)
        {
            page.Write($"<th>{Encode(name)}</th>");
        }

        page.Write("</tr></thead>\n<tbody>\n");
        foreach (Metric metric in figures.Select(f => f.Metric).Distinct())
        {
            page.Write($"<tr><th>{Encode(metric.Label)}</th>");
            foreach (string name in cases)
            {
                string[] cell = FigureTable.Cell(Array.Find(figures, f => f.Case == name && f.Metric == metric)).Split('\n');
                string range = cell.Length > 1 ? $"<small>{Encode(cell[1])}</small>" : "";
                page.Write($"<td>{Encode(cell[0])}{range}</td>");
            }

            page.Write("</tr>\n");
        }

        page.Write("</tbody>\n</table></div>\n");
    }

    private static string Encode(string text) => WebUtility.HtmlEncode(text);

    private static string Style()
    {
        using Stream resource = typeof(ReportPage).Assembly.GetManifestResourceStream("report.css")!;
        using var reader = new StreamReader(resource);
        return reader.ReadToEnd();
    }
}
