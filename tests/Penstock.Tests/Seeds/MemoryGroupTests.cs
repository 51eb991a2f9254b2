#pragma warning disable xUnit1051 // Virtual time runs on this thread: nothing outside could cancel it, and a hang ends by its limit.
using System.Net;
using Penstock.Accounting;
using Penstock.Tests.Faults;
using Penstock.Tests.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>Groups of sockets with a memory limit of their own: how they count, who is in them, what meeting the limit does, and that nobody outside notices.</summary>
public class MemoryGroupTests
{
    private const int Page = ProtocolMemory.PageSize;

    [Fact]
    [Trait("Requirement", "R2.4")]
    public void A_charge_counts_in_every_group_above_or_in_none()
    {
        var top = new MemoryGroup("top", 10 * Page);
        var left = new MemoryGroup("left", 8 * Page, top);
        var right = new MemoryGroup("right", parent: top);
        var leaf = new MemoryGroup("leaf", 100 * Page, left);
        Assert.True(leaf.Charge(6, force: false));
        Assert.True(right.Charge(3, force: false));
        Assert.Equal((6 * Page, 6 * Page, 3 * Page, 9 * Page), (leaf.SocketBytes, left.SocketBytes, right.SocketBytes, top.SocketBytes));

        // Two more fit in the leaf and on its left, not at the top.
        Assert.False(leaf.Charge(2, force: false));
        Assert.Equal((6 * Page, 6 * Page, 9 * Page), (leaf.SocketBytes, left.SocketBytes, top.SocketBytes));
        Assert.Equal((0, 0, 1, 1), (leaf.LimitHits, left.LimitHits, top.LimitHits, top.LocalLimitHits));
        Assert.True(right.UnderPressure, "the pressure of a group is that of all below");
        Assert.False(leaf.Charge(3, force: false));
        Assert.Equal((0, 1, 2), (leaf.LimitHits, left.LimitHits, top.LimitHits));
        Assert.Equal((1, 1), (left.LocalLimitHits, top.LocalLimitHits));

        Assert.True(leaf.Charge(5, force: true));
        Assert.Equal((11 * Page, 14 * Page), (left.SocketBytes, top.SocketBytes));
        Assert.Equal(14 * Page, top.PeakSocketBytes);
        leaf.Uncharge(11);
        Assert.False(right.UnderPressure, "it ends when a quarter of the limit is free");
        right.Uncharge(3);
        Assert.Equal((0, 0, 0, 0), (leaf.SocketBytes, left.SocketBytes, right.SocketBytes, top.SocketBytes));
        Assert.Equal(1, top.PressureEvents);
    }

    [Fact]
    [Trait("Requirement", "R2.4")]
    public void A_limit_changes_while_it_is_in_use_and_what_is_above_drains()
    {
        var group = new MemoryGroup("tenant", 10 * Page);
        Assert.True(group.Charge(8, force: false));
        group.Limit = 4 * Page;
        Assert.Equal(8 * Page, group.SocketBytes);
        Assert.False(group.Charge(1, force: false));
        group.Uncharge(5);
        Assert.False(group.UnderPressure);
        Assert.True(group.Charge(1, force: false));
        Assert.False(group.Charge(1, force: false));
        Assert.True(group.UnderPressure);
        group.Limit = 20 * Page;
        Assert.False(group.UnderPressure);
        Assert.True(group.Charge(16, force: false));
        group.Limit = (21 * Page) - 1;
        Assert.False(group.Charge(1, force: false), "whole pages count");
        Assert.Throws<ArgumentOutOfRangeException>(() => group.Limit = -1);
        Assert.Throws<ArgumentException>(() => new MemoryGroup(" "));
    }

