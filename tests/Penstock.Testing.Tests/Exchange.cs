namespace Penstock.Testing.Tests;

/// <summary>What most tests do: connect, send, look whether it arrives.</summary>
internal static class Exchange
{
    /// <summary>Long enough that only a hang ends with it.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>A token of the test that also ends after <see cref="Patience"/>.</summary>
    public static CancellationToken Limit
    {
        get
        {
            var source = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
            source.CancelAfter(Patience);
            return source.Token;
        }
    }

    public static async Task<(TcpSocket Near, TcpSocket Far)> ConnectAsync(VirtualHost client, VirtualHost server, int port = 7, TcpConnectOptions? options = null)
    {
        await using TcpSocketListener listener = server.Listen(port);
        TcpSocket near = await client.ConnectAsync(server.Name, port, options, Limit);
        return (near, await listener.AcceptAsync(Limit));
    }

    /// <summary>Sends so many bytes from one socket to the other and checks each.</summary>
    public static async Task TransferAsync(TcpSocket from, TcpSocket to, int bytes, int seed = 1)
    {
        byte[] data = new byte[bytes];
        new Random(seed).NextBytes(data);
        Task<int> sending = from.SendAsync(data, Limit).AsTask();
        byte[] arrived = new byte[bytes];
        for (int at = 0; at < bytes;)
        {
            int count = await to.ReceiveAsync(arrived.AsMemory(at), Limit);
            Assert.NotEqual(0, count);
            at += count;
        }

        Assert.Equal(bytes, await sending);
        Assert.Equal(data, arrived);
    }

    /// <summary>Waits for something that another thread does.</summary>
    public static async Task UntilAsync(Func<bool> condition)
    {
        CancellationToken limit = Limit;
        while (!condition())
        {
            await Task.Delay(5, limit);
        }
    }

    /// <summary>Disposes the network and checks that no stack and no router holds a packet any more.</summary>
    public static async Task AssertNothingLeaksAsync(VirtualNetwork net)
    {
        IReadOnlyList<VirtualHost> hosts = net.Hosts;
        IReadOnlyList<VirtualRouter> routers = net.Routers;
        await net.DisposeAsync();
        foreach (VirtualHost host in hosts)
        {
            Assert.Empty(host.Stack.GetConnections());
            Assert.Equal((host.Name, 0L), (host.Name, host.Stack.Pool.RentedBytes));
        }

        Assert.All(routers, router => Assert.Equal(0, router.Forwarder.Pool.RentedBytes));
    }
}
