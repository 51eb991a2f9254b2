using System.Net.Sockets;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Penstock.Tool.Tests;
using Penstock.Tun.Tests;

namespace Tun2Socks.Tests;

/// <summary>The program as its users have it: a TUN device in a network namespace, curl and a browser on it, a SOCKS5 server and a web server on the other side.</summary>
public sealed class DeviceTests
{
    private const int Interrupt = 2;
    private const int Terminate = 15;
    private const int Pictures = 24;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Curl_loads_and_sends_files_through_the_tunnel()
    {
        TwoSides.SkipUnlessPossible();
        byte[] file = RandomNumberGenerator.GetBytes(20_000_000);
        string? sent = null;
        await using var sides = new TwoSides();
        await sides.StartProxyAsync();
        await sides.StartSiteAsync(site =>
        {
            site.MapGet("/", () => "hello");
            site.MapGet("/file", () => Results.Bytes(file));
            site.MapPut("/file", async (HttpRequest request) => sent = Convert.ToHexString(await SHA256.HashDataAsync(request.Body, Cancel)));
        });

        // Without the tunnel there is no way.
        Assert.NotEqual(0, sides.Curl($"http://{TwoSides.Web}/").ExitCode);
        using ToolProcess tunnel = await sides.StartTunnelAsync();
        Assert.Equal((0, "hello"), sides.Curl($"http://{TwoSides.Web}/"));
        DirectoryInfo folder = Directory.CreateTempSubdirectory("tun2socks-");
        try
        {
            string path = Path.Combine(folder.FullName, "file");
            (int code, string output) = sides.Curl("--output", path, $"http://{TwoSides.Web}/file");
            Assert.True(code == 0, output);
            byte[] fetched = await File.ReadAllBytesAsync(path, Cancel);
            Assert.True(file.AsSpan().SequenceEqual(fetched));
            (code, output) = sides.Curl("--upload-file", path, $"http://{TwoSides.Web}/file");
            Assert.True(code == 0, output);
            Assert.Equal(Convert.ToHexString(SHA256.HashData(file)), sent);
        }
        finally
        {
            folder.Delete(recursive: true);
        }

        // Many at once, and what nobody listens for.
        (int parallel, string answers) = sides.Curl("--parallel", "--parallel-max", "50", $"http://{TwoSides.Web}/?[1-200]");
        Assert.Equal((0, 200), (parallel, answers.Split("hello").Length - 1));
        (int refused, string why) = sides.Curl($"http://{TwoSides.Web}:81/");
        Assert.True(refused == 7, $"{refused} {why}");
        Assert.Equal(TunnelCommand.Success, await tunnel.SignalAsync(Terminate, Cancel));
        Assert.Equal("", tunnel.Error.Trim());
    }

    [Fact]
    public async Task A_proxy_that_wants_a_password_gets_it_from_the_environment_or_the_command_line()
    {
        TwoSides.SkipUnlessPossible();
        await using var sides = new TwoSides();
        await sides.StartProxyAsync("-u", "alice", "-P", "s3cret");
        await sides.StartSiteAsync(site => site.MapGet("/", () => "hello"));
        foreach ((string[] arguments, string says) in ((string[], string)[])[([], "add --user and --password"), (["--user", "alice", "--password", "wrong"], "does not know the user 'alice'")])
        {
            using ToolProcess refused = sides.Launch(["--tun", "tun0", "--address", "10.77.0.1/24", "--socks", TwoSides.Proxy, .. arguments]);
            Assert.Equal(TunnelCommand.Failure, await refused.ExitCodeAsync(Cancel));
            Assert.Contains(says, refused.Error, StringComparison.Ordinal);
        }

        using ToolProcess tunnel = await sides.StartTunnelAsync("--user", "alice", "--password", "s3cret");
        Assert.Equal((0, "hello"), sides.Curl($"http://{TwoSides.Web}/"));
        Assert.Equal(TunnelCommand.Success, await tunnel.SignalAsync(Interrupt, Cancel));
    }