    /// <summary>Threads that charge and give back in three groups under one, against limits that are too small: for a moment too no figure passes its limit, and nothing is left.</summary>
    [Fact]
    [Trait("Requirement", "R2.4")]
    public async Task Threads_that_race_never_pass_a_limit_and_leave_nothing()
    {
        var top = new MemoryGroup("top", 20 * Page);
        MemoryGroup[] tenants = [new("a", 12 * Page, top), new("b", 12 * Page, top), new("c", 3 * Page, top)];
        bool stop = false;
        var watch = Task.Run(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                Assert.True(top.SocketBytes <= top.Limit);
                Assert.All(tenants, t => Assert.InRange(t.SocketBytes, 0, t.Limit));
            }
        });
        await Task.WhenAll(Enumerable.Range(0, 4).Select(seed => Task.Run(() =>
        {
            var random = new Random(seed);
            long[] held = new long[tenants.Length];
            for (int i = 0; i < 100_000; i++)
            {
                int at = random.Next(tenants.Length);
                int pages = random.Next(1, 5);
                if (random.Next(2) == 0 && tenants[at].Charge(pages, force: false))
                {
                    held[at] += pages;
                }
                else if (held[at] > 0)
                {
                    tenants[at].Uncharge(held[at]);
                    held[at] = 0;
                }
            }

            for (int i = 0; i < held.Length; i++)
            {
                tenants[i].Uncharge(held[i]);
            }
        })));
        Volatile.Write(ref stop, true);
        await watch;
        Assert.Equal(0, top.SocketBytes);
        Assert.All(tenants, t => Assert.Equal(0, t.SocketBytes));
        Assert.True(top.LocalLimitHits > 0 && tenants[2].LocalLimitHits > 0);
        Assert.Equal(top.LimitHits, top.LocalLimitHits + tenants.Sum(t => t.LocalLimitHits));
        Assert.True(top.PeakSocketBytes <= top.Limit);
        Assert.False(top.UnderPressure);
    }

    [Fact]
    [Trait("Requirement", "R2.4")]
    public void Sockets_are_in_the_group_of_their_options_else_of_their_listener_else_of_their_stack()
    {
        var house = new MemoryGroup("house");
        var tenant = new MemoryGroup("tenant", parent: house);
        var other = new MemoryGroup("other", parent: house);
        var time = new Penstock.Time.VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1, MemoryGroup = house, Name = "grouped" });
        using var seen = new Telemetry.StackMeterTests.SeenMeasurements("grouped");
        time.Run(
            async () =>
            {
                await using TcpSocketListener listener = stack.ListenTcp(new TcpListenOptions(new IPEndPoint(IPAddress.Loopback, 80)) { MemoryGroup = tenant });
                await using TcpSocketListener plain = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 81));
                await using TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80), new TcpConnectOptions { MemoryGroup = other });
                await using TcpSocket server = await listener.AcceptAsync();
                await using TcpSocket second = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 81));
                await using TcpSocket accepted = await plain.AcceptAsync();
                Assert.Equal(
                    ["other", "tenant", "house", "house"],
                    new[] { client, server, second, accepted }.Select(s => s.GetInfo().MemoryGroup));

                await client.SendAsync(new byte[10_000]);
                await time.Delay(TimeSpan.FromSeconds(1));
                long bought = server.GetInfo().MemoryBought;
                Assert.True(bought >= 12_288);
                Assert.Equal((0, bought, bought), (other.SocketBytes, tenant.SocketBytes, house.SocketBytes));
                Assert.Equal(house.SocketBytes, stack.Tcp.Memory.AllocatedPages * Page);
                seen.Read();
                Assert.Equal(bought, seen["penstock.group.memory", "penstock.group=tenant"]);
                Assert.Equal(bought, seen["penstock.group.memory", "penstock.group=house"]);
                Assert.Equal(0, seen["penstock.group.memory.limit_hits", "penstock.group=other"]);
                await stack.DisposeAsync();
            },
            TimeSpan.FromMinutes(1));
        Assert.Equal((0, 0, 0), (other.SocketBytes, tenant.SocketBytes, house.SocketBytes));
    }

    [Fact]
    [Trait("Requirement", "R2.4")]
    public async Task A_sender_whose_group_is_full_shrinks_its_buffer_waits_and_puts_no_pressure_on_others()
    {
        var group = new MemoryGroup("tenant", 1 << 20);
        await using HandPeer peer = new HandPeer(options: new TcpConnectOptions { MemoryGroup = group }).Open(10);
        peer.Window = 0;
        peer.Ack(peer.Acked);
        int first = peer.Send(20_000);
        Assert.Equal(20_000, first);
        group.Limit = group.SocketBytes;
        int before = peer.Connection.Memory.SendBuffer;
        int more = peer.Send(100_000);
        Assert.True(more < 60_000, $"{more} more were taken");
        Assert.True(peer.Connection.Memory.SendBuffer < before);
        Assert.True(group.LimitHits > 0 && group.UnderPressure && peer.Connection.Memory.UnderPressure);
        Assert.False(peer.Stack.Tcp.Memory.UnderPressure);
        Assert.Equal(0, peer.Stack.Tcp.Memory.PressureEvents);
        peer.Check();

        // With memory again, the sender that waits is woken and goes on.
        NotingWaiter waiter = NotingWaiter.Add(peer.Connection, Ownership.SocketEvents.Writable);
        group.Limit = long.MaxValue;
        peer.Window = 65535;
        peer.Ack(peer.Acked);
        while (peer.Acked != peer.SentEnd)
        {
            peer.Ack(peer.SentEnd);
        }

        peer.Time.RunFor(TimeSpan.FromSeconds(1));
        Assert.True(waiter.Fired > 0);
        Assert.Equal(1000, peer.Send(1000));
        peer.Connection.RemoveWaiter(waiter);

        Assert.Equal(group.SocketBytes, peer.Connection.Memory.Pages * Page);
        peer.Socket.Abort();
        peer.Time.RunFor(TimeSpan.FromSeconds(1));
        Assert.Equal(0, group.SocketBytes);
    }

    [Fact]
    [Trait("Requirement", "R2.4")]
    public async Task A_receiver_whose_group_is_full_prunes_closes_its_window_and_opens_it_when_it_is_read()
    {
        var group = new MemoryGroup("tenant", 1 << 20);
        await using HandPeer peer = new HandPeer(options: new TcpConnectOptions { MemoryGroup = group }).Open();
        peer.Data(1400);
        for (uint i = 1; i <= 4; i++)
        {
            peer.Deliver(TcpFlags.Ack, peer.Next + (i * 2000), peer.Acked, 1000);
        }

        Assert.Equal(4, peer.Connection.Snapshot().OutOfOrder);
        group.Limit = group.SocketBytes;
        uint next = peer.Next;
        for (int i = 0; i < 10; i++)
        {
            peer.Data(1400);
        }

        // What lay beyond the gap made room for some; then the group had none.
        TcpInfo info = peer.Connection.Snapshot();
        Assert.Equal(0, info.OutOfOrder);
        Assert.True(peer.Stack.GetCounter(StackCounter.TcpOfoPruned) > 0);
        Assert.InRange(peer.Socket.Available, 2800, 9 * 1400);
        Assert.True(group.SocketBytes <= group.Limit);
        Assert.Equal(0, info.ReceiveWindow);
        Assert.False(peer.Stack.Tcp.Memory.UnderPressure);
        peer.Next = next + (uint)(peer.Socket.Available - 1400);
        peer.Check();

        Assert.True(peer.Socket.TryReceive(new byte[100_000], TcpReceiveFlags.None, out _) > 0);
        Assert.True(peer.Connection.Snapshot().ReceiveWindow > 0);
        Assert.True(peer.Link.Sent[^1].Window > 0, "the peer was told");
        peer.Data(1400);
        Assert.Equal(1400, peer.Socket.Available);
    }

    /// <summary>A tenant with sockets on two stacks: one figure, one limit.</summary>
    [Fact]
    [Trait("Requirement", "R2.4")]
    public void Two_stacks_may_share_a_group()
    {
        var group = new MemoryGroup("tenant", 300_000);
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        Proof.Apply(net.Client);
        Proof.Apply(net.Server);
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync(
                new TcpConnectOptions { MemoryGroup = group }, new TcpListenOptions(TwoStacks.ServerAddress) { MemoryGroup = group });
            Task sending = Streams.SendAsync(client, 1, 2_000_000);
            for (int i = 0; i < 200; i++)
            {
                await net.Time.Delay(TimeSpan.FromMilliseconds(20));
                Assert.Equal(group.SocketBytes, (net.Client.Tcp.Memory.AllocatedPages + net.Server.Tcp.Memory.AllocatedPages) * Page);
            }

            Assert.True(group.LimitHits > 0);
            await TwoStacks.AllAsync(sending, Streams.ReceiveAsync(server, 1, 2_000_000));
            await client.CloseAsync();
            await server.CloseAsync();
            await net.Time.Delay(TimeSpan.FromMinutes(2));
            Assert.Equal(0, group.SocketBytes);
        });
        Assert.True(group.PeakSocketBytes <= group.Limit + 80_000, $"{group.PeakSocketBytes}");
    }
}
