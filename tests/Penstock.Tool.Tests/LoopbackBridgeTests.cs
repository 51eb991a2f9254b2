using System.Net;
using System.Net.Sockets;
using System.Text;
using Penstock.Tool.Serve;

namespace Penstock.Tool.Tests;

/// <summary>The bridge by itself, between kernel sockets and a listener on one stack's loopback.</summary>
public sealed class LoopbackBridgeTests : IAsyncLifetime
{
    private readonly NetworkStack _stack = new(new NetworkStackOptions { CloseTimeout = TimeSpan.Zero });
    private readonly LoopbackBridge _bridge = LoopbackBridge.Bind(new IPEndPoint(IPAddress.Loopback, 0));
    private TcpSocketListener _listener = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        _listener = _stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 0));
        _bridge.Open(_stack, new IPEndPoint(IPAddress.Loopback, _listener.LocalEndPoint.Port));
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _bridge.DisposeAsync();
        await _listener.DisposeAsync();
        await _stack.DisposeAsync();
    }

    [Fact]
    public async Task The_end_of_one_direction_leaves_the_other_open()
    {
        (Socket outside, TcpSocket inside) = await ConnectAsync();
        await outside.SendAsync(Encoding.ASCII.GetBytes("question"), Cancel);
        outside.Shutdown(SocketShutdown.Send);
        Assert.Equal("question", await ReadToEndAsync(buffer => inside.ReceiveAsync(buffer, Cancel)));

        await inside.SendAsync(Encoding.ASCII.GetBytes("answer"), Cancel);
        await inside.DisposeAsync();

        Assert.Equal("answer", await ReadToEndAsync(buffer => outside.ReceiveAsync(buffer, Cancel)));
        outside.Dispose();
    }

    [Fact]
    public async Task A_reset_inside_is_a_reset_outside()
    {
        (Socket outside, TcpSocket inside) = await ConnectAsync();

        inside.Abort();

        SocketException failure = await Assert.ThrowsAsync<SocketException>(async () => await outside.ReceiveAsync(new byte[1], Cancel));
        Assert.Equal(SocketError.ConnectionReset, failure.SocketErrorCode);
        outside.Dispose();
    }

    [Fact]
    public async Task A_reset_outside_is_a_reset_inside()
    {
        (Socket outside, TcpSocket inside) = await ConnectAsync();

        outside.LingerState = new LingerOption(true, 0);
        outside.Dispose();

        SocketException failure = await Assert.ThrowsAsync<SocketException>(async () => await inside.ReceiveAsync(new byte[1], Cancel));
        Assert.Equal(SocketError.ConnectionReset, failure.SocketErrorCode);
        inside.Dispose();
    }

    [Fact]
    public async Task A_server_that_refuses_resets_the_client()
    {
        await _listener.DisposeAsync();
        using var outside = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

        // The reset may come before the connect is seen to be done.
        SocketException failure = await Assert.ThrowsAsync<SocketException>(async () =>
        {
            await outside.ConnectAsync(_bridge.LocalEndPoint, Cancel);
            await outside.ReceiveAsync(new byte[1], Cancel);
        });
        Assert.Equal(SocketError.ConnectionReset, failure.SocketErrorCode);
    }

    [Fact]
    public async Task A_reader_that_does_not_read_stops_the_writer()
    {
        const int Bytes = 64 << 20;
        (Socket outside, TcpSocket inside) = await ConnectAsync();
        Task sending = SendAllAsync(outside, Bytes);

        // The reader's window closes (but for the rest of what was promised: a window never shrinks, RFC 9293 3.8.6); what the writer has got rid of by then is in buffers, which are much smaller than what it wants to send.
        while (inside.GetInfo().ReceiveWindow >= 4096 && inside.GetInfo().BytesReceived < Bytes / 2)
        {
            await Task.Delay(10, Cancel);
        }

        Assert.False(sending.IsCompleted);
        Assert.True(inside.GetInfo().BytesReceived < Bytes / 2);
        long total = 0;
        byte[] buffer = new byte[1 << 20];
        int read;
        while ((read = await inside.ReceiveAsync(buffer, Cancel)) > 0)
        {
            total += read;
        }

        await sending;
        Assert.Equal(Bytes, total);
        inside.Dispose();
        outside.Dispose();
    }

    [Fact]
    public async Task Disposing_it_resets_what_it_carries()
    {
        (Socket outside, TcpSocket inside) = await ConnectAsync();

        await _bridge.DisposeAsync();

        await Assert.ThrowsAsync<SocketException>(async () => await outside.ReceiveAsync(new byte[1], Cancel));
        await Assert.ThrowsAsync<SocketException>(async () => await inside.ReceiveAsync(new byte[1], Cancel));
        outside.Dispose();
        inside.Dispose();
    }

    private async Task<(Socket Outside, TcpSocket Inside)> ConnectAsync()
    {
        var outside = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await outside.ConnectAsync(_bridge.LocalEndPoint, Cancel);
        return (outside, await _listener.AcceptAsync(Cancel));
    }

    private static async Task SendAllAsync(Socket socket, int bytes)
    {
        byte[] piece = new byte[1 << 20];
        for (int sent = 0; sent < bytes;)
        {
            sent += await socket.SendAsync(piece.AsMemory(0, Math.Min(piece.Length, bytes - sent)), Cancel);
        }

        socket.Shutdown(SocketShutdown.Send);
    }

    private static async Task<string> ReadToEndAsync(Func<Memory<byte>, ValueTask<int>> receive)
    {
        var text = new StringBuilder();
        byte[] buffer = new byte[256];
        int read;
        while ((read = await receive(buffer)) > 0)
        {
            text.Append(Encoding.ASCII.GetString(buffer, 0, read));
        }

        return text.ToString();
    }
}
