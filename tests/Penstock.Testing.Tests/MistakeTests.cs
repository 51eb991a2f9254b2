using Microsoft.Extensions.Time.Testing;

namespace Penstock.Testing.Tests;

/// <summary>Wrong use ends with an exception that says what to do, and leaves the network as it was.</summary>
public class MistakeTests
{
    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("a b")]
    [InlineData("-a")]
    [InlineData("a/b")]
    [InlineData("10.0.0.1")]
    [InlineData("a234567890123456789012345678901234567890123456789012345678901234")]
    public async Task A_name_that_is_no_host_name_is_refused(string name)
    {
        await using var net = new VirtualNetwork();
        Assert.ThrowsAny<ArgumentException>(() => net.AddHost(name));
        Assert.ThrowsAny<ArgumentException>(() => net.AddRouter(name));
        Assert.ThrowsAny<ArgumentException>(() => net.CreatePair(null, "fine", name));
        Assert.Empty(net.Hosts);
        Assert.Empty(net.Routers);
    }

    [Fact]
    public async Task A_name_that_is_taken_is_refused()
    {
        await using var net = new VirtualNetwork();
        net.CreatePair();
        Assert.Contains("'client' already", Assert.Throws<ArgumentException>(() => net.CreatePair()).Message);
        Assert.Contains("already", Assert.Throws<ArgumentException>(() => net.AddHost("SERVER")).Message);
        Assert.Contains("already", Assert.Throws<ArgumentException>(() => net.AddRouter("server")).Message);
        Assert.Contains("different names", Assert.Throws<ArgumentException>(() => net.CreatePair(null, "x", "X")).Message);
        Assert.Equal(2, net.Hosts.Count);
        net.CreatePair(null, "client2", "server2");
    }

    [Fact]
    public async Task Wrong_cable_options_are_refused_before_anything_is_added()
    {
        await using var net = new VirtualNetwork();
        Assert.Contains("probability", Assert.Throws<ArgumentOutOfRangeException>(() => net.CreatePair(new CableOptions { Loss = 2 })).Message);
        Assert.Contains("Delay or a Jitter", Assert.Throws<ArgumentException>(() => net.CreatePair(new CableOptions { Reorder = 0.1 })).Message);
        Assert.Empty(net.Hosts);
        VirtualHost a = net.AddHost("a");
        VirtualHost b = net.AddHost("b");
        Assert.Throws<ArgumentOutOfRangeException>(() => net.Connect(a, b, new CableOptions(), new CableOptions { Mtu = 1 }));
        Assert.Empty(net.Cables);
        NetworkCable cable = net.Connect(a, b);
        Assert.Contains("MTU", Assert.Throws<ArgumentException>(() => cable.Update(o => o.Mtu = 1000)).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => cable.Update(a, o => o.Delay = TimeSpan.FromDays(2)));
    }

    [Fact]
    public async Task Wrong_stack_options_are_refused()
    {
        await using var net = new VirtualNetwork();
        Assert.Contains("host's name", Assert.Throws<ArgumentException>(() => net.AddHost("a", o => o.Name = "b")).Message);
        Assert.Contains("real time", Assert.Throws<ArgumentException>(() => net.AddHost("a", o => o.TimeProvider = new FakeTimeProvider())).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => net.AddHost("a", o => o.MemoryLimit = 1));
        Assert.Empty(net.Hosts);
    }

    [Fact]
    public async Task Cables_join_two_nodes_of_one_network_once()
    {
        await using var net = new VirtualNetwork();
        await using var elsewhere = new VirtualNetwork();
        var (a, b) = net.CreatePair();
        VirtualHost stranger = elsewhere.AddHost("stranger");
        Assert.Contains("itself", Assert.Throws<ArgumentException>(() => net.Connect(a, a)).Message);
        Assert.Contains("already", Assert.Throws<ArgumentException>(() => net.Connect(b, a)).Message);
        Assert.Contains("another network", Assert.Throws<ArgumentException>(() => net.Connect(a, stranger)).Message);
        Assert.Contains("another network", Assert.Throws<ArgumentException>(() => net.Partition(stranger)).Message);
        Assert.Contains("at least one", Assert.Throws<ArgumentException>(() => net.Partition()).Message);
        Assert.Contains("No cable", Assert.Throws<ArgumentException>(() => net.CableBetween(a, a)).Message);
        Assert.Contains("Connect", Assert.Throws<InvalidOperationException>(() => stranger.Address).Message);
        NetworkCable cable = Assert.Single(net.Cables);
        Assert.Contains("not plugged", Assert.Throws<ArgumentException>(() => cable.Partition(stranger)).Message);
    }

    [Fact]
    public async Task What_was_disposed_says_so()
    {
        var net = new VirtualNetwork();
        var (client, server) = net.CreatePair();
        VirtualHost third = net.AddHost("third");
        await server.DisposeAsync();
        await server.DisposeAsync();
        Assert.Throws<ObjectDisposedException>(() => net.Connect(third, server));
        Assert.Throws<ObjectDisposedException>(() => server.Listen(80));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => server.ConnectAsync("client", 80, null, Exchange.Limit).AsTask());
        await net.DisposeAsync();
        await net.DisposeAsync();
        Assert.Throws<ObjectDisposedException>(() => net.AddHost("more"));
        Assert.Throws<ObjectDisposedException>(() => net.AddRouter());
        Assert.Throws<ObjectDisposedException>(() => net.CreatePair());
        Assert.Throws<ObjectDisposedException>(() => net.Connect(client, third));
        Assert.Throws<ObjectDisposedException>(() => net.CaptureTo("x.pcapng"));
        net.Heal();
        client.Partition();
        client.Heal();
    }
}
