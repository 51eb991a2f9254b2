namespace Penstock.Tool.Demo;

/// <summary>A plot as an experiment describes it; how it is drawn is <see cref="Html.PlotSvg"/>'s matter.</summary>
internal sealed record PlotData(string Title, string XLabel, string YLabel, IReadOnlyList<PlotSeries> Series)
{
    public bool LogX { get; init; }

    public bool LogY { get; init; }

    /// <summary>What the reader should see, one or two sentences.</summary>
    public string Caption { get; init; } = "";
}

/// <summary>One line or cloud of points.</summary>
internal sealed record PlotSeries(string Name, IReadOnlyList<(double X, double Y)> Points, PlotKind Kind = PlotKind.Line);

internal enum PlotKind
{
    Line,

    /// <summary>Holds each value until the next.</summary>
    Steps,
    Points,

    /// <summary>Points that should be noticed, drawn large.</summary>
    Marks,
}
