using Penstock;
using Penstock.Testing;

namespace Snippets;

/// <summary>Two hosts on a perfect cable with a connection between them: what a snippet about sockets starts from.</summary>
internal sealed class Pair : IAsyncDisposable
{
    private readonly VirtualNetwork _net;
    private readonly TcpSocketListener _listener;

    private Pair(VirtualNetwork net, TcpSocketListener listener, TcpSocket near, TcpSocket far)
    {
        _net = net;
        _listener = listener;
        Near = near;
        Far = far;
    }

    public TcpSocket Near { get; }

    public TcpSocket Far { get; }

    public static async Task<Pair> ConnectAsync()
    {
        var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair();
        TcpSocketListener listener = server.Listen(7);
        TcpSocket near = await client.ConnectAsync("server", 7);
        return new Pair(net, listener, near, await listener.AcceptAsync());
    }

    /// <summary>Reads exactly <paramref name="count"/> bytes from <paramref name="socket"/>.</summary>
    public static async Task<byte[]> ReadAsync(TcpSocket socket, int count)
    {
        byte[] bytes = new byte[count];
        await using TcpSocketStream stream = socket.GetStream();
        await stream.ReadExactlyAsync(bytes);
        return bytes;
    }

    public async ValueTask DisposeAsync()
    {
        await Near.DisposeAsync();
        await Far.DisposeAsync();
        await _listener.DisposeAsync();
        await _net.DisposeAsync();
    }
}
