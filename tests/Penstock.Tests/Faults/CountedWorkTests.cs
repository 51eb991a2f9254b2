using Penstock.Tests.Seeds;
using Conversation = Penstock.Tests.Rfc9293.RawPeer;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>
/// Bad input of every kind, and what it makes the sender do: queued buffers that are looked at, segments that are sent, memory that is charged. <see cref="LyingAckTests"/> has the same for SACK blocks and
/// DSACKs that lie. Time is virtual.
/// </summary>
public class CountedWorkTests
{
    private const int Mss = HandPeer.Mss;

    [Fact]
    public async Task ACKs_of_what_was_not_sent_cost_nothing()
    {
        await using HandPeer peer = Flight(1000);
        Work before = Of(peer);
        for (uint i = 1; i <= 2000; i++)
        {
            peer.Deliver(TcpFlags.Ack, peer.Next, peer.SentEnd + (i * 7919));
        }

        Work done = Of(peer) - before;
        Assert.Equal((0, 0, 0), (done.Visited, done.Buffers, done.Charged));

        // One answer in tcp_invalid_ratelimit, and no time has passed.
        Assert.InRange(done.Sent, 0, 1);
    }

    [Fact]
    public async Task ACKs_ahead_of_what_arrives_cost_what_they_cover_and_hold_no_more_than_the_send_buffer()
    {
        // An optimistic receiver acknowledges what is sent in the moment it is sent. Nothing tells that from a fast path; the window grows, the cost of an ACK and the memory do not.
        const int Buffer = 1 << 20;
        await using HandPeer peer = new HandPeer(s => { s.SizeGoal = 1; s.CongestionControl = "reno"; }).SendBuffer(Buffer).Open(10);
        long most = 0, charged = 0;
        for (int i = 0; i < 2000; i++)
        {
            peer.Send(16 * Mss);
            int covered = peer.Connection.Snapshot().Unacknowledged;
            Work before = Of(peer);
            peer.Ack(peer.SentEnd);
            Work done = Of(peer) - before;
            most = Math.Max(most, done.Visited - covered);
            charged = Math.Max(charged, peer.Connection.Snapshot().WriteQueueMemory);
            Assert.InRange(done.Sent, 0, peer.Connection.Cwnd.Window);
        }

        Assert.InRange(most, -Buffer, 2);
        Assert.InRange(charged, 1, Buffer + 65536);
        peer.Check();
    }

    [Theory]
    [InlineData(64)]
    [InlineData(2000)]
    public async Task Each_part_of_a_divided_ACK_costs_the_same_whatever_the_window(int window)
    {
        await using HandPeer peer = Flight(window);
        Advance(peer);
        Work start = Of(peer);
        for (uint at = 1; at <= 20 * Mss; at += 5)
        {
            Work before = Of(peer);
            peer.Ack(peer.First + at);
            Work done = Of(peer) - before;
            Assert.InRange(done.Visited, 0, 2);
            Assert.Equal(0, done.Sent);
        }

        // What is acknowledged goes, and nothing comes in its place.
        Work all = Of(peer) - start;
        Assert.True(all is { Buffers: <= 0, Charged: <= 0 }, all.ToString());
        peer.Check();
    }

    [Fact]
    public async Task An_MSS_of_nothing_makes_no_more_segments_than_the_default_does()
    {
        await using HandPeer peer = new HandPeer(s => s.CongestionControl = "reno", mss: 0).SendBuffer(1 << 20).Open();
        Assert.Equal(536, peer.Connection.Snapshot().SendMss);
        Work before = Of(peer);
        peer.Send(100 * 536);
        Assert.Equal(100, peer.Connection.Snapshot().Unacknowledged);
        Assert.InRange((Of(peer) - before).Charged, 100 * 536, 3 * 100 * 536);
        before = Of(peer);
        peer.Ack(peer.SentEnd);
        Assert.InRange((Of(peer) - before).Visited, 1, 101);
        peer.Check();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(47)]
    [InlineData(48)]
    [InlineData(96)]
    public void The_smallest_segments_through_the_smallest_window_are_sent_a_window_at_a_time_and_hold_no_more_than_the_send_buffer(int window)
    {
        using var peer = new Conversation { Window = (ushort)window };
        peer.Accepted(Conversation.SynOptions(mss: 48, sack: true));
        Assert.Equal(48, peer.Socket.GetInfo().SendMss);
        peer.Socket.TrySend(new byte[1 << 20], TcpSendFlags.None, out _);
        TcpInfo full = peer.Socket.GetInfo();
        Assert.InRange(full.WriteQueueMemory, 1, full.SendBuffer + 65536);
        uint acknowledged = 1;
        for (int i = 0; i < 500; i++)
        {
            // The application keeps the buffer full. A window below a segment waits for the persist timer (RFC 9293 3.8.6.2.1).
            peer.Socket.TrySend(new byte[65536], TcpSendFlags.None, out _);
            List<Rfc9293.Segment> sent = [peer.Next(1000), .. peer.All()];
            Assert.InRange(sent.Count, 1, Math.Max(1, window / 48));
            Assert.InRange(sent.Sum(s => s.Length), 0, window);
            acknowledged = Math.Max(acknowledged, sent.Max(s => s.Sequence + (uint)s.Length));
            long before = peer.Connection.RecoveryFigures.Visited;
            peer.Send(TcpFlags.Ack, 1, acknowledged);
            Assert.InRange(peer.Connection.RecoveryFigures.Visited - before, 0, 4);
            Assert.InRange(peer.Socket.GetInfo().WriteQueueMemory, 0, full.SendBuffer + 65536);
        }

        Assert.True(acknowledged > 400, $"{acknowledged} bytes");
    }

