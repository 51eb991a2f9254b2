using System.Globalization;
using System.Text;

namespace Penstock.Benchmarks.Compare;

/// <summary>The report as a section of a Markdown page, between two marks that say where it begins and ends. What stands around them is never touched.</summary>
internal static class Page
{
    public const string Begin = "<!-- begin of what eng/compare writes -->";
    public const string End = "<!-- end of what eng/compare writes -->";
    private const string Writer = "eng/compare";
    private const string Nobody = "-";

    /// <summary>The page with the section in the place of the one that was there, or at its end when there was none.</summary>
    /// <exception cref="InvalidDataException">Only one of the marks is there, or they are in the wrong order.</exception>
    public static string Put(string page, string section) => Put(page, section, Writer);

    /// <summary>As the other, for the section of another <paramref name="writer"/>, whose name the marks bear.</summary>
    public static string Put(string page, string section, string writer)
    {
        string beginMark = Begin.Replace(Writer, writer, StringComparison.Ordinal), endMark = End.Replace(Writer, writer, StringComparison.Ordinal);
        int begin = page.IndexOf(beginMark, StringComparison.Ordinal), end = page.IndexOf(endMark, StringComparison.Ordinal);
        if (begin < 0 && end < 0)
        {
            return $"{(page.Length == 0 ? "# Performance\n" : page.TrimEnd('\n') + "\n")}\n{beginMark}\n{section}{endMark}\n";
        }

        return begin >= 0 && end > begin
            ? $"{page[..begin]}{beginMark}\n{section}{page[end..]}"
            : throw new InvalidDataException($"The page has one of the lines '{beginMark}' and '{endMark}' without the other. Put both where the figures belong.");
    }

    public static string Section(Report report)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"Machine: {report.Machine}; load average before the first run {report.LoadBefore:0.0}. Commit {report.Commit}, {report.Date:yyyy-MM-dd}. ");
        text.Append(CultureInfo.InvariantCulture, $"{report.Rounds} rounds of {report.SecondsARun:0.##} s a run, contestants by turns in each, {report.Minutes:0} minutes. Median, in brackets least and most of the rounds.");
        text.Append(report.Quick ? " **A quick run: it shows that everything works; the figures mean little.**\n\n" : "\n\n");
        Floors(report, text);
        Tables(report, text);
        text.Append("![How many times as good as each peer Penstock is, a row a test](performance.svg)\n\n");
        text.Append(CultureInfo.InvariantCulture, $"Took part: {string.Join("; ", report.Versions.Where(entry => !report.Absent.ContainsKey(entry.Key)).OrderBy(entry => entry.Key).Select(entry => $"{Contest.Title(entry.Key)} {entry.Value}"))}.\n");
        foreach ((Contestant contestant, string why) in report.Absent.OrderBy(entry => entry.Key))
        {
            text.Append(CultureInfo.InvariantCulture, $"Not here: {Contest.Title(contestant)} ({why}).\n");
        }

        return text.ToString();
    }

    private static void Floors(Report report, StringBuilder text)
    {
        Floor[] floors = [.. Floor.All.Where(floor => report.Find(floor.Row, Contestant.Penstock) is not null)];
        if (floors.Length == 0)
        {
            return;
        }

        text.Append("| test | floor | Penstock | beside it | times as good (least-most of the rounds) | met |\n| --- | --- | --- | --- | --- | --- |\n");
        foreach (Floor floor in floors)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", Cells(report, floor))} |\n");
        }

        text.Append('\n');
    }

    /// <summary>A floor's row, for any kind of table.</summary>
    public static string[] Cells(Report report, Floor floor)
    {
        string peer = floor.Peer is { } beside ? $"{Contest.Title(beside)}: {Cell(report, floor.Row, beside)}" : Nobody;
        string ratio = floor.Peer is { } other && report.Ratio(Contest.Find(floor.Row), other) is { } found ? Numbers.Ratio(found) : Nobody;
        return
        [
            floor.Row, floor.Text, $"{Cell(report, floor.Row, Contestant.Penstock)} {Contest.Find(floor.Row).Unit}", peer, ratio,
            floor.IsMet(report) switch { true => "yes", false => "no", null => "not known" },
        ];
    }

    private static void Tables(Report report, StringBuilder text)
    {
        Contestant[] all = Enum.GetValues<Contestant>();
        foreach (IGrouping<string, Row> group in Contest.Rows.Where(row => report.Figures.Any(figure => figure.Row == row.Id)).GroupBy(row => row.Id.Split('.')[0]))
        {
            text.Append(CultureInfo.InvariantCulture, $"| {(group.Key == "tun" ? "over a device" : "in one process")} | unit | {string.Join(" | ", all.Select(Contest.Title))} |\n");
            text.Append(CultureInfo.InvariantCulture, $"| --- | --- |{string.Concat(all.Select(_ => " --- |"))}\n");
            foreach (Row row in group)
            {
                text.Append(CultureInfo.InvariantCulture, $"| {row.Id} | {row.Unit} | {string.Join(" | ", all.Select(contestant => Cell(report, row.Id, contestant)))} |\n");
            }

            text.Append('\n');
        }
    }

    /// <summary>A figure with its spread; or that the contestant is not here, that its runs failed, or that it has no such test.</summary>
    public static string Cell(Report report, string row, Contestant contestant) => report.Find(row, contestant) switch
    {
        { } figure when figure.Sorted().Count > 0 => Numbers.Cell(figure),
        not null => "failed",
        null => report.Absent.ContainsKey(contestant) ? "not here" : Nobody,
    };
}
