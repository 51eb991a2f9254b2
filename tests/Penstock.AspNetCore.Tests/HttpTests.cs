using System.Net;
using System.Net.WebSockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Penstock.AspNetCore.Tests;

/// <summary>Real Kestrel and real HttpClient over one stack's loopback, in real time.</summary>
public class HttpTests
{
    private static readonly byte[] Pattern = MakePattern(8 << 20);

    public static TheoryData<string, string> Kinds => new()
    {
        { "http://localhost/", "1.1" },
        { "http://localhost:81/", "2.0" },
        { "https://localhost/", "1.1" },
        { "https://localhost/", "2.0" },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Requests_are_answered(string url, string version)
    {
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(stack, a => a.MapGet("/", (HttpContext context) => $"{context.Request.Protocol} {context.Connection.LocalPort}"));
        using HttpClient client = Site.Client(stack);
        for (int i = 0; i < 50; i++)
        {
            Assert.Equal($"HTTP/{(version == "2.0" ? "2" : version)} {new Uri(url).Port}", await Text(client, url, version));
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Large_bodies_go_both_ways(string url, string version)
    {
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(stack, a => a.MapPost("/", async (HttpContext context) =>
        {
            // All of the request first: over HTTP/1.1 HttpClient does not read while it writes, on any transport.
            var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body, context.RequestAborted);
            await context.Response.Body.WriteAsync(body.ToArray(), context.RequestAborted);
        }));
        using HttpClient client = Site.Client(stack);
        using var request = new HttpRequestMessage(HttpMethod.Post, url)
        {
            Version = Version.Parse(version),
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(Pattern),
        };
        using HttpResponseMessage response = await client.SendAsync(request, Site.Limit);
        response.EnsureSuccessStatusCode();
        byte[] got = await response.Content.ReadAsByteArrayAsync(Site.Limit);
        Assert.True(Pattern.AsSpan().SequenceEqual(got));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Many_requests_at_once_are_answered(string url, string version)
    {
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(stack, a => a.MapGet("/", () => "fine"));
        using HttpClient client = Site.Client(stack);
        await Task.WhenAll(Enumerable.Range(0, 32).Select(async _ =>
        {
            for (int i = 0; i < 20; i++)
            {
                Assert.Equal("fine", await Text(client, url, version));
            }
        }));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_canceled_request_is_seen_by_the_server(string url, string version)
    {
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var aborted = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(stack, a => a.MapGet("/", async (HttpContext context) =>
        {
            using CancellationTokenRegistration watch = context.RequestAborted.Register(aborted.SetResult);
            begun.SetResult();
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        }));
        using HttpClient client = Site.Client(stack);
        using var cancel = new CancellationTokenSource();
        using var request = new HttpRequestMessage(HttpMethod.Get, url) { Version = Version.Parse(version), VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        Task<HttpResponseMessage> asking = client.SendAsync(request, cancel.Token);
        await begun.Task.WaitAsync(Site.Limit);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking);
        await aborted.Task.WaitAsync(Site.Limit);
    }

    [Fact]
    public async Task Stopping_lets_requests_in_flight_finish()
    {
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(stack, a => a.MapGet("/", async () =>
        {
            begun.SetResult();
            await go.Task;
            return "late";
        }));
        using HttpClient client = Site.Client(stack);
        Task<string> asking = client.GetStringAsync("http://localhost/", Site.Limit);
        await begun.Task.WaitAsync(Site.Limit);
        Task stopping = app.StopAsync(Site.Limit);
        go.SetResult();
        Assert.Equal("late", await asking);
        await stopping.WaitAsync(Site.Limit);
        HttpRequestException refused = await Assert.ThrowsAsync<HttpRequestException>(() => client.GetStringAsync("http://localhost/", Site.Limit));
        Assert.Equal(HttpRequestError.ConnectionError, refused.HttpRequestError);
    }

    [Fact]
    public async Task Stopping_without_patience_resets_requests_in_flight()
    {
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(stack, a => a.MapGet("/", async (HttpContext context) =>
        {
            begun.SetResult();
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        }));
        using HttpClient client = Site.Client(stack);
        Task<string> asking = client.GetStringAsync("http://localhost/", Site.Limit);
        await begun.Task.WaitAsync(Site.Limit);
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await app.StopAsync(now.Token).WaitAsync(Site.Limit);
        await Assert.ThrowsAsync<HttpRequestException>(() => asking);
    }

    [Fact]
    public async Task The_whole_response_arrives_when_the_server_closes_right_behind_it()
    {
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(stack, a => a.MapGet("/", async (HttpContext context) =>
        {
            context.Response.Headers.Connection = "close";
            await context.Response.Body.WriteAsync(Pattern, context.RequestAborted);
        }));
        using HttpClient client = Site.Client(stack);
        for (int i = 0; i < 5; i++)
        {
            byte[] got = await client.GetByteArrayAsync("http://localhost/", Site.Limit);
            Assert.True(Pattern.AsSpan().SequenceEqual(got));
        }
    }

    [Fact]
    public async Task Middleware_reaches_the_socket_below()
    {
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(
            stack,
            a => a.MapGet("/", (HttpContext context) => context.Features.GetRequiredFeature<IConnectionPenstockFeature>().Socket.GetInfo().State.ToString()));
        using HttpClient client = Site.Client(stack);
        Assert.Equal("Established", await client.GetStringAsync("http://localhost/", Site.Limit));
        Assert.Equal("Established", await client.GetStringAsync("https://localhost/", Site.Limit));
    }

    [Fact]
    public async Task A_web_socket_echoes()
    {
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(stack, a =>
        {
            a.UseWebSockets();
            a.Map("/ws", async (HttpContext context) =>
            {
                using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
                byte[] buffer = new byte[64 << 10];
                while (true)
                {
                    WebSocketReceiveResult got = await socket.ReceiveAsync(buffer, Site.Limit);
                    if (got.MessageType == WebSocketMessageType.Close)
                    {
                        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Site.Limit);
                        return;
                    }

                    await socket.SendAsync(buffer.AsMemory(0, got.Count), got.MessageType, got.EndOfMessage, Site.Limit);
                }
            });
        });
        using var client = new ClientWebSocket();
        using var invoker = new HttpMessageInvoker(stack.CreateHttpHandler());
        await client.ConnectAsync(new Uri("ws://localhost/ws"), invoker, Site.Limit);
        for (int i = 0; i < 100; i++)
        {
            byte[] message = Encoding.UTF8.GetBytes($"message {i}");
            await client.SendAsync(message, WebSocketMessageType.Text, endOfMessage: true, Site.Limit);
            byte[] buffer = new byte[100];
            WebSocketReceiveResult got = await client.ReceiveAsync(buffer, Site.Limit);
            Assert.Equal(message, buffer[..got.Count]);
        }

        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Site.Limit);
    }

    private static async Task<string> Text(HttpClient client, string url, string version)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, url) { Version = Version.Parse(version), VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        using HttpResponseMessage response = await client.SendAsync(request, Site.Limit);
        return await response.Content.ReadAsStringAsync(Site.Limit);
    }

    private static byte[] MakePattern(int length)
    {
        byte[] pattern = new byte[length];
        new Random(7).NextBytes(pattern);
        return pattern;
    }
}
