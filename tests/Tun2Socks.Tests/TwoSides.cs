using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Penstock.Tool.Tests;
using Penstock.Tun.Tests;

namespace Tun2Socks.Tests;

/// <summary>
/// Two network namespaces with a cable between them. On the far side are a web server at 203.0.113.10 and a SOCKS5 proxy at 10.9.0.2, Debian's microsocks; on the near side nothing but a route to the proxy, so that
/// whatever reaches the web server came through the tunnel.
/// </summary>
internal sealed class TwoSides : IAsyncDisposable
{
    public const string Web = "203.0.113.10";
    public const string Proxy = "10.9.0.2:1080";

    private readonly List<Process> _programs = [];
    private WebApplication? _site;

    public TwoSides()
    {
        // A kernel gives a new device an IPv6 address of its own a second or two after it came up, and a browser that is loading a page then gives up (ERR_NETWORK_CHANGED). Without IPv6 there is nothing to do.
        Near.Execute("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");

        // Interfaces have names of at most 15 bytes, and these two are in namespaces of their own.
        NetworkNamespace.RunProgram("ip", "link", "add", "cable", "netns", Near.Name, "type", "veth", "peer", "name", "cable", "netns", Far.Name);
        NetworkNamespace.RunProgram("ip", "-n", Near.Name, "address", "add", "10.9.0.1/30", "dev", "cable");
        NetworkNamespace.RunProgram("ip", "-n", Far.Name, "address", "add", "10.9.0.2/30", "dev", "cable");
        NetworkNamespace.RunProgram("ip", "-n", Far.Name, "address", "add", Web + "/32", "dev", "lo");
        NetworkNamespace.RunProgram("ip", "-n", Near.Name, "link", "set", "cable", "up");
        NetworkNamespace.RunProgram("ip", "-n", Far.Name, "link", "set", "cable", "up");
    }

    public NetworkNamespace Near { get; } = new();

    public NetworkNamespace Far { get; } = new();

    public static void SkipUnlessPossible()
    {
        NetworkNamespace.SkipUnlessPossible();
        NetworkNamespace.SkipWithoutProgram("microsocks");
        NetworkNamespace.SkipWithoutProgram("curl");
    }

    /// <summary>Starts the proxy, and waits until it listens.</summary>
    public async Task StartProxyAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo("ip", ["netns", "exec", Far.Name, "microsocks", "-i", "10.9.0.2", "-p", "1080", .. arguments])
        {
            RedirectStandardError = true,
        };
        Process proxy = Process.Start(start)!;
        proxy.ErrorDataReceived += static (_, _) => { };
        proxy.BeginErrorReadLine();
        _programs.Add(proxy);
        for (int i = 0; !Far.Execute("ss", "-Hltn").Output.Contains(Proxy, StringComparison.Ordinal); i++)
        {
            Assert.False(proxy.HasExited || i == 200, "microsocks does not listen");
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>Serves with Kestrel on the far side.</summary>
    public async Task StartSiteAsync(Action<WebApplication> map)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseSockets(sockets => sockets.CreateBoundListenSocket = endPoint => Far.Run(() =>
        {
            var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(endPoint);
            return socket;
        }));
        builder.WebHost.ConfigureKestrel(options => options.Listen(IPAddress.Parse(Web), 80));
        _site = builder.Build();
        map(_site);
        await _site.StartAsync(TestContext.Current.CancellationToken);
    }

    /// <summary>Starts the tunnel on the near side, waits until it stands, and routes everything into it.</summary>
    public async Task<ToolProcess> StartTunnelAsync(params string[] arguments)
    {
        ToolProcess tunnel = Launch(["--tun", "tun0", "--address", "10.77.0.1/24", "--socks", Proxy, .. arguments]);
        string said = await tunnel.ReadyAsync(TestContext.Current.CancellationToken);
        Assert.Contains("tun0", said, StringComparison.Ordinal);
        NetworkNamespace.RunProgram("ip", "-n", Near.Name, "route", "add", "default", "dev", "tun0");
        return tunnel;
    }

    public ToolProcess Launch(params string[] arguments) => ToolProcess.Launch(typeof(TunnelCommand).Assembly.Location, Near.Name, arguments);

    /// <summary>Runs curl on the near side.</summary>
    public (int ExitCode, string Output) Curl(params string[] arguments) =>
        Near.Execute(["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "120", .. arguments]);

    public async ValueTask DisposeAsync()
    {
        foreach (Process program in _programs)
        {
            if (!program.HasExited)
            {
                program.Kill();
            }

            await program.WaitForExitAsync(CancellationToken.None);
            program.Dispose();
        }

        if (_site is not null)
        {
            await _site.DisposeAsync();
        }

        Near.Dispose();
        Far.Dispose();
    }
}
