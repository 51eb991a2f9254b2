using Penstock.Tcp;
using Penstock.Tests.Seeds;
using Penstock.Wire;

namespace Penstock.Tests.Tcp;

/// <summary>Segments that are longer than a super-segment may be, as over a loopback.</summary>
public class LargeSegmentTests
{
    [Fact]
    public async Task A_buffer_that_is_one_segment_no_more_because_a_SACK_has_to_go_along_is_cut_and_never_at_nothing()
    {
        const ushort Mss = 65495;
        await using HandPeer peer = new HandPeer(mtu: 65535, mss: Mss).Open(congestionWindow: 1).SendBuffer(1 << 30);
        peer.Send(3 * Mss);
        Assert.All(peer.Connection.QueuedBuffers(), b => Assert.Equal(Mss, b.Length));

        // Beyond a gap: what is sent from now on carries a SACK block, and has 12 bytes less room.
        peer.Deliver(TcpFlags.Ack, peer.Next + 1000, peer.Acked, 100);
        peer.Connection.Cwnd.Window = 100;
        peer.Ack(peer.First + Mss);
        Assert.All(peer.Connection.QueuedBuffers(), b => Assert.NotEqual(0, b.Length));

        // What was cut off went with what follows.
        Assert.Equal(peer.First + (3u * Mss), peer.SentEnd);
        peer.Check();
        peer.Ack(peer.SentEnd);
        peer.Ack(peer.SentEnd);
        Assert.Equal(0, peer.Connection.UnacknowledgedBytes);
    }
}
