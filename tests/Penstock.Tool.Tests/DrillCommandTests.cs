namespace Penstock.Tool.Tests;

/// <summary><c>penstock drill</c>: what it prints, what it leaves behind, and its exit code.</summary>
public sealed class DrillCommandTests : IDisposable
{
    private const string Passing = "0 < S 0:0(0) win 1000 <mss 1000>\n+0 > R. 0:0(0) ack 1\n";
    private const string Failing = "0 < S 0:0(0) win 1000 <mss 1000>\n+0 > R. 0:0(0) ack 2\n";

    private readonly string _folder = Directory.CreateTempSubdirectory("drill").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_folder_runs_script_by_script_and_ends_with_the_counts()
    {
        Write("a.pkt", Passing);
        Write("sub/b.pkt", Passing);
        Write("sub/ignored.txt", "no script");

        (int code, string output, string error) = await RunAsync("drill", _folder, "--no-pcap");

        Assert.Equal(PenstockCommand.Success, code);
        Assert.Empty(error);
        Assert.Contains("a.pkt", output, StringComparison.Ordinal);
        Assert.Equal("2 passed, 0 failed", LastLine(output));
    }

    [Fact]
    public async Task A_failure_shows_both_packets_leaves_a_capture_and_exits_with_1()
    {
        Write("good.pkt", Passing);
        Write("bad.pkt", Failing);

        (int code, string output, _) = await RunAsync("drill", _folder, "--pcap", Path.Combine(_folder, "caps"));

        Assert.Equal(PenstockCommand.Failure, code);
        Assert.Contains("bad.pkt:2:1", output, StringComparison.Ordinal);
        Assert.Contains("expected: > R. 0:0(0) ack 2", output, StringComparison.Ordinal);
        Assert.Contains("actual:   > R. 0:0(0) ack 1", output, StringComparison.Ordinal);
        Assert.Equal("1 passed, 1 failed", LastLine(output));
        string capture = Assert.Single(Directory.GetFiles(Path.Combine(_folder, "caps")));
        Assert.EndsWith("_bad.pcapng", capture, StringComparison.Ordinal);
        Assert.Equal([0x0A, 0x0D, 0x0D, 0x0A], File.ReadAllBytes(capture)[..4]);
    }

    [Fact]
    public async Task A_script_that_cannot_be_read_fails_and_one_that_cannot_be_run_is_skipped_with_the_reason()
    {
        Write("broken.pkt", "0 < X 0:0(0) win 1000\n");
        Write("foreign.pkt", "`modprobe tcp_bbr`\n" + Passing);

        (int code, string output, _) = await RunAsync("drill", _folder, "--no-pcap");

        Assert.Equal(PenstockCommand.Failure, code);
        Assert.Contains("broken.pkt:1:", output, StringComparison.Ordinal);
        Assert.Contains("1 skipped:", output, StringComparison.Ordinal);
        Assert.Contains("the command 'modprobe' is not known here", output, StringComparison.Ordinal);
        Assert.Equal("0 passed, 1 failed", LastLine(output));
    }

    [Fact]
    public async Task Words_settings_and_files_beside_the_script_are_used()
    {
        Write("common/own.sh", "sysctl -q net.ipv4.tcp_timestamps=0\n");
        Write("one/syn.pkt", "`../common/own.sh`\n0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3\n+0 connect(3, ..., ...) = -1 EINPROGRESS\n+0 > S 0:0(0) <mss MSS,nop,wscale 7>\n");

        (int code, string output, _) = await RunAsync("drill", Path.Combine(_folder, "one/syn.pkt"), "--no-pcap", "-D", "MSS=1460", "--sysctl", "net.ipv4.tcp_sack=0");

        Assert.True(code == PenstockCommand.Success, output);
    }

    [Fact]
    public async Task A_filter_chooses_and_list_runs_nothing()
    {
        Write("loss/rto.pkt", Failing);
        Write("close/fin.pkt", Passing);

        (int code, string output, _) = await RunAsync("drill", _folder, "--list", "--filter", "loss/*");
        Assert.Equal(PenstockCommand.Success, code);
        Assert.Contains("loss/rto.pkt  2 events", output, StringComparison.Ordinal);
        Assert.DoesNotContain("fin.pkt", output, StringComparison.Ordinal);

        (code, output, _) = await RunAsync("drill", _folder, "--filter", "fin", "--verbose");
        Assert.Equal(PenstockCommand.Success, code);
        Assert.Contains("> R. 0:0(0) ack 1 win 0", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_help_teaches_with_a_script_that_runs()
    {
        (int code, string output, _) = await RunAsync("drill", "--help");
        Assert.Equal(PenstockCommand.Success, code);
        int from = output.IndexOf("A first script:", StringComparison.Ordinal);
        int to = output.IndexOf("The whole language", StringComparison.Ordinal);
        Write("first.pkt", output[(from + "A first script:".Length)..to]);
        (code, output, _) = await RunAsync("drill", Path.Combine(_folder, "first.pkt"), "--no-pcap");
        Assert.True(code == PenstockCommand.Success, output);
    }

    [Theory]
    [InlineData("no file or folder", "drill", "/there/is/none.pkt")]
    [InlineData("penstock drill --help", "drill")]
    [InlineData("-D MSS=1460", "drill", "FOLDER", "-D", "MSS")]
    [InlineData("tcp_sack", "drill", "FOLDER", "--sysctl", "net.ipv4.tcp_sac=0")]
    [InlineData("takes 0 or 1", "drill", "FOLDER", "--sysctl", "net.ipv4.tcp_sack=2")]
    [InlineData("leaves none of the 1 scripts", "drill", "FOLDER", "--filter", "nothing")]
    [InlineData("50ms, 2s", "drill", "FOLDER", "--tolerance", "4")]
    public async Task Wrong_arguments_get_one_line_and_exit_code_2(string hint, params string[] arguments)
    {
        Write("a.pkt", Passing);
        (int code, string output, string error) = await RunAsync([.. arguments.Select(a => a == "FOLDER" ? _folder : a)]);
        Assert.Equal(PenstockCommand.UsageError, code);
        Assert.Empty(output);
        Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains(hint, error, StringComparison.Ordinal);
    }

    private void Write(string name, string text)
    {
        string path = Path.Combine(_folder, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }

    private static string LastLine(string output) => output.TrimEnd().Split('\n')[^1];

    private static async Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = await PenstockCommand.InvokeAsync(arguments, output, error, TestContext.Current.CancellationToken);
        return (code, output.ToString(), error.ToString());
    }
}
