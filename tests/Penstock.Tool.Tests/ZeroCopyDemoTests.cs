namespace Penstock.Tool.Tests;

/// <summary>The experiments of <c>demo zerocopy</c>: in virtual time their figures are exact, so the claims can be asserted.</summary>
public sealed class ZeroCopyDemoTests
{
    private const int Head = 448;

    [Fact]
    public async Task A_full_send_buffer_of_pure_zero_copy_costs_at_most_a_fiftieth_of_a_copied_one()
    {
        DemoFigures figures = await RunAsync("E8");

        foreach (string suffix in (string[])["", ", auto"])
        {
            string copy = "copy" + suffix, charged = "charged" + suffix, pure = "pure" + suffix;
            Assert.True(figures[pure, "sock_bytes_max"] * 50 <= figures[copy, "sock_bytes_max"]);
            Assert.InRange(figures[charged, "sock_bytes_max"] / figures[copy, "sock_bytes_max"], 0.9, 1.1);
            Assert.InRange(figures[pure, "queued_bytes_max"] / figures[copy, "queued_bytes_max"], 0.95, 1.05);

            // What blocks a sender is the same, to the byte and to the call, whether the payload is charged or not.
            foreach (string metric in (string[])["queued_bytes_max", "queued_bytes_median", "send_waits", "send_waits_above_sndbuf_bytes_min", "buffers_max"])
            {
                Assert.Equal(figures[charged, metric], figures[pure, metric]);
            }

            foreach (string name in (string[])[copy, charged, pure])
            {
                Assert.Equal(0, figures[name, "charged_off_rule_bytes_max"]);
                Assert.InRange(figures[name, "sock_above_charged_bytes_max"], 0, 4095);
                Assert.True(figures[name, "send_waits_above_sndbuf_bytes_min"] >= 0);
            }
        }

        Assert.InRange(figures["pure", "charged_bytes_max"], figures["pure", "buffers_max"] * Head, figures["pure", "buffers_max"] * 2 * Head);
        Assert.True(figures["mixed, auto", "sock_bytes_max"] > 0.9 * figures["copy, auto", "sock_bytes_max"]);
        Assert.True(figures["mixed, auto", "downgrades"] > 0);
    }

    [Fact]
    public async Task A_downgrade_by_bytes_shows_in_the_ledger_of_mixed_sends()
    {
        DemoFigures figures = await RunAsync("E8", "--pure-zc", "on", "--downgrade", "data_len");

        Assert.True(figures["mixed, auto", "charged_off_rule_bytes_max"] > 0);
        Assert.Equal(0, figures["pure", "charged_off_rule_bytes_max"]);
    }

    [Fact]
    public async Task Neighbors_of_a_zero_copy_sender_keep_their_throughput_unless_its_payload_is_charged()
    {
        DemoFigures figures = await RunAsync("E9");

        Assert.Equal(0, figures["alone", "pressure_events"]);
        Assert.Equal(0, figures["pure", "pressure_events"]);
        Assert.True(figures["charged", "pressure_events"] > 0);
        Assert.InRange(figures["pure", "sender_queued_bytes_max"], 64 << 20, 65 << 20);
        foreach (string metric in (string[])["neighbors_up_bits", "neighbors_down_bits"])
        {
            Assert.InRange(figures["pure", metric] / figures["alone", metric], 0.99, 1.01);
            Assert.True(figures["charged", metric] < 0.85 * figures["alone", metric]);
        }

        Assert.True(figures["charged", "neighbor_window_bytes_median"] * 4 < figures["pure", "neighbor_window_bytes_median"]);
    }

    [Fact]
    public async Task The_audit_finds_nothing_but_the_mistakes_that_are_switched_in()
    {
        DemoFigures figures = await RunAsync("E10");

        Assert.Equal(0, figures["all rules", "violations"]);
        Assert.True(figures["all rules", "steps"] >= 100_000);
        Assert.True(figures["all rules", "downgrades"] > 100 && figures["all rules", "merges"] > 100 && figures["all rules", "refusals"] > 100);
        foreach (string mistake in (string[])["constant head", "data_len", "splice", "split", "third neighbor"])
        {
            Assert.Equal(1, figures[mistake, "violations"]);
        }
    }

    [Fact]
    public async Task The_audit_says_what_was_wrong_and_with_which_seed()
    {
        string output = await DemoFigures.OutputAsync("zerocopy", "E10", "--downgrade", "data_len");

        Assert.Matches("Seed [0-9]+: ", output);
    }

    [Fact]
    public async Task Every_row_of_the_byte_exact_table_is_as_expected_and_the_controls_are_not()
    {
        DemoFigures figures = await RunAsync("E11");

        Assert.Equal(0, figures["Penstock", "rows_not_as_expected"]);
        Assert.Equal(4, figures["pure off", "rows_not_as_expected"]);
        Assert.Equal(1, figures["data_len", "rows_not_as_expected"]);
        Assert.Equal(Head + 4096, figures["Penstock", "zc_4096_queued"]);
        Assert.Equal(Head, figures["Penstock", "zc_4096_charged"]);
        Assert.Equal(200, figures["data_len", "downgrade_edge_charged"]);
    }

    [Fact]
    public async Task Ids_are_notified_once_and_copies_are_reported_where_bytes_were_copied()
    {
        DemoFigures figures = await RunAsync("E12");

        foreach ((string path, double copied) in ((string, double)[])[("direct", 0), ("no scatter-gather", 1), ("loopback", 1), ("cable", 1), ("no merging", 0)])
        {
            Assert.Equal(copied, figures[path, "copied_share"]);
            Assert.Equal(0, figures[path, "ids_missing_or_twice"]);
        }

        Assert.True(figures["direct", "sends_per_notification"] >= 8);
        Assert.Equal(1, figures["no merging", "sends_per_notification"]);
        Assert.Equal(figures["direct", "sends_until_enobufs_expected"], figures["direct", "sends_until_enobufs"]);
        Assert.Equal(0, figures["direct", "tcp_memory_after_close_bytes"]);
    }

    [Fact]
    public async Task Without_the_kernel_as_a_peer_the_live_form_says_how_to_have_it()
    {
        string output = await DemoFigures.OutputAsync("zerocopy", "E8", "--live");

        Assert.Contains("Skipped: ", output, StringComparison.Ordinal);
        Assert.Contains("--tun", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_page_shows_sock_bytes_over_time()
    {
        string path = Path.Combine(Path.GetTempPath(), $"penstock-zerocopy-{Environment.ProcessId}.html");
        try
        {
            await DemoFigures.OutputAsync("zerocopy", "E8", "--html", path);
            string page = await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken);

            Assert.Contains("<section id=\"E8\">", page, StringComparison.Ordinal);
            Assert.True(page.Split("<svg").Length - 1 >= 3);
            string[] names = [.. System.Text.RegularExpressions.Regex.Matches(page, "\\bid=\"([^\"]+)\"").Select(m => m.Groups[1].Value)];
            Assert.Equal(names.Length, names.Distinct().Count());
            Assert.DoesNotContain("<script", page, StringComparison.OrdinalIgnoreCase);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static Task<DemoFigures> RunAsync(params string[] arguments) => DemoFigures.RunAsync("zerocopy", arguments);
}
