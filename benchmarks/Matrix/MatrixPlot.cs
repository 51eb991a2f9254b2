using System.Globalization;
using Penstock.Benchmarks.Compare;

namespace Penstock.Benchmarks.Matrix;

/// <summary>Draws for each cell what Penstock reaches of Linux's goodput.</summary>
internal static class MatrixPlot
{
    /// <summary>What is less stands here: the axis has no room for zero.</summary>
    private const double Least = 0.1;

    /// <summary>An SVG document.</summary>
    public static string Draw(MatrixReport report)
    {
        Cell[] cells = [.. report.Cells.Reverse()];
        var chart = new RatioChart(
            string.Create(CultureInfo.InvariantCulture, $"Goodput against Linux to Linux (commit {report.Commit}, {report.Date:yyyy-MM-dd}, {report.Seeds} {(report.Seeds == 1 ? "seed" : "seeds")})"),
            "goodput of Linux to Linux is 1, on the same path with the same losses: further right is better for Penstock")
        {
            RowHeight = 22,
            NameWidth = 180,
            MarkSize = 4,
            Base = 2,
            Step = 0.3,
            Floor = MatrixReport.CellFloor,
        };
        chart.Add("Penstock sends to Linux", RatiosOf(report, cells, Pairing.Sends));
        chart.Add("Linux sends to Penstock", RatiosOf(report, cells, Pairing.Receives));
        return chart.Draw([.. cells.Select(cell => cell.Name)]);
    }

    private static (double OfMedians, double Least, double Most)?[] RatiosOf(MatrixReport report, Cell[] cells, Pairing pairing) => Array.ConvertAll(
        cells,
        cell =>
        {
            (double least, double most) = report.Spread(cell, pairing);
            return ((double, double, double)?)(Math.Max(report.Ratio(cell, pairing), Least), Math.Max(least, Least), Math.Max(most, Least));
        });
}
