using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Penstock.Tun.Tests;

namespace Penstock.AspNetCore.Tests;

/// <summary>HTTP between our TCP and the kernel's over a TUN device, both ways round, in a network namespace that the test makes.</summary>
public class TunTests
{
    private static readonly IPAddress KernelAddress = IPAddress.Parse("10.77.0.1");

    public static TheoryData<string, string, bool> Cases => new()
    {
        { "http://{0}/", "1.1", true },
        { "http://{0}:81/", "2.0", true },
        { "https://{0}/", "1.1", true },
        { "https://{0}/", "2.0", true },
        { "http://{0}/", "1.1", false },
        { "https://{0}/", "2.0", false },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task The_kernels_HttpClient_talks_to_our_Kestrel(string url, string version, bool offloads)
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        await using NetworkStack stack = Open(net, offloads);
        await using WebApplication app = await Site.StartAsync(stack, MapEcho);
        using var handler = new SocketsHttpHandler
        {
            ConnectCallback = async (context, cancel) =>
            {
                // Made inside the namespace; where it is used afterwards does not matter.
                Socket socket = net.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true });
                await socket.ConnectAsync(IPAddress.Parse(context.DnsEndPoint.Host), context.DnsEndPoint.Port, cancel);
                return new NetworkStream(socket, ownsSocket: true);
            },
        };
        handler.SslOptions.RemoteCertificateValidationCallback = static (_, certificate, _, _) => Site.IsOurs(certificate);
        using var client = new HttpClient(handler) { Timeout = Site.Patience };
        await EchoAsync(client, string.Format(null, url, "10.77.0.2"), version);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Our_HttpClient_talks_to_the_kernels_Kestrel(string url, string version, bool offloads)
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        await using NetworkStack stack = Open(net, offloads);
        await using WebApplication app = await Site.StartAsync(
            host => host.UseSockets(sockets => sockets.CreateBoundListenSocket = endPoint => net.Run(() =>
            {
                var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                socket.Bind(endPoint);
                return socket;
            })),
            options =>
            {
                options.Listen(KernelAddress, 80, on => on.Protocols = HttpProtocols.Http1);
                options.Listen(KernelAddress, 81, on => on.Protocols = HttpProtocols.Http2);
                options.Listen(KernelAddress, 443, on => on.UseHttps(Site.Certificate));
            },
            MapEcho);
        using HttpClient client = Site.Client(stack);
        await EchoAsync(client, string.Format(null, url, "10.77.0.1"), version);
    }

    private static NetworkStack Open(NetworkNamespace net, bool offloads)
    {
        var stack = new NetworkStack(new NetworkStackOptions { Name = "tun", CloseTimeout = TimeSpan.Zero });
        TunLink link = net.Run(() => TunLink.Open("pen0", new TunOptions { Offloads = offloads, HostAddress = InterfaceAddress.Parse("10.77.0.1/24") }));
        stack.AddInterface(link, InterfaceAddress.Parse("10.77.0.2/24"));
        return stack;
    }

    private static void MapEcho(WebApplication app) => app.MapPost("/", async (HttpContext context) =>
    {
        // All of it first: an HTTP/1.1 client does not read while it still sends.
        var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body, context.RequestAborted);
        await context.Response.Body.WriteAsync(body.GetBuffer().AsMemory(0, (int)body.Length), context.RequestAborted);
    });

    /// <summary>Several megabytes both ways at once, by several requests.</summary>
    private static async Task EchoAsync(HttpClient client, string url, string version)
    {
        await Task.WhenAll(Enumerable.Range(1, 4).Select(async seed =>
        {
            byte[] data = new byte[2_000_000 + seed];
            new Random(seed).NextBytes(data);
            using var request = new HttpRequestMessage(HttpMethod.Post, url)
            {
                Version = Version.Parse(version),
                VersionPolicy = HttpVersionPolicy.RequestVersionExact,
                Content = new ByteArrayContent(data),
            };
            using HttpResponseMessage response = await client.SendAsync(request, Site.Limit);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Equal(Version.Parse(version), response.Version);
            byte[] answer = await response.Content.ReadAsByteArrayAsync(Site.Limit);
            Assert.True(data.AsSpan().SequenceEqual(answer));
        }));
    }
}
