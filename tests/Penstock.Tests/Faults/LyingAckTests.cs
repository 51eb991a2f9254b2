using Penstock.Tests.Seeds;
using Conversation = Penstock.Tests.Rfc9293.RawPeer;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>
/// A peer, or somebody who guesses its numbers, that lies about what it received. Nothing it says may make an ACK cost more than what it covers, or the sender more aggressive than an honest peer would. Costs are
/// counted in queued buffers looked at, not measured in time.
/// </summary>
public class LyingAckTests
{
    private const int Mss = HandPeer.Mss;

    [Theory]
    [InlineData(64)]
    [InlineData(512)]
    [InlineData(4096)]
    public async Task An_ACK_costs_what_it_covers_whatever_the_window(int window)
    {
        await using HandPeer peer = Flight(window);
        long most = 0;
        for (uint i = 1; i <= 20; i++)
        {
            most = Math.Max(most, Cost(peer, () => peer.Ack(peer.First + (i * Mss))));
        }

        Assert.InRange(most, 1, 4);
        peer.Check();
    }

    [Theory]
    [InlineData(64)]
    [InlineData(512)]
    [InlineData(4096)]
    public async Task A_SACK_costs_what_it_newly_reports_whatever_the_window(int window)
    {
        await using HandPeer peer = Flight(window);
        Advance(peer);
        Sack(peer, (1, 2));
        long most = 0;

        // A hole at the front, and the report grows segment by segment; so does what is lost and sent again.
        for (uint i = 2; i < window - 1; i++)
        {
            most = Math.Max(most, Cost(peer, () => Sack(peer, (1, i + 1))));
        }

        Assert.InRange(most, 1, 8);
        peer.Check();
    }

    [Fact]
    public async Task Thousands_of_holes_cost_a_few_looks_each()
    {
        const int Window = 4000;
        await using HandPeer peer = Flight(Window);
        Advance(peer);
        long total = 0, most = 0;
        for (uint i = 1; i < Window - 8; i += 2)
        {
            // The block of this segment and the two before it, as a receiver would report them.
            long cost = Cost(peer, () => Sack(peer, i > 4 ? [(i, i + 1), (i - 2, i - 1), (i - 4, i - 3)] : [(i, i + 1)]));
            total += cost;
            most = Math.Max(most, cost);
        }

        // Each segment is marked lost once, tagged once and sent again once.
        Assert.InRange(total, Window / 2, 6 * Window);
        Assert.InRange(most, 1, 64);
        peer.Check();
    }

    /// <summary>Once a path is known to reorder, holes are waited for: a peer that makes them has each ACK find all that were made before.</summary>
    [Fact]
    public async Task Thousands_of_holes_that_may_only_be_late_cost_a_few_looks_each()
    {
        const int Window = 4000;
        await using HandPeer peer = Flight(Window);
        Advance(peer);
        Sack(peer, (1, 2));
        peer.Ack(peer.First + (2 * Mss));
        Assert.Equal(1, peer.Connection.RecoveryFigures.Reorderings);
        long most = 0;
        for (uint i = 3; i < Window - 8; i += 2)
        {
            most = Math.Max(most, Cost(peer, () => Sack(peer, i > 6 ? [(i, i + 1), (i - 2, i - 1), (i - 4, i - 3)] : [(i, i + 1)])));
        }

        Assert.InRange(most, 1, 48);
        Assert.Equal(0, peer.Connection.Snapshot().Lost);

        // All of them have been waited for when the last has.
        peer.Time.RunFor(TimeSpan.FromMilliseconds(13));
        Assert.Equal((Window / 2) - 5, peer.Stack.GetCounter(StackCounter.TcpLost));
        peer.Check();
    }

