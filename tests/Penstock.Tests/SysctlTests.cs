using Penstock.Time;

namespace Penstock.Tests;

public sealed class SysctlTests : IAsyncDisposable
{
    private readonly NetworkStack _stack = new(new NetworkStackOptions { Driver = new VirtualTime(), Seed = 1, MemoryLimit = 64 << 20 });

    public ValueTask DisposeAsync() => _stack.DisposeAsync();

    private Sysctl Sysctl => _stack.Sysctl;

    /// <summary>Key, default, another value, a value that is refused.</summary>
    public static TheoryData<string, string, string, string> Rows { get; } = new()
    {
        { "net.core.rmem_max", "4194304", "2304", "2303" },
        { "net.core.wmem_max", "4194304", "4608", "4607" },
        { "net.core.somaxconn", "4096", "0", "-1" },
        { "net.core.optmem_max", "131072", "65536", "-1" },
        { "net.ipv4.tcp_rmem", "4096\t131072\t6291456", "8192\t8192\t16384", "4096\t131072" },
        { "net.ipv4.tcp_wmem", "4096\t16384\t4194304", "1\t2\t3", "0\t1\t2" },
        { "net.ipv4.tcp_mem", "6144\t8192\t12288", "10\t20\t30", "30\t20\t10" },
        { "net.ipv4.tcp_moderate_rcvbuf", "1", "0", "2" },
        { "net.ipv4.tcp_adv_win_scale", "1", "-31", "-32" },
        { "net.ipv4.tcp_shrink_window", "0", "1", "2" },
        { "net.ipv4.tcp_notsent_lowat", "4294967295", "16384", "4294967296" },
        { "net.ipv4.tcp_limit_output_bytes", "4194304", "262144", "-1" },
        { "net.ipv4.tcp_max_syn_backlog", "1024", "2048", "2147483648" },
        { "net.ipv4.tcp_syncookies", "1", "2", "3" },
        { "net.ipv4.tcp_abort_on_overflow", "0", "1", "yes" },
        { "net.ipv4.tcp_synack_retries", "5", "255", "256" },
        { "net.ipv4.ip_local_port_range", "32768\t60999", "1024\t65535", "5\t4" },
        { "net.ipv4.tcp_syn_retries", "6", "127", "0" },
        { "net.ipv4.tcp_tw_reuse", "2", "0", "3" },
        { "net.ipv4.tcp_sack", "1", "0", "" },
        { "net.ipv4.tcp_dsack", "1", "0", "0x0" },
        { "net.ipv4.tcp_timestamps", "1", "0", "1 1" },
        { "net.ipv4.tcp_window_scaling", "1", "0", "-1" },
        { "net.ipv4.tcp_congestion_control", "cubic", "reno", "vegas" },
        { "net.ipv4.tcp_slow_start_after_idle", "1", "0", "2" },
        { "net.ipv4.tcp_min_snd_mss", "48", "536", "47" },
        { "net.ipv4.tcp_tso_win_divisor", "3", "0", "256" },
        { "net.ipv4.tcp_min_tso_segs", "2", "10", "256" },
        { "net.ipv4.tcp_tso_rtt_log", "9", "0", "256" },
        { "net.ipv4.tcp_pacing_ss_ratio", "200", "1000", "1001" },
        { "net.ipv4.tcp_pacing_ca_ratio", "120", "1000", "1001" },
        { "net.ipv4.tcp_mtu_probing", "0", "2", "3" },
        { "net.ipv4.tcp_base_mss", "1024", "512", "47" },
        { "net.ipv4.tcp_mtu_probe_floor", "48", "256", "47" },
        { "net.ipv4.tcp_probe_threshold", "8", "0", "-1" },
        { "net.ipv4.tcp_probe_interval", "600", "60", "-1" },
        { "net.ipv4.tcp_syn_linear_timeouts", "4", "0", "128" },
        { "net.ipv4.tcp_pingpong_thresh", "1", "3", "0" },
        { "net.ipv4.ip_default_ttl", "64", "255", "0" },
        { "net.ipv4.tcp_recovery", "1", "0", "256" },
        { "net.ipv4.tcp_early_retrans", "3", "0", "5" },
        { "net.ipv4.tcp_retrans_collapse", "1", "0", "2" },
        { "net.ipv4.tcp_reordering", "3", "10", "0" },
        { "net.ipv4.tcp_frto", "2", "0", "256" },
        { "net.ipv4.tcp_thin_linear_timeouts", "0", "1", "2" },
        { "net.ipv4.tcp_min_rtt_wlen", "300", "10", "86401" },
        { "net.ipv4.tcp_ecn", "2", "1", "3" },
        { "net.ipv4.tcp_ecn_fallback", "1", "0", "2" },
        { "net.ipv4.tcp_reflect_tos", "0", "1", "2" },
        { "penstock.tcp_rtt_from_arrival", "0", "1", "2" },
        { "net.ipv4.tcp_max_reordering", "300", "1000", "0" },
        { "net.ipv4.tcp_rto_min_us", "200000", "5000", "0" },
        { "net.ipv4.tcp_rto_max_ms", "120000", "1000", "999" },
        { "net.ipv4.tcp_retries1", "3", "0", "256" },
        { "net.ipv4.tcp_retries2", "15", "8", "256" },
        { "net.ipv4.tcp_keepalive_time", "7200", "60", "0" },
        { "net.ipv4.tcp_keepalive_intvl", "75", "1", "0" },
        { "net.ipv4.tcp_keepalive_probes", "9", "3", "256" },
        { "net.ipv4.tcp_fin_timeout", "60", "0", "-1" },
        { "net.ipv4.tcp_orphan_retries", "0", "4", "256" },
        { "net.ipv4.tcp_max_orphans", "65536", "0", "-1" },
        { "net.ipv4.tcp_max_tw_buckets", "65536", "0", "-1" },
        { "net.ipv4.tcp_rfc1337", "0", "1", "2" },
        { "net.ipv4.tcp_challenge_ack_limit", "2147483647", "1000", "-1" },
        { "net.ipv4.tcp_invalid_ratelimit", "500", "0", "-1" },
        { "net.ipv4.tcp_comp_sack_nr", "44", "0", "256" },
        { "net.ipv4.tcp_comp_sack_delay_ns", "1000000", "0", "-1" },
        { "net.ipv4.tcp_comp_sack_slack_ns", "100000", "10000", "-1" },
        { "net.ipv4.tcp_backlog_ack_defer", "1", "0", "2" },
        { "net.ipv4.tcp_stdurg", "0", "1", "2" },
        { "penstock.tcp_backlog_flush_buffers", "16", "0", "-1" },
        { "penstock.tcp_backlog_flush_budget_us", "1000", "0", "1000001" },
        { "penstock.tcp_backlog_release_callback", "1", "0", "2" },
        { "penstock.tcp_backlog_coalesce", "1", "0", "2" },
        { "penstock.tcp_backlog_receive_flush", "1", "0", "2" },
        { "penstock.tcp_backlog_wait_histogram", "0", "1", "2" },
        { "penstock.tcp_size_goal", "0", "1", "65536" },
    };

