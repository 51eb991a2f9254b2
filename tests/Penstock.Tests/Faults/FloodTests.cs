#pragma warning disable xUnit1051 // Virtual time runs on this thread: nothing outside could cancel it, and a hang ends by its limit.
using System.Net;
using System.Net.Sockets;
using Penstock.Fuzz;
using Penstock.Tests.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>More than there is room for: SYN floods and cookies, full accept queues, TIME-WAIT, ports.</summary>
public class FloodTests
{
    private static RawSegment Syn(RawPeer peer, int number) => new()
    {
        Source = IpAddress.FromIPv4(0x0A01_0100u + (uint)(number % 200)),
        Destination = RawPeer.HostAddress,
        SourcePort = (ushort)(1024 + (number / 200)),
        DestinationPort = 80,
        Sequence = (uint)number * 77777,
        Flags = TcpFlags.Syn,
        Options = [2, 4, 5, 180],
    };

    private static RawPeer Flooded(int syns, out TcpSocketListener listener)
    {
        var peer = new RawPeer(new NetworkStackOptions { CloseTimeout = TimeSpan.Zero, MemoryLimit = 1 << 20 });
        peer.Stack.AddRoute(IPNetwork.Parse("10.1.0.0/16"), peer.Link);
        listener = peer.Stack.ListenTcp(new TcpListenOptions(new IPEndPoint(IPAddress.Any, 80)) { Backlog = 128 });
        for (int i = 0; i < syns; i++)
        {
            peer.Inject(Syn(peer, i));
        }

        return peer;
    }