    [Fact]
    public async Task Retransmissions_that_are_lost_again_and_again_are_found_without_a_walk_past_the_others()
    {
        const int Window = 2000;
        await using HandPeer peer = Flight(Window);
        Advance(peer);

        // Every other segment arrives, so that half of the window is lost and nothing of it can be merged.
        for (uint i = 1; i < Window; i += 2)
        {
            Sack(peer, (i, i + 1));
        }

        for (int i = 0; i < 200; i++)
        {
            // New data goes and arrives, which shows that what was sent again before it did not.
            Advance(peer);
            uint at = (peer.SentEnd - peer.First) / Mss;
            peer.Connection.Cwnd.Window = peer.Connection.Snapshot().Unacknowledged;
            peer.Send(Mss);
            int sent = peer.Link.Sent.Count;
            long lost = peer.Stack.GetCounter(StackCounter.TcpLost);
            long cost = Cost(peer, () => Sack(peer, (at, at + 1)));
            lost = peer.Stack.GetCounter(StackCounter.TcpLost) - lost;
            Assert.InRange(cost, 0, (2 * lost) + (2 * (peer.Link.Sent.Count - sent)) + 8);
        }

        peer.Check();
    }

    [Fact]
    public async Task Blocks_that_lie_change_nothing_and_cost_nothing()
    {
        await using HandPeer peer = Flight(1000);
        Advance(peer);
        uint end = peer.SentEnd;
        (uint Start, uint End)[] lies =
        [
            (end, end + Mss), (end - Mss, end + 1), (peer.First, peer.First + (10 * Mss)), (peer.First - (2 * Mss), peer.First - Mss), (end, peer.First), (peer.First + 5, peer.First + 5),
            (peer.First + 0x80000000, peer.First + 0x80000001), (end - 1, peer.First + 1),
        ];
        for (int i = 0; i < 500; i++)
        {
            (uint start, uint stop) = lies[i % lies.Length];
            Assert.InRange(Cost(peer, () => SackBytes(peer, (start, stop))), 0, 2);
        }

        Assert.Equal((0, 0), (peer.Connection.Snapshot().Sacked, peer.Connection.Snapshot().Lost));
        Assert.Equal(0, peer.Connection.Snapshot().TotalRetransmits);
        peer.Check();
    }

    [Fact]
    public async Task Overlapping_blocks_are_tagged_once()
    {
        await using HandPeer peer = Flight(1000);
        Advance(peer);
        Sack(peer, (100, 900), (200, 800), (300, 950), (1, 999));
        Assert.Equal(998, peer.Connection.Snapshot().Sacked);
        Assert.InRange(Cost(peer, () => Sack(peer, (1, 999), (100, 900), (200, 800), (300, 950))), 0, 8);
        peer.Check();
    }

    [Fact]
    public async Task Reports_of_single_bytes_make_no_buffers_and_mark_nothing()
    {
        await using HandPeer peer = Flight(100);
        Advance(peer);
        long before = peer.Stack.Pool.RentedBuffers;
        for (uint i = 0; i < 2000; i++)
        {
            uint at = peer.First + 1 + (i * 37);
            SackBytes(peer, (at, at + 1), (at + 5, at + 6), (at + 10, at + 11));
        }

        Assert.Equal(0, peer.Connection.Snapshot().Sacked);
        Assert.InRange(peer.Stack.Pool.RentedBuffers, before - 4, before + 4);
        peer.Check();
    }

    [Fact]
    public async Task An_optimistic_ACK_is_not_believed_and_answers_to_it_are_limited()
    {
        await using HandPeer peer = Flight(10);
        Advance(peer);
        int sent = peer.Link.Sent.Count;
        int window = peer.Connection.Cwnd.Window;
        for (uint i = 1; i <= 1000; i++)
        {
            peer.Deliver(TcpFlags.Ack, peer.Next, peer.SentEnd + i);
        }

        Assert.Equal(window, peer.Connection.Cwnd.Window);
        Assert.Equal(10, peer.Connection.Snapshot().Unacknowledged);
        Assert.InRange(peer.Link.Sent.Count - sent, 0, 1);
    }

    [Fact]
    public async Task Dividing_ACKs_earns_no_more_window_than_one_ACK()
    {
        // RFC 3465: bytes, or here segments, count and not ACKs.
        await using HandPeer honest = Flight(10), divided = Flight(10);
        honest.Connection.Cwnd.Window = divided.Connection.Cwnd.Window = 10;
        honest.Ack(honest.First + (10 * Mss));
        for (uint at = 20; at <= 10 * Mss; at += 20)
        {
            divided.Ack(divided.First + at);
        }

        Assert.Equal(honest.Connection.Cwnd.Window, divided.Connection.Cwnd.Window);
    }

