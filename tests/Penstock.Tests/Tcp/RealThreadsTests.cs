using System.Net;
using System.Net.Sockets;

namespace Penstock.Tests.Tcp;

/// <summary>The same stack on real threads: workers, thread pool and lock waiters for real. Nothing about time is asserted but that it ends.</summary>
public class RealThreadsTests
{
    [Theory]
    [InlineData(64, 0.0, false)]
    [InlineData(32, 0.02, false)]
    [InlineData(64, 0.0, true)]
    public async Task Many_connections_echo_through_two_stacks(int connections, double loss, bool inline)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(3));
        CancellationToken cancel = limit.Token;
        var cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(1), Loss = loss });
        var client = new NetworkStack(new NetworkStackOptions { Name = "client" });
        var server = new NetworkStack(new NetworkStackOptions { Name = "server" });
        client.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
        server.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24"));
        var address = new IPEndPoint(IPAddress.Parse("10.1.0.2"), 7);
        await using (TcpSocketListener listener = server.ListenTcp(address))
        {
            Task echo = Task.Run(async () =>
            {
                var all = new List<Task>();
                for (int i = 0; i < connections; i++)
                {
                    TcpSocket socket = await listener.AcceptAsync(cancel);
                    socket.UnsafeInlineContinuations = inline;
                    all.Add(EchoAsync(socket, cancel));
                }

                await Task.WhenAll(all);
            }, cancel);
            await TwoStacks.AllAsync([echo, .. Enumerable.Range(0, connections).Select(i => Task.Run(() => TalkAsync(client, address, i, cancel), cancel))]);
        }

        await client.DisposeAsync();
        await server.DisposeAsync();
        foreach (NetworkStack stack in (NetworkStack[])[client, server])
        {
            Assert.Equal(0, stack.Pool.RentedBuffers);
            Assert.Equal(0, stack.Pool.RentedSlabs);
            Assert.Equal(0, stack.Tcp.Memory.AllocatedPages);
        }
    }

    private static async Task EchoAsync(TcpSocket socket, CancellationToken cancel)
    {
        byte[] buffer = new byte[30_000];
        int n;
        while ((n = await socket.ReceiveAsync(buffer, cancel)) > 0)
        {
            Assert.Equal(n, await socket.SendAsync(buffer.AsMemory(0, n), cancel));
        }

        await socket.CloseAsync(cancel);
    }

    private static async Task TalkAsync(NetworkStack stack, IPEndPoint address, int seed, CancellationToken cancel)
    {
        TcpSocket socket = await stack.ConnectTcpAsync(address, cancellationToken: cancel);
        byte[] data = new byte[300_000];
        new Random(seed).NextBytes(data);
        byte[] answer = new byte[data.Length];
        Task sending = Task.Run(async () =>
        {
            for (int at = 0; at < data.Length;)
            {
                int size = Math.Min(data.Length - at, 1 + (at * 7 % 20_000));
                Assert.Equal(size, await socket.SendAsync(data.AsMemory(at, size), cancel));
                at += size;
            }

            await socket.ShutdownAsync(SocketShutdown.Send);
        }, cancel);
        int got = 0;
        int n;
        while ((n = await socket.ReceiveAsync(answer.AsMemory(got), cancel)) > 0)
        {
            got += n;
        }

        await sending;
        Assert.Equal(data.Length, got);
        Assert.True(data.AsSpan().SequenceEqual(answer));
        await socket.CloseAsync(cancel);
    }
}
