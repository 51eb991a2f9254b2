using System.Globalization;

namespace Penstock.Tool.Demo;

/// <summary>Something that an experiment measures.</summary>
/// <param name="Name">As JSON calls it, the unit at its end.</param>
/// <param name="Label">As the table calls it.</param>
/// <param name="Unit">What <see cref="Text"/> scales: <c>us</c>, <c>bytes</c>, <c>B</c> for bytes that count one by one, <c>share</c>, <c>bit/s</c>, <c>ns</c>, or empty for a count.</param>
internal sealed record Metric(string Name, string Label, string Unit = "")
{
    /// <summary>A value for people.</summary>
    public string Text(double value) => Unit switch
    {
        "us" => Time(value),
        "ns" => string.Create(CultureInfo.InvariantCulture, $"{value:0.##} ns"),
        "bytes" => Size(value),
        "B" => string.Create(CultureInfo.InvariantCulture, $"{value:#,0} B"),
        "share" => string.Create(CultureInfo.InvariantCulture, $"{value * 100:0.#} %"),
        "bit/s" => string.Create(CultureInfo.InvariantCulture, $"{value / 1e9:0.##} Gbit/s"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{value:#,0.##}"),
    };

    private static string Time(double micros) => micros switch
    {
        < 1000 => string.Create(CultureInfo.InvariantCulture, $"{micros:0} us"),
        < 1e6 => string.Create(CultureInfo.InvariantCulture, $"{micros / 1e3:0.##} ms"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{micros / 1e6:0.##} s"),
    };

    private static string Size(double bytes) => bytes switch
    {
        < 10_000 => string.Create(CultureInfo.InvariantCulture, $"{bytes:0} B"),
        < 1 << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024:0.#} KiB"),
        < 1 << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / (1 << 20):0.##} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / (1 << 30):0.##} GiB"),
    };
}

/// <summary>One metric of one case over all of its runs.</summary>
internal sealed record Figure(string Experiment, string Case, Metric Metric, IReadOnlyList<double> Runs)
{
    /// <summary>The middle run; of an even number the lower middle one.</summary>
    public double Value => Distribution.Percentile(Runs, 50);

    public double Least => Runs.Min();

    public double Most => Runs.Max();
}
