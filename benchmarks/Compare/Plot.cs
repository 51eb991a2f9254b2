using System.Globalization;
using OxyPlot;
using OxyPlot.Annotations;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace Penstock.Benchmarks.Compare;

/// <summary>Draws for each row how many times as good as each peer Penstock is: a mark for the ratio of the medians, a line from the least to the most that a round gave.</summary>
internal static class Plot
{
    private const double Width = 900;
    private const double RowHeight = 34;
    private const double Frame = 150;

    private static readonly OxyColor s_ink = OxyColor.FromRgb(0x24, 0x29, 0x2f);
    private static readonly OxyColor s_grid = OxyColor.FromRgb(0xd8, 0xde, 0xe4);

    private static readonly (Contestant Contestant, OxyColor Color, MarkerType Mark)[] s_peers =
    [
        (Contestant.GVisor, OxyColor.FromRgb(0x0a, 0x69, 0xda), MarkerType.Circle),
        (Contestant.Lwip, OxyColor.FromRgb(0xbc, 0x4c, 0x00), MarkerType.Diamond),
        (Contestant.Sockets, OxyColor.FromRgb(0x82, 0x50, 0xdf), MarkerType.Square),
        (Contestant.Linux, OxyColor.FromRgb(0x1a, 0x7f, 0x37), MarkerType.Triangle),
    ];

    /// <summary>An SVG document; null when no row has a peer.</summary>
    public static string? Draw(Report report)
    {
        Row[] rows = [.. Contest.Rows.Where(row => s_peers.Any(peer => report.Ratio(row, peer.Contestant) is not null)).Reverse()];
        if (rows.Length == 0)
        {
            return null;
        }

        var model = new PlotModel
        {
            Background = OxyColors.White,
            PlotAreaBorderColor = s_grid,
            TextColor = s_ink,
            DefaultFont = "sans-serif",
            DefaultFontSize = 13,
            Padding = new OxyThickness(8, 8, 24, 8),

            // The library measures text in a narrower font than most browsers have, so room for it is given here.
            PlotMargins = new OxyThickness(150, double.NaN, double.NaN, double.NaN),
            Title = string.Create(CultureInfo.InvariantCulture, $"Penstock beside its peers (commit {report.Commit}, {report.Date:yyyy-MM-dd}, {report.Rounds} rounds{(report.Quick ? ", a quick run" : "")})"),
            TitleFontSize = 14,
        };
        var names = new CategoryAxis { Position = AxisPosition.Left, TextColor = s_ink, TicklineColor = s_grid, MajorGridlineStyle = LineStyle.Solid, MajorGridlineColor = s_grid, GapWidth = 0.5 };
        names.Labels.AddRange(rows.Select(row => row.Id));
        model.Axes.Add(names);
        model.Axes.Add(new LogarithmicAxis
        {
            Position = AxisPosition.Bottom,
            Title = "times as good as the peer in the same run: further right is better for Penstock",
            AxisTitleDistance = 10,
            TextColor = s_ink,
            TitleColor = s_ink,
            TicklineColor = s_grid,
            MajorGridlineStyle = LineStyle.Solid,
            MajorGridlineColor = s_grid,
            MinorTicklineColor = s_grid,
            Base = 10,
            LabelFormatter = value => value.ToString("0.###", CultureInfo.InvariantCulture),
            MinimumPadding = 0.04,
            MaximumPadding = 0.04,
        });
        model.Annotations.Add(new LineAnnotation { Type = LineAnnotationType.Vertical, X = 1, Color = s_ink, LineStyle = LineStyle.Dash, StrokeThickness = 1.2 });
        model.Legends.Add(new Legend
        {
            LegendPosition = LegendPosition.BottomCenter,
            LegendPlacement = LegendPlacement.Outside,
            LegendOrientation = LegendOrientation.Horizontal,
            LegendTextColor = s_ink,
            LegendFontSize = 13,
            LegendItemSpacing = 36,
        });
        for (int i = 0; i < s_peers.Length; i++)
        {
            AddPeer(model, report, rows, s_peers[i], 0.24 - (0.16 * i));
        }

        using var svg = new MemoryStream();
        new SvgExporter { Width = Width, Height = Frame + (RowHeight * rows.Length), IsDocument = true, UseVerticalTextAlignmentWorkaround = true }.Export(model, svg);
        string drawn = System.Text.Encoding.UTF8.GetString(svg.ToArray()).TrimStart('\uFEFF').ReplaceLineEndings("\n").TrimEnd() + "\n";

        // Without it a browser cuts the drawing off where a page is narrower, instead of making it smaller.
        return drawn.Replace("<svg ", string.Create(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {Width} {Frame + (RowHeight * rows.Length)}\" "), StringComparison.Ordinal);
    }

    private static void AddPeer(PlotModel model, Report report, Row[] rows, (Contestant Contestant, OxyColor Color, MarkerType Mark) peer, double offset)
    {
        var marks = new ScatterSeries { Title = $"{Contest.Title(peer.Contestant)}\u00a0\u00a0\u00a0", MarkerType = peer.Mark, MarkerSize = 4.5, MarkerFill = peer.Color };
        for (int i = 0; i < rows.Length; i++)
        {
            if (report.Ratio(rows[i], peer.Contestant) is not { } ratio)
            {
                continue;
            }

            marks.Points.Add(new ScatterPoint(ratio.OfMedians, i + offset));
            var spread = new LineSeries { Color = peer.Color, StrokeThickness = 1.6, RenderInLegend = false };
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
