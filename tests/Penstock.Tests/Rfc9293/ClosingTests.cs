using System.Net.Sockets;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 9293 3.6: how connections end; TIME-WAIT with RFC 1337 and RFC 6191.</summary>
public class ClosingTests
{
    [Fact]
    public void A_FIN_that_waited_behind_the_ACK_of_ours_finds_the_entry_that_took_the_place_of_the_connection()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: 1000));
        TcpConnection connection = peer.Connection;
        peer.Socket.Dispose();
        peer.Expect(TcpFlags.FinAck, 1, 1);
        connection.Own();

        // Other timestamps: they are not merged in the backlog.
        peer.TimestampValue = 1001;
        peer.Send(TcpFlags.Ack, 1, 2);
        peer.TimestampValue = 1002;
        peer.Send(TcpFlags.FinAck, 1, 2);
        connection.Release();
        peer.Expect(TcpFlags.Ack, 2, 2);
        peer.ExpectNothing(1000);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_stack_that_ends_waits_for_the_FIN_of_peers_and_resets_those_that_send_none(bool finishes)
    {
        using var peer = new RawPeer(closeTimeout: TimeSpan.FromSeconds(5));
        peer.Accepted();
        peer.Socket.Dispose();
        peer.Expect(TcpFlags.FinAck, 1, 1);
        peer.Send(TcpFlags.Ack, 1, 2);
        Task ending = peer.Stack.DisposeAsync().AsTask();
        peer.Wait(100);
        Assert.False(ending.IsCompleted);
        if (finishes)
        {
            peer.Send(TcpFlags.FinAck, 1, 2);
        }

        peer.Wait(finishes ? 10 : 10_000);
        Assert.Equal(finishes ? 0 : 1, peer.Stack.GetCounter(StackCounter.TcpOutRsts));
        Assert.True(ending.IsCompleted);
    }

    [Fact]
    public void Our_close_first_passes_FIN_WAIT_1_and_2_to_TIME_WAIT()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.ShutdownSend();
        peer.Expect(TcpFlags.FinAck, 1, 1);
        Assert.Equal(TcpConnectionState.FinWait1, peer.Socket.State);
        peer.Send(TcpFlags.Ack, 1, 2);
        Assert.Equal(TcpConnectionState.FinWait2, peer.Socket.State);
        peer.Send(TcpFlags.Ack, 1, 2, length: 10);
        Assert.Equal(10, peer.Read());
        peer.All(100);
        peer.Send(TcpFlags.FinAck, 11, 2);
        peer.Expect(TcpFlags.Ack, 2, 12);
        Assert.Equal(1, peer.Stack.Tcp.TimeWaits);
        Assert.Equal(0, peer.Read());
    }

    [Fact]
    public void The_peers_close_first_passes_CLOSE_WAIT_and_LAST_ACK_and_data_still_flows()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.FinAck, 1, 1, length: 5);
        peer.Expect(TcpFlags.Ack, 1, 7, within: 300);
        Assert.Equal(5, peer.Read());
        Assert.Equal(0, peer.Read());
        Assert.Equal(TcpConnectionState.CloseWait, peer.Socket.State);
        peer.Write(100);
        peer.Expect(TcpFlags.Ack, 1, 7, 100);
        peer.ShutdownSend();
        peer.Expect(TcpFlags.FinAck, 101, 7);
        Assert.Equal(TcpConnectionState.LastAck, peer.Socket.State);
        peer.Send(TcpFlags.Ack, 7, 102);
        Assert.Equal(TcpConnectionState.Closed, peer.Socket.State);
        Assert.Equal(0, peer.Stack.Tcp.TimeWaits);
    }

    [Fact]
    public void Both_close_at_once()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.ShutdownSend();
        peer.Expect(TcpFlags.FinAck, 1, 1);
        peer.Send(TcpFlags.FinAck, 1, 1);
        peer.Expect(TcpFlags.Ack, 2, 2);
        Assert.Equal(TcpConnectionState.Closing, peer.Socket.State);
        peer.Send(TcpFlags.Ack, 2, 2);
        Assert.Equal(1, peer.Stack.Tcp.TimeWaits);
    }

    /// <summary>RFC 9293 3.10.5: in CLOSING and LAST-ACK an abort sends nothing.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void When_both_ends_have_finished_an_abort_resets_nothing(bool atOnce)
    {
        using var peer = new RawPeer();
        peer.Accepted();
        if (atOnce)
        {
            peer.ShutdownSend();
            peer.Expect(TcpFlags.FinAck, 1, 1);
            peer.Send(TcpFlags.FinAck, 1, 1);
            peer.Expect(TcpFlags.Ack, 2, 2);
        }
        else
        {
            peer.Send(TcpFlags.FinAck, 1, 1);
            peer.Expect(TcpFlags.Ack, 1, 2);
            peer.ShutdownSend();
            peer.Expect(TcpFlags.FinAck, 1, 2);
        }

        Assert.Equal(atOnce ? TcpConnectionState.Closing : TcpConnectionState.LastAck, peer.Socket.State);
        peer.Abort();
        peer.ExpectNothing(1000);
        Assert.Equal(TcpConnectionState.Closed, peer.Socket.State);
    }

    [Fact]
    public void An_abort_with_data_that_was_not_sent_resets_in_LAST_ACK_too()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.FinAck, 1, 1, window: 0);
        peer.Expect(TcpFlags.Ack, 1, 2);
        peer.Write(100);
        peer.ShutdownSend();
        Assert.Equal(TcpConnectionState.LastAck, peer.Socket.State);
        peer.Abort();
        peer.Expect(TcpFlags.Rst | TcpFlags.Ack, 1, 2);
    }

    [Fact]
    public void A_FIN_that_comes_again_is_acknowledged_again()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.FinAck, 1, 1);
        peer.Expect(TcpFlags.Ack, 1, 2);
        peer.Wait(1000);
        peer.Send(TcpFlags.FinAck, 1, 1);
        peer.Expect(TcpFlags.Ack, 1, 2);
    }

    [Fact]
    public void A_FIN_ahead_of_missing_data_waits_for_it()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.FinAck, 11, 1);
        peer.Expect(TcpFlags.Ack, 1, 1);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        peer.Expect(TcpFlags.Ack, 1, 12);
        Assert.Equal(TcpConnectionState.CloseWait, peer.Socket.State);
        Assert.Equal(10, peer.Read());
        Assert.Equal(0, peer.Read());
    }

    [Fact]
    public void The_FIN_is_sent_again_until_it_is_acknowledged()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.ShutdownSend();
        peer.Expect(TcpFlags.FinAck, 1, 1);
        peer.Expect(TcpFlags.FinAck, 1, 1, within: 500);
        peer.Send(TcpFlags.Ack, 1, 2);
        peer.ExpectNothing(2000);
    }

    [Fact]
    public void TIME_WAIT_lasts_a_minute_and_begins_anew_with_the_peers_FIN()
    {
        using var peer = InTimeWait();
        peer.Wait(50_000);
        peer.Send(TcpFlags.FinAck, 1, 2);
        peer.Expect(TcpFlags.Ack, 2, 2);
        peer.Wait(100);
        peer.Send(TcpFlags.FinAck, 1, 2);
        peer.Wait(59_950);
        Assert.Equal(1, peer.Stack.Tcp.TimeWaits);
        peer.Wait(100);
        Assert.Equal(0, peer.Stack.Tcp.TimeWaits);
    }

    [Fact]
    public void A_newer_SYN_opens_a_connection_out_of_TIME_WAIT()
    {
        using var peer = InTimeWait();
        uint before = peer.StackIss;
        peer.Iss += 100_000;
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.SynAck, 0, 1);
        Assert.True((int)(peer.StackIss - before) > 65535, "beyond all numbers of the old connection");
        peer.Send(TcpFlags.Ack, 1, 1);
        Assert.Equal(0, peer.Stack.Tcp.TimeWaits);
    }

    [Fact]
    public void A_SYN_with_an_older_number_is_answered_with_an_ACK_unless_its_timestamp_is_newer()
    {
        using var peer = InTimeWait(RawPeer.SynOptions(timestamp: 1000));
        peer.Iss -= 100_000;
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions(timestamp: 900));
        Assert.Equal(100_002u, peer.Expect(TcpFlags.Ack).Acknowledgment);
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions(timestamp: 2000));
        peer.Expect(TcpFlags.SynAck, 0, 1);
    }

    [Fact]
    public void A_reset_ends_TIME_WAIT_only_where_RFC_1337_is_not_asked_for()
    {
        using var peer = InTimeWait();
        peer.Send(TcpFlags.Rst, 3);
        Assert.Equal(1, peer.Stack.Tcp.TimeWaits);
        peer.Stack.Sysctl.Set("net.ipv4.tcp_rfc1337", "1");
        peer.Send(TcpFlags.Rst, 2);
        Assert.Equal(1, peer.Stack.Tcp.TimeWaits);
        peer.Stack.Sysctl.Set("net.ipv4.tcp_rfc1337", "0");
        peer.Send(TcpFlags.Rst, 2);
        Assert.Equal(0, peer.Stack.Tcp.TimeWaits);
    }

    [Fact]
    public void Old_data_does_not_disturb_TIME_WAIT()
    {
        using var peer = InTimeWait();
        peer.Send(TcpFlags.Ack, 1, 1, length: 0);
        peer.Send(TcpFlags.Ack, 500, 1, length: 10);
        peer.All();
        Assert.Equal(1, peer.Stack.Tcp.TimeWaits);
    }

    [Fact]
    public void Closing_with_unread_data_resets()
    {
        // RFC 2525 2.17, RFC 9293 SHLD-3.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        peer.All(1);
        peer.Close();
        peer.Expect(TcpFlags.RstAck, 1, 11);
        Assert.Equal(TcpConnectionState.Closed, peer.Socket.State);
    }

    [Fact]
    public void Data_for_a_closed_handle_is_answered_with_a_reset()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Close();
        peer.Expect(TcpFlags.FinAck, 1, 1);
        peer.Send(TcpFlags.Ack, 1, 2);
        peer.Send(TcpFlags.Ack, 1, 2, length: 10);
        peer.Expect(TcpFlags.Rst, 2);
        peer.ExpectNothing(1000);
    }

    [Fact]
    public void A_close_delivers_what_was_sent_before()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(3000);
        peer.Close();
        List<Segment> all = peer.All();
        Assert.Equal(3000, all.Sum(segment => segment.Length));
        Assert.True((all[^1].Flags & TcpFlags.Fin) != 0);
        peer.Send(TcpFlags.Ack, 1, 3002);
        peer.Send(TcpFlags.FinAck, 1, 3002);
        peer.Expect(TcpFlags.Ack, 3002, 2);
    }

    [Fact]
    public void An_abort_resets_and_drops_what_is_queued()
    {
        using var peer = new RawPeer();
        peer.Window = 100;
        peer.Accepted();
        peer.Write(1000);
        peer.All(1);
        peer.Abort();
        peer.Expect(TcpFlags.RstAck);
        peer.ExpectNothing(5000);
    }

    [Fact]
    public void A_reset_reaches_the_application()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        Task<int> reading = peer.Socket.ReceiveAsync(new byte[10], TestContext.Current.CancellationToken).AsTask();
        peer.Send(TcpFlags.Rst, 1);
        Assert.Equal(SocketError.ConnectionReset, peer.Failure(reading));
        Assert.Equal(TcpConnectionState.Closed, peer.Socket.State);
    }

    [Fact]
    public void A_reset_may_carry_data()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Rst, 1, length: 20);
        Assert.Equal(SocketError.ConnectionReset, peer.ReadError());
    }

    [Fact]
    public void A_half_open_peer_that_forgot_us_is_found_out()
    {
        // RFC 9293 3.5.1, figure 10: the peer restarted and connects anew with the same ports.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Iss += 777;
        peer.Send(TcpFlags.Syn, 0);
        Segment challenge = peer.Expect(TcpFlags.Ack, 1);
        peer.Send(TcpFlags.Rst, challenge.Acknowledgment);
        Assert.Equal(SocketError.ConnectionReset, peer.ReadError());
    }

    /// <summary>Measured on Linux 6.18.</summary>
    [Fact]
    public void A_SYN_to_an_orphan_in_FIN_WAIT_2_is_answered_as_to_nobody_and_ends_it()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Close();
        peer.Expect(TcpFlags.FinAck, 1, 1);
        peer.Send(TcpFlags.Ack, 1, 2);
        Assert.Equal(0, peer.Stack.Tcp.Orphans);
        Assert.Equal(1, peer.Stack.Tcp.TimeWaits);
        peer.Send(TcpFlags.Syn, 10);
        peer.Expect(TcpFlags.RstAck, 0 - peer.StackIss, 11);
        Assert.Equal(0, peer.Stack.Tcp.TimeWaits);
    }

    private static RawPeer InTimeWait(TcpOptions? options = null)
    {
        var peer = new RawPeer();
        peer.Accepted(options ?? RawPeer.SynOptions());
        peer.ShutdownSend();
        peer.Expect(TcpFlags.FinAck, 1, 1);
        peer.Send(TcpFlags.FinAck, 1, 2);
        peer.Expect(TcpFlags.Ack, 2, 2);
        Assert.Equal(1, peer.Stack.Tcp.TimeWaits);
        return peer;
    }
}
