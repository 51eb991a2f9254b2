using System.Text.RegularExpressions;
using OxyPlot;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace Penstock.Tool.Demo.Html;

/// <summary>
/// Draws a plot with OxyPlot as an SVG element that lives inside the page: its colors are the page's own CSS variables, so one drawing serves light and dark. The library is managed code throughout and needs
/// neither fonts nor native libraries on the machine that draws.
/// </summary>
internal static partial class PlotSvg
{
    public const int Width = 760;
    private const int Height = 400;

    // The drawing library knows only colors that it can parse; each of these stands for a variable until the drawing is text.
    private static readonly OxyColor s_ink = OxyColor.FromRgb(1, 2, 3);
    private static readonly OxyColor s_grid = OxyColor.FromRgb(1, 2, 4);
    private static readonly OxyColor[] s_palette = [.. Enumerable.Range(0, PaletteSize).Select(i => OxyColor.FromRgb(2, 2, (byte)i))];
    private const int PaletteSize = 6;

    /// <summary>An element for a page that has others too: <paramref name="id"/> begins the names inside it, which would meet those of the others.</summary>
    public static string Draw(PlotData plot, string id)
    {
        var model = new PlotModel
        {
            Title = null,
            Background = OxyColors.Transparent,
            PlotAreaBorderColor = s_grid,
            TextColor = s_ink,
            DefaultFontSize = 13,
            DefaultFont = "sans-serif",
            Padding = new OxyThickness(4, 4, 16, 4),
        };
        model.Axes.Add(Axis(AxisPosition.Bottom, plot.XLabel, plot.LogX));
        model.Axes.Add(Axis(AxisPosition.Left, plot.YLabel, plot.LogY));
        model.Legends.Add(new Legend
        {
            LegendPosition = LegendPosition.BottomCenter,
            LegendPlacement = LegendPlacement.Outside,
            LegendOrientation = LegendOrientation.Horizontal,
            LegendTextColor = s_ink,
            LegendFontSize = 13,
            LegendSymbolLength = 24,
        });
        for (int i = 0; i < plot.Series.Count; i++)
        {
            model.Series.Add(Series(plot.Series[i], s_palette[i % PaletteSize]));
        }

        using var svg = new MemoryStream();
        new SvgExporter { Width = Width, Height = Height, IsDocument = false, UseVerticalTextAlignmentWorkaround = true }.Export(model, svg);
        return WithPageColors(System.Text.Encoding.UTF8.GetString(svg.ToArray()), plot.Title)
            .Replace("id=\"clipPath", $"id=\"{id}-clip", StringComparison.Ordinal).Replace("url(#clipPath", $"url(#{id}-clip", StringComparison.Ordinal);
    }

    private static Axis Axis(AxisPosition position, string title, bool logarithmic)
    {
        Axis axis = logarithmic ? new LogarithmicAxis() : new LinearAxis { MinimumPadding = 0, MaximumPadding = 0.04 };
        axis.Position = position;
        axis.Title = title;
        axis.AxislineColor = s_ink;
        axis.TicklineColor = s_grid;
        axis.MinorTicklineColor = OxyColors.Transparent;
        axis.MajorGridlineStyle = LineStyle.Solid;
        axis.MajorGridlineColor = s_grid;
        axis.TextColor = axis.TitleColor = s_ink;
        axis.AxisTitleDistance = 14;
        axis.StringFormat = logarithmic ? "0.####" : null;
        return axis;
    }

    private static XYAxisSeries Series(PlotSeries series, OxyColor color)
    {
        bool points = series.Kind is PlotKind.Points or PlotKind.Marks;
        if (points)
        {
            var cloud = new ScatterSeries
            {
                Title = series.Name,
                MarkerType = series.Kind == PlotKind.Marks ? MarkerType.Diamond : MarkerType.Circle,
                MarkerSize = series.Kind == PlotKind.Marks ? 5.5 : 1.8,
                MarkerFill = color,
            };
            cloud.Points.AddRange(series.Points.Select(p => new ScatterPoint(p.X, p.Y)));
            return cloud;
        }

        LineSeries line = series.Kind == PlotKind.Steps ? new StairStepSeries() : new LineSeries();
        line.Title = series.Name;
        line.Color = color;
        line.StrokeThickness = 2;
        line.Points.AddRange(series.Points.Select(p => new DataPoint(p.X, p.Y)));
        return line;
    }

    private static string WithPageColors(string svg, string title)
    {
        svg = svg[svg.IndexOf("<svg", StringComparison.Ordinal)..];
        svg = SvgHead().Replace(svg, $"<svg viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"{System.Net.WebUtility.HtmlEncode(title)}\"", 1);
        svg = svg.Replace(Text(s_ink), "var(--ink)", StringComparison.OrdinalIgnoreCase).Replace(Text(s_grid), "var(--grid)", StringComparison.OrdinalIgnoreCase);
        for (int i = 0; i < PaletteSize; i++)
        {
            svg = svg.Replace(Text(s_palette[i]), $"var(--series{i})", StringComparison.OrdinalIgnoreCase);
        }

        return svg;
    }

    private static string Text(OxyColor color) => $"rgb({color.R},{color.G},{color.B})";

    /// <summary>The opening of the element with the fixed size and the namespaces that an SVG inside HTML does without.</summary>
    [GeneratedRegex("<svg[^>]*?(?=>)", RegexOptions.CultureInvariant)]
    private static partial Regex SvgHead();
}
