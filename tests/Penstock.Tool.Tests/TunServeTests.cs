using System.Security.Cryptography;
using Penstock.Tun.Tests;

namespace Penstock.Tool.Tests;

/// <summary><c>serve --tun</c> as a process in a network namespace, with the kernel's curl as the client and tshark as the judge of the capture.</summary>
public sealed class TunServeTests
{
    private const int Terminate = 15;
    private const int Megabytes = 64;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Curl_fetches_and_puts_and_the_capture_is_clean(bool noOffload)
    {
        NetworkNamespace.SkipUnlessPossible();
        NetworkNamespace.SkipWithoutProgram("curl");
        NetworkNamespace.SkipWithoutProgram("tshark");
        using var net = new NetworkNamespace();
        DirectoryInfo folder = Directory.CreateTempSubdirectory("penstock-tun-");
        string root = folder.CreateSubdirectory("root").FullName;
        string capture = Path.Combine(folder.FullName, "run.pcapng");
        string fetched = Path.Combine(folder.FullName, "fetched.bin");
        try
        {
            byte[] expected = await ServeTests.WriteLargeFileAsync(Path.Combine(root, "large.bin"), Megabytes);
            string[] extra = noOffload ? ["--no-offload"] : [];
            using ToolProcess tool = ToolProcess.Start(
                net.Name, ["serve", "--root", root, "--writable", "--tun", "penstock0", "--address", "10.77.0.2/24", "--capture", capture, .. extra]);
            string output = await tool.ReadyAsync(Cancel);
            Assert.Contains("http://10.77.0.2/", output, StringComparison.Ordinal);

            AssertCurl(net, "-o", fetched, "http://10.77.0.2/large.bin");
            AssertCurl(net, "-T", fetched, "http://10.77.0.2/back.bin");

            Assert.Equal(expected, await HashAsync(fetched));
            Assert.Equal(expected, await HashAsync(Path.Combine(root, "back.bin")));
            Assert.Equal(PenstockCommand.Success, await tool.SignalAsync(Terminate, Cancel));
            AssertNothing(capture, "_ws.malformed");
            // The kernel writes a sum of 0 as 0xffff, for TCP too, which tshark counts as bad: not one of our packets.
            AssertNothing(
                capture,
                "ip.checksum.status == \"Bad\" || (tcp.checksum.status == \"Bad\" && !(ip.src == 10.77.0.1 && tcp.checksum == 0xffff))");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_device_in_use_gets_one_line_and_exit_code_1()
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        using ToolProcess first = ToolProcess.Start(net.Name, "serve", "--tun", "penstock0", "--address", "10.77.0.2/24");
        await first.ReadyAsync(Cancel);

        using ToolProcess second = ToolProcess.Start(net.Name, "serve", "--tun", "penstock0", "--address", "10.78.0.2/24");

        Assert.Equal(PenstockCommand.Failure, await second.ExitCodeAsync(Cancel));
        Assert.Contains("in use", second.Error, StringComparison.Ordinal);
        Assert.Equal(PenstockCommand.Success, await first.SignalAsync(Terminate, Cancel));
    }

    [Fact]
    public async Task A_device_that_is_taken_away_ends_it_with_one_line()
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        using ToolProcess tool = ToolProcess.Start(net.Name, "serve", "--tun", "penstock0", "--address", "10.77.0.2/24");
        await tool.ReadyAsync(Cancel);

        (int code, string said) = net.Execute("ip", "link", "del", "penstock0");

        Assert.True(code == 0, said);
        Assert.Equal(PenstockCommand.Failure, await tool.ExitCodeAsync(Cancel));
        Assert.Contains("penstock0", tool.Error, StringComparison.Ordinal);
    }

    private static void AssertCurl(NetworkNamespace net, params string[] arguments)
    {
        (int code, string output) = net.Execute(["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "240", .. arguments]);
        Assert.True(code == 0, $"curl ended with {code}: {output}");
    }

    /// <summary>Reassembly is off: every packet is judged by itself, and large captures stay quick.</summary>
    private static void AssertNothing(string capture, string filter)
    {
        var start = new System.Diagnostics.ProcessStartInfo(
            "tshark",
            ["-r", capture, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-o", "tcp.desegment_tcp_streams:FALSE", "--disable-protocol", "http", "-Y", filter])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var tshark = System.Diagnostics.Process.Start(start)!;
        Task<string> errors = tshark.StandardError.ReadToEndAsync(Cancel);
        string found = tshark.StandardOutput.ReadToEnd();
        tshark.WaitForExit();
        Assert.True(tshark.ExitCode == 0, errors.GetAwaiter().GetResult());
        Assert.True(found.Length == 0, $"{filter}: {found[..Math.Min(found.Length, 2000)]}");
    }

    private static async Task<byte[]> HashAsync(string path)
    {
        await using FileStream file = File.OpenRead(path);
        return await SHA256.HashDataAsync(file, Cancel);
    }
}