    [Fact]
    public async Task Forged_DSACKs_neither_widen_RACKs_window_without_end_nor_undo_a_reduction_that_was_right()
    {
        await using HandPeer peer = Flight(20);
        Advance(peer);
        for (int i = 0; i < 5000; i++)
        {
            // More duplicates than anything was ever sent again.
            Assert.InRange(Cost(peer, () => SackBytes(peer, (peer.First - 100, peer.First - 50))), 0, 4);
        }

        Assert.Equal(1, peer.Connection.RecoveryFigures.RackSteps);
        Sack(peer, (1, 5));
        Assert.Equal("Recovery", peer.Connection.Snapshot().CongestionState);
        SackBytes(peer, (peer.First - 100, peer.First - 50), (peer.First + Mss, peer.First + (5 * Mss)));
        Assert.Equal("Recovery", peer.Connection.Snapshot().CongestionState);
    }

    [Fact]
    public async Task A_DSACK_of_a_whole_window_costs_no_more_than_one_of_a_segment()
    {
        await using HandPeer peer = Flight(4000);
        Advance(peer);
        Sack(peer, (10, 3900));
        for (uint i = 0; i < 100; i++)
        {
            Assert.InRange(Cost(peer, () => Sack(peer, (11, 3890), (10, 3900))), 0, 4);
        }

        peer.Check();
    }

    [Fact]
    public async Task Windows_that_open_and_shut_cost_no_walk()
    {
        await using HandPeer peer = Flight(2000);
        Advance(peer);
        for (int i = 0; i < 200; i++)
        {
            peer.Window = (uint)(i % 2 == 0 ? 0 : 65535);
            Assert.InRange(Cost(peer, () => peer.Ack(peer.First)), 0, 4);
        }
    }

    [Theory]
    [InlineData(1u)]
    [InlineData(2_000_000u)]
    [InlineData(0x7FFFFFFFu)]
    [InlineData(0x80000000u)]
    [InlineData(0xFFFFFFFFu)]
    public void An_echo_that_jumps_stretches_the_timeout_no_further_than_its_limit(uint jump)
    {
        using var peer = new Conversation { Rtt = 40 };
        peer.Accepted(Conversation.SynOptions(sack: true, timestamp: 1000));
        peer.Write(1000);
        peer.Next();

        // Of a retransmission only the echo tells how long it took, and a forged one tells anything.
        peer.Next(1000);
        uint honest = peer.TimestampEcho;
        peer.TimestampEcho = honest - jump;
        peer.Send(TcpFlags.Ack, 1, 1001);
        TcpInfo info = peer.Socket.GetInfo();
        Assert.Equal(0, info.SendQueue);
        Assert.InRange(info.RetransmissionTimeout.TotalSeconds, 0.2, 120);

        peer.TimestampEcho = honest;
        peer.Write(1000);
        Assert.Equal(1001u, peer.Next().Sequence);
        peer.Send(TcpFlags.Ack, 1, 2001);
        Assert.Equal(0, peer.Socket.GetInfo().SendQueue);
    }

    private static HandPeer Flight(int segments)
    {
        HandPeer peer = new HandPeer(s => { s.SizeGoal = 1; s.EarlyRetrans = 0; s.CongestionControl = "reno"; }).SendBuffer(1 << 28).Open(segments);
        peer.Send(segments * Mss);
        Assert.Equal(segments, peer.Connection.Snapshot().Unacknowledged);
        return peer;
    }

    private static void Advance(HandPeer peer) => peer.Time.RunFor(TimeSpan.FromMilliseconds(40));

    private static long Cost(HandPeer peer, Action act)
    {
        long before = peer.Connection.RecoveryFigures.Visited;
        act();
        return peer.Connection.RecoveryFigures.Visited - before;
    }

    /// <summary>Reports segments first to last (exclusive).</summary>
    private static void Sack(HandPeer peer, params (uint First, uint Last)[] blocks) =>
        SackBytes(peer, Array.ConvertAll(blocks, b => (peer.First + (b.First * Mss), peer.First + (b.Last * Mss))));

    private static void SackBytes(HandPeer peer, params (uint Start, uint End)[] blocks)
    {
        var options = default(TcpOptions);
        foreach ((uint start, uint end) in blocks)
        {
            options.AddSackBlock(new SackBlock(new SequenceNumber(start), new SequenceNumber(end)));
        }

        peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked, options: options);
    }
}
