using System.Net.Sockets;
using Penstock.Fuzz;
using Penstock.Tcp;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>A peer that is there no more: every way of waiting ends, at the time that Linux's settings say, with a clear error and nothing left.</summary>
public class VanishingPeerTests
{
    private static SocketError ErrorOf(TcpSocket socket)
    {
        Assert.Equal(TcpConnection.Failed, socket.TryReceive(new byte[1], TcpReceiveFlags.None, out SocketError error));
        return error;
    }

    /// <summary>Acknowledges nothing new and says how much may come.</summary>
    private static void SendWindow(RawPeer peer, uint acknowledgment, int window)
    {
        RawSegment segment = peer.Segment(TcpFlags.Ack);
        segment.Acknowledgment = acknowledgment;
        segment.Window = (ushort)window;
        peer.Inject(segment);
    }

    [Fact]
    public void A_connect_gives_up_after_its_syn_retries()
    {
        var peer = new RawPeer();
        long begin = peer.Time.NowNanos;
        TcpSocket socket = peer.BeginFromHost();
        peer.Wait(TimeSpan.FromSeconds(200));
        RawPeer.Seen[] seen = peer.Take();

        // tcp_syn_retries 6 and four linear timeouts before: again after 1 s five times, 2, 4, 8, 16 and 32 s, given up after another 64.
        Assert.Equal([1, 2, 3, 4, 5, 7, 11, 19, 35, 67], seen.Select(s => (int)((s.Nanos - begin) / Nanos.PerSecond)));
        Assert.All(seen, s => Assert.Equal(TcpFlags.Syn, s.Header.Flags));
        Assert.Equal(TcpConnectionState.Closed, socket.State);
        Assert.Equal(SocketError.TimedOut, ErrorOf(socket));
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpAbortOnTimeout));
        socket.Dispose();
        peer.End();
    }

    [Fact]
    public void A_request_is_forgotten_after_its_syn_ack_retries()
    {
        var peer = new RawPeer();
        using TcpSocketListener listener = peer.Stack.ListenTcp(new System.Net.IPEndPoint(System.Net.IPAddress.Any, 80));
        peer.SendSyn();
        peer.Wait(TimeSpan.FromSeconds(120));
        Assert.Equal(6, peer.Take().Length);
        Assert.Null(peer.StateOfFlow());
        Assert.Equal(0, listener.Socket.Requests);
        listener.Dispose();
        peer.End();
    }

    [Fact]
    public void Data_that_nobody_acknowledges_ends_the_connection_after_retries2()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        socket.TrySend(new byte[100], TcpSendFlags.None, out _);
        peer.Wait(TimeSpan.FromMinutes(14));
        Assert.Equal(TcpConnectionState.Established, socket.State);
        peer.Wait(TimeSpan.FromMinutes(20));
        Assert.Equal(TcpConnectionState.Closed, socket.State);
        Assert.Equal(SocketError.TimedOut, ErrorOf(socket));

        // The segment, perhaps a probe, and 15 retransmissions.
        Assert.InRange(peer.Take().Count(s => s.Payload.Length == 100), 16, 17);
        socket.Dispose();
        peer.End();
    }

    [Fact]
    public void The_user_timeout_ends_it_earlier()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        socket.UserTimeout = TimeSpan.FromSeconds(5);
        socket.TrySend(new byte[100], TcpSendFlags.None, out _);
        peer.Wait(TimeSpan.FromSeconds(4.5));
        Assert.Equal(TcpConnectionState.Established, socket.State);
        peer.Wait(TimeSpan.FromSeconds(4));
        Assert.Equal(SocketError.TimedOut, ErrorOf(socket));
        socket.Dispose();
        peer.End();
    }

    [Fact]
    public void Keepalive_finds_out_about_an_idle_peer()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer(new TcpListenOptions(new System.Net.IPEndPoint(System.Net.IPAddress.Any, 80))
        {
            KeepAlive = true,
            KeepAliveIdle = TimeSpan.FromSeconds(60),
            KeepAliveInterval = TimeSpan.FromSeconds(10),
            KeepAliveProbes = 3,
        });
        peer.Take();
        peer.Wait(TimeSpan.FromSeconds(61));
        RawPeer.Seen probe = Assert.Single(peer.Take());
        Assert.Equal(peer.HostNext - 1, probe.Header.Sequence.Value);
        peer.Send(TcpFlags.Ack);
        peer.Wait(TimeSpan.FromSeconds(59));
        Assert.Empty(peer.Take());
        peer.Wait(TimeSpan.FromSeconds(35));
        RawPeer.Seen[] seen = peer.Take();
        Assert.Equal(3, seen.Count(s => !s.Header.Has(TcpFlags.Rst)));
        Assert.Equal(TcpConnectionState.Closed, socket.State);
        Assert.Equal(SocketError.TimedOut, ErrorOf(socket));
        socket.Dispose();
        peer.End();
    }

    [Fact]
    public void An_orphan_with_data_gives_up_sooner_than_a_socket_with_an_owner()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        socket.TrySend(new byte[100], TcpSendFlags.None, out _);
        socket.Dispose();
        Assert.Equal(1, peer.Stack.Tcp.Orphans);
        peer.Wait(TimeSpan.FromMinutes(4));
        Assert.Null(peer.StateOfFlow());
        Assert.Equal(0, peer.Stack.Tcp.Orphans);
        peer.End();
    }

    [Fact]
    public void An_orphan_in_fin_wait_2_waits_a_minute()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        socket.Dispose();
        peer.Settle();
        peer.Send(TcpFlags.Ack);
        Assert.Equal(TcpConnectionState.FinWait2, peer.StateOfFlow());
        peer.Wait(TimeSpan.FromSeconds(59));
        Assert.Equal(TcpConnectionState.FinWait2, peer.StateOfFlow());
        peer.Wait(TimeSpan.FromSeconds(2));
        Assert.Null(peer.StateOfFlow());
        peer.End();
    }

    [Fact]
    public void An_orphan_before_a_closed_window_does_not_live_for_ever()
    {
        var peer = new RawPeer { Window = 0 };
        TcpSocket socket = peer.OpenFromPeer();
        socket.TrySend(new byte[100], TcpSendFlags.None, out _);
        socket.Dispose();
        for (int i = 0; i < 400 && peer.StateOfFlow() is not null; i++)
        {
            // The peer answers every probe, and never opens its window.
            peer.Wait(TimeSpan.FromSeconds(10));
            if (peer.Take().Length > 0)
            {
                peer.Send(TcpFlags.Ack);
            }
        }

        Assert.Null(peer.StateOfFlow());
        Assert.Equal(0, peer.Stack.Tcp.Orphans);
        peer.End();
    }

    [Fact]
    public void An_orphan_before_a_window_that_opens_and_shuts_does_not_live_for_ever()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        uint first = peer.HostNext;
        socket.TrySend(new byte[100], TcpSendFlags.None, out _);
        socket.Dispose();
        for (int i = 0; i < 400 && peer.StateOfFlow() is not null; i++)
        {
            SendWindow(peer, first, i % 2 == 0 ? 0 : 1000);
            peer.Wait(TimeSpan.FromSeconds(10));
        }

        Assert.Null(peer.StateOfFlow());
        peer.End();
    }

    [Fact]
    public void A_socket_that_tried_a_closed_window_for_long_is_not_given_up_at_once_when_it_becomes_an_orphan()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        uint first = peer.HostNext;
        socket.TrySend(new byte[100], TcpSendFlags.None, out _);
        for (int i = 0; i < 60; i++)
        {
            SendWindow(peer, first, 0);
            peer.Wait(TimeSpan.FromSeconds(60));
        }

        peer.Take();
        socket.Dispose();
        peer.Wait(TimeSpan.FromSeconds(121));
        Assert.NotEmpty(peer.Take());
        Assert.NotNull(peer.StateOfFlow());
        peer.Wait(TimeSpan.FromSeconds(121));
        Assert.Null(peer.StateOfFlow());
        peer.End();
    }

    [Fact]
    public void A_fin_that_comes_again_is_acknowledged_again()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        peer.Send(TcpFlags.FinAck);
        Assert.Single(peer.Take());
        RawSegment again = peer.Segment(TcpFlags.FinAck);
        again.Sequence--;
        for (int i = 0; i < 3; i++)
        {
            peer.Inject(again);
            Assert.Equal(peer.Next, Assert.Single(peer.Take()).Header.Acknowledgment.Value);
            peer.Wait(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(TcpConnectionState.CloseWait, socket.State);
        socket.Dispose();
        peer.End();
    }

    [Fact]
    public void A_fin_with_old_data_does_not_reset_an_orphan()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        peer.Send(TcpFlags.Ack, 100);
        socket.TryReceive(new byte[100], TcpReceiveFlags.None, out _);
        socket.Dispose();
        peer.Settle();

        // Its acknowledgment was lost, so the data comes again and brings the FIN along.
        peer.Next -= 100;
        peer.Send(TcpFlags.FinAck, 100);
        Assert.Equal(TcpConnectionState.TimeWait, peer.StateOfFlow());
        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpAbortOnData));
        peer.End();
    }
}
