using Penstock.Tests.Seeds;
using Penstock.Wire;

namespace Penstock.Tests.Tcp;

/// <summary>When the sender believes that the network reorders: only when something arrived late, for RACK then waits a quarter of a round trip with every loss (RFC 8985 6.2).</summary>
public class ReorderingTests
{
    [Fact]
    public async Task A_first_SACK_that_also_acknowledges_is_no_reordering()
    {
        await using HandPeer peer = Sent8();
        Ack(peer, HandPeer.Mss, (2, 3));

        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpSackReorder));
    }

    [Fact]
    public async Task A_hole_that_fills_without_a_retransmission_is_reordering()
    {
        await using HandPeer peer = Sent8();
        Ack(peer, 0, (1, 2));
        Ack(peer, 2 * HandPeer.Mss);

        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpSackReorder));
    }

    [Fact]
    public async Task What_a_lower_block_of_the_same_ACK_reports_is_no_reordering()
    {
        await using HandPeer peer = Sent8();
        Ack(peer, 0, (1, 2));

        // An ACK was lost that reported the third segment: here it comes with what is newer, which stands first.
        Ack(peer, 0, (5, 7), (1, 3));

        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpSackReorder));
    }

    private static HandPeer Sent8()
    {
        HandPeer peer = new HandPeer(s => { s.SizeGoal = 1; s.EarlyRetrans = 0; }).Open(100);
        peer.Send(8 * HandPeer.Mss);
        return peer;
    }

    /// <summary>Acknowledges so many bytes, and segments first to last (exclusive) selectively.</summary>
    private static void Ack(HandPeer peer, int bytes, params (uint First, uint Last)[] blocks)
    {
        var options = default(TcpOptions);
        foreach ((uint first, uint last) in blocks)
        {
            options.AddSackBlock(new SackBlock(
                new SequenceNumber(peer.First + (first * HandPeer.Mss)), new SequenceNumber(peer.First + (last * HandPeer.Mss))));
        }

        peer.Acked = peer.First + (uint)bytes;
        peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked, options: options);
    }
}
