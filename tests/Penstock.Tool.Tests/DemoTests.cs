namespace Penstock.Tool.Tests;

/// <summary>The experiments of <c>demo backlog</c>: in virtual time their figures are exact, so the claims can be asserted.</summary>
public sealed class DemoTests
{
    [Fact]
    public async Task Adaptive_answers_a_ping_within_a_millisecond_of_a_slow_send_with_full_buffers()
    {
        DemoFigures figures = await RunAsync("E1", "--flush", "adaptive");

        Assert.InRange(figures["adaptive", "ack_wait_us_median"], 100, 800);
        Assert.InRange(figures["adaptive", "ack_wait_us_p99"], 100, 2000);
        Assert.InRange(figures["adaptive", "buffer_bytes_median"], 60_000, 65_536);
        Assert.InRange(figures["adaptive", "pings"], 1500, 2500);
        Assert.Equal(0, figures["adaptive", "backlog_drops"]);
    }

    [Theory]
    [InlineData("off", 900_000, 1_200_000)]
    [InlineData("16", 25_000, 40_000)]
    [InlineData("1", 2_000, 6_500)]
    public async Task The_other_policies_make_a_ping_wait_as_they_did_in_Linux(string policy, double least, double most)
    {
        DemoFigures figures = await RunAsync("E1", "--flush", policy);

        Assert.InRange(figures[policy, "ack_wait_us_median"], least, most);
    }

    [Fact]
    public async Task Buffers_of_one_segment_are_looked_at_more_often()
    {
        DemoFigures figures = await RunAsync("E1", "--flush", "1", "--goal", "1mss", "--msg", "2m");

        Assert.Equal(1448, figures["1", "buffer_bytes_median"]);
        Assert.InRange(figures["1", "ack_wait_us_median"], 50, 1000);
    }

    [Fact]
    public async Task The_same_seed_gives_the_same_lines_and_another_seed_gives_others()
    {
        string[] command = ["E1", "E2", "--flush", "adaptive", "--msg", "2m"];
        string first = await OutputAsync([.. command, "--json"]);

        Assert.Equal(first, await OutputAsync([.. command, "--json"]));
        Assert.NotEqual(first, await OutputAsync([.. command, "--json", "--seed", "100"]));
    }

    [Fact]
    public async Task A_lost_segment_goes_again_during_the_call_unless_nothing_is_flushed()
    {
        DemoFigures figures = await RunAsync("E2");

        foreach (string policy in (string[])["16", "1", "adaptive"])
        {
            Assert.InRange(figures[policy, "retransmit_after_us"], 20_000, figures[policy, "bound_us"]);
            Assert.Equal(0, figures[policy, "timeouts"]);
        }

        Assert.InRange(figures["off", "before_return_us"], -1000, 0);
        Assert.True(figures["off", "peer_receive_bytes_max"] > 2 * figures["adaptive", "peer_receive_bytes_max"]);
    }

    [Fact]
    public async Task The_link_stays_busy_unless_nothing_is_flushed()
    {
        DemoFigures figures = await RunAsync("E3", "--msg", "32m");

        foreach (string policy in (string[])["16", "1", "adaptive"])
        {
            Assert.InRange(figures[policy, "link_busy_share"], 0.95, 1);
        }

        Assert.InRange(figures["off", "link_busy_share"], 0, 0.1);
        Assert.InRange(figures["off", "delivered_bytes"], 1, figures["off", "peer_window_bytes"]);
    }

    [Fact]
    public async Task Records_are_torn_only_when_a_flush_gives_the_socket_up()
    {
        DemoFigures figures = await RunAsync("E4");

        Assert.Equal(0, figures["keep", "interleavings_256k"]);
        Assert.Equal(0, figures["keep", "interleavings_4k"]);
        Assert.Equal(0, figures["keep, full buffer", "interleavings_256k"]);
        Assert.Equal(0, figures["keep, full buffer", "interleavings_4k"]);
        Assert.True(figures["release+lock", "interleavings_256k"] + figures["release+lock, full", "interleavings_256k"] > 0);
    }