    [Fact]
    public async Task Headless_Chromium_loads_a_page_with_all_that_belongs_to_it()
    {
        TwoSides.SkipUnlessPossible();
        NetworkNamespace.SkipWithoutProgram("chromium");
        int asked = 0;
        await using var sides = new TwoSides();
        await sides.StartProxyAsync();
        await sides.StartSiteAsync(site =>
        {
            site.MapGet("/", () => Results.Content(Page, "text/html"));
            site.MapGet("/style.css", () => Results.Text("h1 { width: 321px }", "text/css"));
            site.MapGet("/picture/{n}.svg", (int n) =>
            {
                Interlocked.Increment(ref asked);
                return Results.Text($"<svg xmlns='http://www.w3.org/2000/svg' width='{n + 10}' height='10'><!--{new string('x', n * 10_000)}--></svg>", "image/svg+xml");
            });
        });
        using ToolProcess tunnel = await sides.StartTunnelAsync();
        DirectoryInfo profile = Directory.CreateTempSubdirectory("tun2socks-chromium-");
        try
        {
            (int code, string dom) = sides.Near.Execute(
                "timeout", "120", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                "--no-proxy-server", $"--user-data-dir={profile.FullName}", "--virtual-time-budget=30000", "--dump-dom", $"http://{TwoSides.Web}/");
            Assert.True(code == 0, dom);
            Assert.Contains($"<h1>{Pictures} pictures, 321 wide</h1>", dom, StringComparison.Ordinal);
            Assert.Equal(Pictures, asked);
        }
        finally
        {
            try
            {
                profile.Delete(recursive: true);
            }
            catch (IOException)
            {
                // A last process of the browser still writes.
            }
        }

        Assert.Equal(TunnelCommand.Success, await tunnel.SignalAsync(Terminate, Cancel));
    }

