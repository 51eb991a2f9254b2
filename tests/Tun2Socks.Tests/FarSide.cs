using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace Tun2Socks.Tests;

/// <summary>
/// A SOCKS5 proxy on the loopback whose connections lead to the test: each one that it is asked for comes out of <see cref="NextAsync"/>, and the test is then the destination. Or it behaves as badly as a
/// <see cref="Script"/> says.
/// </summary>
internal sealed class FarSide : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly CancellationTokenSource _end = new();
    private readonly Channel<(IPEndPoint Destination, Socket Socket)> _connected = Channel.CreateUnbounded<(IPEndPoint, Socket)>();
    private readonly Task _accepting;
    private int _asked;
    private int _open;

    public FarSide(int port = 0)
    {
        _listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, port));
        _listener.Listen(512);
        EndPoint = (IPEndPoint)_listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    public IPEndPoint EndPoint { get; }

    /// <summary>Is run for each connection instead of the right answers, if set.</summary>
    public Func<Socket, CancellationToken, Task>? Script { get; init; }

    /// <summary>What it answers to requests, the number of RFC 1928.</summary>
    public byte Reply { get; set; }

    /// <summary>Connections that clients have made to it, ever.</summary>
    public int Asked => Volatile.Read(ref _asked);

    /// <summary>Connections that run a <see cref="Script"/> now.</summary>
    public int Open => Volatile.Read(ref _open);

    /// <summary>The next connection that a client was granted.</summary>
    public async Task<(IPEndPoint Destination, Socket Socket)> NextAsync() =>
        await _connected.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken);

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Dispose();
        await _accepting;
        while (_connected.Reader.TryRead(out (IPEndPoint Destination, Socket Socket) left))
        {
            left.Socket.Dispose();
        }

        _end.Dispose();
    }

    /// <summary>A script that answers nothing.</summary>
    public static async Task Silent(Socket socket, CancellationToken end)
    {
        byte[] buffer = new byte[1024];
        while (await socket.ReceiveAsync(buffer, end) > 0)
        {
        }
    }

    /// <summary>A script that answers with these bytes, one by one, whatever it is sent, and then ends or waits.</summary>
    public static Func<Socket, CancellationToken, Task> Says(bool close, params byte[] bytes) => async (socket, end) =>
    {
        await socket.ReceiveAsync(new byte[1024], end);
        foreach (byte one in bytes)
        {
            await socket.SendAsync(new[] { one }, end);
            await Task.Yield();
        }

        if (close)
        {
            socket.Shutdown(SocketShutdown.Send);
        }

        await Silent(socket, end);
    };

    /// <summary>A script that answers with these bytes before it is asked.</summary>
    public static Func<Socket, CancellationToken, Task> SaysAtOnce(params byte[] bytes) => async (socket, end) =>
    {
        await socket.SendAsync(bytes, end);
        await Silent(socket, end);
    };

    private async Task AcceptAsync()
    {
        var serving = new List<Task>();
        try
        {
            while (true)
            {
                Socket socket = await _listener.AcceptAsync(_end.Token);
                socket.NoDelay = true;
                Interlocked.Increment(ref _asked);
                serving.Add(ServeAsync(socket));
            }
        }
        catch (Exception failure) when (failure is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(serving);
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        bool handed = false;
        Interlocked.Increment(ref _open);
        try
        {
            if (Script is not null)
            {
                await Script(socket, _end.Token);
                return;
            }

            byte[] greeting = await ReadAsync(socket, 2);
            await ReadAsync(socket, greeting[1]);
            await socket.SendAsync((byte[])[5, 0], _end.Token);
            byte[] request = await ReadAsync(socket, 10);
            Assert.Equal([5, 1, 0, 1], request[..4]);
            await socket.SendAsync((byte[])[5, Reply, 0, 1, 0, 0, 0, 0, 0, 0], _end.Token);
            if (Reply == 0)
            {
                handed = true;
                _connected.Writer.TryWrite((new IPEndPoint(new IPAddress(request.AsSpan(4, 4)), (request[8] << 8) | request[9]), socket));
            }
        }
        catch (Exception failure) when (failure is OperationCanceledException or SocketException or EndOfStreamException)
        {
            // The client has gone, or the test is over.
        }
        finally
        {
            Interlocked.Decrement(ref _open);
            if (!handed)
            {
                socket.Dispose();
            }
        }
    }

    private async Task<byte[]> ReadAsync(Socket socket, int count)
    {
        byte[] bytes = new byte[count];
        for (int read = 0; read < count;)
        {
            int now = await socket.ReceiveAsync(bytes.AsMemory(read), _end.Token);
            read += now > 0 ? now : throw new EndOfStreamException();
        }

        return bytes;
    }
}
