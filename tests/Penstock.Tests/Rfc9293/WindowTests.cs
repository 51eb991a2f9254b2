using System.Net.Sockets;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 9293 3.7.4, 3.8.6: windows that close, shrink and open; Nagle and silly windows.</summary>
public class WindowTests
{
    [Fact]
    public void A_closed_window_is_probed_after_a_timeout_and_then_with_backoff()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 1, 1, length: 1, window: 0);
        peer.All(100);
        Assert.Equal(1, peer.Read());
        peer.Write(100);
        double last = peer.NowMilliseconds;
        double timeout = 200;
        for (int i = 0; i < 6; i++)
        {
            Segment probe = peer.Expect(TcpFlags.Ack, 0, 2, 0, within: 30_000);
            Assert.Equal(timeout, probe.Milliseconds - last, timeout * 0.05);
            last = probe.Milliseconds;
            timeout *= 2;

            // Answered at once, the window still closed: the backoff goes on all the same.
            peer.Send(TcpFlags.Ack, 2, 1, window: 0);
        }

        peer.Send(TcpFlags.Ack, 2, 1, window: 1000);
        peer.Expect(TcpFlags.Ack, 1, 2, 100);
    }

    [Fact]
    public void A_window_may_stay_closed_for_as_long_as_probes_are_answered()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 1, 1, length: 1, window: 0);
        peer.All(100);
        peer.Write(100);
        for (int i = 0; i < 60; i++)
        {
            peer.Expect(TcpFlags.Ack, 0, 2, 0, within: 130_000);
            peer.Send(TcpFlags.Ack, 2, 1, window: 0);
        }

        Assert.True(peer.NowMilliseconds > 3_600_000, "more than an hour");
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        Assert.Equal(1, peer.Read());
    }

    [Fact]
    public void Probes_that_nobody_answers_end_the_connection()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 1, 1, length: 1, window: 0);
        peer.All(100);
        Assert.Equal(1, peer.Read());
        peer.Write(100);
        peer.Wait(2_000_000);
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
    }

    [Fact]
    public void ACK_RST_and_URG_count_even_while_our_window_is_closed()
    {
        using var peer = new RawPeer();
        uint next = FillWindow(peer);
        peer.Write(100);
        peer.All(1);
        byte[] one = new byte[1];
        peer.Read(one, out SocketError none, TcpReceiveFlags.OutOfBand);
        Assert.Equal(SocketError.InvalidArgument, none);
        peer.Send(TcpFlags.Ack | TcpFlags.Urg, next, 101, urgent: 1);
        Assert.Equal(0, peer.Socket.GetInfo().SendQueue);

        // The byte itself has no room yet; that there will be one is known.
        Assert.True(peer.Read(one, out SocketError soon, TcpReceiveFlags.OutOfBand) < 0);
        Assert.Equal(SocketError.Success, soon);
        peer.Send(TcpFlags.Rst, next);
        Assert.Equal(TcpConnectionState.Closed, peer.Socket.State);
    }

    [Fact]
    public void Our_right_edge_never_moves_back()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(scale: 0));
        int scale = peer.Socket.GetInfo().WindowScale.Receive;
        long edge = 0;
        uint next = 1;
        for (int i = 0; i < 400 && next + 1460 < edge + 1460; i++)
        {
            peer.Send(TcpFlags.Ack, next, 1, length: 700);
            next += 700;
            foreach (Segment ack in peer.All())
            {
                // What the scale cuts off is rounded up by the stack.
                long here = ack.Acknowledgment + ((long)ack.Window << scale);
                Assert.True(here >= edge, $"{here} after {edge}");
                edge = here;
            }
        }

        peer.Read(int.MaxValue / 1000);
    }

    [Fact]
    public void A_full_window_is_closed_and_opens_only_when_it_is_worth_it()
    {
        // Receiver side of silly windows, RFC 9293 3.8.6.2.2.
        using var peer = new RawPeer();
        FillWindow(peer);
        peer.Read(100);
        peer.ExpectNothing(1000);
        int unread = peer.Socket.Available;
        Assert.True(unread > 4000);
        peer.Read(unread);
        Segment update = peer.Next(100);
        Assert.InRange(update.Window, 1460, 65535);
    }

    [Fact]
    public void A_shrinking_window_stops_new_data_and_keeps_the_old()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(4 * 1460);
        Assert.Equal(4, peer.All().Count);

        // One segment arrived, and the window now ends inside the second.
        peer.Send(TcpFlags.Ack, 1, 1461, window: 500);
        peer.Write(1000);
        List<Segment> all = peer.All(900);
        Assert.All(all, segment => Assert.True(segment.Sequence < 1461 + 4 * 1460, "nothing new beyond the window"));
        Assert.Contains(all, segment => segment.Sequence == 1461);
        peer.Send(TcpFlags.Ack, 1, 1 + (4 * 1460), window: 65535);
        Assert.Contains(peer.All(), segment => segment.Sequence == 1 + (4 * 1460) && segment.Length == 1000);
    }

    [Fact]
    public void A_window_that_shrinks_to_nothing_does_not_end_the_connection_while_the_peer_answers()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(2 * 1460);
        peer.All();
        peer.Send(TcpFlags.Ack, 1, 1, window: 0);
        for (int i = 0; i < 20; i++)
        {
            peer.Expect(TcpFlags.Ack, 1, within: 125_000);
            peer.Send(TcpFlags.Ack, 1, 1, window: 0);
        }

        Assert.True(peer.NowMilliseconds > 1_000_000);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.Send(TcpFlags.Ack, 1, 1 + 2920);
        Assert.Equal(0, peer.Socket.GetInfo().SendQueue);
    }

    /// <summary>Measured on Linux 6.18 with the same settings: after 8.5 s of silence it still tries, since its first retransmission is only 7 s ago.</summary>
    [Fact]
    public void A_window_that_shrinks_to_nothing_is_given_up_after_two_longest_timeouts_of_silence_and_of_trying()
    {
        using var peer = new RawPeer(settings: [("tcp_rto_max_ms", "4000"), ("tcp_early_retrans", "0")]) { Rtt = 500 };
        peer.Accepted();
        peer.Write(2 * 1460);
        peer.All();
        peer.Send(TcpFlags.Ack, 1, 1, window: 0);
        double heard = peer.NowMilliseconds;
        foreach (double wanted in (ReadOnlySpan<double>)[1500, 4500, 8500])
        {
            Assert.Equal(wanted, peer.Expect(TcpFlags.Ack, 1, within: 5000).Milliseconds - heard, 50.0);
        }

        peer.Wait(3900);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.ExpectNothing(200);
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
    }

    [Fact]
    public void A_FIN_before_a_window_that_shrank_to_nothing_is_tried_for_as_long_as_the_peer_answers()
    {
        using var peer = new RawPeer(settings: ("tcp_retries2", "3"));
        peer.Accepted();
        peer.ShutdownSend();
        peer.Expect(TcpFlags.FinAck, 1);
        peer.Send(TcpFlags.Ack, 1, 1, window: 0);
        for (int i = 0; i < 15; i++)
        {
            peer.Expect(TcpFlags.FinAck, 1, within: 125_000);
            peer.Send(TcpFlags.Ack, 1, 1, window: 0);
        }

        Assert.Equal(TcpConnectionState.FinWait1, peer.Socket.State);
    }

    /// <summary>Measured on Linux 6.18: 5 s after the first retransmission, whatever the peer answers.</summary>
    [Fact]
    public void The_user_timeout_counts_while_a_peer_that_answers_keeps_its_window_shut_on_data_in_flight()
    {
        using var peer = new RawPeer(settings: ("tcp_early_retrans", "0"));
        peer.Accepted(RawPeer.SynOptions(), options => options.UserTimeout = TimeSpan.FromSeconds(5));
        peer.Write(2 * 1460);
        peer.All();
        peer.Send(TcpFlags.Ack, 1, 1, window: 0);
        double heard = peer.NowMilliseconds;
        foreach (double wanted in (ReadOnlySpan<double>)[200, 600, 1400, 3000])
        {
            Assert.Equal(wanted, peer.Expect(TcpFlags.Ack, 1, within: 5000).Milliseconds - heard, 50.0);
            peer.Send(TcpFlags.Ack, 1, 1, window: 0);
        }

        peer.ExpectNothing(2150);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.ExpectNothing(100);
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
    }

    /// <summary>Measured on Linux 6.18: 5 s after the first probe, whatever the peer answers.</summary>
    [Fact]
    public void The_user_timeout_counts_while_a_peer_answers_probes_of_its_closed_window()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(), options => options.UserTimeout = TimeSpan.FromSeconds(5));
        peer.Send(TcpFlags.Ack, 1, 1, length: 1, window: 0);
        peer.All(100);
        peer.Write(100);
        double written = peer.NowMilliseconds;
        foreach (double wanted in (ReadOnlySpan<double>)[200, 600, 1400, 3000])
        {
            Assert.Equal(wanted, peer.Expect(TcpFlags.Ack, 0, 2, 0, within: 5000).Milliseconds - written, 50.0);
            peer.Send(TcpFlags.Ack, 2, 1, window: 0);
        }

        peer.ExpectNothing(2150);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.ExpectNothing(100);
        Assert.Equal(1, peer.Read());
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
    }

    [Fact]
    public void An_open_window_starts_the_user_timeout_of_probes_over()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(), options => options.UserTimeout = TimeSpan.FromSeconds(5));
        for (uint round = 0; round < 3; round++)
        {
            uint next = 1 + (100 * round);
            peer.Send(TcpFlags.Ack, 1, next, window: 0);
            peer.Write(100);
            for (int i = 0; i < 4; i++)
            {
                peer.Expect(TcpFlags.Ack, next - 1, within: 5000);
                peer.Send(TcpFlags.Ack, 1, next, window: 0);
            }

            peer.Send(TcpFlags.Ack, 1, next, window: 1000);
            peer.Expect(TcpFlags.Ack, next, length: 100);
            peer.Send(TcpFlags.Ack, 1, next + 100);
        }

        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
    }

    [Fact]
    public void A_small_segment_waits_while_a_small_one_is_in_flight()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(100);
        peer.Expect(TcpFlags.Ack, 1, length: 100);
        peer.Write(100);
        peer.Write(100);
        peer.ExpectNothing(50);
        peer.Send(TcpFlags.Ack, 1, 101);
        peer.Expect(TcpFlags.Ack, 101, length: 200);
    }

    [Fact]
    public void A_full_segment_never_waits()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(100);
        peer.Expect(TcpFlags.Ack, 1, length: 100);
        peer.Write(1460);
        peer.Expect(TcpFlags.Ack, 101, length: 1460);
    }

    [Fact]
    public void The_application_can_switch_Nagle_off()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(), options => options.NoDelay = true);
        peer.Write(100);
        peer.Write(100);
        peer.Expect(TcpFlags.Ack, 1, length: 100);
        peer.Expect(TcpFlags.Ack, 101, length: 100);
    }

    [Fact]
    public void A_window_smaller_than_a_segment_is_not_filled_in_crumbs()
    {
        // Sender side of silly windows, RFC 9293 3.8.6.2.1: the little window is used only when the override timeout says so.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(10 * 1460);
        Assert.Equal(10, peer.All().Count);
        peer.Send(TcpFlags.Ack, 1, 1 + (10 * 1460), window: 300);
        peer.Write(5000);
        peer.ExpectNothing(150);
        Segment piece = peer.Next(500);
        Assert.Equal(300, piece.Length);
    }

    [Fact]
    public void A_peer_with_a_tiny_window_gets_half_of_it_at_a_time()
    {
        using var peer = new RawPeer();
        peer.Window = 1000;
        peer.Accepted();
        peer.Write(2000);
        Assert.Equal(500, peer.Next().Length);
    }

    /// <summary>Sends until the stack's receive buffer is full and its window closed; the next sequence number.</summary>
    private static uint FillWindow(RawPeer peer)
    {
        peer.Accepted(RawPeer.SynOptions(), options => options.ReceiveBufferSize = 8192);
        uint next = 1;
        int window = int.MaxValue;
        for (int i = 0; i < 200 && window > 0; i++)
        {
            int length = Math.Min(1460, Math.Min(window, 65535));
            peer.Send(TcpFlags.Ack, next, 1, length: length);
            next += (uint)length;
            foreach (Segment ack in peer.All(300))
            {
                window = ack.Window;
                next = ack.Acknowledgment;
            }
        }

        Assert.Equal(0, window);
        return next;
    }
}
