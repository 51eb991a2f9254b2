#pragma warning disable xUnit1051 // Virtual time runs on this thread: nothing outside could cancel it, and a hang ends by its limit.
using System.Net;
using System.Net.Sockets;
using Penstock.Tests.Tcp;

namespace Penstock.Tests.Faults;

/// <summary>Links that fail or go while connections live on them: the connections end by their timers, with an error; nothing is thrown into somebody else's work.</summary>
public class LinkFailureTests
{
    [Fact]
    public void A_cable_that_is_pulled_ends_its_connections_by_timeout()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            var told = new List<string>();
            net.Client.LinkFailed += (_, failure) => told.Add(failure.Link.Name);
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            Task<int> waiting = client.ReceiveAsync(new byte[10]).AsTask();
            net.Cable.A.Dispose();
            Assert.Equal(1000, await client.SendAsync(new byte[1000]));
            SocketException error = await Assert.ThrowsAsync<SocketException>(() => waiting);
            Assert.Contains(error.SocketErrorCode, (SocketError[])[SocketError.TimedOut, SocketError.NetworkUnreachable, SocketError.HostUnreachable]);
            await Assert.ThrowsAsync<SocketException>(() => net.Client.ConnectTcpAsync(TwoStacks.ServerAddress).AsTask());
            Assert.NotEmpty(net.Client.LinkFailures);
            Assert.Equal([net.Cable.A.Name], told);
            client.Dispose();
            server.Abort();
        });
    }

    [Fact]
    public void An_interface_that_is_removed_takes_addresses_and_routes_along_and_its_connections_end_by_timeout()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            Task<int> waiting = client.ReceiveAsync(new byte[10]).AsTask();
            Assert.True(net.Client.RemoveInterface(net.Cable.A));
            Assert.False(net.Client.RemoveInterface(net.Cable.A));
            Assert.Equal(1000, await client.SendAsync(new byte[1000]));
            SocketException error = await Assert.ThrowsAsync<SocketException>(() => waiting);
            Assert.Contains(error.SocketErrorCode, (SocketError[])[SocketError.TimedOut, SocketError.NetworkUnreachable, SocketError.HostUnreachable]);
            Assert.Empty(net.Client.LinkFailures);
            Assert.Single(net.Client.Interfaces);
            SocketException unbound = Assert.Throws<SocketException>(() => net.Client.ListenTcp(new IPEndPoint(IPAddress.Parse("10.1.0.1"), 9)));
            Assert.Equal(SocketError.AddressNotAvailable, unbound.SocketErrorCode);
            await Assert.ThrowsAsync<SocketException>(() => net.Client.ConnectTcpAsync(TwoStacks.ServerAddress).AsTask());
            await Assert.ThrowsAsync<SocketException>(() => net.Client.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.1.0.1"), 9)).AsTask());
            client.Dispose();
            server.Abort();
        });
    }

    [Fact]
    public void An_address_that_another_interface_has_too_stays_when_one_of_them_is_removed()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            var second = new VirtualCable(new CableOptions { Name = "second" });
            net.Server.AddInterface(second.B, InterfaceAddress.Parse("10.1.0.2/24"));
            Assert.True(net.Server.RemoveInterface(second.B));
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            await client.CloseAsync();
            await server.CloseAsync();
            second.A.Dispose();
        });
    }

    [Fact]
    public void A_connection_goes_on_over_another_interface_when_its_own_is_replaced()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            var second = new VirtualCable(new CableOptions { Name = "second" });
            Assert.True(net.Client.RemoveInterface(net.Cable.A));
            Assert.True(net.Server.RemoveInterface(net.Cable.B));
            Assert.Equal(1000, await client.SendAsync(new byte[1000]));
            net.Client.AddInterface(second.A, InterfaceAddress.Parse("10.1.0.1/24"));
            net.Server.AddInterface(second.B, InterfaceAddress.Parse("10.1.0.2/24"));
            byte[] buffer = new byte[2000];
            int got = 0;
            while (got < 1000)
            {
                got += await server.ReceiveAsync(buffer.AsMemory(got));
            }

            await client.CloseAsync();
            await server.CloseAsync();
        });
    }

    [Fact]
    public void A_route_that_is_removed_is_no_longer_taken_and_the_loopback_stays()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            IPNetwork default_ = IPNetwork.Parse("0.0.0.0/0");
            net.Client.AddRoute(default_, net.Cable.A);
            Assert.NotNull(net.Client.Ip.Routes.Find(Penstock.Wire.IpAddress.From(IPAddress.Parse("192.0.2.1"))));
            Assert.True(net.Client.RemoveRoute(default_, net.Cable.A));
            Assert.False(net.Client.RemoveRoute(default_, net.Cable.A));
            Assert.False(net.Client.RemoveRoute(default_, net.Cable.B));
            Assert.Null(net.Client.Ip.Routes.Find(Penstock.Wire.IpAddress.From(IPAddress.Parse("192.0.2.1"))));
            Assert.Throws<ArgumentException>(() => net.Client.RemoveInterface(net.Client.Interfaces[0].Link));
            await Task.CompletedTask;
        });
    }

    [Fact]
    public void A_handler_that_throws_fails_its_link_and_not_the_sender()
    {
        var time = new Penstock.Time.VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1, CloseTimeout = TimeSpan.Zero });
        int calls = 0;
        var link = new PacketLink(new PacketLinkOptions
        {
            OnPacket = _ =>
            {
                calls++;
                throw new InvalidOperationException("no more");
            },
        });
        stack.AddInterface(link, InterfaceAddress.Parse("10.1.0.2/24"));
        time.Run(
            async () =>
            {
                SocketException error = await Assert.ThrowsAsync<SocketException>(
                    () => stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.1.0.9"), 80)).AsTask());
                Assert.Contains(error.SocketErrorCode, (SocketError[])[SocketError.TimedOut, SocketError.NetworkUnreachable]);
                await stack.DisposeAsync();
            },
            TimeSpan.FromHours(1));
        Assert.Equal(1, calls);
        Assert.Contains("no more", Assert.Single(stack.LinkFailures.Take(1)), StringComparison.Ordinal);
        Penstock.Fuzz.Cleanliness.Check(stack);
    }

    [Fact]
    public void A_stack_that_goes_while_everything_is_open_leaves_nothing()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5), Loss = 0.1 });
        net.Run(async () =>
        {
            var tasks = new List<Task>();
            TcpSocketListener listener = net.Server.ListenTcp(TwoStacks.ServerAddress);
            for (int i = 0; i < 20; i++)
            {
                Task<TcpSocket> connecting = net.Client.ConnectTcpAsync(TwoStacks.ServerAddress).AsTask();
                TcpSocket server = await listener.AcceptAsync();
                TcpSocket client = await connecting;
                tasks.Add(Quietly(Streams.SendAsync(client, 1, 5_000_000)));
                tasks.Add(Quietly(Drain(server)));
                tasks.Add(Quietly(client.ReceiveAsync(new byte[10]).AsTask()));
            }

            tasks.Add(Quietly(listener.AcceptAsync().AsTask()));
            tasks.Add(Quietly(net.Client.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.1.0.77"), 1)).AsTask()));
            await net.Time.Delay(TimeSpan.FromMilliseconds(300));
            await net.Client.DisposeAsync();
            await net.Server.DisposeAsync();
            await Task.WhenAll(tasks);
        });
    }

    private static async Task Drain(TcpSocket socket)
    {
        byte[] buffer = new byte[50_000];
        while (await socket.ReceiveAsync(buffer) > 0)
        {
        }
    }

    /// <summary>Ends, however it ends; but only with what a socket may throw.</summary>
    internal static async Task Quietly(Task task)
    {
        try
        {
            await task;
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException or OperationCanceledException)
        {
        }
    }
}
