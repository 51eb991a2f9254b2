#pragma warning disable xUnit1051 // Virtual time runs on this thread: nothing outside could cancel it, and a hang ends by its limit.
using Penstock.Tests.Tcp;

namespace Penstock.Tests.Faults;

/// <summary>A tenant with far too many sockets for its memory: slow, never stuck, and nobody else's matter.</summary>
public class GroupAtLimitTests
{
    private const int Sockets = 100;
    private const int Bytes = 60_000;
    private const long GroupLimit = 256 * 1024;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_hundred_sockets_in_a_group_at_its_limit_all_get_through_and_neighbors_keep_their_throughput(bool groupSends)
    {
        TimeSpan alone = Neighbors(null, groupSends, out _);
        TimeSpan beside = Neighbors(new MemoryGroup("tenant", GroupLimit), groupSends, out long peak);
        Assert.InRange(peak, GroupLimit / 2, GroupLimit + (Sockets * (groupSends ? ForcedSend : ForcedReceive)) + (2 * 65536));
        Assert.True(beside < alone * 1.25, $"the neighbors took {alone} alone and {beside} beside the group");
    }

    /// <summary>
    /// What a sender may hold beyond the limit, in whole pages: the send buffer's minimum, the segment that passes it, because the sender will block then anyway, and heads. Those who were filling a buffer
    /// when the limit was met finish it.
    /// </summary>
    private const long ForcedSend = 12 * 1024;

    /// <summary>What a receiver may: one packet for a reader who has none, here the ten segments of a first flight, merged, each in a slab of 2 KiB.</summary>
    private const long ForcedReceive = 24 * 1024;

    private static TimeSpan Neighbors(MemoryGroup? group, bool groupSends, out long peak)
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(10) });
        TimeSpan taken = default;
        net.Run(
            async () =>
            {
                var tenant = new List<Task>();
                var sockets = new List<TcpSocket>();
                for (int i = 0; group is not null && i < Sockets; i++)
                {
                    (TcpSocket client, TcpSocket server) = await net.ConnectAsync(new TcpConnectOptions { MemoryGroup = group });
                    sockets.Add(client);
                    sockets.Add(server);
                }

                for (int i = 0; i < sockets.Count; i += 2)
                {
                    (TcpSocket from, TcpSocket to) = groupSends ? (sockets[i], sockets[i + 1]) : (sockets[i + 1], sockets[i]);
                    tenant.Add(Streams.SendAsync(from, i, Bytes));
                    tenant.Add(Late(to, i));
                }

                long begun = net.Time.NowNanos;
                var neighbors = new List<Task>();
                for (int i = 0; i < 5; i++)
                {
                    (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
                    (TcpSocket from, TcpSocket to) = groupSends ? (client, server) : (server, client);
                    neighbors.Add(Streams.SendAsync(from, 1000 + i, 2_000_000));
                    neighbors.Add(Streams.ReceiveAsync(to, 1000 + i, 2_000_000));
                    sockets.Add(client);
                    sockets.Add(server);
                }

                await TwoStacks.AllAsync([.. neighbors]);
                taken = TimeSpan.FromTicks((net.Time.NowNanos - begun) / 100);
                if (group is not null)
                {
                    Assert.True(group.LimitHits > 0 && group.PressureEvents > 0);
                    await TwoStacks.AllAsync([.. tenant]);
                }

                Assert.Equal(0, net.Client.Tcp.Memory.PressureEvents);
                sockets.ForEach(s => s.Dispose());
                await net.Time.Delay(TimeSpan.FromMinutes(5));
                Assert.Equal(0, group?.SocketBytes ?? 0);
                Assert.False(group?.UnderPressure ?? false);
            },
            TimeSpan.FromHours(2));
        peak = group?.PeakSocketBytes ?? 0;
        return taken;

        // The readers begin late, when the group has long been full.
        async Task Late(TcpSocket socket, int stream)
        {
            await net.Time.Delay(TimeSpan.FromSeconds(3));
            await Streams.ReceiveAsync(socket, stream, Bytes);
        }
    }
}
