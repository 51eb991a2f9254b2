using System.Globalization;
using System.Text;
using Penstock.Benchmarks.Compare;

namespace Penstock.Benchmarks.Matrix;

/// <summary>The report as a section of a Markdown page, and the same lines for a terminal.</summary>
internal static class MatrixPage
{
    public const string Writer = "eng/matrix";

    public static string Section(MatrixReport report)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"Machine: {report.Machine}; load average before {report.LoadBefore:0.0}, after {report.LoadAfter:0.0}. Commit {report.Commit}, {report.Date:yyyy-MM-dd}. ");
        text.Append(CultureInfo.InvariantCulture, $"{report.Cells.Count()} of {Cell.All.Length} cells, {(report.Seeds == 1 ? "one seed" : $"median of {report.Seeds} seeds")}{Erratic(report)}, {report.Minutes:0} minutes.\n\n");
        Rows(report, text);
        Cells(report, text);
        text.Append("![Goodput of Penstock against Linux, a row a cell](matrix.svg)\n");
        return text.ToString();
    }

    private static string Erratic(MatrixReport report)
    {
        int[] counts = [.. report.Cells.Where(cell => cell.IsErratic).Select(cell => report.Of(cell, Pairing.Linux).Count())];
        return counts.Length == 0 ? "" : $" (where packets only overtake, mean of the logarithms of {counts.Min()}{(counts.Max() > counts.Min() ? $" to {counts.Max()}" : "")}, and one standard error to both sides)";
    }

    private static void Rows(MatrixReport report, StringBuilder text)
    {
        text.Append("| row | cells | Penstock sends: geometric mean (least cell) | Penstock receives: geometric mean (least cell) |\n| --- | --- | --- | --- |\n");
        foreach (IGrouping<string, Cell> row in report.Cells.GroupBy(cell => cell.Rate).Concat(report.Cells.GroupBy(cell => cell.Kind)).Append(report.Cells.GroupBy(_ => "all").First()))
        {
            text.Append(CultureInfo.InvariantCulture, $"| {row.Key} | {row.Count()} | {Row(report, row, Pairing.Sends)} | {Row(report, row, Pairing.Receives)} |\n");
        }

        text.Append('\n');
    }

    private static string Row(MatrixReport report, IEnumerable<Cell> row, Pairing pairing) =>
        string.Create(CultureInfo.InvariantCulture, $"{MatrixReport.GeometricMean(row.Select(cell => report.Ratio(cell, pairing))):0.00} ({row.Min(cell => report.Ratio(cell, pairing)):0.00})");

    private static void Cells(MatrixReport report, StringBuilder text)
    {
        text.Append("| cell | Linux, Mbit/s | Penstock sends, Mbit/s | of Linux | Penstock receives, Mbit/s | of Linux | sent again: Linux, Penstock | timeouts: Linux, Penstock |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
        foreach (Cell cell in report.Cells)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {cell.Name} | {Numbers.Text(report.Typical(cell, Pairing.Linux))}{Stall(report, cell, Pairing.Linux)} ");
            foreach (Pairing pairing in (Pairing[])[Pairing.Sends, Pairing.Receives])
            {
                text.Append(CultureInfo.InvariantCulture, $"| {Numbers.Text(report.Typical(cell, pairing))}{Stall(report, cell, pairing)} | {Ratio(report, cell, pairing)} ");
            }

            text.Append(CultureInfo.InvariantCulture, $"| {Share(report, cell, Pairing.Linux)}, {Share(report, cell, Pairing.Sends)} ");
            text.Append(CultureInfo.InvariantCulture, $"| {report.Of(cell, Pairing.Linux).Sum(outcome => outcome.Timeouts)}, {report.Of(cell, Pairing.Sends).Sum(outcome => outcome.Timeouts)} |\n");
        }

        text.Append('\n');
    }

    private static string Stall(MatrixReport report, Cell cell, Pairing pairing) => report.Stalled(cell, pairing) ? " (stalled)" : "";

    private static string Ratio(MatrixReport report, Cell cell, Pairing pairing)
    {
        double ratio = report.Ratio(cell, pairing);
        (double least, double most) = report.Spread(cell, pairing);
        string mark = ratio < MatrixReport.CellFloor ? "**" : "";
        return string.Create(CultureInfo.InvariantCulture, $"{mark}{ratio:0.00}{mark}{(report.Seeds > 1 ? $" ({least:0.00}-{most:0.00})" : "")}");
    }

    /// <summary>Retransmissions among the packets that the sender sent.</summary>
    private static string Share(MatrixReport report, Cell cell, Pairing pairing)
    {
        double again = report.Of(cell, pairing).Sum(outcome => outcome.Retransmits), sent = report.Of(cell, pairing).Sum(outcome => outcome.Data.Sent);
        return string.Create(CultureInfo.InvariantCulture, $"{again / sent * 100:0.0} %");
    }
}
