using System.Net.Sockets;

namespace Penstock.Testing.Tests;

public class RouterTests
{
    private static (VirtualHost A, VirtualRouter Router, VirtualHost B) Build(VirtualNetwork net, CableOptions? near = null, CableOptions? far = null)
    {
        VirtualHost a = net.AddHost("a");
        VirtualHost b = net.AddHost("b");
        VirtualRouter router = net.AddRouter();
        net.Connect(a, router, near);
        net.Connect(router, b, far);
        return (a, router, b);
    }

    [Fact]
    public async Task A_packet_whose_time_to_live_ends_is_reported_to_its_sender()
    {
        await using var net = new VirtualNetwork();
        (VirtualHost a, VirtualRouter router, VirtualHost b) = Build(net);
        await using TcpSocketListener listener = b.Listen(7);
        SocketException error = await Assert.ThrowsAsync<SocketException>(
            () => a.ConnectAsync("b", 7, new TcpConnectOptions { TimeToLive = 1 }, Exchange.Limit).AsTask());
        Assert.Equal(SocketError.HostUnreachable, error.SocketErrorCode);
        Assert.NotEqual(0, router.DroppedPackets);
        await using TcpSocket enough = await a.ConnectAsync("b", 7, new TcpConnectOptions { TimeToLive = 2 }, Exchange.Limit);
    }

    [Fact]
    public async Task An_address_that_nobody_has_is_unreachable_at_once()
    {
        await using var net = new VirtualNetwork();
        (VirtualHost a, VirtualRouter router, _) = Build(net);
        SocketException error = await Assert.ThrowsAsync<SocketException>(() => a.ConnectAsync("192.0.2.1", 7, null, Exchange.Limit).AsTask());
        Assert.Equal(SocketError.NetworkUnreachable, error.SocketErrorCode);
        Assert.Equal(a.Stack.GetCounter(StackCounter.IcmpInMessages), router.DroppedPackets);
    }

    [Fact]
    public async Task Nothing_listens_on_a_router()
    {
        await using var net = new VirtualNetwork();
        (VirtualHost a, VirtualRouter router, _) = Build(net);
        SocketException error = await Assert.ThrowsAsync<SocketException>(() => a.ConnectAsync(router.Addresses[1].ToString(), 80, null, Exchange.Limit).AsTask());
        Assert.Equal(SocketError.ConnectionRefused, error.SocketErrorCode);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Senders_learn_the_smaller_size_of_a_cable_on_the_way(bool superSegments)
    {
        await using var net = new VirtualNetwork();
        VirtualHost a = net.AddHost("a");
        VirtualHost b = net.AddHost("b");
        VirtualRouter left = net.AddRouter("left");
        VirtualRouter right = net.AddRouter("right");
        net.Connect(a, left, new CableOptions { SuperSegments = superSegments });
        NetworkCable narrow = net.Connect(left, right, new CableOptions { Mtu = 600, SuperSegments = superSegments });
        net.Connect(right, b, new CableOptions { SuperSegments = superSegments });
        await using TcpSocketListener listener = b.Listen(7);
        await using TcpSocket near = await a.ConnectAsync("b", 7, null, Exchange.Limit);
        await using TcpSocket far = await listener.AcceptAsync(Exchange.Limit);
        await Exchange.TransferAsync(near, far, 200_000);
        await Exchange.TransferAsync(far, near, 200_000);
        Assert.Equal(0, narrow.CountersFrom(left).Lost + narrow.CountersFrom(right).Lost);
        Assert.NotEqual(0, a.Stack.GetCounter(StackCounter.IcmpInMessages));
        Assert.NotEqual(0, b.Stack.GetCounter(StackCounter.IcmpInMessages));
    }
}
