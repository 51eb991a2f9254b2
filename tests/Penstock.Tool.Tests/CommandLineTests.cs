using System.Net;
using System.Net.Sockets;

namespace Penstock.Tool.Tests;

/// <summary>Wrong arguments and a machine that says no: one line on stderr that says what to do, nothing on stdout, and the right exit code.</summary>
public sealed class CommandLineTests
{
    [Theory]
    [InlineData("--delay", "serve", "--delay", "50")]
    [InlineData("2% or 0.02", "serve", "--loss", "200%")]
    [InlineData("10mbit", "serve", "--rate", "10mbps")]
    [InlineData("127.0.0.1:8080", "serve", "--listen", "nowhere")]
    [InlineData("1 and 65535", "serve", "--port", "0")]
    [InlineData("576 and 65535", "serve", "--mtu", "9")]
    [InlineData("--tun", "serve", "--address", "10.77.0.2/24")]
    [InlineData("--tun", "serve", "--host-address", "10.77.0.1")]
    [InlineData("--address", "serve", "--tun", "t0")]
    [InlineData("10.77.0.2/24", "serve", "--tun", "t0", "--address", "10.77.0.2")]
    [InlineData("10.77.0.2/24", "serve", "--tun", "t0", "--address", "fd00::2/64")]
    [InlineData("--tun", "serve", "--tun", "t0", "--address", "10.77.0.2/24", "--delay", "5ms")]
    [InlineData("--tun", "serve", "--tun", "t0", "--address", "10.77.0.2/24", "--loss", "0")]
    [InlineData("--tun", "serve", "--tun", "t0", "--address", "10.77.0.2/24", "--rate", "1gbit")]
    [InlineData("--tun", "serve", "--tun", "t0", "--address", "10.77.0.2/24", "--listen", "127.0.0.1:1")]
    [InlineData("--root", "serve", "--writable")]
    [InlineData("Create it", "serve", "--root", "/there/is/no/such/folder")]
    [InlineData("serve --help", "serve", "--dlay", "5ms")]
    [InlineData("serve --help", "serve", "extra")]
    [InlineData("'sreve'", "sreve")]
    [InlineData("penstock --help")]
    [InlineData("penstock demo --help", "demo")]
    [InlineData("penstock demo --help", "demo", "backlogs")]
    [InlineData("penstock demo backlog --help", "demo", "backlog", "--flushes", "16")]
    [InlineData("E1, E2", "demo", "backlog", "E99")]
    [InlineData("off, 1, 16 or adaptive", "demo", "backlog", "--flush", "17")]
    [InlineData("on or off", "demo", "backlog", "--ack-defer", "maybe")]
    [InlineData("on or off", "demo", "backlog", "--release-cb", "1")]
    [InlineData("on or off", "demo", "backlog", "--coalesce", "yes")]
    [InlineData("64k or 1mss", "demo", "backlog", "--goal", "32k")]
    [InlineData("0 and 100000", "demo", "backlog", "--fault-us", "-1")]
    [InlineData("64k or 16m", "demo", "backlog", "--msg", "16mb")]
    [InlineData("64k or 16m", "demo", "backlog", "--sndbuf", "2g")]
    [InlineData("whole number", "demo", "backlog", "--seed", "x")]
    [InlineData("--live", "demo", "backlog", "E3", "--live")]
    [InlineData("Add --live", "demo", "backlog", "E1", "--tun", "t0")]
    [InlineData("E8, E9", "demo", "zerocopy", "E1")]
    [InlineData("penstock demo zerocopy --help", "demo", "zerocopy", "--flush", "16")]
    [InlineData("on or off", "demo", "zerocopy", "--pure-zc", "half")]
    [InlineData("data_len or truesize", "demo", "zerocopy", "--downgrade", "bytes")]
    [InlineData("Add --live", "demo", "zerocopy", "--tun", "t0")]
    [InlineData("penstock perf --help", "perf")]
    [InlineData("pipe.rr64.pool", "perf", "pipe", "pipe.rr65")]
    [InlineData("pipe.crr", "perf", "pipe", "pipe.r")]
    [InlineData("penstock perf pipe --help", "perf", "pipe", "--jsn")]
    [InlineData("1 and 1000", "perf", "pipe", "--runs", "0")]
    [InlineData("50ms, 2s", "perf", "pipe", "--time", "2")]
    [InlineData("50ms, 2s", "perf", "pipe", "--time", "0")]
    [InlineData("--address", "perf", "server", "--tun", "t0")]
    [InlineData("--tun", "perf", "server", "--address", "10.77.0.2/24")]
    [InlineData("10.77.0.2/24", "perf", "server", "--tun", "t0", "--address", "10.77.0.2")]
    [InlineData("network", "perf", "server", "--tun", "t0", "--address", "10.77.0.2/32")]
    [InlineData("576 and 65535", "perf", "server", "--tun", "t0", "--address", "10.77.0.2/24", "--mtu", "100")]
    public async Task Wrong_arguments_get_one_line_and_exit_code_2(string hint, params string[] arguments)
    {
        (int code, string output, string error) = await RunAsync(arguments);

        Assert.Equal(PenstockCommand.UsageError, code);
        Assert.Empty(output);
        AssertOneLine(error, hint);
    }

