using System.Net;
using System.Net.Sockets;
using Penstock.Tcp;
using Penstock.Tests.Tcp;
using Penstock.Time;

namespace Penstock.Tests.Faults;

/// <summary>Memory that runs out: the hard limit is never passed, nobody hangs, and all goes on when there is some again.</summary>
public class MemoryLimitTests
{
    [Theory]
    [InlineData(8, 400_000)]
    [InlineData(60, 60_000)]
    public void Many_transfers_share_a_mebibyte(int connections, int bytes)
    {
        var time = new VirtualTime();
        NetworkStack small = Make(time, 1 << 20, 1), large = Make(time, 1 << 28, 2);
        var cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(2) });
        small.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
        large.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24"));
        time.Run(
            async () =>
            {
                await using TcpSocketListener listener = large.ListenTcp(TwoStacks.ServerAddress);
                var pairs = new List<(TcpSocket Client, TcpSocket Server)>();
                for (int i = 0; i < connections; i++)
                {
                    Task<TcpSocket> connecting = small.ConnectTcpAsync(TwoStacks.ServerAddress).AsTask();
                    TcpSocket server = await listener.AcceptAsync();
                    pairs.Add((await connecting, server));
                }

                await Task.WhenAll(pairs.SelectMany((p, i) => (Task[])
                [
                    Streams.SendAsync(p.Client, i, bytes), Streams.ReceiveAsync(p.Server, i, bytes),
                    Streams.SendAsync(p.Server, i + 100, bytes), Streams.ReceiveAsync(p.Client, i + 100, bytes),
                ]));
                foreach ((TcpSocket client, TcpSocket server) in pairs)
                {
                    await client.CloseAsync();
                    await server.CloseAsync();
                }

                await small.DisposeAsync();
                await large.DisposeAsync();
            },
            TimeSpan.FromHours(8));
        Assert.InRange(small.Pool.HeldMaximumBytes, 1 << 17, 1 << 20);
        Penstock.Fuzz.Cleanliness.Check(small);
        Penstock.Fuzz.Cleanliness.Check(large);
    }

    [Fact]
    public void A_reader_that_stops_does_not_starve_the_others_for_ever()
    {
        var time = new VirtualTime();
        NetworkStack small = Make(time, 1 << 20, 1), large = Make(time, 1 << 28, 2);
        var cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(2) });
        small.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
        large.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24"));
        time.Run(
            async () =>
            {
                await using TcpSocketListener listener = large.ListenTcp(TwoStacks.ServerAddress);
                var stalled = new List<(TcpSocket Client, TcpSocket Server, Task Sending)>();
                for (int i = 0; i < 20; i++)
                {
                    Task<TcpSocket> connecting = small.ConnectTcpAsync(TwoStacks.ServerAddress).AsTask();
                    TcpSocket server = await listener.AcceptAsync();
                    stalled.Add((await connecting, server, LinkFailureTests.Quietly(Streams.SendAsync(server, i, 300_000))));
                }

                await time.Delay(TimeSpan.FromSeconds(30));
                Assert.True(small.Pool.HeldBytes <= 1 << 20);
                for (int i = 0; i < stalled.Count; i++)
                {
                    await Streams.ReceiveAsync(stalled[i].Client, i, 300_000);
                    await stalled[i].Sending;
                    stalled[i].Client.Dispose();
                    stalled[i].Server.Dispose();
                }

                await small.DisposeAsync();
                await large.DisposeAsync();
            },
            TimeSpan.FromHours(8));
        Penstock.Fuzz.Cleanliness.Check(small);
        Penstock.Fuzz.Cleanliness.Check(large);
    }

    [Fact]
    public void A_tiny_tcp_mem_slows_and_never_stops()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(2) });
        net.Client.Tcp.Memory.SetLimits(2, 3, 4);
        net.Server.Tcp.Memory.SetLimits(2, 3, 4);
        net.Run(
            async () =>
            {
                (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
                await Task.WhenAll(
                    Streams.SendAsync(client, 1, 200_000), Streams.ReceiveAsync(server, 1, 200_000),
                    Streams.SendAsync(server, 2, 200_000), Streams.ReceiveAsync(client, 2, 200_000));
                await client.CloseAsync();
                await server.CloseAsync();
            },
            TimeSpan.FromHours(8));
        Assert.True(net.Client.Tcp.Memory.PressureEvents > 0);
    }

    private static NetworkStack Make(VirtualTime time, long limit, ulong seed) =>
        new(new NetworkStackOptions { Driver = time, Seed = seed, MemoryLimit = limit });
}