    [Fact]
    public async Task A_device_that_is_removed_under_load_ends_the_program_with_one_line()
    {
        TwoSides.SkipUnlessPossible();
        await using var sides = new TwoSides();
        await sides.StartProxyAsync();
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await sides.StartSiteAsync(site => site.MapGet("/endless", context =>
        {
            asked.TrySetResult();
            return EndlessAsync(context);
        }));
        using ToolProcess tunnel = await sides.StartTunnelAsync();

        // No reset can reach curl any more: it ends when nothing comes for two seconds.
        Task<(int ExitCode, string Output)> loading = Task.Run(
            () => sides.Curl("--output", "/dev/null", "--speed-limit", "1", "--speed-time", "2", $"http://{TwoSides.Web}/endless"), Cancel);
        await asked.Task.WaitAsync(Cancel);
        NetworkNamespace.RunProgram("ip", "-n", sides.Near.Name, "link", "del", "tun0");

        Assert.Equal(TunnelCommand.Failure, await tunnel.ExitCodeAsync(Cancel));
        string said = Assert.Single(tunnel.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
        Assert.Contains("'tun0' was removed", said, StringComparison.Ordinal);
        Assert.Contains("1 flow connected", said, StringComparison.Ordinal);
        await UntilFlowsAsync(sides, 0);
        Assert.Equal(28, (await loading).ExitCode);
    }

    [Theory]
    [InlineData(Terminate)]
    [InlineData(Interrupt)]
    public async Task A_signal_resets_the_flows_that_are_open_and_says_how_many(int signal)
    {
        TwoSides.SkipUnlessPossible();
        await using var sides = new TwoSides();
        await sides.StartProxyAsync();
        using var asked = new SemaphoreSlim(0);
        await sides.StartSiteAsync(site => site.MapGet("/endless", context =>
        {
            asked.Release();
            return EndlessAsync(context);
        }));
        using ToolProcess tunnel = await sides.StartTunnelAsync();
        Task<(int ExitCode, string Output)>[] loading =
            [.. Enumerable.Range(0, 3).Select(_ => Task.Run(() => sides.Curl("--output", "/dev/null", $"http://{TwoSides.Web}/endless"), Cancel))];
        for (int i = 0; i < 3; i++)
        {
            // One whose request has arrived is a flow that stands, not one that is being opened.
            await asked.WaitAsync(Cancel);
        }

        Assert.Equal(TunnelCommand.Success, await tunnel.SignalAsync(signal, Cancel));
        Assert.Contains("Stopped and reset 3 flows that were open", await tunnel.RestAsync(Cancel), StringComparison.Ordinal);
        Assert.Equal("", tunnel.Error.Trim());
        foreach (Task<(int ExitCode, string Output)> one in loading)
        {
            // 56: the connection was reset. 7: it was still opening.
            (int code, string output) = await one;
            Assert.True(code is 56 or 7, $"{code} {output}");
        }

        await UntilFlowsAsync(sides, 0);
        Assert.DoesNotContain("tun0", sides.Near.Execute("ip", "link").Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_absent_proxy_a_busy_device_and_a_user_without_rights_get_a_line_that_says_what_to_do()
    {
        TwoSides.SkipUnlessPossible();
        await using var sides = new TwoSides();
        string[] arguments = ["--tun", "tun0", "--address", "10.77.0.1/24", "--socks", TwoSides.Proxy];
        using (ToolProcess absent = sides.Launch(arguments))
        {
            Assert.Equal(TunnelCommand.Failure, await absent.ExitCodeAsync(Cancel));
            Assert.Contains($"nobody listens at {TwoSides.Proxy}: connection refused. Start the proxy there first", absent.Error, StringComparison.Ordinal);
        }

        await sides.StartProxyAsync();
        using (ToolProcess first = await sides.StartTunnelAsync())
        {
            using ToolProcess second = sides.Launch(arguments);
            Assert.Equal(TunnelCommand.Failure, await second.ExitCodeAsync(Cancel));
            Assert.Contains("'tun0' is in use", second.Error, StringComparison.Ordinal);
            Assert.Equal(TunnelCommand.Success, await first.SignalAsync(Terminate, Cancel));
        }

        // Root without the capability is as anybody else.
        NetworkNamespace.SkipWithoutProgram("setpriv");
        (int code, string said) = sides.Near.Execute(
            ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "dotnet", typeof(TunnelCommand).Assembly.Location, .. arguments]);
        Assert.Equal(TunnelCommand.Failure, code);
        Assert.Contains("needs root or CAP_NET_ADMIN", said, StringComparison.Ordinal);
        Assert.Contains("Run it with sudo.", said, StringComparison.Ordinal);
    }

    private static string Page =>
        $$"""
        <html><head><link rel="stylesheet" href="/style.css"></head><body><h1>loading</h1>
        {{string.Concat(Enumerable.Range(0, Pictures).Select(n => $"<img src='/picture/{n}.svg'>"))}}
        <script>
            window.onload = () => {
                const complete = [...document.images].filter((image, n) => image.complete && image.naturalWidth === n + 10).length;
                const title = document.querySelector('h1');
                title.textContent = `${complete} pictures, ${title.clientWidth} wide`;
            };
        </script></body></html>
        """;

    private static async Task EndlessAsync(HttpContext context)
    {
        byte[] block = new byte[100_000];
        try
        {
            while (true)
            {
                await context.Response.Body.WriteAsync(block, context.RequestAborted);
            }
        }
        catch (Exception failure) when (failure is OperationCanceledException or IOException or SocketException)
        {
            // The test is over.
        }
    }

    /// <summary>Waits until so many connections stand between the tunnel and the proxy.</summary>
    private static async Task UntilFlowsAsync(TwoSides sides, int count)
    {
        for (int i = 0; ; i++)
        {
            int open = sides.Near.Execute("ss", "-Htn", "state", "established", "dst", "10.9.0.2").Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length;
            if (open == count)
            {
                return;
            }

            Assert.True(i < 300, $"{open} connections to the proxy instead of {count}");
            await Task.Delay(50, Cancel);
        }
    }
}
