using System.Xml.Linq;
using Penstock.Benchmarks.Compare;

namespace Penstock.Tool.Tests;

/// <summary>What eng/compare makes of figures: nothing is measured here.</summary>
public sealed class CompareTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public void A_ratio_is_that_of_the_medians_with_the_least_and_most_of_the_rounds_and_less_memory_is_better()
    {
        Report report = Some(
            new Figure("pipe.crr", Contestant.Penstock, [10, 20, 60]),
            new Figure("pipe.crr", Contestant.GVisor, [10, 5, 10]),
            new Figure("pipe.idle", Contestant.Penstock, [2000, null]),
            new Figure("pipe.idle", Contestant.GVisor, [6000, 6000]));

        Assert.Equal((2, 1, 6), report.Ratio(Contest.Find("pipe.crr"), Contestant.GVisor));
        Assert.Equal((3, 3, 3), report.Ratio(Contest.Find("pipe.idle"), Contestant.GVisor));
        Assert.Null(report.Ratio(Contest.Find("pipe.crr"), Contestant.Lwip));
    }

    [Theory]
    [InlineData("pipe.bulk.mtu1500", 7.9, 3.0, false)]
    [InlineData("pipe.bulk.mtu1500", 8.0, 9.0, true)]
    [InlineData("tun.vnet.up", 10.0, 11.0, false)]
    [InlineData("tun.vnet.up", 11.5, 11.0, true)]
    [InlineData("pipe.idle", 2049.0, 6000.0, false)]
    [InlineData("pipe.idle", 2048.0, 1.0, true)]
    [InlineData("tun.vnet.down", 10.0, null, null)]
    public void A_floor_is_met_by_its_figure_or_by_the_peers_of_the_same_run(string row, double ours, double? theirs, bool? met)
    {
        Floor floor = Floor.All.Single(floor => floor.Row == row);

        Assert.Equal(met, floor.IsMet(Some(new Figure(row, Contestant.Penstock, [ours]), new Figure(row, floor.Peer!.Value, [theirs]))));
    }

    [Fact]
    public void Who_is_not_here_who_failed_and_who_has_no_such_test_are_told_apart()
    {
        Report report = Some(new Figure("pipe.rr64", Contestant.Penstock, [3, 1, 2]), new Figure("pipe.rr64", Contestant.Lwip, [null, null, null]))
            with { Absent = new Dictionary<Contestant, string> { [Contestant.GVisor] = "Go is missing" } };

        Assert.Equal("2.00 (1.00-3.00)", Page.Cell(report, "pipe.rr64", Contestant.Penstock));
        Assert.Equal("failed", Page.Cell(report, "pipe.rr64", Contestant.Lwip));
        Assert.Equal("not here", Page.Cell(report, "pipe.rr64", Contestant.GVisor));
        Assert.Equal("-", Page.Cell(report, "pipe.rr64", Contestant.Linux));
        Assert.Contains("Not here: gVisor (Go is missing).", Page.Section(report), StringComparison.Ordinal);
    }

    [Fact]
    public void Only_what_stands_between_the_marks_is_written_anew()
    {
        string first = Page.Put("# Performance\n\nBefore.\n", "old\n");
        string page = first + "\nBehind.\n";

        Assert.Equal(page.Replace("old", "new", StringComparison.Ordinal), Page.Put(page, "new\n"));
        Assert.Equal($"# Performance\n\n{Page.Begin}\nx\n{Page.End}\n", Page.Put("", "x\n"));
        Assert.Throws<InvalidDataException>(() => Page.Put($"{Page.End}\n{Page.Begin}\n", "x\n"));
        Assert.Throws<InvalidDataException>(() => Page.Put($"{Page.Begin}\n", "x\n"));
    }

    [Fact]
    public void The_plot_is_a_document_with_a_name_for_each_row_and_peer()
    {
        Report report = Some(
            new Figure("pipe.crr", Contestant.Penstock, [10, 20]), new Figure("pipe.crr", Contestant.GVisor, [10, 5]),
            new Figure("pipe.rr64", Contestant.Penstock, [10, 20]), new Figure("pipe.rr64", Contestant.Lwip, [30, 30]));

        string drawn = Plot.Draw(report)!;

        Assert.NotNull(XDocument.Parse(drawn).Root!.Attribute("viewBox"));
        foreach (string name in (string[])["pipe.crr", "pipe.rr64", "gVisor", "lwIP"])
        {
            Assert.Contains($">{name}", drawn, StringComparison.Ordinal);
        }

        Assert.DoesNotContain(">Linux", drawn, StringComparison.Ordinal);
        Assert.Null(Plot.Draw(Some(new Figure("pipe.crr", Contestant.Penstock, [1]))));
    }

    [Theory]
    [InlineData("--only", "pipe.nothing", "no row is called 'pipe.nothing'")]
    [InlineData("--rounds", "0", "--rounds wants a number from 1 on")]
    [InlineData("--speed", "1", "--speed")]
    public async Task Wrong_arguments_are_answered_before_anything_runs(string option, string value, string said)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();

        Assert.Equal(PenstockCommand.UsageError, await CompareCommand.InvokeAsync([option, value], output, error, Cancel));
        Assert.Contains(said, error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_was_saved_can_be_written_anew()
    {
        string folder = Directory.CreateTempSubdirectory("penstock-compare").FullName;
        try
        {
            Report report = Some(new Figure("pipe.crr", Contestant.Penstock, [10, null]), new Figure("pipe.crr", Contestant.GVisor, [10, 5]));
            string saved = Path.Combine(folder, "saved.json");
            await File.WriteAllTextAsync(saved, CompareCommand.ToJson(report), Cancel);
            using var output = new StringWriter();
            using var error = new StringWriter();

            Assert.Equal(PenstockCommand.Success, await CompareCommand.InvokeAsync(["--from", saved, "--out", folder], output, error, Cancel));

            Assert.Equal(Page.Put("", Page.Section(report)), await File.ReadAllTextAsync(Path.Combine(folder, "performance.md"), Cancel));
            Assert.Equal(Plot.Draw(report), await File.ReadAllTextAsync(Path.Combine(folder, "performance.svg"), Cancel));
            Assert.Equal(await File.ReadAllTextAsync(saved, Cancel), await File.ReadAllTextAsync(Path.Combine(folder, "performance.json"), Cancel));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static Report Some(params Figure[] figures) => new()
    {
        Machine = "a machine",
        Commit = "0123456789ab",
        Date = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero),
        LoadBefore = 0.1,
        Rounds = 3,
        SecondsARun = 1,
        Minutes = 12,
        Quick = false,
        Versions = new Dictionary<Contestant, string> { [Contestant.Penstock] = "0123456789ab" },
        Absent = new Dictionary<Contestant, string>(),
        Figures = figures,
    };
}