    [Fact]
    public async Task The_smallest_segments_reported_one_by_one_do_not_multiply_what_a_queue_holds()
    {
        // CVE-2019-11478: SACK blocks cut super-segments into buffers, each with its overhead. Beyond twice the send buffer and two super-segments
        // only the first and the last are cut; without that bound these would be 10 MB.
        const int Buffer = 1 << 20;
        await using HandPeer peer = new HandPeer(s => { s.EarlyRetrans = 0; s.CongestionControl = "reno"; }, mss: 48).SendBuffer(Buffer).Open();
        Assert.Equal(48, peer.Connection.Snapshot().SendMss);
        int queued = peer.Send(Buffer);
        Advance(peer);
        long most = 0;
        for (uint at = 48; at + 48 < queued; at += 96)
        {
            most = Math.Max(most, Cost(peer, () => Sack(peer, (peer.First + at, peer.First + at + 48))));
            Assert.InRange(peer.Connection.Snapshot().WriteQueueMemory, 0, 4 * Buffer);
        }

        Assert.InRange(most, 0, 64);
        peer.Check();
    }

    [Fact]
    public void Echoes_that_jump_cost_nothing()
    {
        using var peer = new Conversation { Rtt = 40 };
        peer.Accepted(Conversation.SynOptions(sack: true, timestamp: 1000));
        peer.Write(10 * 1448);
        peer.All();
        uint honest = peer.TimestampEcho;
        long buffers = peer.Stack.Pool.RentedBuffers;
        TcpInfo before = peer.Socket.GetInfo();
        long visited = peer.Connection.RecoveryFigures.Visited;
        for (uint i = 0; i < 2000; i++)
        {
            peer.TimestampEcho = honest + (i * 0x01234567);
            peer.Send(TcpFlags.Ack, 1, 1);
        }

        TcpInfo after = peer.Socket.GetInfo();
        Assert.InRange(peer.Connection.RecoveryFigures.Visited - visited, 0, 2000 * 2);
        Assert.Equal(before.WriteQueueMemory, after.WriteQueueMemory);
        Assert.InRange(peer.Stack.Pool.RentedBuffers - buffers, 0, 4);
        Assert.Equal((0, before.RetransmissionTimeout), (after.TotalRetransmits, after.RetransmissionTimeout));
        Assert.Empty(peer.All());
    }

    [Fact]
    public void Values_that_jump_back_are_answered_within_the_rate_limit_and_keep_nothing()
    {
        using var peer = new Conversation();
        peer.Accepted(Conversation.SynOptions(sack: true, timestamp: 1_000_000));
        peer.All();
        long buffers = peer.Stack.Pool.RentedBuffers;
        for (uint i = 0; i < 5000; i++)
        {
            // RFC 7323 5.3: dropped, and answered once in tcp_invalid_ratelimit, half a second.
            peer.TimestampValue = 1_000_000 - 1 - (i * 100_003 % 0x7FFFFFF0);
            peer.Send(TcpFlags.Ack, 1, 1);
            peer.Wait(1);
        }

        Assert.InRange(peer.All().Count, 1, 11);

        // Data is answered each time, as in Linux: one small segment for one, no more.
        for (uint i = 0; i < 500; i++)
        {
            peer.Send(TcpFlags.Ack, 1 + (i * 1000), 1, length: 1000);
        }

        List<Rfc9293.Segment> answers = peer.All();
        Assert.InRange(answers.Count, 1, 500);
        Assert.All(answers, answer => Assert.Equal((1u, 0), (answer.Acknowledgment, answer.Length)));
        TcpInfo info = peer.Socket.GetInfo();
        Assert.Equal((0, 0, 0L), (info.ReceiveQueue, info.OutOfOrder, info.ReceiveMemory));
        Assert.InRange(peer.Stack.Pool.RentedBuffers - buffers, 0, 4);
    }

