using Penstock.Buffers;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>Merging in the retransmit queue: small buffers when they are sent again, SACKed ones with each other; what zero-copy payload allows, and the ledger after each step.</summary>
public class MergeTests
{
    private const int Mss = HandPeer.Mss;
    private const int Head = PacketBuffer.ObjectSize;

    [Fact]
    [Trait("Requirement", "R2.22")]
    public async Task Small_buffers_that_are_sent_again_go_as_one_segment()
    {
        await using HandPeer peer = Small(10, 300);
        Timeout(peer);
        Assert.Equal([1200], Lengths(peer));
        Assert.Equal(7, peer.Connection.Snapshot().Unacknowledged);
        Assert.Equal(7 * Head + 3000, peer.Connection.Memory.WriteQueueBytes);
        peer.Ack(peer.First + 1200);
        Assert.Equal([1200, 1200, 600], Lengths(peer));
        Assert.Equal(Expected(10, 300), peer.Link.Sent.SelectMany(s => s.Payload).ToArray());
        peer.Ack(peer.First + 3000);
        Assert.Equal(0, peer.Connection.Memory.WriteQueueBytes);
    }

    [Fact]
    public async Task Without_the_setting_each_goes_as_it_was()
    {
        await using HandPeer peer = Small(4, 300);
        peer.Settings.RetransmitCollapse = false;
        Timeout(peer);
        Assert.Equal([300], Lengths(peer));
        Assert.Equal(4, peer.Connection.Snapshot().Unacknowledged);
    }

    [Fact]
    public async Task Nothing_is_merged_behind_the_end_of_a_record()
    {
        await using HandPeer peer = New();
        peer.Send(100);
        peer.Send(100, TcpSendFlags.EndOfRecord);
        peer.Send(100);
        Timeout(peer);
        Assert.Equal([200], Lengths(peer));
        peer.Check();
    }

    [Fact]
    public async Task Nothing_is_merged_across_what_was_SACKed()
    {
        await using HandPeer peer = Small(6, 100);
        Sack(peer, (300, 400));
        Timeout(peer);
        Assert.Equal([300], Lengths(peer));
        peer.Ack(peer.First + 400);
        Timeout(peer);
        Assert.Equal([200], Lengths(peer));
    }

    [Fact]
    public async Task A_buffer_that_a_device_still_holds_is_not_merged()
    {
        await using HandPeer peer = Small(2, 100);
        peer.Link.Holds = true;
        peer.Send(100);
        Timeout(peer);
        Assert.Equal([200], Lengths(peer));
        Assert.Equal(2, peer.Connection.Snapshot().Unacknowledged);
        peer.Link.LetGo();
        peer.Check();
    }

    [Fact]
    public async Task More_fragments_than_a_buffer_has_stay_behind_and_its_table_is_charged()
    {
        await using HandPeer peer = Small(20, 50);
        QueuedMarks.Sent(peer.Connection).ForEach(b => QueuedMarks.MoveToOwn(b));
        Timeout(peer);
        Assert.Equal([17 * 50], Lengths(peer));
        QueuedBuffer first = peer.Connection.QueuedBuffers()[0];
        Assert.Equal(17, first.Fragments);
        Assert.Equal(Head + PacketBuffer.OverflowSize, first.HeadTrueSize);
        Assert.Equal((4 * Head) + PacketBuffer.OverflowSize + (20 * 50), peer.Connection.Memory.WriteCharged);
        peer.Ack(peer.First + 1000);
        Assert.Equal(0, peer.Connection.Memory.WriteCharged);
    }

    [Fact]
    public async Task Without_SACK_the_duplicates_counted_are_never_more_than_the_segments_left()
    {
        await using HandPeer peer = Small(8, 100, sack: false);
        for (int i = 0; i < 5; i++)
        {
            peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked);
            peer.Check();
            TcpInfo info = peer.Connection.Snapshot();
            Assert.True(info.Sacked + info.Lost <= info.Unacknowledged, $"{info.Sacked} sacked and {info.Lost} lost of {info.Unacknowledged}");
        }

