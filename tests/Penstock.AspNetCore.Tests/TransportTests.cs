using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Penstock.AspNetCore.Tests;

/// <summary>The listener and the connection without Kestrel on top: ends of life, errors, back-pressure.</summary>
public class TransportTests
{
    private static PenstockTransportFactory Factory(NetworkStack stack, PenstockTransportOptions? options = null) =>
        new(() => stack, Options.Create(options ?? new PenstockTransportOptions()), NullLoggerFactory.Instance);

    private static async Task<(ConnectionContext Server, TcpSocket Client)> ConnectAsync(NetworkStack stack, IConnectionListener listener)
    {
        ValueTask<ConnectionContext?> accepting = listener.AcceptAsync(Site.Limit);
        TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, ((IPEndPoint)listener.EndPoint).Port), cancellationToken: Site.Limit);
        return ((await accepting)!, client);
    }

    [Fact]
    public async Task Accept_after_unbind_returns_null()
    {
        await using var stack = new NetworkStack();
        await using IConnectionListener listener = await Factory(stack).BindAsync(new IPEndPoint(IPAddress.Loopback, 0), Site.Limit);
        Assert.NotEqual(0, Assert.IsType<IPEndPoint>(listener.EndPoint).Port);
        await listener.UnbindAsync(Site.Limit);
        Assert.Null(await listener.AcceptAsync(Site.Limit));
        await listener.UnbindAsync(Site.Limit);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Unbind_or_dispose_during_accept_ends_it_with_null(bool dispose)
    {
        await using var stack = new NetworkStack();
        await using IConnectionListener listener = await Factory(stack).BindAsync(new IPEndPoint(IPAddress.Loopback, 0), Site.Limit);
        ValueTask<ConnectionContext?> accepting = listener.AcceptAsync(Site.Limit);
        Assert.False(accepting.IsCompleted);
        await (dispose ? listener.DisposeAsync() : listener.UnbindAsync(Site.Limit));
        Assert.Null(await accepting);
    }

    [Fact]
    public async Task Accept_can_be_canceled()
    {
        await using var stack = new NetworkStack();
        await using IConnectionListener listener = await Factory(stack).BindAsync(new IPEndPoint(IPAddress.Loopback, 0), Site.Limit);
        using var cancel = new CancellationTokenSource();
        ValueTask<ConnectionContext?> accepting = listener.AcceptAsync(cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await accepting);
        (ConnectionContext server, TcpSocket client) = await ConnectAsync(stack, listener);
        client.Dispose();
        await server.DisposeAsync();
    }

    [Fact]
    public async Task An_address_in_use_is_told_in_Kestrels_words_and_free_again_after_unbind()
    {
        await using var stack = new NetworkStack();
        PenstockTransportFactory factory = Factory(stack);
        IConnectionListener first = await factory.BindAsync(new IPEndPoint(IPAddress.Any, 80), Site.Limit);
        await Assert.ThrowsAsync<AddressInUseException>(async () => await factory.BindAsync(new IPEndPoint(IPAddress.Any, 80), Site.Limit));
        await first.DisposeAsync();
        await using IConnectionListener second = await factory.BindAsync(new IPEndPoint(IPAddress.Any, 80), Site.Limit);
    }

    [Fact]
    public async Task IPv6_is_refused_with_the_error_that_Kestrel_falls_back_from()
    {
        await using var stack = new NetworkStack();
        SocketException failure = await Assert.ThrowsAsync<SocketException>(
            async () => await Factory(stack).BindAsync(new IPEndPoint(IPAddress.IPv6Any, 80), Site.Limit));
        Assert.Equal(SocketError.AddressFamilyNotSupported, failure.SocketErrorCode);
    }

    [Fact]
    public void It_says_which_end_points_it_binds()
    {
        using var stack = new DisposedLater();
        PenstockTransportFactory all = Factory(stack.Stack);
        PenstockTransportFactory some = Factory(stack.Stack, new PenstockTransportOptions { OnlyStackEndPoints = true });
        var ip = new IPEndPoint(IPAddress.Any, 80);
        var mine = new StackEndPoint(stack.Stack, IPAddress.Any, 80);
        Assert.True(all.CanBind(ip));
        Assert.True(all.CanBind(mine));
        Assert.False(all.CanBind(new UnixDomainSocketEndPoint("/tmp/none")));
        Assert.False(some.CanBind(ip));
        Assert.True(some.CanBind(mine));
        Assert.False(mine.Equals(ip));
        Assert.Equal(mine, new StackEndPoint(stack.Stack, IPAddress.Any, 80));
    }

    [Fact]
    public async Task Data_is_not_lost_when_the_server_completes_first()
    {
        await using var stack = new NetworkStack();
        await using IConnectionListener listener = await Factory(stack).BindAsync(new IPEndPoint(IPAddress.Loopback, 0), Site.Limit);
        (ConnectionContext server, TcpSocket client) = await ConnectAsync(stack, listener);
        byte[] data = new byte[2_000_000];
        new Random(3).NextBytes(data);
        async Task Serve()
        {
            await server.Transport.Output.WriteAsync(data, Site.Limit);
            await server.DisposeAsync();
        }

        Task serving = Serve();
        Assert.Equal(data, await ReadAllAsync(client));
        await serving;
        client.Dispose();
    }

    [Fact]
    public async Task Data_is_not_lost_when_the_server_completes_first_and_leaves_a_request_unread()
    {
        await using var stack = new NetworkStack();
        await using IConnectionListener listener = await Factory(stack, new PenstockTransportOptions { MaxReadBufferSize = 4096 })
            .BindAsync(new IPEndPoint(IPAddress.Loopback, 0), Site.Limit);
        (ConnectionContext server, TcpSocket client) = await ConnectAsync(stack, listener);

        // Nobody reads these: the pipe fills, and the rest stays in the socket.
        await client.SendAsync(new byte[60_000], Site.Limit);
        while (server.Features.GetRequiredFeature<IConnectionPenstockFeature>().Socket.Available == 0)
        {
            await Task.Yield();
        }

        byte[] data = new byte[500_000];
        new Random(4).NextBytes(data);
        async Task Serve()
        {
            await server.Transport.Output.WriteAsync(data, Site.Limit);
            await server.DisposeAsync();
        }

        Task serving = Serve();
        byte[] got = new byte[data.Length];
        for (int at = 0; at < got.Length;)
        {
            int n = await client.ReceiveAsync(got.AsMemory(at), Site.Limit);
            Assert.NotEqual(0, n);
            at += n;
        }

        Assert.Equal(data, got);
        await serving;
        client.Abort();
    }

    [Fact]
    public async Task A_reset_surfaces_as_ConnectionResetException_and_closes()
    {
        await using var stack = new NetworkStack();
        await using IConnectionListener listener = await Factory(stack).BindAsync(new IPEndPoint(IPAddress.Loopback, 0), Site.Limit);
        (ConnectionContext server, TcpSocket client) = await ConnectAsync(stack, listener);
        var closed = new TaskCompletionSource();
        server.ConnectionClosed.Register(closed.SetResult);
        client.Abort();
        await Assert.ThrowsAsync<ConnectionResetException>(async () => await server.Transport.Input.ReadAsync(Site.Limit));
        await closed.Task.WaitAsync(Site.Limit);
        await server.DisposeAsync();
    }

    [Fact]
    public async Task The_end_of_the_stream_completes_the_input_and_the_other_half_still_works()
    {
        await using var stack = new NetworkStack();
        await using IConnectionListener listener = await Factory(stack).BindAsync(new IPEndPoint(IPAddress.Loopback, 0), Site.Limit);
        (ConnectionContext server, TcpSocket client) = await ConnectAsync(stack, listener);
        await client.SendAsync("question"u8.ToArray(), Site.Limit);
        await client.ShutdownAsync(SocketShutdown.Send);
        ReadResult result = await server.Transport.Input.ReadAtLeastAsync(100, Site.Limit);
        Assert.True(result.IsCompleted);
        Assert.Equal("question"u8.ToArray(), result.Buffer.ToArray());
        server.Transport.Input.AdvanceTo(result.Buffer.End);
        await server.Transport.Output.WriteAsync("answer"u8.ToArray(), Site.Limit);
        await server.DisposeAsync();
        Assert.Equal("answer"u8.ToArray(), await ReadAllAsync(client));
        client.Dispose();
    }

    [Fact]
    public async Task Abort_resets_the_peer_and_reports_its_own_reason()
    {
        await using var stack = new NetworkStack();
        await using IConnectionListener listener = await Factory(stack).BindAsync(new IPEndPoint(IPAddress.Loopback, 0), Site.Limit);
        (ConnectionContext server, TcpSocket client) = await ConnectAsync(stack, listener);
        server.Abort(new ConnectionAbortedException("enough"));
        server.Abort(new ConnectionAbortedException("more than enough"));
        ConnectionAbortedException reason = await Assert.ThrowsAsync<ConnectionAbortedException>(async () => await server.Transport.Input.ReadAsync(Site.Limit));
        Assert.Equal("enough", reason.Message);
        SocketException reset = await Assert.ThrowsAsync<SocketException>(async () => await client.ReceiveAsync(new byte[1], Site.Limit));
        Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        await server.DisposeAsync();
        client.Dispose();
    }

    [Fact]
    public async Task A_reader_that_stops_holds_the_peer_back_and_goes_on_later()
    {
        await using var stack = new NetworkStack();
        await using IConnectionListener listener = await Factory(stack).BindAsync(new IPEndPoint(IPAddress.Loopback, 0), Site.Limit);
        (ConnectionContext server, TcpSocket client) = await ConnectAsync(stack, listener);
        byte[] data = new byte[40_000_000];
        new Random(5).NextBytes(data);
        async Task Send()
        {
            await client.SendAsync(data, Site.Limit);
            await client.ShutdownAsync(SocketShutdown.Send);
        }

        Task sending = Send();
        int at = 0;
        while (true)
        {
            ReadResult result = await server.Transport.Input.ReadAsync(Site.Limit);
            foreach (ReadOnlyMemory<byte> part in result.Buffer)
            {
                Assert.True(part.Span.SequenceEqual(data.AsSpan(at, part.Length)));
                at += part.Length;
            }

            server.Transport.Input.AdvanceTo(result.Buffer.End);
            if (result.IsCompleted)
            {
                break;
            }
        }

        Assert.Equal(data.Length, at);
        await sending;
        await server.DisposeAsync();
        client.Dispose();
    }

    [Fact]
    public async Task A_client_factory_talks_to_a_listener()
    {
        await using var stack = new NetworkStack();
        await using ServiceProvider services = new ServiceCollection().AddPenstock(o => o.Name = "unused").BuildServiceProvider();
        IConnectionFactory connections = services.GetRequiredService<IConnectionFactory>();
        await using IConnectionListener listener = await Factory(stack).BindAsync(new IPEndPoint(IPAddress.Loopback, 0), Site.Limit);
        var there = new StackEndPoint(stack, IPAddress.Loopback, ((IPEndPoint)listener.EndPoint).Port);
        ConnectionContext client = await connections.ConnectAsync(there, Site.Limit);
        ConnectionContext server = (await listener.AcceptAsync(Site.Limit))!;
        Assert.Equal(client.LocalEndPoint, server.RemoteEndPoint);
        Assert.NotEqual(client.ConnectionId, server.ConnectionId);
        Assert.NotNull(server.Features.Get<IMemoryPoolFeature>());
        await client.Transport.Output.WriteAsync("hello"u8.ToArray(), Site.Limit);
        ReadResult read = await server.Transport.Input.ReadAtLeastAsync(5, Site.Limit);
        Assert.Equal("hello"u8.ToArray(), read.Buffer.ToArray());
        server.Transport.Input.AdvanceTo(read.Buffer.End);
        await client.DisposeAsync();
        read = await server.Transport.Input.ReadAsync(Site.Limit);
        Assert.True(read.IsCompleted);
        await server.DisposeAsync();
        Assert.Equal("unused", services.GetRequiredService<NetworkStack>().Name);
    }

    private static async Task<byte[]> ReadAllAsync(TcpSocket socket)
    {
        var all = new MemoryStream();
        await socket.GetStream().CopyToAsync(all, Site.Limit);
        return all.ToArray();
    }

    private sealed class DisposedLater : IDisposable
    {
        public NetworkStack Stack { get; } = new();

        public void Dispose() => Stack.DisposeAsync().AsTask().Wait();
    }
}
