using System.Globalization;
using OxyPlot;
using OxyPlot.Annotations;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace Penstock.Benchmarks.Matrix;

/// <summary>Draws for each cell what Penstock reaches of Linux's goodput: a mark for the ratio of the medians, a line from the least to the most that a seed gave.</summary>
internal static class MatrixPlot
{
    private const double Width = 900;
    private const double RowHeight = 22;
    private const double Frame = 150;
    private const double Least = 0.1;

    private static readonly OxyColor s_ink = OxyColor.FromRgb(0x24, 0x29, 0x2f);
    private static readonly OxyColor s_grid = OxyColor.FromRgb(0xd8, 0xde, 0xe4);

    private static readonly (Pairing Pairing, string Title, OxyColor Color, MarkerType Mark)[] s_series =
    [
        (Pairing.Sends, "Penstock sends to Linux", OxyColor.FromRgb(0x0a, 0x69, 0xda), MarkerType.Circle),
        (Pairing.Receives, "Linux sends to Penstock", OxyColor.FromRgb(0xbc, 0x4c, 0x00), MarkerType.Diamond),
    ];

    /// <summary>An SVG document.</summary>
    public static string Draw(MatrixReport report)
    {
        Cell[] cells = [.. report.Cells.Reverse()];
        var model = new PlotModel
        {
            Background = OxyColors.White,
            PlotAreaBorderColor = s_grid,
            TextColor = s_ink,
            DefaultFont = "sans-serif",
            DefaultFontSize = 13,
            Padding = new OxyThickness(8, 8, 24, 8),

            // The library measures text in a narrower font than most browsers have, so room for it is given here.
            PlotMargins = new OxyThickness(180, double.NaN, double.NaN, double.NaN),
            Title = string.Create(CultureInfo.InvariantCulture, $"Goodput against Linux to Linux (commit {report.Commit}, {report.Date:yyyy-MM-dd}, {report.Seeds} {(report.Seeds == 1 ? "seed" : "seeds")})"),
            TitleFontSize = 14,
        };
        var names = new CategoryAxis { Position = AxisPosition.Left, TextColor = s_ink, TicklineColor = s_grid, MajorGridlineStyle = LineStyle.Solid, MajorGridlineColor = s_grid, GapWidth = 0.5 };
        names.Labels.AddRange(cells.Select(cell => cell.Name));
        model.Axes.Add(names);
        model.Axes.Add(new LogarithmicAxis
        {
            Position = AxisPosition.Bottom,
            Title = "goodput of Linux to Linux is 1, on the same path with the same losses: further right is better for Penstock",
            AxisTitleDistance = 10,
            TextColor = s_ink,
            TitleColor = s_ink,
            TicklineColor = s_grid,
            MajorGridlineStyle = LineStyle.Solid,
            MajorGridlineColor = s_grid,
            MinorTicklineColor = s_grid,
            Base = 2,
            LabelFormatter = value => value.ToString("0.##", CultureInfo.InvariantCulture),
            MinimumPadding = 0.06,
            MaximumPadding = 0.06,
        });
        foreach ((double at, LineStyle style) in ((double, LineStyle)[])[(1, LineStyle.Dash), (MatrixReport.CellFloor, LineStyle.Dot)])
        {
            model.Annotations.Add(new LineAnnotation { Type = LineAnnotationType.Vertical, X = at, Color = s_ink, LineStyle = style, StrokeThickness = 1.2 });
        }

        model.Legends.Add(new Legend
        {
            LegendPosition = LegendPosition.BottomCenter,
            LegendPlacement = LegendPlacement.Outside,
            LegendOrientation = LegendOrientation.Horizontal,
            LegendTextColor = s_ink,
            LegendFontSize = 13,
            LegendItemSpacing = 36,
        });
        for (int i = 0; i < s_series.Length; i++)
        {
            Add(model, report, cells, s_series[i], 0.15 - (0.3 * i));
        }

        double height = Frame + (RowHeight * cells.Length);
        using var svg = new MemoryStream();
        new SvgExporter { Width = Width, Height = height, IsDocument = true, UseVerticalTextAlignmentWorkaround = true }.Export(model, svg);
        string drawn = System.Text.Encoding.UTF8.GetString(svg.ToArray()).TrimStart('\uFEFF').ReplaceLineEndings("\n").TrimEnd() + "\n";
        return drawn.Replace("<svg ", string.Create(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Width} {height}\" "), StringComparison.Ordinal);
    }

    private static void Add(PlotModel model, MatrixReport report, Cell[] cells, (Pairing Pairing, string Title, OxyColor Color, MarkerType Mark) of, double offset)
    {
        var marks = new ScatterSeries { Title = of.Title + "\u00a0\u00a0\u00a0", MarkerType = of.Mark, MarkerSize = 4, MarkerFill = of.Color };
        for (int i = 0; i < cells.Length; i++)
        {
            (double least, double most) = report.Spread(cells[i], of.Pairing);
            marks.Points.Add(new ScatterPoint(Math.Max(report.Ratio(cells[i], of.Pairing), Least), i + offset));
            var spread = new LineSeries { Color = of.Color, StrokeThickness = 1.4, RenderInLegend = false };
            spread.Points.Add(new DataPoint(Math.Max(least, Least), i + offset));
            spread.Points.Add(new DataPoint(Math.Max(most, Least), i + offset));
            model.Series.Add(spread);
        }

        model.Series.Add(marks);
    }
}
