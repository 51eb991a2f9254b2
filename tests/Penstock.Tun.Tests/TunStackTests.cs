using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Penstock.Tun.Tests;

/// <summary>A whole stack behind a TUN device, with the kernel as its peer.</summary>
public sealed class TunStackTests
{
    private static readonly InterfaceAddress Host = InterfaceAddress.Parse("10.77.0.1/24");
    private static readonly InterfaceAddress Own = InterfaceAddress.Parse("10.77.0.2/24");

    [Theory]
    [InlineData(true, 1)]
    [InlineData(false, 1)]
    [InlineData(true, 2)]
    public async Task The_kernels_ping_is_answered(bool offloads, int queues)
    {
        NetworkNamespace.SkipUnlessPossible();
        NetworkNamespace.SkipWithoutProgram("ping");
        using var net = new NetworkNamespace();
        await using NetworkStack stack = OpenStack(net, new TunOptions { Offloads = offloads, Queues = queues });

        (int code, string output) = net.Execute("ping", "-c", "3", "-i", "0.2", "-W", "10", "10.77.0.2");

        Assert.True(code == 0, output);
        Assert.Contains("3 received", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_large_echo_comes_back_whole(bool offloads)
    {
        NetworkNamespace.SkipUnlessPossible();
        NetworkNamespace.SkipWithoutProgram("ping");
        using var net = new NetworkNamespace();
        await using NetworkStack stack = OpenStack(net, new TunOptions { Offloads = offloads, Mtu = 65535 });

        // 65507 bytes of data make the largest datagram there is. ping compares what comes back with what it sent.
        (int code, string output) = net.Execute("ping", "-c", "2", "-i", "0.2", "-W", "10", "-s", "65507", "10.77.0.2");

        Assert.True(code == 0, output);
        Assert.Contains("2 received", output, StringComparison.Ordinal);
        Assert.DoesNotContain("wrong data", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_datagram_to_a_closed_port_is_refused(bool offloads)
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        await using NetworkStack stack = OpenStack(net, new TunOptions { Offloads = offloads });
        using Socket socket = net.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        socket.ReceiveTimeout = 20_000;
        socket.Connect(IPAddress.Parse("10.77.0.2"), 9);

        socket.Send(Encoding.ASCII.GetBytes("anybody there?"));

        SocketException failure = Assert.Throws<SocketException>(() => socket.Receive(new byte[64]));
        Assert.Equal(SocketError.ConnectionRefused, failure.SocketErrorCode);
    }

    [Fact]
    public async Task A_device_removed_under_load_is_reported_once_and_its_routes_go()
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        await using NetworkStack stack = OpenStack(net, new TunOptions());
        using Socket socket = net.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var to = new IPEndPoint(IPAddress.Parse("10.77.0.2"), 9);
        var load = new Thread(() => Flood(socket, to, stop.Token)) { IsBackground = true };
        load.Start();
        SpinWait.SpinUntil(() => stack.GetCounter(StackCounter.IpInReceives) > 1000, 20_000);

        NetworkNamespace.RunProgram("ip", "-n", net.Name, "link", "del", "stack0");
        bool reported = SpinWait.SpinUntil(() => stack.LinkFailures.Count > 0, 20_000);
        stop.Cancel();
        load.Join();

        Assert.True(reported);
        Assert.Contains("'stack0' was removed", Assert.Single(stack.LinkFailures), StringComparison.Ordinal);
        Assert.DoesNotContain(stack.Ip.Routes.Entries, route => route.Interface.Link.Name == "stack0");
        Assert.True(stack.Interfaces[1].HasFailed);
    }

    [Fact]
    public async Task A_device_that_is_down_for_a_while_only_loses_packets()
    {
        NetworkNamespace.SkipUnlessPossible();
        NetworkNamespace.SkipWithoutProgram("ping");
        using var net = new NetworkNamespace();
        await using NetworkStack stack = OpenStack(net, new TunOptions());

        NetworkNamespace.RunProgram("ip", "-n", net.Name, "link", "set", "stack0", "down");
        NetworkNamespace.RunProgram("ip", "-n", net.Name, "link", "set", "stack0", "up");
        (int code, string output) = net.Execute("ping", "-c", "1", "-W", "10", "10.77.0.2");

        Assert.True(code == 0, output);
        Assert.Empty(stack.LinkFailures);
    }

    [Fact]
    public async Task A_link_belongs_to_one_stack()
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        TunLink link = net.Run(() => TunLink.Open("stack0", new TunOptions { HostAddress = Host }));
        await using var first = new NetworkStack();
        await using var second = new NetworkStack();
        first.AddInterface(link, Own);

        Assert.Throws<InvalidOperationException>(() => second.AddInterface(link, Own));
    }

    [Fact]
    public async Task A_link_disposed_under_its_stack_is_a_failed_link()
    {
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        TunLink link = net.Run(() => TunLink.Open("stack0", new TunOptions { HostAddress = Host }));
        await using var stack = new NetworkStack();
        stack.AddInterface(link, Own);

        link.Dispose();

        Assert.True(SpinWait.SpinUntil(() => stack.LinkFailures.Count == 1, 20_000));
        Assert.True(SpinWait.SpinUntil(() => !net.Execute("ip", "link").Output.Contains("stack0", StringComparison.Ordinal), 20_000));
    }

    private static NetworkStack OpenStack(NetworkNamespace net, TunOptions options)
    {
        options.HostAddress = Host;
        TunLink link = net.Run(() => TunLink.Open("stack0", options));
        var stack = new NetworkStack();
        stack.AddInterface(link, Own);
        return stack;
    }

    private static void Flood(Socket socket, IPEndPoint to, CancellationToken stop)
    {
        byte[] data = new byte[100];
        while (!stop.IsCancellationRequested)
        {
            try
            {
                socket.SendTo(data, to);
            }
            catch (SocketException)
            {
                // Refused, or no route once the device has gone.
            }
        }
    }
}
