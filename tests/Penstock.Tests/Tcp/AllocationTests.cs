namespace Penstock.Tests.Tcp;

/// <summary>The promise of no managed allocation for a send, a receive or a segment on an established connection.</summary>
public class AllocationTests
{
    [Theory]
    [InlineData(64, 20_000)]
    [InlineData(100_000, 2_000)]
    public void Nothing_is_allocated_in_steady_state(int size, int rounds)
    {
        var net = new TwoStacks();
        long allocated = 0;
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync(new TcpConnectOptions { NoDelay = true }, new TcpListenOptions(TwoStacks.ServerAddress) { NoDelay = true });
            Task echo = EchoAsync(server, size);
            byte[] buffer = new byte[size];
            byte[] answer = new byte[size];

            // The pool and the windows grow to what this exchange needs.
            await PingAsync(client, buffer, answer, rounds);
            allocated = await Allocations.LeastAsync(() => PingAsync(client, buffer, answer, rounds));
            await client.ShutdownAsync(System.Net.Sockets.SocketShutdown.Send);
            await echo;
            await client.CloseAsync();
            await server.CloseAsync();
        });

        // The state machines of PingAsync and its inner call are allocated once each; per round trip nothing is.
        Assert.True(allocated < Allocations.OnceOnly, $"{allocated} bytes for {rounds} round trips of {size} bytes");
    }

    private static async Task PingAsync(TcpSocket socket, byte[] buffer, byte[] answer, int rounds)
    {
        int size = buffer.Length;
        for (int i = 0; i < rounds; i++)
        {
            await socket.SendAsync(buffer).ConfigureAwait(false);
            int got = 0;
            while (got < size)
            {
                got += await socket.ReceiveAsync(answer.AsMemory(got)).ConfigureAwait(false);
            }
        }
    }

    private static async Task EchoAsync(TcpSocket socket, int size)
    {
        byte[] buffer = new byte[size];
        int n;
        while ((n = await socket.ReceiveAsync(buffer).ConfigureAwait(false)) > 0)
        {
            await socket.SendAsync(buffer.AsMemory(0, n)).ConfigureAwait(false);
        }
    }
}
