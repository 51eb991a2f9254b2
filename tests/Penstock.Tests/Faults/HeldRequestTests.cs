using System.Net.Sockets;
using System.Net;
using Penstock.Fuzz;
using Penstock.Tests.Seeds;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>Requests that the application decides on before the SYN is answered: caps, refusals, and peers that do not wait.</summary>
public class HeldRequestTests
{
    private static CancellationToken Never => CancellationToken.None;

    private static (RawPeer Peer, TcpRequestListener Listener) Listen(int limit = 100, TcpRefusal overflow = TcpRefusal.Silence)
    {
        var peer = new RawPeer();
        Proof.Apply(peer.Stack);
        TcpRequestListener listener = peer.Stack.ListenTcpRequests(
            new TcpRequestListenOptions(new IPEndPoint(IPAddress.Any, 0)) { AnyDestination = true, HalfOpenLimit = limit, Overflow = overflow });
        return (peer, listener);
    }

    private static TcpConnectionRequest Next(TcpRequestListener listener) => listener.TryNext() ?? throw new InvalidOperationException("No request.");

    private static void End(RawPeer peer, TcpRequestListener listener)
    {
        listener.Dispose();
        peer.Settle();
        Assert.Equal(0, listener.HalfOpen);
        Assert.Equal(0, peer.Stack.Tcp.Flows.Count);
        peer.End();
    }

    private static TcpSocket SocketOf(Task<TcpSocket> accept)
    {
        Assert.True(accept.IsCompleted);
        return accept.GetAwaiter().GetResult();
    }

    private static SocketError ErrorOf(Task<TcpSocket> accept)
    {
        Assert.True(accept.IsCompleted);
        return Assert.IsType<SocketException>(accept.Exception!.InnerException).SocketErrorCode;
    }

    [Fact]
    public void Nothing_is_answered_before_the_application_accepts()
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SendSyn();
        peer.Wait(TimeSpan.FromSeconds(5));
        Assert.Empty(peer.Take());
        Assert.Equal((1, 1), (listener.HalfOpen, listener.Pending));

        TcpConnectionRequest request = Next(listener);
        Assert.Equal(new IPEndPoint(RawPeer.HostAddress.ToIPAddress(), peer.HostPort), request.LocalEndPoint);
        Assert.Equal(new IPEndPoint(RawPeer.PeerAddress.ToIPAddress(), peer.PeerPort), request.RemoteEndPoint);
        Task<TcpSocket> accept = request.AcceptAsync(Never).AsTask();
        Assert.Equal(TcpFlags.SynAck, Assert.Single(peer.Take()).Header.Flags);
        Assert.False(accept.IsCompleted);
        Assert.Equal((1, 0), (listener.HalfOpen, listener.Pending));

        peer.Send(TcpFlags.Ack);
        using TcpSocket socket = SocketOf(accept);
        Assert.Equal(TcpConnectionState.Established, socket.State);
        Assert.Equal(0, listener.HalfOpen);
        peer.Send(TcpFlags.Ack, 5, (byte)'x');
        Assert.Equal(5, socket.TryReceive(new byte[10], TcpReceiveFlags.None, out _));

