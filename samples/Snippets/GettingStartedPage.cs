using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Penstock;
using Penstock.Testing;

namespace Snippets;

/// <summary>docs/getting-started.md: what is not in a sample of its own.</summary>
public class GettingStartedPage
{
    public class SlowNetworkTests
    {
        [Fact]
        public async Task The_page_arrives_although_packets_are_lost()
        {
            await using var net = new VirtualNetwork(seed: 42);
            var (client, server) = net.CreatePair(new CableOptions { Delay = TimeSpan.FromMilliseconds(50), Loss = 0.02 });

            WebApplicationBuilder builder = WebApplication.CreateBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UsePenstock(server.Stack).UseUrls("http://*:80");
            await using WebApplication app = builder.Build();
            app.MapGet("/", () => new string('x', 100_000));
            await app.StartAsync();

            using HttpClient http = client.CreateHttpClient(new Uri("http://server"));
            string page = await http.GetStringAsync("/");

            Assert.Equal(100_000, page.Length);
            await app.StopAsync();
        }
    }

    [Fact]
    public async Task Packets_come_from_anywhere_and_every_flow_is_accepted()
    {
        // The peer: another stack, whose packets a tunnel of two queues carries.
        var outside = new PacketLink();
        await using var peer = new NetworkStack();
        peer.AddInterface(outside, InterfaceAddress.Parse("10.8.0.1/32"));
        peer.AddRoute(IPNetwork.Parse("0.0.0.0/0"), outside);
        using var stop = new CancellationTokenSource();

        var tunnel = new PacketLink(new PacketLinkOptions { Mtu = 1420 });
        await using var stack = new NetworkStack();
        stack.AddInterface(tunnel, InterfaceAddress.Parse("10.8.0.254/24"));
        await using TcpSocketListener flows = stack.ListenTcp(new TcpListenOptions(new IPEndPoint(IPAddress.Any, 0)) { AnyDestination = true });

        Task carried = Task.WhenAll(CarryAsync(outside, tunnel, stop.Token), CarryAsync(tunnel, outside, stop.Token));
        await using TcpSocket asked = await peer.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("198.51.100.7"), 443));

        TcpSocket flow = await flows.AcceptAsync();                  // to any address and port
        IPEndPoint wanted = flow.LocalEndPoint;                      // where the peer wanted to go

        Assert.Equal("198.51.100.7:443", wanted.ToString());
        await flow.DisposeAsync();
        await asked.DisposeAsync();
        await stop.CancelAsync();
        await carried;
    }

    private static async Task CarryAsync(PacketLink from, PacketLink to, CancellationToken cancel)
    {
        try
        {
            byte[] packet = new byte[65535];
            while (true)
            {
                int length = await from.ReadAsync(packet, cancel);   // what the stack sends: encrypt it, put it into a datagram
                to.Inject(packet.AsSpan(0, length));                 // what comes out of the tunnel: one IP packet
            }
        }
        catch (OperationCanceledException)
        {
            // The tunnel is closed.
        }
    }
}