        Assert.Equal([800], Lengths(peer));
    }

    /// <summary>Measured on Linux 6.18: small zero-copy sends go again one by one.</summary>
    [Fact]
    [Trait("Requirement", "R2.22")]
    public async Task Pure_buffers_are_not_merged_either_and_each_memory_is_let_go_once()
    {
        await using HandPeer peer = Small(6, 200);
        List<CountedMemory?> memories = Mark(peer, "PPPPPP");
        Assert.Equal(6 * Head, peer.Connection.Memory.WriteCharged);
        Timeout(peer);
        Assert.Equal([200], Lengths(peer));
        Assert.Equal(6, peer.Connection.QueuedBuffers().Count);
        Assert.Equal(6 * Head, peer.Connection.Memory.WriteCharged);
        Assert.Equal(Expected(1, 200), peer.Link.Sent[^1].Payload);
        Assert.All(memories, m => Assert.Equal(0, m!.LetGo));
        peer.Check();

        peer.Ack(peer.First + 1200);
        Assert.All(memories, m => Assert.Equal(1, m!.LetGo));
        Assert.Equal(0, peer.Connection.Memory.WriteQueueBytes);
        Assert.Equal(0, peer.Connection.Memory.Pages);
    }

    [Theory]
    [Trait("Requirement", "R2.22")]
    [Trait("Requirement", "R2.24")]
    [InlineData("CP", 100)]
    [InlineData("PC", 100)]
    [InlineData("CCPP", 200)]
    [InlineData("PPCC", 100)]
    [InlineData("CCPC", 200)]
    [InlineData("MCPM", 100)]
    [InlineData("PPMC", 100)]
    [InlineData("CMMP", 100)]
    public async Task Payload_that_is_charged_and_payload_that_is_not_are_never_merged(string kinds, int first)
    {
        await using HandPeer peer = Small(kinds.Length, 100);
        Mark(peer, kinds);
        Timeout(peer);
        Assert.Equal([first], Lengths(peer));
        peer.Check();
        for (int acked = first; acked <= 100 * kinds.Length; acked += 100)
        {
            peer.Ack(peer.First + (uint)acked);
            peer.Check();
        }

        Assert.Equal(Expected(kinds.Length, 100), peer.Link.Sent.SelectMany(s => s.Payload).ToArray());
        Assert.Equal(0, peer.Connection.Memory.WriteQueueBytes);
        Assert.Equal(0, peer.Connection.Memory.WriteCharged);
    }

    [Fact]
    [Trait("Requirement", "R2.22")]
    public async Task SACKed_neighbors_become_one_buffer_and_the_hole_between_two_joins_all_three()
    {
        await using HandPeer peer = Small(5, 100);
        Sack(peer, (100, 200), (300, 400));
        Assert.Equal(5, peer.Connection.QueuedBuffers().Count);
        Sack(peer, (100, 400));
        QueuedBuffer merged = peer.Connection.QueuedBuffers()[1];
        Assert.Equal(3, peer.Connection.QueuedBuffers().Count);
        Assert.Equal(300, merged.Length);
        Assert.Equal(3, merged.Segments);
        Assert.Equal(3, peer.Connection.Snapshot().Sacked);
        Assert.Equal((3 * Head) + 500, peer.Connection.Memory.WriteCharged);
        Assert.Equal(2, peer.Stack.GetCounter(StackCounter.TcpSackMerged));
        Assert.Equal(2, peer.Stack.GetCounter(StackCounter.TcpSackShiftFallback));
        peer.Ack(peer.First + 250);
        peer.Check();
        Assert.Equal(2, peer.Connection.Snapshot().Sacked);
        peer.Ack(peer.First + 500);
        Assert.Equal(0, peer.Connection.Memory.WriteQueueBytes);
    }

    [Fact]
    public async Task A_long_queue_that_is_SACKed_segment_by_segment_stays_short()
    {
        await using HandPeer peer = New().SendBuffer(1 << 24);
        peer.Send(1000 * Mss);
        for (int i = 2; i <= 1000; i++)
        {
            Sack(peer, (Mss, i * Mss));
            peer.Check();
        }

        Assert.Equal(999, peer.Connection.Snapshot().Sacked);
        Assert.InRange(peer.Connection.QueuedBuffers().Count, 1000 * Mss / 65536, 26);
        Assert.True(peer.Stack.GetCounter(StackCounter.TcpSackShifted) > 900);

        // The peer forgets all of it (RFC 2018 8): it is sent again, byte for byte.
        peer.Ack(peer.First + Mss);
        peer.Link.Sent.Clear();
        Timeout(peer);
        peer.Check();
        Assert.Equal(0, peer.Connection.Snapshot().Sacked);
        byte[] all = HandPeer.Pattern(1000 * Mss);
        SentSegment again = Assert.Single(peer.Link.Sent);
        Assert.Equal(all[Mss..(Mss + again.Length)], again.Payload);
        Assert.Equal(peer.First + Mss, again.Sequence);
    }

    [Fact]
    public async Task A_SACK_of_less_than_a_segment_moves_nothing()
    {
        await using HandPeer peer = New();
        peer.Send(5 * Mss);
        Sack(peer, (Mss, 2 * Mss));
        int before = peer.Connection.QueuedBuffers().Count;
        Sack(peer, (Mss, (2 * Mss) + 700));
        Assert.Equal(before, peer.Connection.QueuedBuffers().Count);
        Assert.Equal(1, peer.Connection.Snapshot().Sacked);
        Sack(peer, (Mss, 3 * Mss));
        Assert.Equal(before, peer.Connection.QueuedBuffers().Count);
        Assert.Equal(2, peer.Connection.Snapshot().Sacked);
        peer.Check();
    }

    [Theory]
    [Trait("Requirement", "R2.22")]
    [InlineData("CPPPC")]
    [InlineData("CMMMC")]
    [InlineData("CCMCC")]
    [InlineData("CMPMC")]
    public async Task Application_memory_is_never_shifted(string kinds)
    {
        await using HandPeer peer = Small(kinds.Length, 100);
        Mark(peer, kinds);
        for (int i = 2; i < kinds.Length; i++)
        {
            Sack(peer, (100, 100 * i));
            peer.Check();
        }

        Assert.Equal(kinds.Length - 2, peer.Connection.Snapshot().Sacked);
        Assert.Equal(kinds.Length, peer.Connection.QueuedBuffers().Count);
        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpSackMerged));
        peer.Ack(peer.First + (uint)(100 * kinds.Length));
        Assert.Equal(0, peer.Connection.Memory.WriteCharged);
        Assert.Equal(0, peer.Connection.Memory.WriteQueueBytes);
    }

    [Theory]
    [Trait("Requirement", "R2.22")]
    [InlineData('P')]
    [InlineData('M')]
    public async Task The_third_neighbor_is_asked_for_itself(char third)
    {
        await using HandPeer peer = Small(5, 100);
        Mark(peer, $"CCC{third}C");

        // The second is SACKed and the fourth; then the third fills the hole: it joins the second, and the fourth is another kind.
        Sack(peer, (100, 200), (300, 400));
        Sack(peer, (100, 400));
        List<QueuedBuffer> queued = peer.Connection.QueuedBuffers();
        Assert.Equal([100, 200, 100, 100], queued.Select(b => b.Length));
        Assert.Equal(third == 'P', (queued[2].Flags & SegmentFlags.PureZeroCopy) != 0);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpSackMerged));
        peer.Check();
        peer.Ack(peer.First + 500);
        Assert.Equal(0, peer.Connection.Memory.WriteCharged);
    }

    [Fact]
    [Trait("Requirement", "R2.22")]
    public async Task The_third_neighbor_is_not_merged_behind_the_end_of_a_record()
    {
        await using HandPeer peer = New();
        peer.Send(100);
        peer.Send(100);
        peer.Send(100, TcpSendFlags.EndOfRecord);
        peer.Send(100);
        Sack(peer, (100, 200), (300, 400));
        Sack(peer, (100, 400));
        Assert.Equal([100, 200, 100], peer.Connection.QueuedBuffers().Select(b => b.Length));
        peer.Check();
    }

    /// <summary>A connection that sends each write as a segment of its own.</summary>
    private static HandPeer New(bool sack = true)
    {
        var peer = new HandPeer(s => s.EarlyRetrans = 0, sack: sack);
        peer.Socket.NoDelay = true;
        return peer.Open();
    }

    /// <summary>So many segments in flight, each a buffer of its own.</summary>
    private static HandPeer Small(int count, int bytes, bool sack = true)
    {
        HandPeer peer = New(sack);
        for (int i = 0; i < count; i++)
        {
            peer.Send(bytes);
        }

        Assert.Equal(count, peer.Connection.QueuedBuffers().Count);
        peer.Link.Sent.Clear();
        return peer;
    }

    private static List<CountedMemory?> Mark(HandPeer peer, string kinds)
    {
        List<CountedMemory?> memories = [.. QueuedMarks.Sent(peer.Connection).Select((b, i) => QueuedMarks.Mark(peer.Connection, b, kinds[i]))];
        peer.Check();
        return memories;
    }

    /// <summary>Runs until something is sent again; only that is then in the link's list.</summary>
    private static void Timeout(HandPeer peer)
    {
        peer.Link.Sent.Clear();
        for (int i = 0; i < 100 && peer.Link.Sent.Count == 0; i++)
        {
            peer.Time.RunFor(TimeSpan.FromMilliseconds(10));
            peer.Check();
        }

        Assert.NotEmpty(peer.Link.Sent);
    }

    private static void Sack(HandPeer peer, params (int From, int To)[] blocks)
    {
        var options = default(TcpOptions);
        foreach ((int from, int to) in blocks)
        {
            options.AddSackBlock(new SackBlock(new SequenceNumber(peer.First + (uint)from), new SequenceNumber(peer.First + (uint)to)));
        }

        peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked, options: options);
    }

    private static IEnumerable<int> Lengths(HandPeer peer) => peer.Link.Sent.Select(s => s.Length);

    private static byte[] Expected(int count, int bytes) => [.. Enumerable.Range(0, count).SelectMany(_ => HandPeer.Pattern(bytes))];
}
