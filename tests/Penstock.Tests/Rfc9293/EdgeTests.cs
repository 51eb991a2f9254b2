using System.Net.Sockets;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 9293 3.4 and 3.10.7.4 at their edges: numbers that wrap, segments that overlap windows, handshakes that are repeated, orphans.</summary>
public class EdgeTests
{
    [Theory]
    [InlineData(uint.MaxValue)]
    [InlineData(uint.MaxValue - 1)]
    [InlineData(uint.MaxValue - 1000)]
    [InlineData(0x7FFFFFFFu)]
    public void Sequence_numbers_wrap(uint iss)
    {
        using var peer = new RawPeer { Iss = iss };
        peer.Accepted(RawPeer.SynOptions(sack: true));
        uint next = 1;
        for (int i = 0; i < 20; i++)
        {
            // Every other pair arrives the wrong way round.
            peer.Send(TcpFlags.Ack, next + 100, 1, length: 100);
            peer.Send(TcpFlags.Ack, next, 1, length: 100);
            next += 200;
        }

        Assert.Equal(next, peer.All(300)[^1].Acknowledgment);
        byte[] buffer = new byte[8000];
        Assert.Equal(4000, peer.Read(buffer, out _));
        Assert.Equal(RawPeer.Pattern(1, 4000), buffer[..4000]);
        peer.Send(TcpFlags.FinAck, next, 1);
        Assert.Equal(next + 1, peer.Next(300).Acknowledgment);
    }

