using Penstock.Tests.Time;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 8985, RFC 2883, RFC 3708: losses of losses, false alarms, and probes of the tail.</summary>
public class RecoveryTests
{
    private const int Mss = 1460;

    [Fact]
    public void A_retransmission_that_is_lost_too_is_found_without_a_timeout()
    {
        // RFC 8985 6.2: something sent after the retransmission was delivered.
        using var peer = Flight(10);
        peer.Wait(40);
        peer.SendSack(1, (1 + Mss, 1 + (4 * Mss)));
        Assert.Contains(peer.All(), segment => segment.Sequence == 1);
        peer.Wait(40);

        // New data that was sent after the retransmission arrives, the retransmission does not.
        uint top = 1 + (10 * Mss);
        peer.Write(2 * Mss);
        peer.SendSack(1, (1 + Mss, top));
        List<Segment> more = peer.All();
        Assert.Contains(more, segment => segment.Sequence >= top);
        peer.Wait(40);
        double before = peer.NowMilliseconds;
        peer.SendSack(1, (1 + Mss, top + Mss));
        Segment again = peer.Next(15);
        Assert.Equal(1u, again.Sequence);
        Assert.InRange(again.Milliseconds - before, 0, 15);
        peer.Send(TcpFlags.Ack, 1, top + (2 * Mss));
    }

