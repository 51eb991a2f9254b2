using System.Net.Sockets;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 9293 3.8.1-3.8.3, RFC 6298, RFC 5681, RFC 6928, RFC 6937, RFC 8985: timeouts, losses, the window, and giving up.</summary>
public class RetransmissionTests
{
    private const int Mss = 1460;

    [Fact]
    public void Timeouts_double_and_the_window_falls_to_one_segment()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(5 * Mss);
        double last = peer.All()[0].Milliseconds;
        double timeout = 200;
        for (int i = 0; i < 6; i++)
        {
            Segment again = peer.Expect(TcpFlags.Ack, 1, length: Mss, within: 20_000);
            Assert.Equal(timeout, again.Milliseconds - last, 3.0);
            last = again.Milliseconds;
            timeout *= 2;
            Assert.Equal(1, peer.Socket.GetInfo().CongestionWindow);
        }

        Assert.InRange(peer.Socket.GetInfo().SlowStartThreshold, 2, 7);
    }

    [Fact]
    public void The_timeout_is_the_smoothed_time_and_at_least_200_ms_more()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        for (uint i = 0; i < 20; i++)
        {
            peer.Write(100);
            peer.Next();
            peer.Wait(100);
            peer.Send(TcpFlags.Ack, 1, 101 + (i * 100));
        }

        Assert.Equal(100, peer.Socket.GetInfo().RoundTripTime.TotalMilliseconds, 10.0);
        Assert.Equal(300, peer.Socket.GetInfo().RetransmissionTimeout.TotalMilliseconds, 10.0);
        peer.Write(100);
        double sent = peer.Next().Milliseconds;
        Assert.Equal(300, peer.Next(1000).Milliseconds - sent, 10.0);
    }

    [Fact]
    public void An_ACK_for_a_retransmission_is_no_sample_and_keeps_the_backoff()
    {
        // Karn (RFC 6298 3): without timestamps nobody knows which transmission was meant.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(100);
        peer.Next();
        peer.Expect(TcpFlags.Ack, 1, length: 100, within: 300);
        peer.Expect(TcpFlags.Ack, 1, length: 100, within: 500);
        TimeSpan before = peer.Socket.GetInfo().RoundTripTime;
        peer.Wait(50);
        peer.Send(TcpFlags.Ack, 1, 101);
        Assert.Equal(before, peer.Socket.GetInfo().RoundTripTime);
        Assert.Equal(2, peer.Socket.GetInfo().Backoff);
        peer.Write(100);
        double sent = peer.Next().Milliseconds;
        Assert.Equal(800, peer.Next(2000).Milliseconds - sent, 5.0);
    }

    [Fact]
    public void An_ACK_that_covers_a_retransmission_and_originals_is_no_sample()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(3 * Mss);
        peer.All();
        TimeSpan before = peer.Socket.GetInfo().RoundTripTime;

        // The first was lost, the others wait at the peer: their age says nothing about the path.
        peer.Expect(TcpFlags.Ack, 1, length: Mss, within: 300);
        peer.Send(TcpFlags.Ack, 1, 1 + (3 * Mss));
        Assert.Equal(before, peer.Socket.GetInfo().RoundTripTime);
    }

    [Fact]
    public void A_timestamp_makes_a_retransmission_a_sample()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: 1));
        peer.Write(100);
        peer.Next();
        peer.Expect(TcpFlags.Ack, 1, length: 100, within: 300);
        peer.Wait(4000);
        peer.All();
        peer.Wait(20);
        peer.Send(TcpFlags.Ack, 1, 101);
        Assert.Equal(0, peer.Socket.GetInfo().Backoff);
    }

    [Fact]
    public void A_timestamp_measures_round_trips_of_many_seconds_too()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: 1));
        peer.Write(100);
        uint echo = peer.Next().Options.TsVal;
        peer.All(5000);
        peer.TimestampEcho = echo;
        peer.Send(TcpFlags.Ack, 1, 101);
        Assert.InRange(peer.Socket.GetInfo().RoundTripTime.TotalMilliseconds, 600, 6000);
        Assert.Equal(0, peer.Socket.GetInfo().Backoff);
    }

    [Fact]
    public void Connections_are_given_up_after_fifteen_timeouts()
    {
        // The time is that of sixteen timeouts on a path without any delay; on every other they take longer, and fifteen fit.
        using var peer = new RawPeer() { Rtt = 10 };
        peer.Accepted();
        peer.Write(100);
        double sent = peer.Next().Milliseconds;
        int again = 0;
        while (peer.TryNext(125_000) is not null)
        {
            again++;
        }

        Assert.Equal(15, again);
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
        Assert.True(peer.NowMilliseconds - sent > 100_000, "R2 is at least 100 s");
    }

    /// <summary>Measured on Linux 6.18: with a timeout of 1 s and tcp_retries2 of 3 it retransmits twice and gives up 7.3 s after it sent.</summary>
    [Fact]
    public void Over_a_long_path_tries_are_counted_in_the_time_that_they_take_on_a_short_one()
    {
        using var peer = new RawPeer(settings: [("tcp_retries2", "3"), ("tcp_early_retrans", "0"), ("tcp_rto_min_us", "1000000")]);
        peer.Accepted();
        peer.Write(100);
        double sent = peer.Next().Milliseconds;
        Assert.Equal(1000, peer.Next(5000).Milliseconds - sent, 10.0);
        Assert.Equal(3000, peer.Next(5000).Milliseconds - sent, 10.0);
        peer.ExpectNothing(3900);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.ExpectNothing(200);
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
    }

    [Fact]
    public void A_user_timeout_works_with_timeouts_below_a_millisecond()
    {
        using var peer = new RawPeer(settings: [("tcp_early_retrans", "0"), ("tcp_rto_min_us", "1")]);
        peer.Accepted(RawPeer.SynOptions(), options => options.UserTimeout = TimeSpan.FromSeconds(1));
        peer.Write(100);
        peer.Wait(1100);
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
    }

    [Fact]
    public void The_application_sets_how_long_to_try()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(), options => options.UserTimeout = TimeSpan.FromSeconds(5));
        peer.Write(100);
        peer.Wait(4900);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.Wait(4000);
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
    }

    [Fact]
    public void The_stack_wide_number_of_tries_can_be_set_and_progress_be_watched()
    {
        using var peer = new RawPeer(settings: ("tcp_retries2", "4"));
        peer.Accepted();
        peer.Write(100);
        peer.Wait(1500);
        Assert.Equal(3, peer.Socket.GetInfo().Retransmits);
        peer.Wait(15_000);
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
    }

    [Fact]
    public void The_first_flight_is_ten_segments_and_slow_start_doubles_it()
    {
        using var peer = new RawPeer() { Rtt = 40 };
        peer.Accepted();
        peer.Write(40 * Mss);
        Assert.Equal(10, peer.All().Count);
        peer.Wait(50);
        for (uint i = 1; i <= 10; i++)
        {
            peer.Send(TcpFlags.Ack, 1, 1 + (i * Mss));
        }

        // The last of them may wait for company (super-segments), the window is open all the same.
        Assert.InRange(peer.All().Count, 18, 20);
        Assert.Equal(20, peer.Socket.GetInfo().CongestionWindow);
    }

    [Fact]
    public void Congestion_avoidance_adds_about_one_segment_a_round()
    {
        using var peer = new RawPeer(settings: ("tcp_congestion_control", "reno")) { Rtt = 40 };
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Write(40 * Mss);
        Assert.Equal(10, peer.All().Count);
        peer.Wait(50);
        peer.SendSack(1, (1 + Mss, 1 + (10 * Mss)));
        peer.All(100);
        peer.Send(TcpFlags.Ack, 1, 1 + (10 * Mss));
        int threshold = peer.Socket.GetInfo().SlowStartThreshold;
        Assert.Equal(5, threshold);
        uint acked = 10;
        for (int round = 0; round < 3; round++)
        {
            foreach (Segment segment in peer.All())
            {
                acked = Math.Max(acked, (segment.Sequence - 1 + (uint)segment.Length) / Mss);
            }

            peer.Wait(50);
            for (uint i = acked - 3; i <= acked; i++)
            {
                peer.Send(TcpFlags.Ack, 1, 1 + (i * Mss));
            }
        }

        Assert.InRange(peer.Socket.GetInfo().CongestionWindow, threshold, threshold + 3);
    }

    [Fact]
    public void Three_duplicate_ACKs_send_the_missing_segment_at_once()
    {
        // RFC 5681 3.2 without SACK.
        using var peer = new RawPeer() { Rtt = 40 };
        peer.Accepted();
        peer.Write(10 * Mss);
        peer.All();
        peer.Wait(20);
        peer.Send(TcpFlags.Ack, 1, 1);
        peer.Send(TcpFlags.Ack, 1, 1);
        Assert.DoesNotContain(peer.All(), segment => segment.Sequence == 1);
        peer.Send(TcpFlags.Ack, 1, 1);
        Assert.Contains(peer.All(), segment => segment.Sequence == 1 && segment.Length == Mss);
        Assert.Equal("Recovery", peer.Socket.GetInfo().CongestionState);
        Assert.InRange(peer.Socket.GetInfo().SlowStartThreshold, 2, 7);

        // RFC 6582: a partial ACK names the next hole, which is sent at once, too.
        peer.Send(TcpFlags.Ack, 1, 1 + (4 * Mss));
        Assert.Contains(peer.All(), segment => segment.Sequence == 1 + (4 * Mss));
        Assert.Equal("Recovery", peer.Socket.GetInfo().CongestionState);
        peer.Send(TcpFlags.Ack, 1, 1 + (10 * Mss));
        peer.All();
    }

    [Fact]
    public void The_first_two_duplicate_ACKs_let_new_data_out()
    {
        // RFC 5681 3.2, RFC 3042 (limited transmit).
        using var peer = new RawPeer() { Rtt = 40 };
        peer.Accepted();
        peer.Write(20 * Mss);
        Assert.Equal(10, peer.All().Count);
        peer.Send(TcpFlags.Ack, 1, 1);
        Assert.Equal([1u + (10 * Mss)], peer.All().Select(segment => segment.Sequence));
        peer.Send(TcpFlags.Ack, 1, 1);
        Assert.Equal([1u + (11 * Mss)], peer.All().Select(segment => segment.Sequence));
    }

    [Fact]
    public void RACK_finds_the_loss_from_what_was_delivered_later()
    {
        // RFC 8985 6.2.
        using var peer = new RawPeer() { Rtt = 40 };
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Write(10 * Mss);
        peer.All();
        peer.Wait(20);
        peer.SendSack(1, (1 + Mss, 1 + (4 * Mss)));
        Assert.Equal([1u], peer.All().Select(segment => segment.Sequence));
        Assert.Equal("Recovery", peer.Socket.GetInfo().CongestionState);
        Assert.Equal(1, peer.Socket.GetInfo().Lost);
        Assert.Equal(3, peer.Socket.GetInfo().Sacked);
    }

    [Fact]
    public void RACK_waits_a_quarter_of_the_round_trip_for_a_reordered_segment()
    {
        using var peer = new RawPeer() { Rtt = 40 };
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Write(10 * Mss);
        peer.All();
        peer.Wait(40);
        peer.SendSack(1, (1 + Mss, 1 + (2 * Mss)));
        double sacked = peer.NowMilliseconds;
        Segment again = peer.Next(100);
        Assert.Equal(1u, again.Sequence);

        // And 2 ms, the grain of Linux's timer.
        Assert.Equal(12, again.Milliseconds - sacked, 1.0);
    }

    [Fact]
    public void A_tail_that_is_lost_is_probed_before_the_timeout()
    {
        // RFC 8985 7.
        using var peer = new RawPeer() { Rtt = 40 };
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Write(10);
        peer.Next();
        peer.Wait(40);
        peer.Send(TcpFlags.Ack, 1, 11);
        peer.Write(4 * Mss);
        List<Segment> flight = peer.All();
        Segment probe = peer.Next(1000);
        Assert.Equal(flight[^1].Sequence, probe.Sequence);
        Assert.InRange(probe.Milliseconds - flight[0].Milliseconds, 20, 100);
    }

    [Fact]
    public void The_window_comes_down_in_proportion_to_what_is_delivered()
    {
        // RFC 6937: in recovery about beta segments leave for each that arrived, and the window ends at the threshold.
        using var peer = new RawPeer(settings: ("tcp_congestion_control", "reno")) { Rtt = 40 };
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Write(50 * Mss);
        peer.All();
        peer.Wait(20);
        peer.Send(TcpFlags.Ack, 1, 1 + (10 * Mss));
        Assert.Equal(20, peer.All().Count);
        int before = peer.Socket.GetInfo().CongestionWindow;
        Assert.Equal(20, before);
        peer.Wait(20);
        int sent = 0;
        for (uint i = 12; i <= 30; i++)
        {
            peer.SendSack(1 + (10 * Mss), (1 + (11 * Mss), 1 + (i * Mss)));
            sent += peer.All().Count;
        }

        Assert.InRange(sent, 8, 12);
        peer.Send(TcpFlags.Ack, 1, 1 + (30 * Mss));
        Assert.Equal(10, peer.Socket.GetInfo().SlowStartThreshold);
        Assert.InRange(peer.Socket.GetInfo().CongestionWindow, 10, 11);
    }

    [Fact]
    public void After_a_pause_sending_starts_slowly_again()
    {
        // RFC 5681 4.1.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(40 * Mss);
        uint acked = 0;
        for (int round = 0; round < 3; round++)
        {
            acked += (uint)peer.All().Sum(segment => segment.Length);
            peer.Wait(20);
            peer.Send(TcpFlags.Ack, 1, 1 + acked);
        }

        Assert.True(peer.Socket.GetInfo().CongestionWindow > 15);
        peer.Wait(10_000);
        peer.Write(30 * Mss);
        Assert.Equal(10, peer.All().Count);
    }

    [Fact]
    public void Another_congestion_control_can_be_chosen()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(), options => options.CongestionControl = "reno");
        Assert.Equal("reno", peer.Socket.GetInfo().CongestionControl);
        using var other = new RawPeer();
        other.Accepted();
        Assert.Equal("cubic", other.Socket.GetInfo().CongestionControl);
    }

    [Fact]
    public void The_timer_stops_when_everything_is_acknowledged_and_restarts_with_new_data()
    {
        // RFC 6298 5.1-5.3.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(100);
        peer.Next();
        peer.Wait(150);
        peer.Send(TcpFlags.Ack, 1, 101);
        peer.ExpectNothing(2000);
        peer.Write(2 * Mss);
        List<Segment> flight = peer.All();
        peer.Wait(100);
        peer.Send(TcpFlags.Ack, 1, 101 + Mss);
        double restarted = peer.NowMilliseconds;
        double timeout = peer.Socket.GetInfo().RetransmissionTimeout.TotalMilliseconds;
        Segment again = peer.Next(2000);
        Assert.Equal(flight[1].Sequence, again.Sequence);
        Assert.InRange(again.Milliseconds - restarted, timeout - 110, timeout + 5);
    }

    [Fact]
    public void An_unnecessary_timeout_is_undone()
    {
        // RFC 3522, RFC 4015: the ACK echoes the original's timestamp.
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: 1));
        peer.Write(10 * Mss);
        uint echo = peer.All()[^1].Options.TsVal;
        peer.Expect(TcpFlags.Ack, 1, within: 400);
        Assert.Equal(1, peer.Socket.GetInfo().CongestionWindow);
        peer.TimestampEcho = echo;
        peer.Send(TcpFlags.Ack, 1, 1 + Mss);
        Assert.True(peer.Socket.GetInfo().CongestionWindow >= 10);
        peer.All();
    }
}