    [Fact]
    public void Ten_thousand_syns_leave_few_entries_and_a_legitimate_client_gets_in_by_cookie()
    {
        RawPeer peer = Flooded(10_000, out TcpSocketListener listener);
        // Linux: one more than the backlog.
        Assert.InRange(listener.Socket.Requests, 1, 129);
        Assert.InRange(peer.Stack.Tcp.Flows.Count, 1, 129);
        Assert.InRange(peer.Stack.GetCounter(StackCounter.SyncookiesSent), 9_871, 10_000);
        Assert.Equal(peer.Stack.GetCounter(StackCounter.SyncookiesSent), peer.Stack.GetCounter(StackCounter.TcpReqQFullDoCookies));
        Assert.Equal(0, peer.Stack.Tcp.Memory.AllocatedPages);
        peer.Take();

        peer.SynOptions = new TcpOptions
        {
            HasMss = true, Mss = 1442, HasTimestamps = true, TsVal = 5000, SackPermitted = true, HasWindowScale = true, WindowScale = 9,
        };
        peer.SendSyn();
        RawPeer.Seen answer = Assert.Single(peer.Take());
        Assert.True(answer.Options.SackPermitted && answer.Options.HasWindowScale && answer.Options.HasTimestamps);
        RawSegment ack = peer.Segment(TcpFlags.Ack);
        ack.SetOptions(new TcpOptions { HasTimestamps = true, TsVal = 5001, TsEcr = answer.Options.TsVal });
        peer.Inject(ack);
        TcpSocket socket = listener.TryAccept() ?? throw new InvalidOperationException("No connection.");

        // RFC 7323 and RFC 2018 survive in the timestamp, the segment size in the cookie.
        TcpInfo info = socket.GetInfo();
        Assert.Equal(9, info.WindowScale.Send);
        Assert.True(info.Sack && info.Timestamps);
        Assert.Equal(1440 - 12, info.SendMss);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.SyncookiesRecv));
        socket.Dispose();
        listener.Dispose();
        peer.End();
    }

    [Fact]
    public void A_cookie_without_timestamps_promises_neither_scale_nor_sack()
    {
        RawPeer peer = Flooded(300, out TcpSocketListener listener);
        peer.Take();
        peer.SynOptions = new TcpOptions { HasMss = true, Mss = 1460, SackPermitted = true, HasWindowScale = true, WindowScale = 9 };
        peer.SendSyn();
        RawPeer.Seen answer = Assert.Single(peer.Take());
        Assert.False(answer.Options.SackPermitted || answer.Options.HasWindowScale);
        peer.Send(TcpFlags.Ack);
        TcpSocket socket = listener.TryAccept() ?? throw new InvalidOperationException("No connection.");
        Assert.False(socket.GetInfo().Sack);
        Assert.Equal(-1, socket.GetInfo().WindowScale.Send);
        socket.Dispose();
        listener.Dispose();
        peer.End();
    }

    [Fact]
    public void A_guessed_or_old_cookie_is_refused()
    {
        RawPeer peer = Flooded(300, out TcpSocketListener listener);
        peer.Take();
        peer.SendSyn();
        uint real = Assert.Single(peer.Take()).Header.Sequence.Value;
        for (uint i = 1; i < 200; i++)
        {
            RawSegment guess = peer.Segment(TcpFlags.Ack);
            guess.Acknowledgment = real + 1 + (i * 1_000_003);
            peer.Inject(guess);
        }

        Assert.Null(listener.TryAccept());
        Assert.True(peer.Stack.GetCounter(StackCounter.SyncookiesFailed) >= 199);
        peer.Wait(TimeSpan.FromMinutes(5));
        RawSegment late = peer.Segment(TcpFlags.Ack);
        late.Acknowledgment = real + 1;
        peer.Inject(late);
        Assert.Null(listener.TryAccept());
        listener.Dispose();
        peer.End();
    }

    [Fact]
    public void Without_cookies_a_full_queue_drops_and_counts()
    {
        var peer = new RawPeer();
        peer.Stack.Tcp.Settings.SynCookies = 0;
        peer.Stack.AddRoute(IPNetwork.Parse("10.1.0.0/16"), peer.Link);
        using TcpSocketListener listener = peer.Stack.ListenTcp(new TcpListenOptions(new IPEndPoint(IPAddress.Any, 80)) { Backlog = 10 });
        for (int i = 0; i < 100; i++)
        {
            peer.Inject(Syn(peer, i));
        }

        // Linux: one more than the backlog.
        Assert.Equal(11, peer.Take().Length);
        Assert.Equal(89, peer.Stack.GetCounter(StackCounter.TcpReqQFullDrop));

        // They are forgotten in time, and there is room again.
        peer.Wait(TimeSpan.FromMinutes(3));
        peer.Take();
        Assert.Equal(0, listener.Socket.Requests);
        peer.SendSyn();
        Assert.Single(peer.Take());
        listener.Dispose();
        peer.End();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_full_accept_queue_keeps_the_rest_waiting_or_resets_it(bool abort)
    {
        var net = new TwoStacks();
        net.Server.Tcp.Settings.AbortOnOverflow = abort;
        net.Run(async () =>
        {
            var listener = net.Server.ListenTcp(new TcpListenOptions(TwoStacks.ServerAddress) { Backlog = 2 });
            Task<TcpSocket>[] connecting = [.. Enumerable.Range(0, 8).Select(_ => net.Client.ConnectTcpAsync(TwoStacks.ServerAddress).AsTask())];
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            Assert.Equal(3, listener.Pending);
            Assert.True(net.Server.GetCounter(StackCounter.ListenOverflows) > 0);
            var accepted = new List<TcpSocket>();
            for (int i = 0; i < 200; i++)
            {
                await net.Time.Delay(TimeSpan.FromSeconds(1));
                if (listener.TryAccept() is { } socket)
                {
                    accepted.Add(socket);
                }
            }

            // Whoever connected has a connection that works; whoever did not, an error.
            Assert.True(accepted.Count >= 3);
            foreach (Task<TcpSocket> task in connecting)
            {
                try
                {
                    (await task).Dispose();
                }
                catch (SocketException)
                {
                }
            }

            listener.Dispose();
            accepted.ForEach(s => s.Dispose());
        });
    }

    [Fact]
    public void A_listener_that_closes_resets_what_was_not_accepted()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            var listener = net.Server.ListenTcp(TwoStacks.ServerAddress);
            TcpSocket client = await net.Client.ConnectTcpAsync(TwoStacks.ServerAddress);
            await net.Time.Delay(TimeSpan.FromMilliseconds(10));
            listener.Dispose();
            SocketException error = await Assert.ThrowsAsync<SocketException>(() => client.ReceiveAsync(new byte[1]).AsTask());
            Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
            await Assert.ThrowsAsync<ObjectDisposedException>(() => listener.AcceptAsync().AsTask());
            client.Dispose();
        });
    }

    [Fact]
    public void No_port_left_is_address_not_available()
    {
        var net = new TwoStacks();
        net.Client.Tcp.Settings.LocalPortFirst = 40_000;
        net.Client.Tcp.Settings.LocalPortLast = 40_003;
        net.Run(async () =>
        {
            var listener = net.Server.ListenTcp(TwoStacks.ServerAddress);
            var clients = new List<TcpSocket>();
            for (int i = 0; i < 4; i++)
            {
                clients.Add(await net.Client.ConnectTcpAsync(TwoStacks.ServerAddress));
            }

            SocketException error = await Assert.ThrowsAsync<SocketException>(() => net.Client.ConnectTcpAsync(TwoStacks.ServerAddress).AsTask());
            Assert.Equal(SocketError.AddressNotAvailable, error.SocketErrorCode);
            Assert.Equal(1, net.Client.GetCounter(StackCounter.TcpPortsExhausted));

            // One goes by reset, so its port is free at once.
            clients[0].Abort();
            await net.Time.Delay(TimeSpan.FromMilliseconds(1));
            (await net.Client.ConnectTcpAsync(TwoStacks.ServerAddress)).Dispose();
            clients.ForEach(c => c.Dispose());
            listener.Dispose();
        });
    }

    [Fact]
    public void Time_wait_has_a_limit_and_ends_after_a_minute()
    {
        var net = new TwoStacks();
        net.Client.Tcp.Settings.MaxTimeWaitBuckets = 5;
        net.Run(async () =>
        {
            for (int i = 0; i < 12; i++)
            {
                (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
                client.Dispose();
                Assert.Equal(0, await server.ReceiveAsync(new byte[1]));

                // The limit holds in FIN-WAIT-2 already: of those that find no place the peer's FIN meets nobody.
                await (i < 5 ? server.CloseAsync().AsTask() : Assert.ThrowsAsync<SocketException>(() => server.CloseAsync().AsTask()));
            }

            await net.Time.Delay(TimeSpan.FromMilliseconds(10));
            Assert.Equal(5, net.Client.Tcp.TimeWaits);
            Assert.Equal(7, net.Client.GetCounter(StackCounter.TcpTimeWaitOverflow));
            await net.Time.Delay(TimeSpan.FromSeconds(61));
            Assert.Equal(0, net.Client.Tcp.TimeWaits);
            Assert.Equal(0, net.Client.Tcp.Flows.Count);
        });
    }

    [Fact]
    public void A_port_in_time_wait_is_taken_over_after_a_second_when_timestamps_tell_old_from_new()
    {
        var net = new TwoStacks();
        net.Client.Tcp.Settings.LocalPortFirst = net.Client.Tcp.Settings.LocalPortLast = 40_000;
        net.Client.Tcp.Settings.TimeWaitReuse = 1;
        net.Run(async () =>
        {
            for (int i = 0; i < 5; i++)
            {
                (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
                await Task.WhenAll(Streams.SendAsync(client, i, 5000), Streams.ReceiveAsync(server, i, 5000));
                client.Dispose();
                await server.CloseAsync();
                SocketException early = await Assert.ThrowsAsync<SocketException>(() => net.Client.ConnectTcpAsync(TwoStacks.ServerAddress).AsTask());
                Assert.Equal(SocketError.AddressNotAvailable, early.SocketErrorCode);
                await net.Time.Delay(TimeSpan.FromSeconds(1.5));
            }
        });
    }

    [Fact]
    public void A_newer_syn_opens_a_connection_over_time_wait()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        socket.Shutdown(SocketShutdown.Send);
        peer.Settle();
        peer.Send(TcpFlags.FinAck);
        Assert.Equal(TcpConnectionState.TimeWait, peer.StateOfFlow());
        socket.Dispose();
        peer.Take();
        uint before = peer.HostNext;
        peer.Next += 100_000;
        TcpSocket again = peer.OpenFromPeer();
        Assert.Equal(before + 65537, peer.HostIss);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TimeWaitRecycled));
        MalformedPacketTests.AssertWorks(peer, again);
    }
}