    [Theory]
    [MemberData(nameof(Rows))]
    public void A_setting_has_its_default_takes_a_value_and_refuses_another(string key, string standard, string other, string wrong)
    {
        Assert.Equal(standard, Sysctl.Get(key));
        Sysctl.Set(key, other.Replace('\t', ' '));
        Assert.Equal(other, Sysctl.Get(key));
        var refusal = Assert.Throws<ArgumentOutOfRangeException>(() => Sysctl.Set(key, wrong));
        Assert.Contains($"{key} takes", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(other, Sysctl.Get(key));
        Sysctl.Set(key, standard);
        Assert.Equal(standard, Sysctl.Get(key));
    }

    [Fact]
    public void Every_key_is_tried_by_the_rows_and_no_two_settings_share_a_field()
    {
        string[] writable = [.. Sysctl.Keys.Where(k => k != "net.ipv4.tcp_available_congestion_control")];
        Assert.Equal(writable, Rows.Select(r => r.Data.Item1).Order(StringComparer.Ordinal));
        foreach ((string key, string standard, string other, _) in Rows.Select(r => r.Data))
        {
            Sysctl.Set(key, other);
            foreach ((string bystander, string untouched, _, _) in Rows.Select(r => r.Data))
            {
                Assert.Equal(bystander == key ? other : untouched, Sysctl.Get(bystander));
            }

            Sysctl.Set(key, standard);
        }
    }

    [Fact]
    public void The_available_congestion_controls_can_only_be_read()
    {
        Assert.Equal("reno cubic", Sysctl.Get("net.ipv4.tcp_available_congestion_control"));
        Assert.Throws<InvalidOperationException>(() => Sysctl.Set("net.ipv4.tcp_available_congestion_control", "cubic"));
    }

    [Fact]
    public void Slashes_do_for_dots()
    {
        Sysctl.Set(" net/ipv4/tcp_sack ", " 0 ");
        Assert.Equal("0", Sysctl.Get("net.ipv4.tcp_sack"));
        Assert.True(Sysctl.TryGet("net/ipv4/tcp_sack", out string? value));
        Assert.Equal("0", value);
    }

    [Theory]
    [InlineData("net.ipv4.tcp_syn_retrys", "net.ipv4.tcp_syn_retries")]
    [InlineData("tcp_fin_timeout", "net.ipv4.tcp_fin_timeout")]
    [InlineData("net.ipv4.somaxcon", "net.core.somaxconn")]
    public void An_unknown_key_is_refused_with_the_nearest_ones(string key, string meant)
    {
        Assert.False(Sysctl.TryGet(key, out _));
        Assert.Contains($"nearest are: {meant},", Assert.Throws<KeyNotFoundException>(() => Sysctl.Get(key)).Message, StringComparison.Ordinal);
        Assert.Contains(meant, Assert.Throws<KeyNotFoundException>(() => Sysctl.Set(key, "1")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_in_the_syntax_of_sysctl_conf_is_loaded()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, """
                # Kernel sysctl configuration file
                ; another comment

                net.ipv4.tcp_rmem = 4096   87380	16777216
                net/ipv4/tcp_congestion_control=reno
                  net.ipv4.tcp_timestamps =0
                -kernel.pid_max = 4194304
                -net.ipv4.tcp_sack = maybe
                - net.ipv4.tcp_dsack = 0
                net.ipv4.tcp_fin_timeout = 30
                net.ipv4.tcp_fin_timeout = 20
                """);
            Sysctl.Load(path);
        }
        finally
        {
            File.Delete(path);
        }

        Assert.Equal("4096\t87380\t16777216", Sysctl.Get("net.ipv4.tcp_rmem"));
        Assert.Equal("reno", Sysctl.Get("net.ipv4.tcp_congestion_control"));
        Assert.Equal("0", Sysctl.Get("net.ipv4.tcp_timestamps"));
        Assert.Equal("1", Sysctl.Get("net.ipv4.tcp_sack"));
        Assert.Equal("0", Sysctl.Get("net.ipv4.tcp_dsack"));
        Assert.Equal("20", Sysctl.Get("net.ipv4.tcp_fin_timeout"));
    }

    [Theory]
    [InlineData("kernel.pid_max = 1", "There is no setting 'kernel.pid_max'")]
    [InlineData("net.ipv4.tcp_sack = 7", "net.ipv4.tcp_sack takes 0 or 1.")]
    [InlineData("net.ipv4.tcp_sack", "'net.ipv4.tcp_sack' is not of the form key = value.")]
    [InlineData("net.ipv4.tcp_available_congestion_control = x", "net.ipv4.tcp_available_congestion_control is read-only.")]
    public void A_wrong_line_is_named_and_nothing_of_the_file_is_applied(string line, string what)
    {
        using var text = new StringReader("net.ipv4.tcp_fin_timeout = 20\n" + line + "\nnet.ipv4.tcp_dsack = 0\n");
        var refusal = Assert.Throws<InvalidDataException>(() => Sysctl.Load(text));
        Assert.StartsWith("Line 2: ", refusal.Message, StringComparison.Ordinal);
        Assert.Contains(what, refusal.Message, StringComparison.Ordinal);
        Assert.Equal("60", Sysctl.Get("net.ipv4.tcp_fin_timeout"));
    }

    [Fact]
    public void The_challenge_ack_limit_acts_at_once()
    {
        const long Now = 10 * Nanos.PerSecond;
        Sysctl.Set("net.ipv4.tcp_challenge_ack_limit", "0");
        Assert.False(_stack.Tcp.TakeChallengeToken(Now));
        Sysctl.Set("net.ipv4.tcp_challenge_ack_limit", "2");
        Assert.True(_stack.Tcp.TakeChallengeToken(Now));
        Assert.True(_stack.Tcp.TakeChallengeToken(Now));
        Assert.False(_stack.Tcp.TakeChallengeToken(Now));
        Sysctl.Set("net.ipv4.tcp_challenge_ack_limit", "2147483647");
        Assert.True(Enumerable.Range(0, 5000).All(_ => _stack.Tcp.TakeChallengeToken(Now)));
    }

    [Fact]
    public void The_tuning_page_shows_the_table()
    {
        var expected = new List<string>();
        foreach (SysctlEntry entry in SysctlTable.Entries)
        {
            string standard = entry.Key.EndsWith("tcp_mem", StringComparison.Ordinal) ? "3/8, 1/2 and 3/4 of `MemoryLimit`" : Sysctl.Get(entry.Key).Replace('\t', ' ');
            expected.Add($"| `{entry.Key}` | {standard} | {entry.Range} | {entry.Meaning} |");
        }

        string[] page = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "docs", "tuning.md"));
        string shown = string.Join('\n', page.Where(l => l.StartsWith("| `net.", StringComparison.Ordinal) || l.StartsWith("| `penstock.", StringComparison.Ordinal)));
        Assert.True(shown == string.Join('\n', expected), "docs/tuning.md should hold these rows:\n" + string.Join('\n', expected));
    }
}
