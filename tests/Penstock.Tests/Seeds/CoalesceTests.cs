using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>Merging in the backlog, each condition negated, and one ACK for a whole drain.</summary>
public class CoalesceTests
{
    [Fact]
    [Trait("Requirement", "T13")]
    public async Task Data_that_continues_the_tail_is_merged_into_it()
    {
        await using var peer = new HandPeer().Open();
        Assert.True(MergesTwo(peer, p => p.Data(100), p => p.Data(100, TcpFlags.Psh)));
        Assert.Equal(200, peer.Socket.Available);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "T13")]
    public async Task Pure_ACKs_are_merged_and_the_newest_acknowledgment_and_window_hold()
    {
        await using var peer = new HandPeer(s => s.SizeGoal = 1).Open();
        peer.Send(4 * HandPeer.Mss);
        uint first = peer.First;
        Assert.True(MergesTwo(
            peer,
            p => p.Deliver(TcpFlags.Ack, p.Next, first + HandPeer.Mss, window: 1000),
            p => p.Deliver(TcpFlags.Ack, p.Next, first + (3 * HandPeer.Mss), window: 2000)));
        Assert.Equal(HandPeer.Mss, peer.Connection.UnacknowledgedBytes);
        Assert.Equal(2000L << HandPeer.Scale, (long)peer.Connection.Snapshot().SendWindow);

        // An older acknowledgment behind a newer one takes nothing back.
        peer.Connection.Own();
        peer.Deliver(TcpFlags.Ack, peer.Next, first + (4 * HandPeer.Mss), window: 3000);
        peer.Deliver(TcpFlags.Ack, peer.Next, first + (2 * HandPeer.Mss), window: 4000);
        Assert.Equal(1, peer.Connection.BacklogPackets);
        peer.Connection.Release();
        Assert.Equal(0, peer.Connection.UnacknowledgedBytes);
        Assert.Equal(3000L << HandPeer.Scale, (long)peer.Connection.Snapshot().SendWindow);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "T13")]
    public async Task Merged_duplicate_ACKs_still_count_one_by_one_without_SACK()
    {
        await using var peer = new HandPeer(s => { s.SizeGoal = 1; s.EarlyRetrans = 0; }, sack: false).Open(10);
        peer.Send(8 * HandPeer.Mss);
        peer.Ack(peer.First + HandPeer.Mss);
        int before = peer.Link.Sent.Count;
        peer.Connection.Own();
        for (int i = 0; i < 3; i++)
        {
            peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked);
        }

        Assert.Equal(1, peer.Connection.BacklogPackets);
        peer.Connection.Release();
        Assert.Contains(peer.Link.Sent.Skip(before), s => s.Sequence == peer.First + HandPeer.Mss && s.Length > 0);
        peer.Check();
    }

    [Theory]
    [Trait("Requirement", "T13")]
    [InlineData("a gap in sequence")]
    [InlineData("congestion echo on one")]
    [InlineData("window reduced on one")]
    [InlineData("accurate ECN on one")]
    [InlineData("a reset")]
    [InlineData("a SYN")]
    [InlineData("urgent data")]
    [InlineData("no ACK on one")]
    [InlineData("another type of service")]
    [InlineData("timestamps on one")]
    [InlineData("another timestamp")]
    [InlineData("another echoed timestamp")]
    [InlineData("SACK blocks on one")]
    [InlineData("other SACK blocks")]
    [InlineData("too many fragments")]
    public async Task Nothing_is_merged_across(string difference)
    {
        await using var peer = new HandPeer().Open();
        var stamped = default(TcpOptions);
        stamped.HasTimestamps = true;
        stamped.TsVal = 10;
        stamped.TsEcr = 20;
        TcpOptions value = stamped, echo = stamped, block = default, other = default;
        value.TsVal = 11;
        echo.TsEcr = 21;
        block.AddSackBlock(new SackBlock(new SequenceNumber(1), new SequenceNumber(2)));
        other.AddSackBlock(new SackBlock(new SequenceNumber(1), new SequenceNumber(3)));
        uint at = peer.Next, ack = peer.Acked;
        TcpOptions options = difference switch
        {
            "another timestamp" or "another echoed timestamp" => stamped,
            "other SACK blocks" => block,
            _ => default,
        };
        void First() => peer.Deliver(TcpFlags.Ack, at, ack, 100, options: options, fragments: difference == "too many fragments" ? 17 : 1);
        void Second()
        {
            uint next = at + 100;
            switch (difference)
            {
                case "a gap in sequence": peer.Deliver(TcpFlags.Ack, next + 1, ack, 100); break;
                case "congestion echo on one": peer.Deliver(TcpFlags.Ack | TcpFlags.Ece, next, ack, 100); break;
                case "window reduced on one": peer.Deliver(TcpFlags.Ack | TcpFlags.Cwr, next, ack, 100); break;
                case "accurate ECN on one": peer.Deliver(TcpFlags.Ack | TcpFlags.Ae, next, ack, 100); break;
                case "a reset": peer.Deliver(TcpFlags.RstAck, next, ack); break;
                case "a SYN": peer.Deliver(TcpFlags.SynAck, next, ack); break;
                case "urgent data": peer.Deliver(TcpFlags.Ack | TcpFlags.Urg, next, ack, 100); break;
                case "no ACK on one": peer.Deliver(TcpFlags.None, next, ack, 100); break;
                case "another type of service": peer.Deliver(TcpFlags.Ack, next, ack, 100, tos: 3); break;
                case "timestamps on one": peer.Deliver(TcpFlags.Ack, next, ack, 100, options: stamped); break;
                case "another timestamp": peer.Deliver(TcpFlags.Ack, next, ack, 100, options: value); break;
                case "another echoed timestamp": peer.Deliver(TcpFlags.Ack, next, ack, 100, options: echo); break;
                case "SACK blocks on one": peer.Deliver(TcpFlags.Ack, next, ack, 100, options: block); break;
                case "other SACK blocks": peer.Deliver(TcpFlags.Ack, next, ack, 100, options: other); break;
                case "too many fragments": peer.Deliver(TcpFlags.Ack, next, ack, 100); break;
                default: Assert.Fail(difference); break;
            }
        }

        Assert.False(MergesTwo(peer, _ => First(), _ => Second()), difference);
    }

    [Fact]
    [Trait("Requirement", "T13")]
    public async Task Seventeen_fragments_are_the_most_a_merged_packet_has()
    {
        await using var peer = new HandPeer().Open();
        Assert.True(MergesTwo(
            peer,
            p => { p.Deliver(TcpFlags.Ack, p.Next, p.Acked, 160, fragments: 16); p.Next += 160; },
            p => p.Data(10)));
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "T13")]
    public async Task Merging_goes_on_above_the_limit()
    {
        await using var peer = new HandPeer().Open();
        TcpConnection connection = peer.Connection;
        connection.Memory.ReceiveBuffer = 2304;
        connection.Memory.SendBuffer = 4608;
        connection.Own();
        uint apart = peer.Next + 1;
        while (connection.Snapshot().Drops == 0)
        {
            peer.Deliver(TcpFlags.Ack, apart, peer.Acked, 1000);
            apart += 1001;
        }

        int packets = connection.BacklogPackets;
        long bytes = connection.BacklogBytes;
        Assert.True(bytes > connection.BacklogLimit);

        // The first drop came after the last that fitted: that one is the tail, and what continues it goes in.
        peer.Deliver(TcpFlags.Ack, apart - 1001 - 1, peer.Acked, 1000);
        Assert.Equal(packets, connection.BacklogPackets);
        Assert.True(connection.BacklogBytes > bytes);
        Assert.Equal(1, connection.Snapshot().Drops);
        connection.Release();
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "T13")]
    public async Task With_merging_off_every_packet_waits_by_itself()
    {
        await using var peer = new HandPeer(s => s.BacklogCoalesce = false).Open();
        Assert.False(MergesTwo(peer, p => p.Data(100), p => p.Data(100)));
        Assert.Equal(200, peer.Socket.Available);
    }

    [Fact]
    [Trait("Requirement", "T12")]
    public async Task A_drain_is_answered_by_one_ACK_for_all_of_it()
    {
        await using var peer = new HandPeer(s => s.BacklogCoalesce = false).Open();
        peer.Data(1000);
        int before = peer.Link.Sent.Count;
        peer.Connection.Own();
        for (int i = 0; i < 9; i++)
        {
            peer.Data(HandPeer.Mss);
        }

        Assert.Equal(9, peer.Connection.BacklogPackets);
        peer.Connection.FlushBacklog(runDeferred: true);
        SentSegment ack = Assert.Single(peer.Link.Sent.Skip(before));
        Assert.Equal(peer.Next, ack.Acknowledgment);
        peer.Connection.Release();
        Assert.Equal(before + 1, peer.Link.Sent.Count);
    }

    [Fact]
    [Trait("Requirement", "T12")]
    public async Task Without_deferring_each_second_segment_at_least_is_answered()
    {
        await using var peer = new HandPeer(s => { s.BacklogCoalesce = false; s.BacklogAckDefer = false; }).Open();
        peer.Data(1000);
        int before = peer.Link.Sent.Count;
        peer.Connection.Own();
        for (int i = 0; i < 9; i++)
        {
            peer.Data(HandPeer.Mss);
        }

        peer.Connection.FlushBacklog(runDeferred: true);
        Assert.InRange(peer.Link.Sent.Count - before, 4, 9);
        peer.Connection.Release();
    }

    private static bool MergesTwo(HandPeer peer, Action<HandPeer> first, Action<HandPeer> second)
    {
        long merged = peer.Stack.GetCounter(StackCounter.TcpBacklogCoalesce);
        peer.Connection.Own();
        first(peer);
        second(peer);
        int packets = peer.Connection.BacklogPackets;
        merged = peer.Stack.GetCounter(StackCounter.TcpBacklogCoalesce) - merged;
        Assert.Equal(2, packets + merged);
        peer.Connection.Release();
        return packets == 1;
    }
}