    [Fact]
    public void A_lost_retransmission_is_found_by_another_also_where_every_ACK_is_looked_at_late()
    {
        // RFC 8985 6.2 step 2: an ACK sooner than any round trip is for the original. Round trips, too, end when their ACKs arrive: 40 ms here, after a handshake that took 45.
        using var peer = new RawPeer { Rtt = 45 };
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Write(5 * Mss);
        peer.All();
        peer.Wait(40);
        Late(peer, () => peer.SendSack(1, (1 + (2 * Mss), 1 + (5 * Mss))));
        Assert.Equal([1u, 1 + Mss], peer.All().ConvertAll(segment => segment.Sequence));

        // The second is delivered, the first is not.
        peer.Wait(40);
        Late(peer, () => peer.SendSack(1, (1 + Mss, 1 + (5 * Mss))));
        Assert.Equal(1u, peer.Next(1).Sequence);
        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpTimeouts));
        peer.Send(TcpFlags.Ack, 1, 1 + (5 * Mss));
    }

    [Fact]
    public void DSACKs_for_all_retransmissions_undo_the_reduction()
    {
        using var peer = Flight(10);
        peer.Wait(40);
        peer.SendSack(1, (1 + Mss, 1 + (4 * Mss)));
        Assert.Contains(peer.All(), segment => segment.Sequence == 1);
        Assert.Equal("Recovery", peer.Socket.GetInfo().CongestionState);
        Assert.True(peer.Socket.GetInfo().SlowStartThreshold < 10);

        // The original was late, not lost: the cumulative ACK comes, then a DSACK for the copy.
        peer.SendSack(1 + (4 * Mss), (1, 1 + Mss));
        Assert.NotEqual("Recovery", peer.Socket.GetInfo().CongestionState);
        Assert.True(peer.Socket.GetInfo().CongestionWindow >= 10);
        peer.Send(TcpFlags.Ack, 1, 1 + (10 * Mss));
    }

    [Fact]
    public void A_segment_that_was_only_late_is_not_sent_again()
    {
        // RFC 8985 4: within a quarter of the round trip.
        using var peer = Flight(4);
        peer.Wait(40);
        peer.SendSack(1, (1 + Mss, 1 + (2 * Mss)));
        peer.Wait(5);
        peer.Send(TcpFlags.Ack, 1, 1 + (4 * Mss));
        peer.ExpectNothing(1000);
        Assert.Equal(0, peer.Socket.GetInfo().TotalRetransmits);
    }

    [Fact]
    public void A_window_update_is_not_a_duplicate_ACK()
    {
        // RFC 5681 2.
        using var peer = new RawPeer { Rtt = 40, Window = 50_000 };
        peer.Accepted();
        peer.Write(10 * Mss);
        peer.All();
        for (int window = 60_000; window < 65_000; window += 500)
        {
            peer.Send(TcpFlags.Ack, 1, 1, window: window);
        }

        Assert.DoesNotContain(peer.All(), segment => segment.Sequence == 1);
        Assert.Equal("Open", peer.Socket.GetInfo().CongestionState);
    }

    [Fact]
    public void Data_with_the_same_ACK_is_not_a_duplicate_ACK()
    {
        using var peer = new RawPeer { Rtt = 40 };
        peer.Accepted();
        peer.Write(10 * Mss);
        peer.All();
        for (uint i = 0; i < 5; i++)
        {
            peer.Send(TcpFlags.Ack, 1 + (i * 10), 1, length: 10);
        }

        Assert.DoesNotContain(peer.All(), segment => segment.Sequence == 1 && segment.Length > 0);
    }

    [Fact]
    public void A_probe_of_the_tail_that_repaired_a_loss_reduces_the_window_and_one_that_did_not_does_not()
    {
        // RFC 8985 7.4.
        using var lost = Flight(4);
        Segment probe = lost.Next(1000);
        Assert.Equal(1u + (3 * Mss), probe.Sequence);
        lost.Wait(40);
        lost.Send(TcpFlags.Ack, 1, 1 + (4 * Mss));

        // Not yet: a DSACK may follow. What is acknowledged beyond the probe without one tells.
        Assert.Equal(int.MaxValue, lost.Socket.GetInfo().SlowStartThreshold);
        lost.Write(Mss);
        lost.All();
        lost.Send(TcpFlags.Ack, 1, 1 + (5 * Mss));
        Assert.True(lost.Socket.GetInfo().SlowStartThreshold < int.MaxValue);

        using var needless = Flight(4);
        needless.Next(1000);
        needless.SendSack(1 + (4 * Mss), (1 + (3 * Mss), 1 + (4 * Mss)));
        Assert.Equal(int.MaxValue, needless.Socket.GetInfo().SlowStartThreshold);
    }

    [Fact]
    public void SACK_blocks_that_make_no_sense_change_nothing()
    {
        using var peer = Flight(4);
        peer.SendSack(1, (5 + (4 * Mss), 100 + (4 * Mss)), (Mss, Mss), (3 * Mss, Mss));
        Assert.Equal(0, peer.Socket.GetInfo().Sacked);
        Assert.Null(peer.Connection.VerifyInvariants());
        peer.Send(TcpFlags.Ack, 1, 1 + (4 * Mss));
    }

    [Fact]
    public void A_partial_SACK_of_a_segment_counts_for_nothing_and_invariants_hold()
    {
        using var peer = Flight(6);
        for (uint i = 1; i < 6; i++)
        {
            peer.SendSack(1, (1 + (i * 700), 200 + (i * 1400)));
            Assert.Null(peer.Connection.VerifyInvariants());
        }

        peer.Send(TcpFlags.Ack, 1, 1 + 700);
        Assert.Null(peer.Connection.VerifyInvariants());
        peer.Send(TcpFlags.Ack, 1, 1 + (6 * Mss));
        Assert.Equal(0, peer.Socket.GetInfo().SendQueue);
    }

    [Fact]
    public void A_retransmission_begins_at_what_is_not_acknowledged()
    {
        // An ACK in the middle of a segment.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(1000);
        peer.Next();
        peer.Send(TcpFlags.Ack, 1, 401);
        List<Segment> again = peer.All(2000);
        Assert.True(again[0].Sequence is 1 or 401);
        Assert.Equal(1001u, again[0].Sequence + (uint)again[0].Length);
        peer.Send(TcpFlags.Ack, 1, 1001);
        Assert.Equal(0, peer.Socket.GetInfo().SendQueue);
    }

    /// <summary>A connection with SACK and a round trip of 40 ms that has so many full segments in flight.</summary>
    private const int LateMilliseconds = 5;

    /// <summary>What arrives now is looked at when the worker gets a processor again.</summary>
    private static void Late(RawPeer peer, Action arrives)
    {
        peer.Stack.OwnWorker.Post(new Stall(peer.Time, TimeSpan.FromMilliseconds(LateMilliseconds), arrives));
        peer.Wait(0);
    }

    private static RawPeer Flight(int segments)
    {
        var peer = new RawPeer { Rtt = 40 };
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Write(segments * Mss);
        peer.All();
        return peer;
    }
}
