using System.Globalization;

namespace Penstock.Benchmarks.Compare;

/// <summary>Figures in words: as many digits as mean something.</summary>
internal static class Numbers
{
    public static string Text(double value) => value.ToString(Math.Abs(value) switch { >= 1000 => "#,0", >= 10 => "0.0", >= 0.1 or 0 => "0.00", _ => "0.0000" }, CultureInfo.InvariantCulture);

    /// <summary>The median, and the least and the most of the rounds.</summary>
    public static string Cell(Figure figure)
    {
        IReadOnlyList<double> sorted = figure.Sorted();
        string median = Text(figure.Median()!.Value), least = Text(sorted[0]), most = Text(sorted[^1]);
        return least == most ? median : $"{median} ({least}-{most})";
    }

    public static string Ratio((double OfMedians, double Least, double Most) ratio) => $"{Two(ratio.OfMedians)} ({Two(ratio.Least)}-{Two(ratio.Most)})";

    private static string Two(double value) => value.ToString(value >= 100 ? "0" : value >= 10 ? "0.0" : "0.00", CultureInfo.InvariantCulture);
}
