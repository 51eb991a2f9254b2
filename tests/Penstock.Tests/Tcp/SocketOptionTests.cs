using System.Net;

namespace Penstock.Tests.Tcp;

/// <summary>Options of open sockets and of those to come, as the application sets them. What they do on the wire is in tests/drill.</summary>
public class SocketOptionTests
{
    [Fact]
    public void Options_given_before_the_connection_are_the_socket_s()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync(
                new TcpConnectOptions
                {
                    NotSentLowWater = 5000, ReceiveLowWater = 300, MaximumPacingRate = 1_000_000, FinWaitTimeout = TimeSpan.FromSeconds(3), WindowClamp = 20_000,
                    MinimumRetransmissionTimeout = TimeSpan.FromMilliseconds(30), MaximumRetransmissionTimeout = TimeSpan.FromSeconds(9), KeepAliveProbes = 4, SynRetries = 2,
                    PathMtuDiscovery = PathMtuDiscovery.Dont,
                },
                new TcpListenOptions(TwoStacks.ServerAddress) { FinWaitTimeout = TimeSpan.Zero, KeepAliveIdle = TimeSpan.FromSeconds(11) });
            Assert.Equal(5000, client.NotSentLowWater);
            Assert.Equal(300, client.ReceiveLowWater);
            Assert.Equal(1_000_000, client.MaximumPacingRate);
            Assert.Equal(TimeSpan.FromSeconds(3), client.FinWaitTimeout);
            Assert.Equal(20_000, client.WindowClamp);
            Assert.Equal(TimeSpan.FromMilliseconds(30), client.MinimumRetransmissionTimeout);
            Assert.Equal(TimeSpan.FromSeconds(9), client.MaximumRetransmissionTimeout);
            Assert.Equal(4, client.KeepAliveProbes);
            Assert.Equal(PathMtuDiscovery.Dont, client.PathMtuDiscovery);
            Assert.InRange(server.GetInfo().SendWindow, 1, 20_000);
            Assert.Equal(TimeSpan.Zero, server.FinWaitTimeout);
            Assert.Equal(TimeSpan.FromSeconds(11), server.KeepAliveIdle);
            client.Dispose();
            server.Dispose();
            await net.Time.Delay(TimeSpan.FromMinutes(3));
        });
    }

    [Fact]
    public void Zero_goes_back_to_the_stack_s_settings_and_reading_tells_them()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            client.NotSentLowWater = 1;
            client.NotSentLowWater = 0;
            Assert.Equal(uint.MaxValue, client.NotSentLowWater);
            client.KeepAliveIdle = TimeSpan.FromSeconds(1);
            client.KeepAliveIdle = TimeSpan.Zero;
            Assert.Equal(TimeSpan.FromHours(2), client.KeepAliveIdle);
            client.FinWaitTimeout = TimeSpan.FromHours(1);
            Assert.Equal(TimeSpan.FromSeconds(120), client.FinWaitTimeout);
            client.FinWaitTimeout = null;
            Assert.Equal(TimeSpan.FromSeconds(60), client.FinWaitTimeout);
            Assert.Equal(long.MaxValue, client.MaximumPacingRate);
            Assert.Throws<InvalidOperationException>(() => client.WindowClamp = 0);
            Assert.Throws<ArgumentOutOfRangeException>(() => client.MaximumPacingRate = 0);
            Assert.Throws<ArgumentOutOfRangeException>(() => client.ReceiveLowWater = 0);
            Assert.Throws<ArgumentOutOfRangeException>(() => client.KeepAliveInterval = TimeSpan.FromSeconds(-1));
            Assert.Throws<ArgumentOutOfRangeException>(() => client.PathMtuDiscovery = (PathMtuDiscovery)6);
            client.Dispose();
            server.Dispose();
            await net.Time.Delay(TimeSpan.FromMinutes(3));
        });
    }

    [Fact]
    public void A_receive_waits_until_the_low_water_mark_is_reached_or_the_peer_has_finished()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            server.ReceiveLowWater = 1000;
            byte[] buffer = new byte[4000];
            Task<int> receiving = server.ReceiveAsync(buffer).AsTask();
            await client.SendAsync(new byte[600]);
            await net.Time.Delay(TimeSpan.FromMilliseconds(50));
            Assert.False(receiving.IsCompleted);
            Assert.Equal(600, server.Available);
            await client.SendAsync(new byte[600]);
            Assert.Equal(1200, await receiving);

            // A small buffer cannot hold the mark, and what is there when the peer ends is all there will be.
            await client.SendAsync(new byte[300]);
            Assert.Equal(100, await server.ReceiveAsync(buffer.AsMemory(0, 100)));
            receiving = server.ReceiveAsync(buffer).AsTask();
            await net.Time.Delay(TimeSpan.FromMilliseconds(50));
            Assert.False(receiving.IsCompleted);
            client.Shutdown(System.Net.Sockets.SocketShutdown.Send);
            Assert.Equal(200, await receiving);
            Assert.Equal(0, await server.ReceiveAsync(buffer));
            client.Dispose();
            server.Dispose();
            await net.Time.Delay(TimeSpan.FromMinutes(3));
        });
    }

    [Fact]
    public void A_paced_sender_takes_the_time_that_its_rate_says()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync(new TcpConnectOptions { MaximumPacingRate = 100_000 });
            long begin = net.Time.NowNanos;
            await Task.WhenAll(
                Faults.Streams.SendAsync(client, 1, 1_000_000, shutdown: false), Faults.Streams.ReceiveAsync(server, 1, 1_000_000, toEnd: false));
            Assert.InRange((net.Time.NowNanos - begin) / 1e9, 9.5, 10.5);
            client.Dispose();
            server.Dispose();
            await net.Time.Delay(TimeSpan.FromMinutes(3));
        });
    }

    [Fact]
    public void A_listener_that_defers_hands_out_a_connection_with_its_first_data()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        net.Run(async () =>
        {
            await using TcpSocketListener listener = net.Server.ListenTcp(new TcpListenOptions(TwoStacks.ServerAddress) { DeferAccept = TimeSpan.FromSeconds(30) });
            using TcpSocket client = await net.Client.ConnectTcpAsync(TwoStacks.ServerAddress);
            Task<TcpSocket> accepting = listener.AcceptAsync().AsTask();
            await net.Time.Delay(TimeSpan.FromSeconds(2));
            Assert.False(accepting.IsCompleted);
            await client.SendAsync(new byte[10]);
            using TcpSocket server = await accepting;
            Assert.Equal(10, await server.ReceiveAsync(new byte[100]));
            client.Abort();
            await net.Time.Delay(TimeSpan.FromMinutes(3));
        });
    }

    [Theory]
    [MemberData(nameof(Wrong))]
    public void Bad_options_are_refused_when_they_are_used(TcpSocketOptions options, string name)
    {
        ArgumentOutOfRangeException refused = Assert.Throws<ArgumentOutOfRangeException>(options.Validate);
        Assert.Equal(name, refused.ParamName);
    }

    public static TheoryData<TcpSocketOptions, string> Wrong { get; } = new()
    {
        { new TcpConnectOptions { NotSentLowWater = 0 }, "NotSentLowWater" },
        { new TcpConnectOptions { ReceiveLowWater = 0 }, "ReceiveLowWater" },
        { new TcpConnectOptions { MaximumPacingRate = 0 }, "MaximumPacingRate" },
        { new TcpConnectOptions { WindowClamp = -1 }, "WindowClamp" },
        { new TcpConnectOptions { FinWaitTimeout = TimeSpan.FromSeconds(-1) }, "FinWaitTimeout" },
        { new TcpConnectOptions { MinimumRetransmissionTimeout = TimeSpan.Zero }, "MinimumRetransmissionTimeout" },
        { new TcpConnectOptions { PathMtuDiscovery = (PathMtuDiscovery)9 }, "PathMtuDiscovery" },
        { new TcpConnectOptions { SynRetries = 128 }, "SynRetries" },
        { new TcpListenOptions(new IPEndPoint(IPAddress.Any, 0)) { SynAckRetries = 0 }, "SynAckRetries" },
        { new TcpListenOptions(new IPEndPoint(IPAddress.Any, 0)) { DeferAccept = TimeSpan.Zero }, "DeferAccept" },
    };
}
