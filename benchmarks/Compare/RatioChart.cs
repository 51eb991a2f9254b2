using System.Globalization;
using OxyPlot;
using OxyPlot.Annotations;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace Penstock.Benchmarks.Compare;

/// <summary>
/// A chart of ratios: a row for each name, in it a mark for each series at the ratio and a line from the least to the most. One look for all charts of docs/performance.md.
/// </summary>
internal sealed class RatioChart(string title, string axisTitle)
{
    private const double Width = 900;
    private const double Frame = 150;

    private static readonly OxyColor s_ink = OxyColor.FromRgb(0x24, 0x29, 0x2f);
    private static readonly OxyColor s_grid = OxyColor.FromRgb(0xd8, 0xde, 0xe4);

    private static readonly (OxyColor Color, MarkerType Mark)[] s_looks =
    [
        (OxyColor.FromRgb(0x0a, 0x69, 0xda), MarkerType.Circle),
        (OxyColor.FromRgb(0xbc, 0x4c, 0x00), MarkerType.Diamond),
        (OxyColor.FromRgb(0x82, 0x50, 0xdf), MarkerType.Square),
        (OxyColor.FromRgb(0x1a, 0x7f, 0x37), MarkerType.Triangle),
    ];

    private readonly List<(string Title, IReadOnlyList<(double OfMedians, double Least, double Most)?> Ratios)> _series = [];

    public required double RowHeight { get; init; }

    /// <summary>Room for the names: the library measures text in a narrower font than most browsers have.</summary>
    public required double NameWidth { get; init; }

    public required double MarkSize { get; init; }

    /// <summary>Base of the logarithmic axis.</summary>
    public required double Base { get; init; }

    /// <summary>From one series of a row to the next, in rows.</summary>
    public required double Step { get; init; }

    /// <summary>A dotted line beside the dashed one at 1.</summary>
    public double? Floor { get; init; }

    /// <summary>At most four; a row without a ratio stays empty, as does a series without any.</summary>
    public void Add(string title, IReadOnlyList<(double OfMedians, double Least, double Most)?> ratios) => _series.Add((title, ratios));

    /// <summary>An SVG document; the first name is at the bottom.</summary>
    public string Draw(IReadOnlyList<string> names)
    {
        var model = new PlotModel
        {
            Background = OxyColors.White,
            PlotAreaBorderColor = s_grid,
            TextColor = s_ink,
            DefaultFont = "sans-serif",
            DefaultFontSize = 13,
            Padding = new OxyThickness(8, 8, 24, 8),
            PlotMargins = new OxyThickness(NameWidth, double.NaN, double.NaN, double.NaN),
            Title = title,
            TitleFontSize = 14,
        };
        var rows = new CategoryAxis { Position = AxisPosition.Left, TextColor = s_ink, TicklineColor = s_grid, MajorGridlineStyle = LineStyle.Solid, MajorGridlineColor = s_grid, GapWidth = 0.5 };
        rows.Labels.AddRange(names);
        model.Axes.Add(rows);
        model.Axes.Add(new LogarithmicAxis
        {
            Position = AxisPosition.Bottom,
            Title = axisTitle,
            AxisTitleDistance = 10,
            TextColor = s_ink,
            TitleColor = s_ink,
            TicklineColor = s_grid,
            MajorGridlineStyle = LineStyle.Solid,
            MajorGridlineColor = s_grid,
            MinorTicklineColor = s_grid,
            Base = Base,
            LabelFormatter = value => value.ToString("0.###", CultureInfo.InvariantCulture),
            MinimumPadding = 0.05,
            MaximumPadding = 0.05,
        });
        AddLine(model, 1, LineStyle.Dash);
        if (Floor is { } floor)
        {
            AddLine(model, floor, LineStyle.Dot);
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
        for (int i = 0; i < _series.Count; i++)
        {
            AddSeries(model, _series[i].Title, _series[i].Ratios, s_looks[i], Step * (((_series.Count - 1) / 2.0) - i));
        }

        double height = Frame + (RowHeight * names.Count);
        using var svg = new MemoryStream();
        new SvgExporter { Width = Width, Height = height, IsDocument = true, UseVerticalTextAlignmentWorkaround = true }.Export(model, svg);
        string drawn = System.Text.Encoding.UTF8.GetString(svg.ToArray()).TrimStart('\uFEFF').ReplaceLineEndings("\n").TrimEnd() + "\n";

        // Without it a browser cuts the drawing off where a page is narrower, instead of making it smaller.
        return drawn.Replace("<svg ", string.Create(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Width} {height}\" "), StringComparison.Ordinal);
    }

    private static void AddLine(PlotModel model, double at, LineStyle style) =>
        model.Annotations.Add(new LineAnnotation { Type = LineAnnotationType.Vertical, X = at, Color = s_ink, LineStyle = style, StrokeThickness = 1.2 });

    private void AddSeries(PlotModel model, string title, IReadOnlyList<(double OfMedians, double Least, double Most)?> ratios, (OxyColor Color, MarkerType Mark) look, double offset)
    {
        // As with the names: spaces make the room that the library gives the title too little of.
        var marks = new ScatterSeries { Title = title + new string('\u00a0', 4 + (title.Length * 2 / 3)), MarkerType = look.Mark, MarkerSize = MarkSize, MarkerFill = look.Color };
        for (int i = 0; i < ratios.Count; i++)
        {
            if (ratios[i] is not { } ratio)
            {
                continue;
            }

            marks.Points.Add(new ScatterPoint(ratio.OfMedians, i + offset));
            var spread = new LineSeries { Color = look.Color, StrokeThickness = 1.5, RenderInLegend = false };
            spread.Points.Add(new DataPoint(ratio.Least, i + offset));
            spread.Points.Add(new DataPoint(ratio.Most, i + offset));
            model.Series.Add(spread);
        }

        if (marks.Points.Count > 0)
        {
            model.Series.Add(marks);
        }
    }
}