    [Fact]
    public async Task A_busy_port_gets_one_line_and_exit_code_1()
    {
        using var busy = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        busy.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        busy.Listen();

        (int code, string output, string error) = await RunAsync("serve", "--listen", busy.LocalEndPoint!.ToString()!);

        Assert.Equal(PenstockCommand.Failure, code);
        Assert.Empty(output);
        AssertOneLine(error, "in use");
    }

    [Fact]
    public async Task A_capture_that_cannot_be_written_gets_one_line_and_exit_code_1()
    {
        (int code, string output, string error) = await RunAsync("serve", "--listen", "127.0.0.1:0", "--capture", "/there/is/no/such/folder/run.pcapng");

        Assert.Equal(PenstockCommand.Failure, code);
        Assert.Empty(output);
        AssertOneLine(error, "--capture");
    }

    [Fact]
    public async Task A_page_that_cannot_be_written_gets_one_line_and_exit_code_1_before_anything_runs()
    {
        (int code, string output, string error) = await RunAsync("demo", "backlog", "--html", "/there/is/no/such/folder/page.html");

        Assert.Equal(PenstockCommand.Failure, code);
        Assert.Empty(output);
        AssertOneLine(error, "--html");
    }

    [Fact]
    public async Task The_help_of_the_demo_has_its_own_examples()
    {
        (int code, string output, string error) = await RunAsync("demo", "backlog", "--help");

        Assert.Equal(PenstockCommand.Success, code);
        Assert.Empty(error);
        Assert.Contains("penstock demo backlog E1 --html backlog.html", output, StringComparison.Ordinal);
        Assert.DoesNotContain("penstock serve", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_help_teaches_by_example()
    {
        (int code, string output, string error) = await RunAsync("serve", "--help");

        Assert.Equal(PenstockCommand.Success, code);
        Assert.Empty(error);
        Assert.Contains("penstock serve --root . --delay 50ms --loss 2% --rate 10mbit", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("perf", "--help")]
    [InlineData("perf", "pipe", "--help")]
    [InlineData("perf", "server", "--help")]
    public async Task The_help_of_perf_has_its_own_examples(params string[] arguments)
    {
        (int code, string output, string error) = await RunAsync(arguments);

        Assert.Equal(PenstockCommand.Success, code);
        Assert.Empty(error);
        Assert.Contains("penstock perf pipe pipe.bulk --json", output, StringComparison.Ordinal);
        Assert.DoesNotContain("penstock serve", output, StringComparison.Ordinal);
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = await PenstockCommand.InvokeAsync(arguments, output, error, TestContext.Current.CancellationToken);
        return (code, output.ToString(), error.ToString());
    }

    private static void AssertOneLine(string error, string hint)
    {
        Assert.Contains(hint, error, StringComparison.Ordinal);
        Assert.StartsWith("penstock: ", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd('\n').Split('\n'));
    }
}
