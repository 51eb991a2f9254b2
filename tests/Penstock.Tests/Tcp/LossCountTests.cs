using Penstock.Tests.Seeds;
using Penstock.Wire;

namespace Penstock.Tests.Tcp;

/// <summary>What counts as lost and as delivered, where times are equal and where nobody says which segments arrived.</summary>
public class LossCountTests
{
    private const int Mss = HandPeer.Mss;

    [Fact]
    public async Task A_retransmission_behind_new_data_of_the_same_moment_is_not_older_than_that()
    {
        await using HandPeer peer = Sent(8, sack: true);
        peer.Time.RunFor(TimeSpan.FromMilliseconds(10));

        // In one moment: new data, then the retransmission.
        peer.Send(2 * Mss);
        Sack(peer, (1, 4));
        Assert.Equal(2, TimesSent(peer, 0));

        peer.Time.RunFor(TimeSpan.FromMilliseconds(10));
        Sack(peer, (8, 9), (1, 4));
        Assert.Equal(2, TimesSent(peer, 0));
        Assert.Equal(2, TimesSent(peer, 4));
    }

    [Fact]
    public async Task A_retransmission_before_new_data_of_the_same_moment_is_lost_when_only_that_arrives()
    {
        await using HandPeer peer = Sent(8, sack: true);
        peer.Time.RunFor(TimeSpan.FromMilliseconds(10));
        Sack(peer, (1, 4));
        peer.Send(2 * Mss);
        Assert.Equal(2, TimesSent(peer, 0));

        peer.Time.RunFor(TimeSpan.FromMilliseconds(10));
        Sack(peer, (8, 9), (1, 4));
        Assert.Equal(3, TimesSent(peer, 0));
    }

    [Fact]
    public async Task A_probe_that_was_armed_before_a_smaller_path_MTU_made_its_segment_lost_is_not_sent()
    {
        // The head is small enough and stays; of what follows the window lets all but the last go again, and nothing moves the timer.
        await using HandPeer peer = new HandPeer(s => s.SizeGoal = 1, options: new TcpConnectOptions { NoDelay = true }).Open(10);
        peer.Send(100);
        peer.Send(5 * Mss);
        peer.Connection.OnPathMtuReport(new SequenceNumber(peer.First), 700, null!);
        Assert.Equal(1, TimesSent(peer, 4, offset: 100));
        peer.Check();

        peer.Time.RunFor(TimeSpan.FromMilliseconds(100));

        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpLossProbes));
        peer.Check();
    }

    [Fact]
    public async Task Without_SACK_a_partial_ACK_leaves_a_hole_that_no_duplicate_stands_for()
    {
        await using HandPeer peer = Sent(4, sack: false);
        for (int i = 0; i < 3; i++)
        {
            peer.Ack(peer.First);
        }

        Assert.Equal((3, 1), (peer.Connection.Snapshot().Sacked, peer.Connection.Snapshot().Lost));
        peer.Ack(peer.First + Mss);
        Assert.Equal((2, 1), (peer.Connection.Snapshot().Sacked, peer.Connection.Snapshot().Lost));
        peer.Check();
    }

    [Fact]
    public async Task Without_SACK_segments_too_big_for_a_new_path_MTU_are_lost_whatever_duplicates_said()
    {
        await using HandPeer peer = Sent(8, sack: false);
        peer.Ack(peer.First);
        peer.Ack(peer.First);
        Assert.Equal(2, peer.Connection.Snapshot().Sacked);
        peer.Connection.OnPathMtuReport(new SequenceNumber(peer.First), 1000, null!);
        Assert.Equal(0, peer.Connection.Snapshot().Sacked);
        peer.Check();
    }

    /// <summary>So many segments in flight, each a buffer, sent at one moment.</summary>
    private static HandPeer Sent(int segments, bool sack)
    {
        HandPeer peer = new HandPeer(s => { s.SizeGoal = 1; s.EarlyRetrans = 0; }, sack).Open(100);
        peer.Send(segments * Mss);
        return peer;
    }

    /// <summary>Reports segments first to last (exclusive).</summary>
    private static void Sack(HandPeer peer, params (uint First, uint Last)[] blocks)
    {
        var options = default(TcpOptions);
        foreach ((uint first, uint last) in blocks)
        {
            options.AddSackBlock(new SackBlock(new SequenceNumber(peer.First + (first * Mss)), new SequenceNumber(peer.First + (last * Mss))));
        }

        peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked, options: options);
    }

    private static int TimesSent(HandPeer peer, uint segment, uint offset = 0) => peer.Link.Sent.Count(s => s.Length > 0 && s.Sequence == peer.First + offset + (segment * Mss));
}
