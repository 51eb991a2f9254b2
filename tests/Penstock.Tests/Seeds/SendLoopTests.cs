using System.Buffers;
using System.Net.Sockets;
using Penstock.Ownership;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>A long send serves its own backlog: where it looks, what it reads again, how it ends. The peer's segments come while the send copies.</summary>
public class SendLoopTests
{
    private const int Mss = HandPeer.Mss;

    [Fact]
    [Trait("Requirement", "R1.9")]
    [Trait("Requirement", "T7")]
    public async Task A_full_send_buffer_ends_the_run_before_the_backlog_is_looked_at()
    {
        await using HandPeer peer = PerSegment().SendBuffer(2 * (448 + Mss));
        int waiting = 0;
        peer.Link.OnSent = _ => waiting = Math.Max(waiting, peer.Connection.BacklogPackets);
        peer.InCopy = copy =>
        {
            if (copy == 2)
            {
                peer.Data(100);
            }
        };
        int sent = peer.Send(10 * Mss);
        Assert.Equal(2 * Mss, sent);
        Assert.Equal(0, peer.Connection.Snapshot().BacklogFlushes);
        Assert.Equal(100, peer.Socket.Available);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R1.9")]
    [Trait("Requirement", "T7")]
    public async Task The_backlog_is_served_before_the_next_buffer_is_made()
    {
        await using HandPeer peer = PerSegment(window: 0);
        int atFlush = -1;
        peer.Link.OnSent = sent => atFlush = sent.Length == 0 && atFlush < 0 ? peer.Connection.Memory.WriteQueueBytes : atFlush;
        peer.InCopy = copy =>
        {
            if (copy == 3)
            {
                peer.Data(Mss);
                peer.Data(Mss);
            }
        };
        Assert.Equal(6 * Mss, peer.Send(6 * Mss));

        // The ACK left while three buffers existed: not a fourth, not even an empty one.
        Assert.Equal(3 * (448 + Mss), atFlush);
        Assert.Equal(1, peer.Connection.Snapshot().BacklogFlushes);
    }

    [Fact]
    [Trait("Requirement", "R1.7")]
    [Trait("Requirement", "T5")]
    public async Task A_send_that_nobody_disturbs_takes_the_inner_word_twice_for_each_call()
    {
        await using HandPeer peer = PerSegment();
        long before = peer.Connection.InnerEntries;
        peer.Send(100 * Mss);
        Assert.Equal(2, peer.Connection.InnerEntries - before);
        Assert.Equal(99, peer.Stack.GetCounter(StackCounter.TcpBacklogEmptyChecks));
    }

    [Fact]
    [Trait("Requirement", "R1.10")]
    [Trait("Requirement", "R1.10a")]
    [Trait("Requirement", "T8")]
    public async Task A_path_MTU_that_shrinks_in_mid_send_changes_the_goal_of_the_next_buffer()
    {
        await using HandPeer peer = new HandPeer(s => { s.SizeGoal = 10 * Mss; s.BacklogFlushBuffers = 1; s.EarlyRetrans = 0; }).Open().SendBuffer(1 << 30);
        peer.InCopy = copy =>
        {
            if (copy == 5)
            {
                peer.Connection.OnPathMtuReport(new SequenceNumber(peer.First), 1000, null!);
                Assert.Equal(1500, peer.Connection.Snapshot().PathMtu);
            }
        };
        peer.Send(200 * Mss);
        Assert.Equal(1000, peer.Connection.Snapshot().PathMtu);
        List<QueuedBuffer> buffers = peer.Connection.QueuedBuffers();

        // Whole segments of the new size: 15 of 960, the goal of 14600 rounded down. Before the report 10 of 1460.
        Assert.Contains(buffers, b => b.Length == 15 * 960);
        QueuedBuffer last = buffers[^1];
        Assert.DoesNotContain(buffers, b => b.Length == 10 * Mss && (int)(b.Sequence - (peer.First + (80 * Mss))) > 0);
        Assert.Contains(peer.Link.Sent, s => s.GsoSize == 960);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R1.10a")]
    public async Task Other_ICMP_errors_that_meet_an_owned_socket_are_dropped_and_counted()
    {
        await using HandPeer peer = PerSegment();
        peer.Send(Mss);
        Penstock.Ip.FlowKey key = peer.Connection.Key;
        byte[] quoted = new byte[8];
        TcpHeaderStart(quoted, key.LocalPort, key.RemotePort, peer.First);
        var original = new IPv4Header { Source = key.Local, Destination = key.Remote, Protocol = IpProtocol.Tcp, TotalLength = 60 };
        void Report() => peer.Stack.Tcp.OnIcmpError(
            original, quoted, IcmpType.DestinationUnreachable, IcmpUnreachable.Host, 0, null!);
        peer.Connection.Own();
        Report();
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.LockDroppedIcmps));
        Assert.Equal(0, peer.Connection.BacklogPackets);
        peer.Connection.Release();
        Report();
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.LockDroppedIcmps));
    }

    [Fact]
    [Trait("Requirement", "R1.11")]
    [Trait("Requirement", "T8")]
    public async Task A_reset_in_mid_send_gives_the_partial_count_and_the_next_call_the_error()
    {
        await using HandPeer peer = PerSegment();
        peer.InCopy = copy =>
        {
            if (copy == 4)
            {
                peer.Reset();
            }
        };
        Assert.Equal(4 * Mss, peer.Send(50 * Mss, TcpSendFlags.None, out SocketError error));
        Assert.Equal(SocketError.Success, error);
        Assert.Equal(0, peer.Connection.Memory.WriteQueueBytes);
        Assert.Equal(TcpConnection.Failed, peer.Send(Mss, TcpSendFlags.None, out error));
        Assert.Equal(SocketError.ConnectionReset, error);
        Assert.Equal(TcpConnection.Failed, peer.Send(Mss, TcpSendFlags.None, out error));
        Assert.Equal(SocketError.Shutdown, error);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R1.11")]
    public async Task A_reset_before_anything_was_queued_is_the_call_s_own_error()
    {
        await using HandPeer peer = PerSegment();
        peer.Connection.Own();
        peer.Reset();
        peer.Connection.Release();
        Assert.Equal(TcpConnection.Failed, peer.Send(Mss, TcpSendFlags.None, out SocketError error));
        Assert.Equal(SocketError.ConnectionReset, error);
    }

    [Fact]
    [Trait("Requirement", "R1.11")]
    [Trait("Requirement", "T8")]
    public async Task Through_the_public_calls_too_the_count_comes_first_and_the_error_next()
    {
        await using HandPeer peer = PerSegment();
        peer.InCopy = copy =>
        {
            if (copy == 3)
            {
                peer.Reset();
            }
        };
        Assert.Equal(3 * Mss, peer.Socket.Send(new byte[20 * Mss]));
        SocketException error = await Assert.ThrowsAsync<SocketException>(async () => await peer.Socket.SendAsync(new byte[1], TestContext.Current.CancellationToken));
        Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
    }

    [Fact]
    [Trait("Requirement", "R1.11")]
    [Trait("Requirement", "T8")]
    public async Task A_shutdown_that_the_drain_runs_ends_the_send_with_its_count()
    {
        await using HandPeer peer = PerSegment();
        peer.InCopy = copy =>
        {
            if (copy == 3)
            {
                peer.Socket.Dispose();
                Assert.Equal(TcpConnectionState.Established, peer.Connection.State);
            }
        };
        Assert.Equal(3 * Mss, peer.Send(20 * Mss, TcpSendFlags.None, out SocketError error));
        Assert.Equal(SocketError.Success, error);
        Assert.Equal(TcpConnectionState.FinWait1, peer.Connection.State);
        Assert.Equal(TcpConnection.Failed, peer.Send(1, TcpSendFlags.None, out error));
        Assert.Equal(SocketError.Shutdown, error);
        Assert.Equal(peer.First + (3 * Mss) + 1, peer.SentEnd);
    }

    [Fact]
    [Trait("Requirement", "R1.12")]
    public async Task A_flush_does_everything_a_segment_can_do()
    {
        await using HandPeer peer = PerSegment(congestionWindow: 4);
        NotingWaiter readable = NotingWaiter.Add(peer.Connection, SocketEvents.Readable);
        int sentAtThree = 0;
        peer.InCopy = copy =>
        {
            if (copy == 6)
            {
                sentAtThree = peer.Link.Sent.Count(s => s.Length > 0);
                peer.Data(200);
                peer.Ack(peer.First + (2 * Mss));
                peer.Deliver(TcpFlags.Ack, peer.Next + 500, peer.Acked, 100);
            }
            else if (copy == 7)
            {
                // Still inside of the call: acknowledged, window opened, more sent, data delivered, the gap reported.
                Assert.Equal(peer.First + (2 * Mss), peer.Connection.QueuedBuffers()[0].Sequence);
                Assert.True(peer.Link.Sent.Count(s => s.Length > 0) > sentAtThree, "the congestion window that the ACK opened was not used");
                Assert.Equal(200, peer.Socket.Available);
                Assert.Equal(1, peer.Connection.Snapshot().OutOfOrder);
                Assert.Contains(peer.Link.Sent, s => s.Acknowledgment == peer.Next);
                peer.Check();
            }
        };
        Assert.Equal(10 * Mss, peer.Send(10 * Mss));
        Assert.Equal(1, readable.Fired);
        Assert.Equal(1, peer.Connection.Snapshot().BacklogFlushes);
    }

    [Fact]
    [Trait("Requirement", "R1.12")]
    public async Task Fast_retransmit_happens_inside_of_the_call()
    {
        await using HandPeer peer = PerSegment(congestionWindow: 20);
        var sack = default(TcpOptions);
        peer.InCopy = copy =>
        {
            if (copy == 10)
            {
                sack.AddSackBlock(new SackBlock(new SequenceNumber(peer.First + Mss), new SequenceNumber(peer.First + (6 * Mss))));
                peer.Deliver(TcpFlags.Ack, peer.Next, peer.First, options: sack);
            }
            else if (copy == 12)
            {
                Assert.Equal(2, peer.Link.Sent.Count(s => s.Sequence == peer.First && s.Length > 0));
            }
        };
        peer.Send(15 * Mss);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R1.13")]
    public async Task Buffers_are_filled_to_whole_segments_below_64_KiB_and_half_of_the_peer_s_largest_window()
    {
        await using var peer = new HandPeer();
        peer.SendBuffer(1 << 30);
        peer.Connection.Cwnd.Window = 1;
        peer.Send(400_000);

        // The SYN-ACK offered 65535 bytes: half of it is 22 segments.
        Assert.Contains(peer.Connection.QueuedBuffers(), b => b.Length == 22 * Mss);
        Assert.DoesNotContain(peer.Connection.QueuedBuffers(), b => b.Length > 22 * Mss);
        peer.Ack(peer.First + Mss);
        peer.Send(400_000);
        Assert.Contains(peer.Connection.QueuedBuffers(), b => b.Length == 44 * Mss);
        Assert.DoesNotContain(peer.Connection.QueuedBuffers(), b => b.Length > 44 * Mss);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R1.13")]
    public async Task The_end_of_a_record_closes_a_buffer_early_and_urgent_data_goes_by_segments()
    {
        await using HandPeer peer = Goal64(window: 0);
        for (int i = 0; i < 5; i++)
        {
            peer.Send(100, TcpSendFlags.EndOfRecord);
        }

        Assert.Equal([100, 100, 100, 100, 100], peer.Connection.QueuedBuffers().Select(b => b.Length));
        peer.Send(5 * Mss, TcpSendFlags.OutOfBand);
        Assert.Equal([Mss, Mss, Mss, Mss, Mss], peer.Connection.QueuedBuffers().Skip(5).Select(b => b.Length));
        peer.Check();
    }

    [Theory]
    [Trait("Requirement", "R1.14")]
    [InlineData(0, 44 * Mss)]
    [InlineData(1, Mss)]
    [InlineData(20_000, 13 * Mss)]
    public async Task The_goal_is_a_knob(int knob, int expected)
    {
        await using HandPeer peer = Goal64(window: 0, knob);
        peer.Send(expected * 3);
        Assert.Equal([expected, expected, expected], peer.Connection.QueuedBuffers().Select(b => b.Length));
    }

    [Fact]
    [Trait("Requirement", "R1.15")]
    public async Task Before_it_waits_a_sender_pushes_what_is_queued()
    {
        await using HandPeer peer = PerSegment(congestionWindow: 1).SendBuffer(5 * (448 + Mss));
        Assert.Equal(5 * Mss, peer.Send(20 * Mss, TcpSendFlags.More));
        List<QueuedBuffer> buffers = peer.Connection.QueuedBuffers();
        Assert.True(buffers[0].IsSent);
        Assert.False(buffers[4].IsSent);
        Assert.Equal(TcpFlags.Psh, buffers[4].TcpFlags & TcpFlags.Psh);
        Assert.Equal(TcpFlags.None, buffers[3].TcpFlags & TcpFlags.Psh);
    }

    [Fact]
    [Trait("Requirement", "R1.15")]
    public async Task A_sender_waits_for_room_with_the_socket_free_and_a_cancel_gives_the_partial_count()
    {
        await using HandPeer peer = PerSegment().SendBuffer(4 * (448 + Mss));
        peer.Time.Run(async () =>
        {
            using var cancel = new CancellationTokenSource();
            Task<int> sending = peer.Socket.SendAsync(new byte[20 * Mss], cancel.Token).AsTask();
            await peer.Time.Delay(TimeSpan.FromMilliseconds(1));
            Assert.False(peer.Connection.IsOwned);
            Assert.False(sending.IsCompleted);
            peer.Ack(peer.First + (3 * Mss));
            await peer.Time.Delay(TimeSpan.FromMilliseconds(1));
            Assert.False(sending.IsCompleted);
            cancel.Cancel();
            Assert.Equal(7 * Mss, await sending);
            Task<int> next = peer.Socket.SendAsync(new byte[Mss]).AsTask();
            await peer.Time.Delay(TimeSpan.FromMilliseconds(1));
            Assert.False(next.IsCompleted);
            peer.Reset();
            await Assert.ThrowsAsync<SocketException>(() => next);
        }, TimeSpan.FromSeconds(10));
    }

    [Fact]
    [Trait("Requirement", "R1.8")]
    public async Task A_send_that_comes_when_there_is_room_again_waits_for_the_one_before_it()
    {
        await using HandPeer peer = PerSegment().SendBuffer(4 * (448 + Mss));
        byte[] first = new byte[12 * Mss], second = new byte[2 * Mss];
        first.AsSpan().Fill(1);
        second.AsSpan().Fill(2);
        peer.Time.Run(async () =>
        {
            Task<int> one = peer.Socket.SendAsync(first).AsTask();
            peer.Ack(peer.SentEnd);
            Task<int> two = peer.Socket.SendAsync(second).AsTask();
            while (!two.IsCompleted)
            {
                await peer.Time.Delay(TimeSpan.FromMilliseconds(1));
                peer.Ack(peer.SentEnd);
            }

            Assert.Equal(first.Length, await one);
            Assert.Equal(second.Length, await two);
        }, TimeSpan.FromSeconds(10));
        byte[] wire = [.. peer.Link.Sent.Where(s => s.Length > 0).DistinctBy(s => s.Sequence).SelectMany(s => s.Payload)];
        Assert.Equal([.. first, .. second], wire);
    }

    [Fact]
    [Trait("Requirement", "R1.15")]
    public async Task A_sender_that_memory_is_short_for_sleeps_a_random_while_and_asks_again()
    {
        await using HandPeer peer = PerSegment(window: 0).SendBuffer(1 << 20);
        Assert.Equal(4 * Mss, peer.Send(4 * Mss));
        peer.Stack.Tcp.Memory.SetLimits(0, 0, 1);
        NotingWaiter writable = NotingWaiter.Add(peer.Connection, SocketEvents.Writable);
        peer.Connection.Memory.SendBufferLocked = true;
        Assert.InRange(peer.Send(100 * Mss), -1, 4096);
        Assert.Equal(0, writable.Fired);
        peer.Time.RunFor(TimeSpan.FromMilliseconds(2));
        Assert.Equal(0, writable.Fired);
        peer.Time.RunFor(TimeSpan.FromMilliseconds(200));
        Assert.Equal(1, writable.Fired);
        peer.Stack.Tcp.Memory.SetLimits(1000, 2000, 3000);
        Assert.Equal(2 * Mss, peer.Send(2 * Mss));
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R1.15a")]
    public async Task A_waiting_sender_is_woken_only_when_a_third_of_the_buffer_is_free()
    {
        const int Buffers = 30;
        await using HandPeer peer = PerSegment().SendBuffer(Buffers * (448 + Mss));
        Assert.Equal(Buffers * Mss, peer.Send(100 * Mss));
        NotingWaiter writable = NotingWaiter.Add(peer.Connection, SocketEvents.Writable);
        for (int acked = 1; acked < 10; acked++)
        {
            peer.Ack(peer.First + (uint)(acked * Mss));
            Assert.Equal(0, writable.Fired);
        }

        peer.Ack(peer.First + (10 * Mss));
        Assert.Equal(1, writable.Fired);
        Assert.Equal(20 * (448 + Mss), peer.Connection.Memory.WriteQueueBytes);
    }

    [Fact]
    [Trait("Requirement", "R1.15a")]
    public async Task The_not_sent_low_water_mark_holds_the_wake_up_back()
    {
        await using HandPeer peer = new HandPeer(s => { s.SizeGoal = 1; s.NotSentLowWater = 5 * Mss; }).Open(10).SendBuffer(30 * (448 + Mss));

        // Ten in flight, and no more behind them than the mark says, although the buffer has room.
        Assert.Equal(15 * Mss, peer.Send(100 * Mss));
        peer.Connection.Cwnd.Window = 1;
        NotingWaiter writable = NotingWaiter.Add(peer.Connection, SocketEvents.Writable);
        peer.Window = 0;
        peer.Ack(peer.First + (10 * Mss));
        Assert.Equal(0, writable.Fired);
        peer.Window = 65535;
        peer.Connection.Cwnd.Window = 1000;
        peer.Ack(peer.First + (10 * Mss));
        peer.Ack(peer.SentEnd);
        Assert.Equal(1, writable.Fired);
    }

    [Fact]
    [Trait("Requirement", "R1.16")]
    public async Task Nothing_is_processed_inside_of_a_chunk_or_a_buffer()
    {
        await using HandPeer peer = Goal64(window: 65535);
        peer.Settings.BacklogFlushBuffers = 1;
        var waiting = new List<int>();
        var chunks = new List<int>();
        peer.InCopy = copy =>
        {
            waiting.Add(peer.Connection.BacklogPackets);
            chunks.Add(peer.Connection.QueuedBuffers().Count);
            Assert.True(peer.Connection.IsOwned);
            if (copy == 1)
            {
                peer.Data(10);
                Assert.Equal(1, peer.Connection.BacklogPackets);
                Assert.Equal(0, peer.Socket.Available);
            }
        };
        peer.Send(130_000);

        // Chunks of at most 32 KiB: the first buffer takes at least two, and the packet waits until it is full.
        int secondBuffer = chunks.FindIndex(c => c == 2);
        Assert.InRange(secondBuffer, 2, 5);
        Assert.All(waiting.Skip(1).Take(secondBuffer - 1), w => Assert.Equal(1, w));
        Assert.Equal(0, waiting[secondBuffer]);
    }

    [Theory]
    [Trait("Requirement", "R1.17")]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public async Task A_source_that_throws_gives_the_partial_count_and_leaves_no_empty_buffer(int failing)
    {
        await using HandPeer peer = PerSegment();
        int call = 0;
        void Fill(Span<byte> span, int state)
        {
            span.Fill(7);
            if (++call == state)
            {
                throw new InvalidDataException("the source failed");
            }
        }

        if (failing == 1)
        {
            Assert.Throws<InvalidDataException>(() => peer.Socket.Send(10 * Mss, failing, Fill));
        }
        else
        {
            Assert.Equal((failing - 1) * Mss, peer.Socket.Send(10 * Mss, failing, Fill));
        }

        Assert.False(peer.Connection.IsOwned);
        Assert.DoesNotContain(peer.Connection.QueuedBuffers(), b => b.Length == 0);
        Assert.Equal((failing - 1) * Mss, peer.Connection.UnacknowledgedBytes);
        peer.Check();
        peer.Ack(peer.SentEnd);
        Assert.Equal(2 * Mss, peer.Send(2 * Mss));
        Assert.Equal(0, peer.Connection.Memory.ForwardAlloc >> 12);
    }

    [Fact]
    [Trait("Requirement", "R1.18")]
    public async Task Every_kind_of_source_goes_through_the_loop_that_flushes()
    {
        await using HandPeer peer = PerSegment();
        int flushes = 0;
        peer.InCopy = _ => peer.Data(1);
        byte[] data = new byte[10 * Mss];
        void Flushed()
        {
            int now = peer.Connection.Snapshot().BacklogFlushes;
            Assert.True(now > flushes);
            flushes = now;
        }

        await peer.Socket.SendAsync(data, TestContext.Current.CancellationToken);
        Flushed();
        var first = new Part(data.AsMemory(0, 5 * Mss));
        var sequence = new ReadOnlySequence<byte>(first, 0, first.Append(data.AsMemory(5 * Mss)), 5 * Mss);
        await peer.Socket.SendAsync(sequence, cancellationToken: TestContext.Current.CancellationToken);
        Flushed();
        await peer.Socket.SendAsync([data.AsMemory(0, 100), data.AsMemory(100)], cancellationToken: TestContext.Current.CancellationToken);
        Flushed();
        peer.Socket.Send(data);
        Flushed();
        peer.Socket.Send(data.Length, 0, static (span, _) => span.Clear());
        Flushed();
        Assert.Equal(50 * Mss, peer.Connection.UnacknowledgedBytes);
    }

    [Fact]
    [Trait("Requirement", "R1.19")]
    public async Task Filled_buffers_go_out_while_the_next_ones_are_filled()
    {
        await using HandPeer peer = new HandPeer(s => s.BacklogFlushBuffers = 0).Open().SendBuffer(1 << 30);
        peer.Window = 1000;
        var gone = new List<int>();
        peer.InCopy = _ => gone.Add(peer.Link.Sent.Sum(s => s.Length));
        peer.Send(20 * 44 * Mss);
        Assert.Equal(0, gone[1]);
        Assert.True(gone[^1] > 15 * 44 * Mss, $"{gone[^1]} bytes were on their way when the last chunk was copied");
    }

    [Fact]
    [Trait("Requirement", "R1.19")]
    public async Task Half_of_the_largest_window_forces_a_push()
    {
        await using var peer = new HandPeer(s => s.SizeGoal = 1);
        peer.SendBuffer(1 << 30);
        peer.Connection.Cwnd.Window = 2;
        peer.Send(60 * Mss);

        // 65535 bytes offered: after 23 segments more than half has gathered.
        List<QueuedBuffer> pushed = peer.Connection.QueuedBuffers().FindAll(b => (b.TcpFlags & TcpFlags.Psh) != 0);
        Assert.Equal([peer.First + (22 * Mss), peer.First + (45 * Mss), peer.First + (59 * Mss)], pushed.Select(b => b.Sequence));
    }

    [Fact]
    [Trait("Requirement", "T9")]
    public async Task Between_two_flushes_there_is_at_least_one_new_buffer_however_many_packets_come()
    {
        const int Buffers = 60;
        await using HandPeer peer = PerSegment(window: 0).SendBuffer(200_000);
        int budget = 5000;
        peer.Link.OnSent = _ =>
        {
            if (budget-- > 0)
            {
                peer.Data(1);
            }
        };
        peer.InCopy = _ => peer.Data(Mss);
        Assert.Equal(Buffers * Mss, peer.Send(Buffers * Mss));
        Assert.InRange(peer.Connection.Snapshot().BacklogFlushes, Buffers / 2, Buffers);
        Assert.True(budget > 0);
        peer.Link.OnSent = null;
    }

    [Theory]
    [Trait("Requirement", "T9")]
    [InlineData(1, 63)]
    [InlineData(16, 3)]
    [InlineData(0, 0)]
    public async Task The_backlog_is_looked_at_every_so_many_buffers(int every, int looks)
    {
        await using HandPeer peer = new HandPeer(s => { s.SizeGoal = 1; s.BacklogFlushBuffers = every; }).Open().SendBuffer(1 << 30);
        peer.InCopy = _ => peer.Data(1);
        peer.Send(64 * Mss);
        Assert.Equal(looks, peer.Connection.Snapshot().BacklogFlushes);
    }

    [Fact]
    [Trait("Requirement", "T11")]
    public async Task A_timeout_that_fires_in_mid_send_retransmits_before_the_call_ends()
    {
        await using HandPeer peer = new HandPeer(s => { s.SizeGoal = 1; s.BacklogFlushBuffers = 1; s.EarlyRetrans = 0; }).Open(5).SendBuffer(1 << 30);
        int retransmitted = 0;
        peer.InCopy = copy =>
        {
            peer.Time.Elapse(20_000_000);
            retransmitted = peer.Link.Sent.Count(s => s.Sequence == peer.First && s.Length > 0) - 1;
        };
        long began = peer.Time.NowNanos;
        peer.Send(30 * Mss);
        Assert.Equal(1, retransmitted);
        SentSegment again = peer.Link.Sent.Where(s => s.Sequence == peer.First && s.Length > 0).ElementAt(1);
        Assert.InRange(again.AtNanos - began, 200_000_000, 260_000_000);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "T11")]
    public async Task Without_the_callback_the_timeout_waits_for_the_end_of_the_call()
    {
        await using HandPeer peer = new HandPeer(s => { s.SizeGoal = 1; s.BacklogFlushBuffers = 1; s.EarlyRetrans = 0; s.BacklogReleaseCallback = false; }).Open(5).SendBuffer(1 << 30);
        long last = 0;
        peer.InCopy = _ =>
        {
            peer.Time.Elapse(20_000_000);
            last = peer.Time.NowNanos;
        };
        peer.Send(30 * Mss);
        SentSegment again = peer.Link.Sent.Where(s => s.Sequence == peer.First && s.Length > 0).ElementAt(1);
        Assert.Equal(last, again.AtNanos);
    }

    [Fact]
    [Trait("Requirement", "R1.4")]
    [Trait("Requirement", "T3")]
    public async Task The_limit_of_a_connection_is_twice_the_receive_buffer_half_the_send_buffer_and_64_KiB()
    {
        await using HandPeer peer = new HandPeer(s => s.BacklogCoalesce = false).Open();
        TcpConnection connection = peer.Connection;
        connection.Memory.SendBuffer = 3001;
        connection.Memory.ReceiveBuffer = 2500;
        Assert.Equal(5000 + 1500 + 65536, connection.BacklogLimit);
        long before = peer.Stack.GetCounter(StackCounter.TcpBacklogDrop);
        connection.Own();
        int size = 448 + 2048;
        int fit = (72036 / size) + 1;
        for (int i = 0; i < fit + 3; i++)
        {
            peer.Deliver(TcpFlags.Ack, peer.Next + 1, peer.Acked, 1000);
        }

        Assert.Equal(fit, connection.BacklogPackets);
        Assert.Equal((long)fit * size, connection.BacklogBytes);
        Assert.Equal(3, peer.Stack.GetCounter(StackCounter.TcpBacklogDrop) - before);
        Assert.Equal(3, connection.Snapshot().Drops);
        connection.Memory.ReceiveBuffer = int.MaxValue;
        connection.Memory.SendBuffer = int.MaxValue;
        Assert.Equal(uint.MaxValue, connection.BacklogLimit);
        connection.Memory.ReceiveBuffer = 131072;
        connection.Release();
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R1.2")]
    public async Task A_wrong_checksum_is_counted_and_never_queued()
    {
        await using HandPeer peer = PerSegment();
        void Arrive(bool right)
        {
            byte[] bytes = new byte[60];
            TcpHeader.Write(bytes.AsSpan(20), new TcpSegmentHeader
            {
                SourcePort = peer.Connection.Key.RemotePort,
                DestinationPort = peer.Connection.Key.LocalPort,
                Sequence = new SequenceNumber(peer.Next),
                Acknowledgment = new SequenceNumber(peer.Acked),
                Flags = TcpFlags.Ack,
                Window = 1000,
                HeaderLength = 20,
            });
            uint sum = Checksum.PseudoHeader(peer.Connection.Key.Remote, peer.Connection.Key.Local, IpProtocol.Tcp, 40);
            TcpHeader.WriteChecksum(bytes.AsSpan(20), 0);
            TcpHeader.WriteChecksum(bytes.AsSpan(20), Checksum.Finish(Checksum.Add(bytes.AsSpan(20), sum)));
            bytes[50] ^= right ? (byte)0 : (byte)1;
            new IPv4Header
            {
                Source = peer.Connection.Key.Remote,
                Destination = peer.Connection.Key.Local,
                Protocol = IpProtocol.Tcp,
                TimeToLive = 64,
                TotalLength = 60,
            }.Write(bytes);
            Buffers.PacketBuffer packet = Penstock.Links.PacketCopy.TryRent(peer.Stack.Pool, 60, out Buffers.Slab? slab)!;
            bytes.CopyTo(slab!.Array, 0);
            peer.Link.Client!.Deliver(packet, 0);
            peer.Time.RunStackReady();
        }

        peer.Connection.Own();
        Arrive(right: false);
        Assert.Equal(0, peer.Connection.BacklogPackets);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpInCsumErrors));
        Arrive(right: true);
        Assert.Equal(1, peer.Connection.BacklogPackets);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpInCsumErrors));
        peer.Connection.Release();
        Assert.Equal(20, peer.Socket.Available);
    }

    [Fact]
    [Trait("Requirement", "R1.2")]
    [Trait("Requirement", "T1")]
    public async Task A_connection_queues_what_arrives_during_a_send_and_nothing_else()
    {
        await using HandPeer peer = PerSegment();
        peer.Data(10);
        Assert.Equal(0, peer.Connection.Snapshot().BacklogEnqueued);
        peer.InCopy = copy => peer.Data(10);
        peer.Send(Mss);
        Assert.Equal(1, peer.Connection.Snapshot().BacklogEnqueued);
        Assert.Equal(20, peer.Socket.Available);
    }

    /// <summary>A buffer for each segment, a look at the backlog for each buffer: every step can be seen.</summary>
    private static HandPeer PerSegment(uint window = 65535, int congestionWindow = 100_000)
    {
        var peer = new HandPeer(s => { s.SizeGoal = 1; s.BacklogFlushBuffers = 1; s.EarlyRetrans = 0; });
        peer.Open(congestionWindow).SendBuffer(1 << 30);
        if (window != peer.Window)
        {
            peer.Window = window;
            peer.Ack(peer.Acked);
        }

        return peer;
    }

    private static HandPeer Goal64(uint window, int knob = 0)
    {
        var peer = new HandPeer(s => s.SizeGoal = knob);
        peer.Open().SendBuffer(1 << 30);
        peer.Window = window;
        peer.Ack(peer.Acked);
        return peer;
    }

    private static void TcpHeaderStart(Span<byte> bytes, ushort source, ushort destination, uint sequence)
    {
        System.Buffers.Binary.BinaryPrimitives.WriteUInt16BigEndian(bytes, source);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], destination);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(bytes[4..], sequence);
    }

    private sealed class Part : ReadOnlySequenceSegment<byte>
    {
        public Part(ReadOnlyMemory<byte> memory) => Memory = memory;

        public Part Append(ReadOnlyMemory<byte> memory)
        {
            var next = new Part(memory) { RunningIndex = RunningIndex + Memory.Length };
            Next = next;
            return next;
        }
    }
}
