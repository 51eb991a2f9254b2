using System.Net;
using System.Net.Sockets;

namespace Penstock.Testing.Tests;

public class TopologyTests
{
    [Fact]
    public async Task A_pair_talks_by_name()
    {
        await using var net = new VirtualNetwork(seed: 42);
        var (client, server) = net.CreatePair(new CableOptions { Delay = TimeSpan.FromMilliseconds(5), Loss = 0.02 });
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(client, server);
        await Exchange.TransferAsync(near, far, 100_000);
        await Exchange.TransferAsync(far, near, 100_000);
        Assert.Equal(IPAddress.Parse("10.0.0.1"), client.Address);
        Assert.Equal(server.Address, near.RemoteEndPoint.Address);
        Assert.Equal(["client", "server"], net.Hosts.Select(host => host.Name));
        await near.DisposeAsync();
        await far.DisposeAsync();
        await Exchange.AssertNothingLeaksAsync(net);
    }

    [Fact]
    public async Task A_host_reaches_itself_by_its_own_name()
    {
        await using var net = new VirtualNetwork();
        VirtualHost alone = net.AddHost("alone");
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(alone, alone);
        await Exchange.TransferAsync(near, far, 1000);
    }

    [Fact]
    public async Task Hosts_on_different_cables_talk_through_routers()
    {
        await using var net = new VirtualNetwork(seed: 3);
        VirtualHost a = net.AddHost("a");
        VirtualHost b = net.AddHost("b");
        VirtualHost c = net.AddHost("c");
        VirtualRouter left = net.AddRouter("left");
        VirtualRouter right = net.AddRouter("right");
        net.Connect(a, left);
        net.Connect(b, left, new CableOptions { Checksums = true });
        net.Connect(left, right, new CableOptions { Delay = TimeSpan.FromMilliseconds(2), Loss = 0.01 });
        net.Connect(right, c, new CableOptions { Corrupt = 0.01 });
        foreach ((VirtualHost from, VirtualHost to) in new[] { (a, c), (c, b), (a, b), (b, a) })
        {
            (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(from, to);
            await Exchange.TransferAsync(near, far, 300_000);
            await Exchange.TransferAsync(far, near, 300_000);
            near.Dispose();
            far.Dispose();
        }

        Assert.True(left.ForwardedPackets > 0 && right.ForwardedPackets > 0);
        await Exchange.AssertNothingLeaksAsync(net);
    }

    [Fact]
    public async Task A_direct_cable_is_preferred_to_the_way_through_a_router()
    {
        await using var net = new VirtualNetwork();
        VirtualHost a = net.AddHost("a");
        VirtualHost b = net.AddHost("b");
        VirtualRouter router = net.AddRouter();
        net.Connect(a, router);
        net.Connect(router, b);
        NetworkCable direct = net.Connect(a, b);
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(a, b);
        await Exchange.TransferAsync(near, far, 10_000);
        Assert.Equal(direct.AddressOf(b), near.RemoteEndPoint.Address);
        Assert.Equal(0, router.ForwardedPackets);
    }

    [Fact]
    public async Task Hosts_do_not_forward()
    {
        await using var net = new VirtualNetwork();
        VirtualHost a = net.AddHost("a");
        VirtualHost middle = net.AddHost("middle");
        VirtualHost c = net.AddHost("c");
        net.Connect(a, middle);
        net.Connect(middle, c);
        SocketException byName = await Assert.ThrowsAsync<SocketException>(() => a.ConnectAsync("c", 7, null, Exchange.Limit).AsTask());
        Assert.Equal(SocketError.HostNotFound, byName.SocketErrorCode);
        SocketException byAddress = await Assert.ThrowsAsync<SocketException>(() => a.ConnectAsync(c.Address.ToString(), 7, null, Exchange.Limit).AsTask());
        Assert.Equal(SocketError.NetworkUnreachable, byAddress.SocketErrorCode);
    }

    [Fact]
    public async Task A_host_that_was_disposed_may_be_replaced_under_its_name()
    {
        await using var net = new VirtualNetwork();
        VirtualHost client = net.AddHost("client");
        VirtualRouter router = net.AddRouter();
        net.Connect(client, router);
        VirtualHost old = net.AddHost("server");
        net.Connect(old, router);
        await old.DisposeAsync();
        VirtualHost server = net.AddHost("server");
        net.Connect(server, router);
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(client, server);
        await Exchange.TransferAsync(near, far, 1000);
        Assert.Equal(server.Address, near.RemoteEndPoint.Address);
    }

    [Fact]
    public async Task Cables_with_equal_options_lose_different_packets_and_the_seed_decides_which()
    {
        await using var one = new VirtualNetwork(seed: 5);
        await using var same = new VirtualNetwork(seed: 5);
        await using var other = new VirtualNetwork(seed: 6);
        ulong[] first = Seeds(one);
        Assert.Equal(first, Seeds(same));
        Assert.Empty(first.Intersect(Seeds(other)));
        Assert.Equal(first.Length, first.Distinct().Count());

        static ulong[] Seeds(VirtualNetwork net)
        {
            var options = new CableOptions { Loss = 0.1 };
            VirtualRouter router = net.AddRouter();
            VirtualHost[] hosts = [.. Enumerable.Range(0, 5).Select(i => net.AddHost("h" + i))];
            return [.. hosts.Select(host => net.Connect(host, router, options).OptionsFrom(host).Seed)];
        }
    }
}
