using Penstock.Buffers;
using Penstock.Testing.Cables;

namespace Penstock.Testing.Tests;

public class ImpairmentTests
{
    [Fact]
    public async Task A_partition_stops_both_directions_and_healing_lets_the_connection_go_on()
    {
        await using var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair();
        NetworkCable cable = net.CableBetween(client, server);
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(client, server);
        cable.Partition();
        cable.Partition();
        CableCounters before = cable.CountersFrom(client);
        await near.SendAsync("one"u8.ToArray(), Exchange.Limit);
        await far.SendAsync("two"u8.ToArray(), Exchange.Limit);
        await Exchange.UntilAsync(() => cable.CountersFrom(client).Lost > before.Lost && cable.CountersFrom(server).Lost > 0);
        Assert.Equal(before.Delivered, cable.CountersFrom(client).Delivered);
        Assert.True(cable.CountersFrom(client).SentBytes > before.SentBytes);
        cable.Heal();
        byte[] buffer = new byte[10];
        Assert.Equal(3, await far.ReceiveAsync(buffer, Exchange.Limit));
        Assert.Equal("one"u8, buffer.AsSpan(0, 3));
        Assert.Equal(3, await near.ReceiveAsync(buffer, Exchange.Limit));
        Assert.Equal("two"u8, buffer.AsSpan(0, 3));
        AssertBalanced(cable);
    }

    [Fact]
    public async Task A_partition_takes_what_is_on_its_way()
    {
        await using var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair();
        NetworkCable cable = net.CableBetween(client, server);
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(client, server);
        cable.Update(client, o => o.Delay = TimeSpan.FromMilliseconds(500));
        await near.SendAsync("late"u8.ToArray(), Exchange.Limit);
        Assert.NotEqual(0, cable.CountersFrom(client).InFlight);
        cable.Update(client, o => o.Delay = TimeSpan.Zero);
        long lost = cable.CountersFrom(client).Lost;
        cable.Partition(client);
        await Exchange.UntilAsync(() => cable.CountersFrom(client).Lost > lost);
        cable.Heal();
        Assert.Equal(4, await far.ReceiveAsync(new byte[10], Exchange.Limit));
        AssertBalanced(cable);
    }

    [Fact]
    public async Task A_partition_of_one_direction_leaves_the_other()
    {
        await using var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair();
        NetworkCable cable = net.CableBetween(client, server);
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(client, server);
        cable.Partition(from: client);
        await far.SendAsync("down"u8.ToArray(), Exchange.Limit);
        Assert.Equal(4, await near.ReceiveAsync(new byte[10], Exchange.Limit));
        await Exchange.UntilAsync(() => cable.CountersFrom(client).Lost > 0);
        Assert.Equal(0, cable.CountersFrom(server).Lost);
    }

    [Fact]
    public async Task Frozen_packets_arrive_in_order_when_the_cable_is_healed()
    {
        await using var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair();
        NetworkCable cable = net.CableBetween(client, server);
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(client, server, options: new TcpConnectOptions { NoDelay = true });
        cable.Freeze(from: client);
        for (byte i = 0; i < 5; i++)
        {
            await near.SendAsync(new[] { i }, Exchange.Limit);
        }

        await Exchange.UntilAsync(() => cable.CountersFrom(client).InFlight >= 5);
        Assert.Equal(0, far.GetInfo().ReceiveQueue);
        AssertBalanced(cable);
        cable.Heal();
        byte[] buffer = new byte[10];
        for (int count = 0; count < 5;)
        {
            count += await far.ReceiveAsync(buffer.AsMemory(count), Exchange.Limit);
        }

        Assert.Equal([0, 1, 2, 3, 4], buffer.AsSpan(0, 5).ToArray());
        Assert.Equal(0, cable.CountersFrom(client).InFlight);
        Assert.Equal(0, cable.CountersFrom(client).Lost);
        AssertBalanced(cable);
    }

    [Fact]
    public async Task A_partition_loses_what_is_frozen()
    {
        await using var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair();
        NetworkCable cable = net.CableBetween(client, server);
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(client, server);
        cable.Freeze();
        await near.SendAsync(new byte[100], Exchange.Limit);
        await Exchange.UntilAsync(() => cable.CountersFrom(client).InFlight > 0);
        net.Partition(client);
        Assert.Equal(0, cable.CountersFrom(client).InFlight);
        Assert.NotEqual(0, cable.CountersFrom(client).Lost);
        AssertBalanced(cable);
        near.Abort();
        far.Abort();
        await Exchange.AssertNothingLeaksAsync(net);
    }

