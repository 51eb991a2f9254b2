using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Penstock.Tool.Perf;
using Penstock.Tool.Perf.Pipe;
using Penstock.Tun.Tests;

namespace Penstock.Tool.Tests;

/// <summary>The measuring itself, in small: that each test runs, checks what it moves and prints what it should. How fast is never asserted.</summary>
public sealed class PerfTests
{
    private const int Interrupt = 2;
    private const int Terminate = 15;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("pipe.bulk.mtu1500", "Gbit/s")]
    [InlineData("pipe.bulk.mtu65535", "Gbit/s")]
    [InlineData("pipe.bulk.super", "Gbit/s")]
    [InlineData("pipe.rr64", "round trips/s")]
    [InlineData("pipe.rr64.pool", "round trips/s")]
    [InlineData("pipe.crr", "connections/s")]
    [InlineData("pipe.idle", "B/end")]
    [InlineData("pipe.alloc", "B")]
    [InlineData("pipe.http.1", "requests/s")]
    [InlineData("pipe.http.16", "requests/s")]
    [InlineData("sockets.http.1", "requests/s")]
    [InlineData("sockets.http.16", "requests/s")]
    public async Task A_test_prints_its_result_as_one_line_of_json(string name, string unit)
    {
        (int code, string output, string error) = await RunAsync(["perf", "pipe", name, "--quick", "--json"], Cancel);

        Assert.True(code == PenstockCommand.Success, error);
        using JsonDocument result = JsonDocument.Parse(Assert.Single(Lines(output), line => line.Contains($"\"{name}\"", StringComparison.Ordinal)));
        Assert.Equal(["test", "value", "unit", "min", "max", "runs", "gc", "commit"], result.RootElement.EnumerateObject().Select(member => member.Name));
        Assert.Equal(unit, result.RootElement.GetProperty("unit").GetString());
        Assert.Equal(1, result.RootElement.GetProperty("runs").GetInt32());
        Assert.NotEmpty(result.RootElement.GetProperty("gc").GetString()!);
        Assert.NotEmpty(result.RootElement.GetProperty("commit").GetString()!);
        double value = result.RootElement.GetProperty("value").GetDouble();
        Assert.InRange(value, result.RootElement.GetProperty("min").GetDouble(), result.RootElement.GetProperty("max").GetDouble());
        Assert.True(value > 0 || name is "pipe.idle" or "pipe.alloc", $"{name} is {value}");
        Assert.Contains($"{name} run 1: ", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_table_is_for_people_and_the_beginning_of_a_name_chooses_all_such()
    {
        (int code, string output, string error) = await RunAsync(["perf", "pipe", "pipe.bulk", "--quick", "--runs", "2"], Cancel);

        Assert.True(code == PenstockCommand.Success, error);
        foreach (string expected in (string[])["median", "pipe.bulk.mtu1500", "pipe.bulk.mtu65535", "pipe.bulk.super", "Gbit/s", "processors"])
        {
            Assert.Contains(expected, output, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("pipe.rr64", output, StringComparison.Ordinal);
        Assert.Contains("pipe.bulk.super run 2: ", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_alone_chooses_no_other_that_begins_with_it()
    {
        Assert.Equal(["pipe.rr64"], PipeCatalog.Choose(["pipe.rr64"]));
        Assert.Equal(PipeCatalog.Names.ToHashSet(), PipeCatalog.Choose([]));
    }

    [Fact]
    public void The_value_is_the_median()
    {
        Assert.Equal(3, new PerfResult("t", "u", [9, 3, 1]).Value);
        Assert.Equal(2.5, new PerfResult("t", "u", [4, 1, 9, 1]).Value);
    }

    [Theory]
    [InlineData("pipe.bulk.super")]
    [InlineData("pipe.rr64")]
    [InlineData("pipe.crr")]
    [InlineData("pipe.alloc")]
    [InlineData("pipe.http")]
    public async Task A_stop_in_the_middle_ends_it_cleanly_with_what_was_measured(string name)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        using var output = new StringWriter();
        using var error = new StopAtLine(stop);

        int code = await PenstockCommand.InvokeAsync(["perf", "pipe", name, "--quick", "--runs", "1000"], output, error, stop.Token);

        Assert.Equal(PenstockCommand.Success, code);
        Assert.Empty(output.ToString());
        Assert.Contains("Stopped", error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_server_sinks_sends_and_echoes_on_a_device_and_ends_with_a_signal()
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        using ToolProcess tool = ToolProcess.Start(net.Name, "perf", "server", "--tun", "penstock0", "--address", "10.77.0.2/24");
        await tool.ReadyAsync(Cancel, "ready");

        net.Run(() =>
        {
            using Socket echo = Connect(9003);
            byte[] sent = Encoding.ASCII.GetBytes(new string('x', 64)), received = new byte[64];
            echo.Send(sent);
            for (int got = 0; got < received.Length; got += echo.Receive(received.AsSpan(got)))
            {
            }

            Assert.Equal(sent, received);
            using Socket source = Connect(9002);
            Assert.True(source.Receive(received) > 0);
            using Socket sink = Connect(9001);
            Assert.Equal(64, sink.Send(sent));
        });

        Assert.Equal(PenstockCommand.Success, await tool.SignalAsync(Interrupt, Cancel));
        Assert.Contains("TcpPassiveOpens 3", tool.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Interrupt)]
    [InlineData(Terminate)]
    public async Task A_signal_in_the_middle_of_a_pipe_test_ends_the_process_and_what_was_measured_stands(int signal)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "Signals as these exist on Unix only.");

        // When the first has told its result the second opens connections, far more than it gets to.
        using ToolProcess tool = ToolProcess.Start(null, "perf", "pipe", "pipe.bulk.super", "pipe.idle", "--json", "--runs", "1", "--time", "10ms");
        string output = await tool.ReadyAsync(Cancel, "{\"test\":\"pipe.bulk.super\"");

        Assert.Equal(PenstockCommand.Success, await tool.SignalAsync(signal, Cancel));

        Assert.Single(Lines(output));
        Assert.Contains("Stopped; what was measured until then stands.", tool.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("xception", tool.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Interrupt)]
    [InlineData(Terminate)]
    public async Task A_signal_in_the_middle_of_transfers_ends_the_server_its_connections_and_its_device(int signal)
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        using ToolProcess tool = ToolProcess.Start(net.Name, "perf", "server", "--tun", "penstock0", "--address", "10.77.0.2/24");
        await tool.ReadyAsync(Cancel, "ready");
        using Socket source = net.Run(() => Connect(9002));
        using Socket sink = net.Run(() => Connect(9001));
        Task reading = Task.Run(() => UntilTheEnd(buffer => source.Receive(buffer)), Cancel);
        Task writing = Task.Run(() => UntilTheEnd(buffer => sink.Send(buffer)), Cancel);
        Assert.Equal(0, net.Execute("ip", "link", "show", "penstock0").ExitCode);

        Assert.Equal(PenstockCommand.Success, await tool.SignalAsync(signal, Cancel));

        // Both were told: a peer that merely vanished would leave them waiting.
        await Task.WhenAll(reading, writing).WaitAsync(Cancel);
        Assert.Contains("Stopped; 2 connections were served.", tool.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("xception", tool.Error, StringComparison.Ordinal);
        Assert.NotEqual(0, net.Execute("ip", "link", "show", "penstock0").ExitCode);
    }

    [Fact]
    public async Task A_device_that_is_removed_in_the_middle_of_transfers_ends_the_server_with_one_line()
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        using ToolProcess tool = ToolProcess.Start(net.Name, "perf", "server", "--tun", "penstock0", "--address", "10.77.0.2/24");
        await tool.ReadyAsync(Cancel, "ready");
        using Socket source = net.Run(() => Connect(9002));
        using Socket sink = net.Run(() => Connect(9001));
        Task reading = Task.Run(() => UntilTheEnd(buffer => source.Receive(buffer)), Cancel);
        Task writing = Task.Run(() => UntilTheEnd(buffer => sink.Send(buffer)), Cancel);

        (int code, string said) = net.Execute("ip", "link", "del", "penstock0");

        Assert.True(code == 0, said);
        Assert.Equal(PenstockCommand.Failure, await tool.ExitCodeAsync(Cancel));
        Assert.Single(Lines(tool.Error), line => line.StartsWith("penstock: ", StringComparison.Ordinal) && line.Contains("penstock0", StringComparison.Ordinal));
        Assert.DoesNotContain("xception", tool.Error, StringComparison.Ordinal);

        // The kernel's ends hear nothing any more: their route is gone.
        source.Dispose();
        sink.Dispose();
        await Task.WhenAll(reading, writing).WaitAsync(Cancel);
    }

    private static void UntilTheEnd(Func<byte[], int> move)
    {
        byte[] buffer = new byte[1 << 16];
        try
        {
            while (move(buffer) > 0)
            {
            }
        }
        catch (Exception ended) when (ended is SocketException or ObjectDisposedException)
        {
            // A reset is an end too. Who is never told anything goes on for a quarter of an hour, which is longer than a test may run.
        }
    }

    private static Socket Connect(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Connect(new IPEndPoint(IPAddress.Parse("10.77.0.2"), port));
        return socket;
    }

    private static string[] Lines(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private static async Task<(int Code, string Output, string Error)> RunAsync(string[] arguments, CancellationToken stop)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = await PenstockCommand.InvokeAsync(arguments, output, error, stop);
        return (code, output.ToString(), error.ToString());
    }

    /// <summary>Asks for the end as soon as a run has told its figure.</summary>
    private sealed class StopAtLine(CancellationTokenSource stop) : StringWriter
    {
        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            stop.Cancel();
        }
    }
}