    [Fact]
    public async Task What_the_flushes_cost_is_measured()
    {
        DemoFigures figures = await RunAsync("E5", "--msg", "1m");

        Assert.True(figures["adaptive", "throughput_bits"] > 0);
        Assert.True(figures["16", "empty_check_ns"] > 0);
        Assert.Equal(0, figures["off", "backlog_flushes"]);
    }

    [Fact]
    public async Task A_flood_meets_the_limit_and_the_call_ends_unless_the_length_is_not_kept()
    {
        DemoFigures figures = await RunAsync("E6", "--msg", "1m");

        foreach (string policy in (string[])["off", "16", "1", "adaptive"])
        {
            Assert.InRange(figures[policy, "send_us"], 1, 1_000_000);
            Assert.True(figures[policy, "backlog_drops"] > 0);
            Assert.True(figures[policy, "limit_tests"] > 100);
            Assert.Equal(0, figures[policy, "limit_mismatches"]);

            // The packet that is received already counts too.
            double limit = figures[policy, "backlog_limit_bytes"], packet = figures[policy, "packet_bytes"];
            Assert.InRange(figures[policy, "backlog_bytes_max"], limit - packet, limit + packet);
            Assert.True(figures[policy, "backlog_flushes"] <= figures[policy, "buffers"]);
        }

        Assert.True(figures["length not kept", "send_us"] > 1_900_000);
    }

    [Fact]
    public async Task A_send_to_a_peer_that_is_gone_ends_soon_unless_nothing_is_flushed()
    {
        DemoFigures figures = await RunAsync("E7", "--msg", "4m");

        Assert.InRange(figures["adaptive", "reset_return_us"], 0, 2500);
        Assert.InRange(figures["adaptive", "reset_partial_bytes"], 1, 1 << 20);
        Assert.Equal(104, figures["adaptive", "reset_next_errno"]);
        Assert.Equal(32, figures["adaptive", "close_next_errno"]);
        Assert.Equal(4 << 20, figures["off", "reset_partial_bytes"]);
    }

    [Fact]
    public async Task In_real_time_a_send_of_four_slow_buffers_is_flushed_by_time_only()
    {
        DemoFigures figures = await RunAsync("E1", "--live", "--msg", "256k");

        Assert.Equal(0, figures["16", "backlog_flushes"]);
        Assert.True(figures["adaptive", "backlog_flushes"] > 0);
        Assert.True(figures["adaptive", "warm_ratio_to_16"] > 0);
    }

    [Fact]
    public async Task Tables_name_what_differs_and_the_control()
    {
        string output = await OutputAsync("E7", "--msg", "1m", "--flush", "16");

        Assert.Contains("E7  The peer ends the connection", output, StringComparison.Ordinal);
        Assert.Contains("Differs: ", output, StringComparison.Ordinal);
        Assert.Contains("Control: ", output, StringComparison.Ordinal);
        Assert.Contains("reset: next call's errno", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_page_is_self_contained()
    {
        string path = Path.Combine(Path.GetTempPath(), $"penstock-demo-{Environment.ProcessId}.html");
        try
        {
            await OutputAsync("E1", "E2", "E3", "--msg", "1m", "--html", path);
            string page = await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken);

            foreach (string outside in (string[])["http:", "https:", "src=", "@import", "<link", "<script"])
            {
                Assert.DoesNotContain(outside, page, StringComparison.OrdinalIgnoreCase);
            }

            Assert.DoesNotMatch(@"url\((?!#)", page);
            Assert.DoesNotContain("rgb(", page, StringComparison.Ordinal);
            Assert.Contains("<section id=\"E2\">", page, StringComparison.Ordinal);
            Assert.True(page.Split("<svg").Length - 1 >= 8);
            Assert.Contains("var(--series0)", page, StringComparison.Ordinal);
            Assert.Contains("prefers-color-scheme: dark", page, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static Task<DemoFigures> RunAsync(params string[] arguments) => DemoFigures.RunAsync("backlog", arguments);

    private static Task<string> OutputAsync(params string[] arguments) => DemoFigures.OutputAsync("backlog", arguments);
}
