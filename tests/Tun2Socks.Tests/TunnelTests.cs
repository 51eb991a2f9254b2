using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Penstock;
using Penstock.Fuzz;
using Penstock.Wire;

namespace Tun2Socks.Tests;

/// <summary>A tunnel without a device: a stack on a cable is the near side, the test the far side.</summary>
public sealed class TunnelTests
{
    private static readonly IPEndPoint s_destination = new(IPAddress.Parse("203.0.113.10"), 443);
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(1);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Each_direction_carries_everything_and_ends_by_itself()
    {
        await using var far = new FarSide();
        await using var net = new Near(far.EndPoint);
        await using TcpSocket near = await net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel);
        (IPEndPoint destination, Socket socket) = await far.NextAsync();
        using Socket there = socket;
        Assert.Equal(s_destination, destination);
        byte[] up = RandomNumberGenerator.GetBytes(5_000_000);
        byte[] down = RandomNumberGenerator.GetBytes(7_000_000);

        Task<byte[]> arrived = ReadAllAsync(new NetworkStream(there));
        Task<byte[]> cameBack = ReadAllAsync(near.GetStream());
        await near.SendAsync(up, Cancel);
        await near.ShutdownAsync(SocketShutdown.Send);
        AssertSame(up, await arrived);

        // The far side has seen the end of ours, and goes on for as long as it likes.
        Assert.False(cameBack.IsCompleted);
        await new NetworkStream(there).WriteAsync(down, Cancel);
        there.Shutdown(SocketShutdown.Send);
        AssertSame(down, await cameBack);
        await net.UntilAsync(() => net.Tunnel.Flows == 0);
        Assert.Equal((up.Length, down.Length), (net.Tunnel.Up, net.Tunnel.Down));
    }

    [Fact]
    public async Task The_far_side_may_end_first()
    {
        await using var far = new FarSide();
        await using var net = new Near(far.EndPoint);
        await using TcpSocket near = await net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel);
        (_, Socket socket) = await far.NextAsync();
        using Socket there = socket;
        var stream = new NetworkStream(there);
        await there.SendAsync("bye"u8.ToArray(), Cancel);
        there.Shutdown(SocketShutdown.Send);
        Assert.Equal(3, (await ReadAllAsync(near.GetStream())).Length);
        Assert.Equal(1, net.Tunnel.Flows);
        await near.SendAsync("wait"u8.ToArray(), Cancel);
        await near.ShutdownAsync(SocketShutdown.Send);
        Assert.Equal(4, (await ReadAllAsync(stream)).Length);
        await net.UntilAsync(() => net.Tunnel.Flows == 0);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_reset_of_one_side_is_a_reset_of_the_other(bool byNear)
    {
        await using var far = new FarSide();
        await using var net = new Near(far.EndPoint);
        await using TcpSocket near = await net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel);
        (_, Socket socket) = await far.NextAsync();
        using Socket there = socket;
        await near.SendAsync(new byte[100], Cancel);
        await there.ReceiveAsync(new byte[100], Cancel);
        SocketException failure;
        if (byNear)
        {
            Task<int> waiting = there.ReceiveAsync(new byte[100], Cancel).AsTask();
            near.Abort();
            failure = await Assert.ThrowsAsync<SocketException>(() => waiting.WaitAsync(s_patience, Cancel));
        }
        else
        {
            Task<int> waiting = near.ReceiveAsync(new byte[100], cancellationToken: Cancel).AsTask();
            there.Close(0);
            failure = await Assert.ThrowsAsync<SocketException>(() => waiting.WaitAsync(s_patience, Cancel));
        }

        Assert.Equal(SocketError.ConnectionReset, failure.SocketErrorCode);
        await net.UntilAsync(() => net.Tunnel.Flows == 0);
        Assert.Contains(net.Log, line => line.Contains("reset after 100 bytes out", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_far_side_that_does_not_read_stops_the_near_side()
    {
        await using var far = new FarSide();
        await using var net = new Near(far.EndPoint);
        await using TcpSocket near = await net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel);
        (_, Socket socket) = await far.NextAsync();
        using Socket there = socket;
        using var enough = new CancellationTokenSource();
        long sent = 0;
        Task sending = Task.Run(
            async () =>
            {
                byte[] block = new byte[100_000];
                while (!enough.IsCancellationRequested)
                {
                    int count = await near.SendAsync(block, enough.Token);
                    Interlocked.Add(ref sent, count);
                }
            },
            Cancel);

        // Until the window is shut: everything between here and there is full, which is bounded.
        await net.UntilAsync(() => near.GetInfo().SendWindow == 0);
        await enough.CancelAsync();
        try
        {
            await sending;
        }
        catch (OperationCanceledException)
        {
            // Or the last call told how much of it was taken.
        }

        Assert.InRange(net.Tunnel.Stack.Pool.HeldMaximumBytes, 0, net.Tunnel.Stack.Pool.Limit);

        // And on it goes when there is room again: nothing was lost.
        await near.ShutdownAsync(SocketShutdown.Send);
        var stream = new NetworkStream(there);
        there.Shutdown(SocketShutdown.Send);
        Assert.True((await ReadAllAsync(stream)).Length >= sent);
        await net.UntilAsync(() => net.Tunnel.Flows == 0);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    public async Task A_destination_that_the_proxy_does_not_reach_is_refused(byte reply)
    {
        await using var far = new FarSide { Reply = reply };
        await using var net = new Near(far.EndPoint);
        SocketException failure = await Assert.ThrowsAsync<SocketException>(() => net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel).AsTask());
        Assert.Equal(SocketError.ConnectionRefused, failure.SocketErrorCode);
        await net.UntilAsync(() => net.Tunnel.Flows == 0);
        Assert.Equal((0, 1), (net.Tunnel.Relayed, net.Tunnel.Refused));

        // It is the destination that is in trouble, not the proxy.
        Assert.Empty(net.Warnings);
    }

    [Fact]
    public async Task Silence_keeps_a_flow_trying_until_the_proxy_connects()
    {
        await using var far = new FarSide { Reply = 4 };
        await using var net = new Near(far.EndPoint, refusal: TcpRefusal.Silence);
        Task<TcpSocket> connecting = net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel).AsTask();
        await net.UntilAsync(() => net.Tunnel.Refused > 0);
        Assert.False(connecting.IsCompleted);
        far.Reply = 0;
        await using TcpSocket near = await connecting.WaitAsync(s_patience, Cancel);
        (_, Socket socket) = await far.NextAsync();
        socket.Dispose();
    }

    [Fact]
    public async Task An_absent_proxy_refuses_flows_and_is_said_once_and_again_when_it_is_back()
    {
        IPEndPoint nobody;
        await using (var gone = new FarSide())
        {
            nobody = gone.EndPoint;
        }

        await using var net = new Near(nobody);
        for (int i = 0; i < 3; i++)
        {
            SocketException failure = await Assert.ThrowsAsync<SocketException>(() => net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel).AsTask());
            Assert.Equal(SocketError.ConnectionRefused, failure.SocketErrorCode);
        }

        Assert.Contains($"nobody listens at {nobody}", Assert.Single(net.Warnings), StringComparison.Ordinal);
        await using var far = new FarSide(nobody.Port);
        await using TcpSocket near = await net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel);
        (_, Socket socket) = await far.NextAsync();
        socket.Dispose();
        Assert.Contains("again", net.Warnings.Last(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_proxy_that_never_answers_is_given_up_and_its_flow_refused()
    {
        await using var far = new FarSide { Script = FarSide.Silent };
        await using var net = new Near(new TunnelOptions { Proxy = far.EndPoint, ConnectTimeout = TimeSpan.FromSeconds(0.3) });
        SocketException failure = await Assert.ThrowsAsync<SocketException>(() => net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel).AsTask());
        Assert.Equal(SocketError.ConnectionRefused, failure.SocketErrorCode);
        Assert.Contains("did not answer within 0.3 s", Assert.Single(net.Warnings), StringComparison.Ordinal);
        await net.UntilAsync(() => net.Tunnel.Flows == 0 && net.Tunnel.Listener.HalfOpen == 0 && far.Open == 0);
    }

    [Theory]
    [InlineData(TcpRefusal.Reset)]
    [InlineData(TcpRefusal.Silence)]
    public async Task Ten_thousand_half_open_flows_with_a_proxy_that_never_answers_stay_within_the_limit(TcpRefusal refusal)
    {
        const int Limit = 64;
        const int Flood = 10_000;
        var far = new FarSide { Script = FarSide.Silent };
        var link = new PacketLink(new PacketLinkOptions { QueueLimit = 2 * Flood, MergeReceived = false });
        await using var net = new Near(
            new TunnelOptions { Proxy = far.EndPoint, MaxHalfOpen = Limit, MaxFlows = 2 * Limit, Refusal = refusal, ConnectTimeout = TimeSpan.FromMinutes(10) }, link);
        byte[] packet = new byte[1500];
        int resets = 0;

        // Read as they come: what the link's queue needed at its longest, the pool keeps, and it is not what a flow costs.
        void ReadResets()
        {
            while (link.TryRead(packet, out int length))
            {
                Assert.Equal((40, (int)TcpFlags.RstAck), (length, packet[33]));
                resets++;
            }
        }

        long before = GC.GetTotalMemory(forceFullCollection: true);
        for (int i = 0; i < Flood; i++)
        {
            var syn = new RawSegment
            {
                Source = IpAddress.From(IPAddress.Parse("10.77.0.1")),
                Destination = IpAddress.From(s_destination.Address),
                SourcePort = (ushort)(20_000 + i),
                DestinationPort = 443,
                Sequence = (uint)i * 7919,
                Flags = TcpFlags.Syn,
            };
            Assert.True(link.Inject(syn.ToPacket()));
            if (i % 500 == 499)
            {
                // Resets to strangers are limited to 10,000 a second.
                await Task.Delay(50, Cancel);
                ReadResets();
            }
        }

        await net.UntilAsync(() => net.Tunnel.Stack.GetCounter(StackCounter.TcpInSegs) == Flood && far.Open == Limit);
        Assert.Equal((Limit, Limit), (net.Tunnel.Flows, net.Tunnel.Listener.HalfOpen));
        Assert.Equal(Limit, far.Asked);
        Assert.Equal(Flood - Limit, net.Tunnel.Refused);
        ReadResets();
        long memory = GC.GetTotalMemory(forceFullCollection: true) - before;
        Assert.True(memory < 8_000_000, $"{memory} bytes for {Limit} flows that wait");
        Assert.Equal(refusal == TcpRefusal.Reset ? Flood - Limit : 0, resets);

        // The proxy goes, its flows see the same, and nothing is left of them.
        await far.DisposeAsync();
        await net.UntilAsync(() => net.Tunnel.Flows == 0 && net.Tunnel.Listener.HalfOpen == 0 && far.Open == 0);
        Assert.Equal(Flood, net.Tunnel.Refused);
        Assert.Contains("instead of answering", Assert.Single(net.Warnings), StringComparison.Ordinal);
        if (refusal == TcpRefusal.Reset)
        {
            for (int i = 0; i < Limit; i++)
            {
                Assert.Equal(40, await link.ReadAsync(packet, Cancel));
            }
        }

        Assert.Equal(0, link.QueuedPackets);
    }

    [Fact]
    public async Task No_more_flows_than_allowed_are_open_at_the_same_time()
    {
        await using var far = new FarSide();
        await using var net = new Near(new TunnelOptions { Proxy = far.EndPoint, MaxFlows = 2 });
        await using TcpSocket one = await net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel);
        await using TcpSocket two = await net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel);
        SocketException failure = await Assert.ThrowsAsync<SocketException>(() => net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel).AsTask());
        Assert.Equal(SocketError.ConnectionRefused, failure.SocketErrorCode);
        Assert.Contains(net.Log, line => line.Contains("2 flows are open", StringComparison.Ordinal));
        one.Abort();
        await net.UntilAsync(() => net.Tunnel.Flows == 1);
        await using TcpSocket three = await net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel);
        await net.UntilAsync(() => net.Tunnel.Relayed == 3);
    }

    [Fact]
    public async Task A_proxy_whose_route_leads_into_the_tunnel_is_not_asked()
    {
        await using var net = new Near(s_destination);
        SocketException failure = await Assert.ThrowsAsync<SocketException>(() => net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel).AsTask());
        Assert.Equal(SocketError.ConnectionRefused, failure.SocketErrorCode);
        Assert.Contains("leads into the tunnel", Assert.Single(net.Warnings), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Stopping_resets_the_flows_that_are_open_and_those_that_wait()
    {
        await using var far = new FarSide();
        await using var slow = new FarSide { Script = FarSide.Silent };
        await using var net = new Near(far.EndPoint);
        await using TcpSocket open = await net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel);
        (_, Socket socket) = await far.NextAsync();
        using Socket there = socket;
        Task<int> here = open.ReceiveAsync(new byte[1], cancellationToken: Cancel).AsTask();
        Task<int> beyond = there.ReceiveAsync(new byte[1], Cancel).AsTask();
        await net.StopAsync();
        Assert.Equal(SocketError.ConnectionReset, (await Assert.ThrowsAsync<SocketException>(() => here.WaitAsync(s_patience, Cancel))).SocketErrorCode);
        Assert.Equal(SocketError.ConnectionReset, (await Assert.ThrowsAsync<SocketException>(() => beyond.WaitAsync(s_patience, Cancel))).SocketErrorCode);
        Assert.Equal(0, net.Tunnel.Flows);

        await using var waiting = new Near(slow.EndPoint);
        Task<TcpSocket> connecting = waiting.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel).AsTask();
        await waiting.UntilAsync(() => slow.Open == 1);
        await waiting.StopAsync();
        Assert.Equal(SocketError.ConnectionRefused, (await Assert.ThrowsAsync<SocketException>(() => connecting.WaitAsync(s_patience, Cancel))).SocketErrorCode);
        await waiting.UntilAsync(() => slow.Open == 0);
    }

    [Fact]
    public async Task A_link_that_fails_ends_the_tunnel_with_its_reason()
    {
        await using var far = new FarSide();
        await using var net = new Near(far.EndPoint);
        await using TcpSocket open = await net.Client.ConnectTcpAsync(s_destination, cancellationToken: Cancel);
        (_, Socket socket) = await far.NextAsync();
        using Socket there = socket;
        net.Link.Dispose();
        Exception failure = await Assert.ThrowsAnyAsync<Exception>(() => net.Running.WaitAsync(s_patience, Cancel));
        Assert.False(failure is TimeoutException or OperationCanceledException, failure.ToString());
        Assert.Equal(0, net.Tunnel.Flows);
        await Assert.ThrowsAsync<SocketException>(() => there.ReceiveAsync(new byte[1], Cancel).AsTask());
        open.Abort();
    }

    private static void AssertSame(byte[] expected, byte[] actual) => Assert.True(expected.AsSpan().SequenceEqual(actual));

    private static async Task<byte[]> ReadAllAsync(Stream stream)
    {
        var all = new MemoryStream();
        await stream.CopyToAsync(all, Cancel).WaitAsync(s_patience, Cancel);
        return all.ToArray();
    }

    /// <summary>A tunnel that runs, and, unless it was given a link, a stack at the other end of a cable. Ends with the leak check.</summary>
    private sealed class Near : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();

        public Near(IPEndPoint proxy, TcpRefusal refusal = TcpRefusal.Reset)
            : this(new TunnelOptions { Proxy = proxy, Refusal = refusal })
        {
        }

        public Near(TunnelOptions options, Link? link = null)
        {
            var cable = new VirtualCable(new CableOptions());
            Client = new NetworkStack(new NetworkStackOptions { Name = "near", CloseTimeout = TimeSpan.Zero });
            Client.AddInterface(cable.A, InterfaceAddress.Parse("10.77.0.1/24"));
            Client.AddRoute(IPNetwork.Parse("0.0.0.0/0"), cable.A);
            Link = link ?? cable.B;
            Tunnel = new Tunnel(Link, InterfaceAddress.Parse("10.77.0.2/24"), options, Warnings.Enqueue, Log.Enqueue);
            Running = Tunnel.RunAsync(_stop.Token);
        }

        public NetworkStack Client { get; }

        public Link Link { get; }

        public Tunnel Tunnel { get; }

        public Task Running { get; }

        public ConcurrentQueue<string> Warnings { get; } = new();

        public ConcurrentQueue<string> Log { get; } = new();

        public async Task UntilAsync(Func<bool> condition)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
            limit.CancelAfter(s_patience);
            while (!condition())
            {
                await Task.Delay(5, limit.Token);
            }
        }

        public async Task StopAsync()
        {
            await _stop.CancelAsync();
            await Running.WaitAsync(s_patience, Cancel);
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await ((Task)Running.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default)).WaitAsync(s_patience, CancellationToken.None);
            await Tunnel.DisposeAsync();
            await Client.DisposeAsync();
            Cleanliness.Check(Tunnel.Stack);
            Cleanliness.Check(Client);
            _stop.Dispose();
        }
    }
}