    [Fact]
    public void Timestamps_wrap()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: uint.MaxValue - 5));
        peer.TimestampValue = 5;
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        Assert.Equal(10, peer.Read());
        Assert.Equal(5u, peer.Next(300).Options.TsEcr);
    }

    [Fact]
    public void A_SYN_that_comes_again_gets_the_same_answer_again()
    {
        using var peer = new RawPeer();
        peer.Listen();
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.SynAck, 0, 1);
        uint first = peer.StackIss;
        peer.Wait(600);
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.SynAck, 0, 1);
        Assert.Equal(first, peer.StackIss);
    }

    [Fact]
    public void A_SYN_ACK_that_comes_again_is_acknowledged_again()
    {
        using var peer = new RawPeer();
        peer.Connected(RawPeer.SynOptions());
        peer.Wait(1000);
        peer.Send(TcpFlags.SynAck, 0, 1, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.Ack, 1, 1);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
    }

    [Fact]
    public void A_reset_that_is_not_exact_does_not_end_SYN_RECEIVED()
    {
        using var peer = new RawPeer();
        peer.Listen();
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.SynAck, 0, 1);
        peer.Send(TcpFlags.Rst, 2);
        peer.Expect(TcpFlags.Ack, 1, 1);
        peer.Send(TcpFlags.Ack, 1, 1);
        peer.Socket = peer.Done(peer.Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
    }

    [Fact]
    public void A_cookie_makes_a_connection_with_what_was_negotiated()
    {
        // RFC 4987 3.6.
        using var peer = new RawPeer(settings: ("tcp_syncookies", "2"));
        peer.Accepted(RawPeer.SynOptions(mss: 1460, sack: true, scale: 7, timestamp: 1));
        Assert.True(peer.Socket.GetInfo().Sack);
        Assert.Equal(7, peer.Socket.GetInfo().WindowScale.Send);
        peer.Write(3000);
        Assert.Equal(1448, peer.All()[0].Length);
        peer.PeerPort = 4001;
        peer.Send(TcpFlags.Ack, 1, 0x12345678);
        peer.Expect(TcpFlags.Rst);
    }

    [Fact]
    public void Giving_up_an_open_tells_the_peer_nothing_and_its_answer_is_reset()
    {
        using var peer = new RawPeer();
        using var cancel = new CancellationTokenSource();
        Task<TcpSocket> connecting = peer.Stack.ConnectTcpAsync(new System.Net.IPEndPoint(RawPeer.PeerAddress, peer.PeerPort), cancellationToken: cancel.Token).AsTask();
        peer.Expect(TcpFlags.Syn, 0);
        cancel.Cancel();
        peer.ExpectNothing(100);
        Assert.True(connecting.IsCanceled);
        peer.Send(TcpFlags.SynAck, 0, 1, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.Rst, 1);
    }

    [Fact]
    public void An_orphan_waits_a_minute_in_FIN_WAIT_2()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Close();
        peer.Expect(TcpFlags.FinAck, 1, 1);
        peer.Send(TcpFlags.Ack, 1, 2);
        peer.Wait(59_000);
        Assert.Equal(TcpConnectionState.FinWait2, Assert.Single(peer.Stack.GetConnections(), c => c.State != TcpConnectionState.Listen).State);
        peer.Wait(2000);
        Assert.DoesNotContain(peer.Stack.GetConnections(), c => c.State != TcpConnectionState.Listen);
        peer.Send(TcpFlags.FinAck, 1, 2);
        peer.Expect(TcpFlags.Rst, 2);
    }

    [Fact]
    public void A_FIN_with_the_ACK_of_ours_goes_straight_to_TIME_WAIT()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.ShutdownSend();
        peer.Expect(TcpFlags.FinAck, 1, 1);
        peer.Send(TcpFlags.FinAck, 1, 2, length: 20);
        peer.Expect(TcpFlags.Ack, 2, 22);
        Assert.Equal(1, peer.Stack.Tcp.TimeWaits);
        Assert.Equal(20, peer.Read());
        Assert.Equal(0, peer.Read());
    }

    [Fact]
    public void A_FIN_waits_behind_data_for_a_closed_window()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 1, 1, length: 1, window: 0);
        peer.All(100);
        Assert.Equal(1, peer.Read());
        peer.Write(100);
        peer.ShutdownSend();
        peer.Expect(TcpFlags.Ack, 0, 2, 0, within: 300);
        peer.Send(TcpFlags.Ack, 2, 1, window: 1000);
        peer.Expect(TcpFlags.FinAck, 1, 2, 100);
        peer.Send(TcpFlags.Ack, 2, 102);
        Assert.Equal(TcpConnectionState.FinWait2, peer.Socket.State);
    }

    [Fact]
    public void After_its_FIN_the_peer_cannot_send_more()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.FinAck, 1, 1);
        peer.Expect(TcpFlags.Ack, 1, 2);
        peer.Send(TcpFlags.Ack, 2, 1, length: 10);
        peer.All(300);
        Assert.Equal(0, peer.Read());
        Assert.Equal(0, peer.Read());
    }

    [Fact]
    public void A_reset_after_the_peers_FIN_is_a_broken_pipe_for_who_sends()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.FinAck, 1, 1);
        peer.Expect(TcpFlags.Ack, 1, 2);
        peer.Send(TcpFlags.Rst, 2);
        Assert.Equal(TcpConnectionState.Closed, peer.Socket.State);
        Task<int> sending = peer.Socket.SendAsync(new byte[10], TestContext.Current.CancellationToken).AsTask();
        Assert.Equal(SocketError.Shutdown, peer.Failure(sending));
    }

    [Fact]
    public void A_segment_that_overlaps_our_right_edge_does_no_harm()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(), options => options.ReceiveBufferSize = 4096);
        int window = (int)peer.Socket.GetInfo().ReceiveWindow;
        peer.Send(TcpFlags.Ack, 1 + (uint)window - 10, 1, length: 100);
        peer.Send(TcpFlags.Ack, 1, 1, length: Math.Min(window - 10, 1460));
        Assert.Null(peer.Connection.VerifyInvariants());
        Assert.True(peer.All(300)[^1].Acknowledgment >= (uint)Math.Min(window - 10, 1460) + 1);
    }

    [Fact]
    public void A_listener_takes_a_SYN_alone_and_resets_what_has_an_ACK()
    {
        using var peer = new RawPeer();
        peer.Listen();
        peer.Send(TcpFlags.Syn | TcpFlags.Fin, 0);
        peer.Send(TcpFlags.Syn | TcpFlags.Rst, 0);
        peer.ExpectNothing(1500);
        peer.Send(TcpFlags.SynAck, 0, 5);
        peer.Expect(TcpFlags.Rst, 5);
        peer.Send(TcpFlags.None, 0);
        peer.Send(TcpFlags.Fin, 0);
        peer.ExpectNothing(1500);
    }
}