    [Fact]
    public void A_frozen_direction_holds_a_limited_number_of_packets()
    {
        var pool = new PacketPool(64 << 20);
        var gate = new CableGate();
        gate.Freeze();
        for (int i = 0; i < CableGate.HeldLimit + 5; i++)
        {
            PacketBuffer packet = pool.RentBuffer()!;
            packet.SegmentCount = 1;
            gate.Deliver(packet, 0);
        }

        CableCounters counters = gate.Adjust(new CableCounters { Sent = CableGate.HeldLimit + 5, Delivered = CableGate.HeldLimit + 5 });
        Assert.Equal((CableGate.HeldLimit, 5, 0), (counters.InFlight, counters.Lost, counters.Delivered));
        gate.Close();
        Assert.Equal(0, pool.RentedBytes);
    }

    [Fact]
    public async Task What_is_frozen_when_the_network_ends_is_freed()
    {
        await using var net = new VirtualNetwork(seed: 1);
        VirtualHost client = net.AddHost("client");
        VirtualRouter router = net.AddRouter();
        VirtualHost server = net.AddHost("server");
        net.Connect(client, router);
        NetworkCable far = net.Connect(router, server);
        await using TcpSocketListener listener = server.Listen(7);
        router.Freeze();
        using var stop = new CancellationTokenSource();
        Task<TcpSocket> connecting = client.ConnectAsync("server", 7, null, stop.Token).AsTask();
        await Exchange.UntilAsync(() => net.CableBetween(client, router).CountersFrom(client).InFlight > 0);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting);
        await Exchange.AssertNothingLeaksAsync(net);
        far.Heal();
        far.Freeze();
        far.Partition();
    }

    [Fact]
    public async Task A_change_of_options_outlives_a_partition()
    {
        await using var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair(new CableOptions { Loss = 0.5 });
        NetworkCable cable = net.CableBetween(client, server);
        cable.Partition();
        cable.Update(o => o.Loss = 0);
        cable.Update(server, o => o.Delay = TimeSpan.FromMilliseconds(1));
        cable.Heal();
        Assert.Equal(0, cable.OptionsFrom(client).Loss);
        Assert.Equal(TimeSpan.Zero, cable.OptionsFrom(client).Delay);
        Assert.Equal(TimeSpan.FromMilliseconds(1), cable.OptionsFrom(server).Delay);
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(client, server);
        await Exchange.TransferAsync(near, far, 10_000);
        Assert.Equal(0, cable.CountersFrom(client).Lost);
    }

    [Fact]
    public async Task A_partition_of_some_hosts_leaves_the_cables_on_either_side()
    {
        await using var net = new VirtualNetwork(seed: 1);
        VirtualHost[] hosts = [.. "abcd".Select(name => net.AddHost(name.ToString()))];
        for (int i = 0; i < 4; i++)
        {
            for (int j = i + 1; j < 4; j++)
            {
                net.Connect(hosts[i], hosts[j]);
            }
        }

        net.Partition(hosts[0], hosts[1]);
        (TcpSocket ab, TcpSocket ba) = await Exchange.ConnectAsync(hosts[0], hosts[1]);
        await Exchange.TransferAsync(ab, ba, 1000);
        (TcpSocket cd, TcpSocket dc) = await Exchange.ConnectAsync(hosts[2], hosts[3]);
        await Exchange.TransferAsync(cd, dc, 1000);
        await using TcpSocketListener listener = hosts[2].Listen(7);
        Task<TcpSocket> across = hosts[0].ConnectAsync("c", 7, null, Exchange.Limit).AsTask();
        await Exchange.UntilAsync(() => net.CableBetween(hosts[0], hosts[2]).CountersFrom(hosts[0]).Lost > 0);
        Assert.False(across.IsCompleted);
        net.Heal();
        await using TcpSocket healed = await across;
    }

    private static void AssertBalanced(NetworkCable cable)
    {
        foreach (VirtualNode node in new[] { cable.A, cable.B })
        {
            CableCounters c = cable.CountersFrom(node);
            Assert.Equal(c.Sent + c.Duplicated, c.Delivered + c.Lost + c.DroppedByQueue + c.DroppedByMemory + c.InFlight);
        }
    }
}
