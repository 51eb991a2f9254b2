using System.Xml.Linq;
using Penstock.Benchmarks.Compare;
using Penstock.Benchmarks.Matrix;

namespace Penstock.Tool.Tests;

/// <summary>What eng/matrix makes of figures: nothing is measured here.</summary>
public sealed class MatrixTests
{
    private static readonly Cell s_cell = new(10, 50, LossPercent: 1, ReorderPercent: 5);

    [Fact]
    public void There_are_36_cells_whose_names_say_what_the_path_does()
    {
        Assert.Equal(36, Cell.All.Select(cell => cell.Name).Distinct().Count());
        Assert.Equal("10mbit-50ms-1%-r5%", s_cell.Name);
        Assert.Contains(s_cell, Cell.All);
    }

    [Fact]
    public void A_path_splits_its_round_trip_evenly_and_queues_one_of_them()
    {
        CableOptions cable = new Cell(100, 200).ToCable(7);

        Assert.Equal((100_000_000L, TimeSpan.FromMilliseconds(100), 2_500_000L, 7UL), (cable.Rate!.Value, cable.Delay, cable.QueueLimitBytes!.Value, cable.Seed));
        Assert.Equal(45_000, new Cell(1, 1).ToCable(1).QueueLimitBytes);
    }

    [Fact]
    public void The_lossless_path_has_no_limit_and_no_impairment()
    {
        CableOptions cable = Cell.Lossless.ToCable(1);

        Assert.Equal((null, TimeSpan.Zero, 0.0, 0.0), (cable.Rate, cable.Delay, cable.Loss, cable.Reorder));
    }

    [Fact]
    public void A_ratio_is_that_of_the_medians_with_the_least_and_most_of_the_seeds()
    {
        MatrixReport report = Some([4, 5, 10], [2, 10, 10]);

        Assert.Equal(2, report.Ratio(s_cell, Pairing.Sends));
        Assert.Equal((0.5, 2), report.Spread(s_cell, Pairing.Sends));
        Assert.Equal(3, MatrixReport.GeometricMean([1, 9]), 12);
    }

    [Fact]
    public void Where_packets_only_overtake_a_ratio_is_that_of_the_mean_logarithms_and_says_how_well_it_is_known()
    {
        var cell = new Cell(10, 50, ReorderPercent: 5);
        MatrixReport report = Some([1, 4, 16], [2, 8, 32], cell: cell);

        Assert.True(cell.IsErratic);
        Assert.False(s_cell.IsErratic);
        Assert.Equal(2, report.Ratio(cell, Pairing.Sends), 12);

        // Logarithms spread by ln 4 to each side: a variance of ln² 4 for each of two samples of three.
        double error = Math.Log(4) * Math.Sqrt(2.0 / 3);
        Assert.Equal(error, report.StandardError(cell, Pairing.Sends), 12);
        Assert.Equal(2 * Math.Exp(error), report.Spread(cell, Pairing.Sends).Most, 12);
        Assert.Contains("| 4.00 | 8.00 | 2.00 (0.64-6.20) |", MatrixPage.Section(report), StringComparison.Ordinal);
        Assert.Equal(double.PositiveInfinity, Some([1], [1], cell: cell).StandardError(cell, Pairing.Sends));
    }

    [Fact]
    public void A_transfer_without_a_byte_for_half_of_its_time_has_stalled()
    {
        Assert.False(Some([1], [1], gap: s_cell.Seconds / 2).Stalled(s_cell, Pairing.Sends));
        Assert.True(Some([1], [1], gap: (s_cell.Seconds / 2) + 0.1).Stalled(s_cell, Pairing.Sends));
    }

    [Fact]
    public void A_cell_below_its_floor_stands_out_in_the_page_and_every_cell_is_in_the_plot()
    {
        MatrixReport report = Some([10], [5]);

        Assert.Contains("| 10mbit-50ms-1%-r5% | 10.0 | 5.00 | **0.50** | 10.0 | 1.00 |", MatrixPage.Section(report), StringComparison.Ordinal);
        Assert.Contains(XDocument.Parse(MatrixPlot.Draw(report)).Descendants(), element => element.Name.LocalName == "text" && element.Value == s_cell.Name);
    }

    [Fact]
    public void Each_writer_has_marks_of_its_own()
    {
        string page = Page.Put(Page.Put(Page.Put("", "a\n"), "b\n", MatrixPage.Writer), "c\n", Lossless.Writer);

        Assert.Equal(page.Replace("b\n", "d\n", StringComparison.Ordinal), Page.Put(page, "d\n", MatrixPage.Writer));
        Assert.Equal(page, Page.Put(Page.Put(page, "a\n"), "c\n", Lossless.Writer));
    }

    private static MatrixReport Some(double[] linux, double[] sends, double gap = 0.1, Cell? cell = null) => new()
    {
        Machine = "machine",
        Commit = "0123",
        Date = DateTimeOffset.UnixEpoch,
        LoadBefore = 0,
        LoadAfter = 0,
        Seeds = linux.Length,
        Minutes = 1,
        Outcomes =
        [
            .. linux.SelectMany((megabits, index) => (Outcome[])[Of(cell, Pairing.Linux, index, megabits, 0.1), Of(cell, Pairing.Receives, index, megabits, 0.1)]),
            .. sends.Select((megabits, index) => Of(cell, Pairing.Sends, index, megabits, gap)),
        ],
    };

    private static Outcome Of(Cell? cell, Pairing pairing, int seed, double megabits, double gap) => new()
    {
        Cell = (cell ?? s_cell).Name,
        Pairing = pairing,
        Seed = (ulong)seed,
        Bytes = (long)(megabits * 1e6 / 8),
        Megabits = megabits,
        LongestGapSeconds = gap,
        Retransmits = 1,
        Timeouts = 0,
        FastRetransmits = 1,
        Probes = 0,
        Duplicates = 0,
        DeviceDrops = 0,
        ReceiverDrops = 0,
        Data = new CableCounters { Sent = 100 },
        Acks = default,
    };
}
