using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 9293 3.8.6.3, 3.10.7.4: when ACKs are sent; RFC 2018 and RFC 2883: what their SACK blocks say.</summary>
public class AcknowledgmentTests
{
    [Fact]
    public void A_lone_segment_is_acknowledged_later_but_within_200_ms()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        uint next = PastQuickAcks(peer);
        peer.Send(TcpFlags.Ack, next, 1, length: 1000);
        double sent = peer.NowMilliseconds;
        Segment ack = peer.Expect(TcpFlags.Ack, ack: next + 1000, within: 500);
        Assert.InRange(ack.Milliseconds - sent, 39, 201);
    }

    [Fact]
    public void Every_second_full_segment_is_acknowledged_at_once()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        uint next = PastQuickAcks(peer);
        for (int i = 0; i < 10; i++)
        {
            peer.Send(TcpFlags.Ack, next, 1, length: 1460);
            next += 1460;
            if (i % 2 == 0)
            {
                Assert.Empty(peer.All());
            }
            else
            {
                peer.Expect(TcpFlags.Ack, ack: next, within: 0);
            }
        }
    }

    [Fact]
    public void An_ACK_rides_on_data_that_goes_the_other_way()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        uint next = PastQuickAcks(peer);
        peer.Send(TcpFlags.Ack, next, 1, length: 100);
        peer.Write(50);
        peer.Expect(TcpFlags.Ack, 1, next + 100, 50);
        peer.ExpectNothing(150);
    }

    [Fact]
    public void Segments_that_arrive_together_are_acknowledged_together()
    {
        // MUST-58, MUST-59: all that is queued is processed before the ACK goes; here merged on arrival as Linux's GRO does.
        using var peer = new RawPeer();
        peer.Accepted();
        uint next = PastQuickAcks(peer);
        for (int i = 0; i < 8; i++)
        {
            Assert.True(peer.Link.Inject(peer.Build(TcpFlags.Ack, RawPeer.PeerIss + next, peer.StackIss + 1, 65535, [], RawPeer.Pattern(next, 1460))));
            next += 1460;
        }

        List<Segment> acks = peer.All(100);
        Assert.Equal(next, acks[^1].Acknowledgment);
        Assert.InRange(acks.Count, 1, 4);
    }

    [Fact]
    public void Data_beyond_a_gap_is_kept_and_acknowledged_at_once_and_so_is_what_fills_the_gap()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        uint next = PastQuickAcks(peer);
        peer.Send(TcpFlags.Ack, next + 100, 1, length: 100);
        peer.Expect(TcpFlags.Ack, ack: next, within: 0);
        peer.Send(TcpFlags.Ack, next, 1, length: 100);
        peer.Expect(TcpFlags.Ack, ack: next + 200, within: 0);
        Assert.Equal(200, peer.Read());
    }

    [Fact]
    public void ACKs_that_went_as_one_are_counted()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(sack: true));
        uint next = PastQuickAcks(peer);
        for (uint i = 1; i <= 8; i++)
        {
            peer.Send(TcpFlags.Ack, next + (i * 100), 1, length: 100);
        }

        // Three at once, five as one; then one more, which an answer of ours takes along.
        Assert.Equal(3, peer.All().Count);
        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpAckCompressed));
        peer.Expect(TcpFlags.Ack, ack: next, within: 2);
        Assert.Equal(4, peer.Stack.GetCounter(StackCounter.TcpAckCompressed));
        peer.Send(TcpFlags.Ack, next + 900, 1, length: 100);
        peer.Write(50);
        peer.Expect(TcpFlags.Ack, 1, next, 50);
        Assert.Equal(5, peer.Stack.GetCounter(StackCounter.TcpAckCompressed));
        peer.ExpectNothing(150);
    }

    [Fact]
    public void A_segment_outside_the_window_is_answered_with_an_ACK_and_not_taken()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 1_000_000, 1, length: 10);
        peer.Expect(TcpFlags.Ack, 1, 1);
        Assert.True(peer.Read() < 0);
    }

    [Fact]
    public void A_segment_without_ACK_is_dropped()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.None, 1, length: 10);
        peer.ExpectNothing(100);
        Assert.True(peer.Read() < 0);
    }

    [Fact]
    public void Old_bytes_are_cut_off()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        peer.Send(TcpFlags.Ack, 5, 1, length: 10);
        byte[] buffer = new byte[100];
        Assert.Equal(14, peer.Read(buffer, out _));
        Assert.Equal(RawPeer.Pattern(1, 14), buffer[..14]);
    }

    [Fact]
    public void The_block_of_the_newest_segment_comes_first()
    {
        // RFC 2018 4.
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Send(TcpFlags.Ack, 101, 1, length: 100);
        Assert.Equal([(101u, 201u)], Blocks(peer.Next()));
        peer.Send(TcpFlags.Ack, 401, 1, length: 100);
        Assert.Equal([(401u, 501u), (101u, 201u)], Blocks(peer.Next()));
        peer.Send(TcpFlags.Ack, 201, 1, length: 50);
        Assert.Equal([(101u, 251u), (401u, 501u)], Blocks(peer.Next()));
        peer.Send(TcpFlags.Ack, 601, 1, length: 50);
        peer.Send(TcpFlags.Ack, 701, 1, length: 50);
        List<Segment> acks = peer.All(withinMilliseconds: 2);
        Assert.Equal([(701u, 751u), (601u, 651u), (101u, 251u), (401u, 501u)], Blocks(acks[^1]));
        peer.Send(TcpFlags.Ack, 1, 1, length: 100);
        Segment filled = peer.Next();
        Assert.Equal(251u, filled.Acknowledgment);
        Assert.Equal([(701u, 751u), (601u, 651u), (401u, 501u)], Blocks(filled));
    }

    [Fact]
    public void Behind_timestamps_three_blocks_fit()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(sack: true, timestamp: 1));
        for (uint i = 1; i <= 5; i++)
        {
            peer.Send(TcpFlags.Ack, 1 + (i * 200), 1, length: 100);
        }

        Assert.Equal([(1001u, 1101u), (801u, 901u), (601u, 701u)], Blocks(peer.All(withinMilliseconds: 2)[^1]));
    }

    [Fact]
    public void A_duplicate_is_reported_once_and_first()
    {
        // RFC 2883 4.1: below the cumulative ACK, and 4.2: inside a block of data beyond a gap.
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Send(TcpFlags.Ack, 1, 1, length: 100);
        peer.All(300);
        peer.Send(TcpFlags.Ack, 1, 1, length: 100);
        Assert.Equal([(1u, 101u)], Blocks(peer.Next()));
        peer.Send(TcpFlags.Ack, 201, 1, length: 100);
        Assert.Equal([(201u, 301u)], Blocks(peer.Next()));
        peer.Send(TcpFlags.Ack, 201, 1, length: 100);
        Assert.Equal([(201u, 301u), (201u, 301u)], Blocks(peer.Next()));
        peer.Send(TcpFlags.Ack, 401, 1, length: 100);
        Assert.Equal([(401u, 501u), (201u, 301u)], Blocks(peer.Next()));
    }

    [Fact]
    public void DSACK_can_be_switched_off()
    {
        using var peer = new RawPeer(settings: ("tcp_dsack", "0"));
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Send(TcpFlags.Ack, 201, 1, length: 100);
        peer.Next();
        peer.Send(TcpFlags.Ack, 201, 1, length: 100);
        Assert.Equal([(201u, 301u)], Blocks(peer.Next()));
    }

    [Fact]
    public void A_peer_that_did_not_permit_SACK_gets_none()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 201, 1, length: 100);
        peer.Send(TcpFlags.Ack, 201, 1, length: 100);
        peer.Send(TcpFlags.Ack, 151, 1, length: 100);
        peer.Send(TcpFlags.Ack, 1, 1, length: 300);
        peer.Send(TcpFlags.Ack, 1, 1, length: 300);
        Assert.All(peer.All(300), segment => Assert.Empty(segment.OptionBytes));
    }

    [Fact]
    public void SACK_is_offered_and_answered_only_when_offered()
    {
        using var peer = new RawPeer();
        peer.Connect();
        Assert.True(peer.Expect(TcpFlags.Syn, 0).Options.SackPermitted);
        using var other = new RawPeer();
        other.Listen();
        other.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        Assert.False(other.Expect(TcpFlags.SynAck, 0, 1).Options.SackPermitted);
    }

    [Fact]
    public void A_peer_that_takes_a_SACK_back_gets_the_data_after_a_timeout()
    {
        // RFC 2018 8.
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(sack: true));
        peer.Write(3 * 1460);
        peer.All();
        peer.SendSack(1, (1461, 4381));
        peer.All();
        peer.Send(TcpFlags.Ack, 1, 1461);
        Assert.Contains(peer.All(2000).Take(3), segment => segment.Sequence == 1461);
        peer.Send(TcpFlags.Ack, 1, 4381);
    }

    /// <summary>Receives until the ACKs of the beginning, which all go at once, are over; the next sequence number.</summary>
    private static uint PastQuickAcks(RawPeer peer)
    {
        uint next = 1;
        for (int i = 0; i < 60; i++)
        {
            peer.Send(TcpFlags.Ack, next, 1, length: 1460);
            next += 1460;
            peer.All(1);
            peer.Read();
        }

        // Less than a timeout: after a longer silence every ACK goes at once again.
        peer.All(50);
        return next;
    }

    private static (uint Start, uint End)[] Blocks(Segment segment)
    {
        var blocks = new List<(uint, uint)>();
        foreach (SackBlock block in segment.Options.SackBlocks)
        {
            blocks.Add((block.Start.Value - RawPeer.PeerIss, block.End.Value - RawPeer.PeerIss));
        }

        return [.. blocks];
    }
}