    [Fact]
    public void A_window_that_stays_shut_costs_a_probe_in_two_minutes_and_holds_what_it_held()
    {
        using var peer = new Conversation();
        peer.Accepted();
        peer.Window = 0;
        peer.Send(TcpFlags.Ack, 1, 1);
        peer.Write(20_000);
        long memory = peer.Socket.GetInfo().WriteQueueMemory;
        long buffers = peer.Stack.Pool.RentedBuffers;
        int probes = 0;
        double end = peer.NowMilliseconds + (24 * 3_600_000d);
        while (peer.NowMilliseconds < end)
        {
            Assert.Equal(0, peer.Next(130_000).Length);
            probes++;
            peer.Send(TcpFlags.Ack, 1, 1);
        }

        // 0.2, 0.4, ... up to 120 s.
        Assert.InRange(probes, 720, 732);
        Assert.Equal(memory, peer.Socket.GetInfo().WriteQueueMemory);
        Assert.InRange(peer.Connection.RecoveryFigures.Visited, 0, 1);
        Assert.InRange(peer.Stack.Pool.RentedBuffers - buffers, 0, 2);
    }

    [Fact]
    public async Task A_path_MTU_of_68_costs_one_walk_and_none_when_said_again()
    {
        await using HandPeer peer = Flight(1000);
        Advance(peer);

        // One look of the walk and one of sending for each segment, in two or three parts.
        Work before = Of(peer);
        Report(peer, peer.First, 68);
        Work done = Of(peer) - before;
        Assert.InRange(done.Visited, 1000, 4 * 1000);
        Assert.InRange(done.Sent, 1, 3 * 1000);
        Assert.InRange(done.Charged, 0, 4 * 1000 * Mss);
        before = Of(peer);
        for (int i = 0; i < 1000; i++)
        {
            Report(peer, peer.First, i % 600);
        }

        Assert.Equal(default, Of(peer) - before);
        peer.Check();
    }

    [Fact]
    public async Task Path_MTUs_that_fall_byte_by_byte_cost_a_walk_and_a_window_each_and_only_for_what_is_in_flight()
    {
        const int Window = 200;
        await using HandPeer peer = Flight(Window);
        Advance(peer);
        Work before = Of(peer);
        for (int mtu = 1499; mtu > 0; mtu--)
        {
            // Somebody who does not see the flow guesses (RFC 5927 4): nothing is looked at.
            Report(peer, peer.SentEnd + (uint)mtu, mtu);
            Report(peer, peer.First - 1, mtu);
        }

        Assert.Equal(default, Of(peer) - before);
        int walks = 0;
        for (int mtu = 1499; mtu >= 68; mtu--)
        {
            before = Of(peer);
            long queued = peer.Stack.Pool.RentedBuffers;
            Report(peer, peer.First, mtu);
            Work done = Of(peer) - before;

            // As much as Linux's tcp_simple_retransmit does; the floor, net.ipv4.route.min_pmtu, ends it after 948 of them for ten minutes.
            walks += done.Visited > 0 ? 1 : 0;
            Assert.InRange(done.Visited, 0, 2 * (queued + Window + 1));
            Assert.InRange(done.Sent, 0, Window);
        }

        Assert.Equal(1499 - 552 + 1, walks);
        Assert.InRange(peer.Stack.Pool.RentedBuffers, 1, 4 * Window);
        peer.Check();
    }

    private readonly record struct Work(long Visited, long Sent, long Buffers, long Charged)
    {
        public static Work operator -(Work a, Work b) => new(a.Visited - b.Visited, a.Sent - b.Sent, a.Buffers - b.Buffers, a.Charged - b.Charged);
    }

    private static Work Of(HandPeer peer) =>
        new(peer.Connection.RecoveryFigures.Visited, peer.Link.Sent.Count, peer.Stack.Pool.RentedBuffers, peer.Connection.Snapshot().WriteQueueMemory);

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

    private static void Sack(HandPeer peer, (uint Start, uint End) block)
    {
        var options = default(TcpOptions);
        options.AddSackBlock(new SackBlock(new SequenceNumber(block.Start), new SequenceNumber(block.End)));
        peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked, options: options);
    }

    private static void Report(HandPeer peer, uint quoted, int mtu) => peer.Connection.OnPathMtuReport(new SequenceNumber(quoted), mtu, null!);
}
