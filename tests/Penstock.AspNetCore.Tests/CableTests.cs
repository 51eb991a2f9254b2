using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Penstock.AspNetCore.Tests;

/// <summary>Real Kestrel and HttpClient on two stacks with a cable between them that delays and loses, in real time.</summary>
public class CableTests
{
    private static readonly IPAddress ServerAddress = IPAddress.Parse("10.0.0.1");

    private static (NetworkStack Server, NetworkStack Client) Network(CableOptions options)
    {
        var server = new NetworkStack(new NetworkStackOptions { Name = "server", CloseTimeout = TimeSpan.Zero });
        var client = new NetworkStack(new NetworkStackOptions { Name = "client", CloseTimeout = TimeSpan.Zero });
        var cable = new VirtualCable(options);
        server.AddInterface(cable.A, InterfaceAddress.Parse("10.0.0.1/24"));
        client.AddInterface(cable.B, InterfaceAddress.Parse("10.0.0.2/24"));
        client.Hosts.Add("server", ServerAddress);
        return (server, client);
    }

    [Theory]
    [InlineData("http://server/", "1.1")]
    [InlineData("http://server:81/", "2.0")]
    [InlineData("https://server/", "2.0")]
    public async Task Bodies_cross_a_cable_that_delays_and_loses(string url, string version)
    {
        (NetworkStack here, NetworkStack there) = Network(new CableOptions { Delay = TimeSpan.FromMilliseconds(50), Loss = 0.02 });
        await using NetworkStack serverStack = here;
        await using NetworkStack clientStack = there;
        await using WebApplication app = await Site.StartAsync(serverStack, a => a.MapPost("/", async (HttpContext context) =>
        {
            var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body, context.RequestAborted);
            await context.Response.Body.WriteAsync(body.ToArray(), context.RequestAborted);
        }));
        using HttpClient client = Site.Client(clientStack);
        byte[] data = new byte[500_000];
        new Random(9).NextBytes(data);
        using var request = new HttpRequestMessage(HttpMethod.Post, url)
        {
            Version = Version.Parse(version),
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(data),
        };
        using HttpResponseMessage response = await client.SendAsync(request, Site.Limit);
        Assert.Equal(data, await response.Content.ReadAsByteArrayAsync(Site.Limit));
    }

    [Fact]
    public async Task A_thousand_connections_at_once_succeed_over_a_bad_cable()
    {
        (NetworkStack here, NetworkStack there) = Network(new CableOptions { Delay = TimeSpan.FromMilliseconds(50), Loss = 0.02, QueueLimit = 100_000 });
        await using NetworkStack serverStack = here;
        await using NetworkStack clientStack = there;
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int arrived = 0;
        await using WebApplication app = await Site.StartAsync(serverStack, a => a.MapGet("/{n:int}", async (int n) =>
        {
            // Held until all are there, so that each has a connection of its own.
            if (Interlocked.Increment(ref arrived) == 1000)
            {
                all.SetResult();
            }

            await all.Task;
            return new string('x', 5000) + n;
        }));
        using HttpClient client = Site.Client(clientStack);
        await Task.WhenAll(Enumerable.Range(0, 1000).Select(async n =>
            Assert.EndsWith("x" + n, await client.GetStringAsync($"http://server/{n}", Site.Limit), StringComparison.Ordinal)));
    }
}