        // The time that the application took is no round trip.
        Assert.True(socket.GetInfo().RoundTripTime < TimeSpan.FromMilliseconds(10));
        socket.Abort();
        End(peer, listener);
    }

    [Theory]
    [InlineData(TcpRefusal.Reset)]
    [InlineData(TcpRefusal.Silence)]
    public void A_refused_peer_sees_a_reset_or_nothing_and_may_try_again(TcpRefusal refusal)
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SendSyn();
        Next(listener).Refuse(refusal);
        RawPeer.Seen[] seen = peer.Take();
        if (refusal == TcpRefusal.Reset)
        {
            RawPeer.Seen reset = Assert.Single(seen);
            Assert.Equal((TcpFlags.RstAck, peer.Next), (reset.Header.Flags, reset.Header.Acknowledgment.Value));
        }
        else
        {
            Assert.Empty(seen);
        }

        Assert.Equal((0, 0), (listener.HalfOpen, peer.Stack.Tcp.Flows.Count));
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpRequestsRefused));

        // The same SYN once more is another request.
        peer.Next--;
        peer.SendSyn();
        Task<TcpSocket> accept = Next(listener).AcceptAsync(Never).AsTask();
        peer.Settle();
        peer.Send(TcpFlags.Ack);
        SocketOf(accept).Abort();
        End(peer, listener);
    }

    [Fact]
    public void A_repeated_SYN_is_the_same_request_and_its_timestamp_is_echoed()
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SynOptions = new TcpOptions { HasTimestamps = true, TsVal = 1000 };
        peer.SendSyn();
        peer.Next--;
        peer.SynOptions.TsVal = 2000;
        peer.SendSyn();
        TcpConnectionRequest request = Next(listener);
        Assert.Null(listener.TryNext());
        Task<TcpSocket> accept = request.AcceptAsync(Never).AsTask();
        Assert.Equal(2000u, Assert.Single(peer.Take()).Options.TsEcr);
        listener.Dispose();
        peer.Settle();
        Assert.Equal(SocketError.ConnectionAborted, ErrorOf(accept));
        End(peer, listener);
    }

    [Fact]
    public void Another_SYN_of_the_flow_takes_the_place_of_the_first()
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SendSyn();
        TcpConnectionRequest old = Next(listener);
        peer.Next += 100_000;
        peer.SendSyn();
        Assert.Equal((1, 1), (listener.HalfOpen, listener.Pending));
        Assert.Equal(SocketError.ConnectionReset, ErrorOf(old.AcceptAsync(Never).AsTask()));
        Task<TcpSocket> accept = Next(listener).AcceptAsync(Never).AsTask();
        Assert.Equal(peer.Next, Assert.Single(peer.Take()).Header.Acknowledgment.Value);
        peer.Send(TcpFlags.Ack);
        SocketOf(accept).Abort();
        End(peer, listener);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Only_a_reset_with_the_exact_number_ends_a_request(bool answered)
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SendSyn();
        TcpConnectionRequest request = Next(listener);
        Task<TcpSocket>? accept = answered ? request.AcceptAsync(Never).AsTask() : null;
        RawSegment forged = peer.Segment(TcpFlags.Rst);
        forged.Sequence += 1;
        peer.Inject(forged);
        Assert.Equal(1, listener.HalfOpen);
        peer.Send(TcpFlags.Rst);
        Assert.Equal(0, listener.HalfOpen);
        accept ??= request.AcceptAsync(Never).AsTask();
        Assert.Equal(SocketError.ConnectionReset, ErrorOf(accept));

        // One that nobody has taken is not offered any more.
        peer.Next += 10;
        peer.SendSyn();
        peer.Send(TcpFlags.Rst);
        Assert.Null(listener.TryNext());
        End(peer, listener);
    }

    [Fact]
    public void An_ACK_of_what_was_never_sent_is_answered_with_a_reset()
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SendSyn();
        peer.HostNext = 77;
        peer.Send(TcpFlags.Ack, 10);
        RawPeer.Seen reset = Assert.Single(peer.Take());
        Assert.Equal((TcpFlags.Rst, 77u), (reset.Header.Flags, reset.Header.Sequence.Value));
        Assert.Equal(1, listener.HalfOpen);
        End(peer, listener);
    }

    [Theory]
    [InlineData(TcpRefusal.Reset)]
    [InlineData(TcpRefusal.Silence)]
    public void Ten_thousand_half_open_flows_cost_no_more_than_the_limit(TcpRefusal overflow)
    {
        const int Limit = 100;

        // A request costs half a kilobyte; the virtual clock alone allocates some tens of bytes for a step.
        const int Little = 128;
        (RawPeer peer, TcpRequestListener listener) = Listen(Limit, overflow);
        byte[][] syns = new byte[10_000][];
        for (int i = 0; i < syns.Length; i++)
        {
            RawSegment syn = peer.Segment(TcpFlags.Syn);
            syn.Sequence = (uint)i * 77777;
            syn.SourcePort = (ushort)(10_000 + i);
            syn.Options = [2, 4, 5, 180];
            syns[i] = syn.ToPacket();
        }

        byte[] sent = new byte[1500];
        int resets = 0;
        long before = 0;
        for (int i = 0; i < syns.Length; i++)
        {
            if (i == Limit + 100)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            peer.Link.Inject(syns[i]);
            peer.Time.RunReady();
            while (peer.Link.TryRead(sent, out int length))
            {
                resets += length == 40 && sent[33] == (byte)TcpFlags.RstAck ? 1 : 1_000_000;
            }

            // Resets are limited to 10,000 a second, beyond the first thousand.
            peer.Time.RunUntil(peer.Time.NowNanos + 100_000);
        }

        long each = (GC.GetAllocatedBytesForCurrentThread() - before) / (syns.Length - Limit - 100);
        Assert.Equal(0, peer.Link.DroppedPackets);
        Assert.Equal((Limit, Limit, Limit), (listener.HalfOpen, listener.Pending, peer.Stack.Tcp.Flows.Count));
        Assert.Equal(overflow == TcpRefusal.Reset ? syns.Length - Limit : 0, resets);
        Assert.Equal(syns.Length - Limit, peer.Stack.GetCounter(StackCounter.TcpReqQFullDrop));
        Assert.Equal(syns.Length - Limit, peer.Stack.GetCounter(StackCounter.ListenDrops));
        Assert.Equal(0, peer.Stack.Tcp.Memory.AllocatedPages);
        Assert.True(each < Little, $"{each} bytes allocated for a SYN beyond the limit");

        // Whoever is refused makes room, and a peer that comes now gets in.
        Next(listener).Refuse(TcpRefusal.Silence);
        peer.Settle();
        peer.SendSyn();
        TcpConnectionRequest last = Next(listener);
        while (last.RemoteEndPoint.Port != peer.PeerPort)
        {
            last = Next(listener);
        }

        Task<TcpSocket> accept = last.AcceptAsync(Never).AsTask();
        peer.Settle();
        peer.Send(TcpFlags.Ack);
        SocketOf(accept).Abort();
        End(peer, listener);
    }

    [Fact]
    public void A_forgotten_request_makes_room_after_63_seconds()
    {
        (RawPeer peer, TcpRequestListener listener) = Listen(limit: 1);
        peer.SendSyn();
        TcpConnectionRequest forgotten = Next(listener);
        peer.Wait(TimeSpan.FromSeconds(62.9));
        Assert.Equal(1, listener.HalfOpen);
        peer.Wait(TimeSpan.FromSeconds(0.2));
        Assert.Equal(0, listener.HalfOpen);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.ListenDrops));
        Assert.Equal(SocketError.TimedOut, ErrorOf(forgotten.AcceptAsync(Never).AsTask()));
        Assert.Empty(peer.Take());
        End(peer, listener);
    }

    [Fact]
    public void A_peer_that_never_acknowledges_ends_the_accept()
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SendSyn();
        peer.Wait(TimeSpan.FromSeconds(10));
        Task<TcpSocket> accept = Next(listener).AcceptAsync(Never).AsTask();
        peer.Wait(TimeSpan.FromSeconds(64));
        Assert.Equal(SocketError.TimedOut, ErrorOf(accept));
        Assert.Equal(6, peer.Take().Length);
        End(peer, listener);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_canceled_accept_withdraws_the_request(bool acknowledged)
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SendSyn();
        using var cancel = new CancellationTokenSource();
        Task<TcpSocket> accept = Next(listener).AcceptAsync(cancel.Token).AsTask();
        peer.Take();
        cancel.Cancel();
        if (acknowledged)
        {
            // The ACK and the cancellation cross.
            peer.Send(TcpFlags.Ack);
        }

        // Good for a peer in SYN-SENT and for one that thinks itself connected.
        RawPeer.Seen reset = peer.Take()[0];
        Assert.True(accept.IsCanceled);
        Assert.Equal((TcpFlags.RstAck, peer.HostNext, peer.Next), (reset.Header.Flags, reset.Header.Sequence.Value, reset.Header.Acknowledgment.Value));
        Assert.Equal(0, listener.HalfOpen);
        End(peer, listener);
    }

    [Fact]
    public void Disposing_the_listener_drops_its_requests_and_leaves_its_connections()
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SendSyn();
        Task<TcpSocket> connected = Next(listener).AcceptAsync(Never).AsTask();
        peer.Settle();
        peer.Send(TcpFlags.Ack);
        TcpSocket socket = SocketOf(connected);
        peer.PeerPort++;
        peer.SendSyn();
        TcpConnectionRequest undecided = Next(listener);
        peer.PeerPort++;
        peer.SendSyn();
        peer.PeerPort++;
        peer.SendSyn();
        TcpConnectionRequest handshaking = Next(listener);
        int answered = handshaking.RemoteEndPoint.Port;
        Task<TcpSocket> accepting = handshaking.AcceptAsync(Never).AsTask();
        peer.Take();
        Next(listener);
        Task<TcpConnectionRequest> waiting = listener.NextAsync(Never).AsTask();

        listener.Dispose();
        peer.Settle();
        Assert.Equal(0, listener.HalfOpen);
        Assert.Equal(SocketError.ConnectionAborted, ErrorOf(accepting));
        Assert.Equal(SocketError.ConnectionAborted, ErrorOf(undecided.AcceptAsync(Never).AsTask()));
        Assert.IsType<ObjectDisposedException>(waiting.Exception!.InnerException);
        Assert.Equal(TcpConnectionState.Established, socket.State);

        // Only who was answered hears of it.
        Assert.Equal(answered, Assert.Single(peer.Take(), seen => seen.Header.Has(TcpFlags.Rst)).Header.DestinationPort);
        socket.Abort();
        End(peer, listener);
    }

    [Fact]
    public void A_stack_that_is_disposed_ends_all_waits()
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SendSyn();
        peer.PeerPort++;
        peer.SendSyn();
        Task<TcpSocket> accepting = Next(listener).AcceptAsync(Never).AsTask();
        Next(listener);
        Task<TcpConnectionRequest> waiting = listener.NextAsync(Never).AsTask();
        peer.End();
        Assert.Equal(SocketError.ConnectionAborted, ErrorOf(accepting));
        Assert.IsType<ObjectDisposedException>(waiting.Exception!.InnerException);
        Assert.Throws<ObjectDisposedException>(() => peer.Stack.ListenTcpRequests(new TcpRequestListenOptions(new IPEndPoint(IPAddress.Any, 1))));
    }

    [Fact]
    public async Task Decisions_and_cancellations_on_many_threads_leave_nothing_behind()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        var cable = new VirtualCable(new CableOptions());
        var client = new NetworkStack(new NetworkStackOptions { Name = "client", CloseTimeout = TimeSpan.Zero });
        var server = new NetworkStack(new NetworkStackOptions { Name = "server", CloseTimeout = TimeSpan.Zero });
        client.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
        server.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24"));
        TcpRequestListener listener = server.ListenTcpRequests(
            new TcpRequestListenOptions(new IPEndPoint(IPAddress.Any, 80)) { HalfOpenLimit = 8, Overflow = TcpRefusal.Reset });
        Task deciding = Task.Run(DecideAsync, stop);
        await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(ConnectAsync, stop)));
        listener.Dispose();
        await deciding;
        Assert.Equal(0, listener.HalfOpen);
        await client.DisposeAsync();
        await server.DisposeAsync();
        Cleanliness.Check(client);
        Cleanliness.Check(server);

        async Task ConnectAsync()
        {
            for (int i = 0; i < 100; i++)
            {
                try
                {
                    TcpSocket socket = await client.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80), cancellationToken: stop);
                    socket.Abort();
                }
                catch (SocketException)
                {
                    // Refused, or reset in the middle.
                }
            }
        }

        async Task DecideAsync()
        {
            var accepting = new List<Task>();
            try
            {
                for (int i = 0; ; i++)
                {
                    TcpConnectionRequest request = await listener.NextAsync(stop);
                    if (i % 4 == 0)
                    {
                        request.Refuse(TcpRefusal.Reset);
                        continue;
                    }

                    var cancel = new CancellationTokenSource();
                    accepting.Add(AcceptAsync(request, cancel.Token));
                    if (i % 4 != 1)
                    {
                        accepting.Add(Task.Run(cancel.Cancel, stop));
                    }
                }
            }
            catch (ObjectDisposedException)
            {
                await Task.WhenAll(accepting);
            }
        }

        static async Task AcceptAsync(TcpConnectionRequest request, CancellationToken cancel)
        {
            try
            {
                using TcpSocket socket = await request.AcceptAsync(cancel);
            }
            catch (Exception failure) when (failure is OperationCanceledException or SocketException)
            {
                // Canceled, or the peer has gone.
            }
        }
    }

    [Fact]
    public void A_request_is_decided_once()
    {
        (RawPeer peer, TcpRequestListener listener) = Listen();
        peer.SendSyn();
        TcpConnectionRequest request = Next(listener);
        Assert.Throws<ArgumentOutOfRangeException>(() => request.Refuse((TcpRefusal)7));
        request.Refuse(TcpRefusal.Silence);
        Assert.Throws<InvalidOperationException>(() => request.Refuse(TcpRefusal.Silence));
        Assert.IsType<InvalidOperationException>(request.AcceptAsync(Never).AsTask().Exception!.InnerException);
        End(peer, listener);
    }

    [Fact]
    public void Wrong_options_are_refused()
    {
        using var peer = new Ended(new RawPeer());
        var any = new IPEndPoint(IPAddress.Any, 80);
        Assert.Throws<ArgumentOutOfRangeException>(() => peer.Stack.ListenTcpRequests(new TcpRequestListenOptions(any) { HalfOpenLimit = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => peer.Stack.ListenTcpRequests(new TcpRequestListenOptions(any) { Overflow = (TcpRefusal)9 }));
        Assert.Throws<ArgumentNullException>(() => peer.Stack.ListenTcpRequests(null!));
        Assert.Throws<ArgumentNullException>(() => new TcpRequestListenOptions(null!));
        using TcpRequestListener first = peer.Stack.ListenTcpRequests(new TcpRequestListenOptions(any));
        SocketException taken = Assert.Throws<SocketException>(() => peer.Stack.ListenTcp(any));
        Assert.Equal(SocketError.AddressAlreadyInUse, taken.SocketErrorCode);
        TcpInfo info = Assert.Single(peer.Stack.GetConnections());
        Assert.Equal((TcpConnectionState.Listen, 1024), (info.State, (int)info.SendQueue));
    }

    private sealed class Ended(RawPeer peer) : IDisposable
    {
        public NetworkStack Stack => peer.Stack;

        public void Dispose() => peer.End();
    }
}
