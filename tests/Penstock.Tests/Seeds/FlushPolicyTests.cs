using System.Net.Sockets;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>The flush policies of a long send: what each is worth to the peer while the source is slow, and the rules of the adaptive one.</summary>
public class FlushPolicyTests
{
    private const int Mss = HandPeer.Mss;
    private const int Goal = 44 * Mss;
    private const int Page = 4096;
    private const long Millisecond = 1_000_000;

    [Theory]
    [Trait("Requirement", "R1.16")]
    [Trait("Requirement", "T9")]
    [InlineData(0, 1000, 400, 600, 900, 1100)]

    // Two such times of 16 buffers (64 ms) at most: pings that were packed into segments of less than 536 bytes force no ACK by themselves, as in Linux, whose own figures are 38 and 149 ms.
    [InlineData(16, 0, 30, 45, 60, 125)]
    [InlineData(1, 0, 2, 7, 4, 10)]
    [InlineData(16, 1000, 0.1, 0.8, 0.1, 2)]
    public void A_ping_waits_for_its_ACK_as_long_as_the_policy_lets_it(
        int buffers, int budgetMicroseconds, double leastMedian, double mostMedian, double leastP99, double mostP99)
    {
        SlowSource run = SlowSource.Run(
            s =>
            {
                s.BacklogFlushBuffers = buffers;
                s.BacklogFlushBudgetNanos = budgetMicroseconds * 1000;
            },
            bytes: 16 << 20);
        TestContext.Current.TestOutputHelper!.WriteLine(
            $"median {run.MedianMilliseconds} ms, p99 {run.P99Milliseconds} ms, {run.WaitsNanos.Count} pings, {run.TimesFilled} buffers of {run.FilledTo}, "
            + $"{run.Info.BacklogFlushes} flushes, {run.Info.FlushClockReads / 16.0} clock reads a MiB");
        Assert.InRange(run.MedianMilliseconds, leastMedian, mostMedian);
        Assert.InRange(run.P99Milliseconds, leastP99, mostP99);
        Assert.Equal(1024, run.CallNanos / Millisecond);

        if (buffers > 0)
        {
            // The budget costs no smaller buffers.
            Assert.Equal(45 * 1448, run.FilledTo);
            Assert.InRange(run.TimesFilled, 200, 2000);
        }
    }

    [Fact]
    [Trait("Requirement", "T9")]
    public async Task The_budget_is_looked_at_between_the_chunks_of_one_buffer_and_no_packet_waits_longer()
    {
        await using HandPeer peer = Slow(250_000);
        var waits = new List<long>();
        long queuedAt = 0;
        Action<int> elapse = peer.InCopy!;
        peer.InCopy = copy =>
        {
            if (queuedAt == 0)
            {
                queuedAt = peer.Time.NowNanos;
                peer.Data(10);
            }

            elapse(copy);
        };
        peer.Link.OnSent = sent =>
        {
            if (queuedAt != 0 && sent.Acknowledgment == peer.Next)
            {
                waits.Add(peer.Time.NowNanos - queuedAt);
                queuedAt = 0;
            }
        };
        Assert.Equal(3 * Goal, peer.Send(3 * Goal));
        Assert.InRange(waits.Count, 3 * Goal / (4 * Page), int.MaxValue);
        Assert.InRange(waits.Skip(2).Max(), 1, Millisecond);
    }

    [Fact]
    [Trait("Requirement", "T9")]
    public async Task What_is_attached_at_no_cost_does_not_make_the_chunks_of_a_slow_source_grow()
    {
        await using HandPeer peer = Slow(250_000);

        // Whole slabs, so that the next chunk has room in a fresh one.
        peer.Send(2 * Buffers.PacketPool.SendSlab);
        Assert.Equal(Page, peer.Chunks[2]);
        peer.SendZeroCopy(HandPeer.PinnedPages(128), 0, 128 * Page);
        peer.Send(Goal);
        Assert.Equal(Page, peer.Chunks.Max());
        peer.AckAll();
    }

    [Fact]
    [Trait("Requirement", "R1.10")]
    public async Task During_a_flush_in_mid_buffer_the_partial_tail_is_withheld_and_what_is_before_it_goes()
    {
        await using HandPeer peer = Slow(250_000);
        peer.Connection.Cwnd.Window = 50;
        peer.Socket.NoDelay = true;
        int flushed = 0;
        uint tail = peer.First;
        peer.Link.OnSent = sent =>
        {
            List<QueuedBuffer> queued = peer.Connection.QueuedBuffers();
            Assert.All(queued, b => Assert.NotEqual(0, b.Length));
            flushed = peer.Connection.Snapshot().BacklogFlushes;
        };
        Action<int> elapse = peer.InCopy!;
        peer.InCopy = copy =>
        {
            List<QueuedBuffer> unsent = peer.Connection.QueuedBuffers().FindAll(b => !b.IsSent);
            tail = unsent[^1].Sequence;

            // The tail is not sent, whole or in part, and not marked: whatever was sent ends before it.
            Assert.True((int)(peer.SentEnd - tail) <= 0, $"bytes of the tail at {tail} were sent up to {peer.SentEnd}");
            Assert.Equal(TcpFlags.None, unsent[^1].TcpFlags & TcpFlags.Psh);
            Assert.Equal(0u, (tail - peer.First) % Mss);
            peer.Ack(peer.SentEnd);
            elapse(copy);
        };
        Assert.Equal(4 * Goal, peer.Send(4 * Goal, TcpSendFlags.None));
        Assert.True(flushed > 10);

        // Each ACK let the rest of the buffers before the tail go, while the tail was being filled.
        Assert.True(peer.Link.Sent.Count(s => s.Length > 0) > 3);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R1.10")]
    [Trait("Requirement", "T8")]
    public async Task After_a_flush_in_mid_buffer_a_tail_beyond_the_new_goal_is_left_and_a_new_buffer_made()
    {
        await using HandPeer peer = Slow(250_000);
        peer.Send(Goal);
        peer.Window = 0;
        peer.Ack(peer.SentEnd);
        peer.Settings.SizeGoal = 20 * Mss;
        Action<int> elapse = peer.InCopy!;
        peer.InCopy = copy =>
        {
            if (copy == 4)
            {
                // The tail holds more than one segment by now; the knob is read again.
                peer.Settings.SizeGoal = 1;
                peer.Data(1);
            }

            elapse(copy);
        };
        peer.Send(40 * Mss);
        List<QueuedBuffer> buffers = peer.Connection.QueuedBuffers();
        Assert.InRange(buffers[0].Length, Mss + 1, (20 * Mss) - 1);
        Assert.All(buffers.Skip(1).SkipLast(1), b => Assert.Equal(Mss, b.Length));
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R1.11")]
    [Trait("Requirement", "T8")]
    public async Task A_reset_that_a_flush_in_mid_buffer_finds_gives_the_partial_count()
    {
        await using HandPeer peer = Slow(250_000);
        Action<int> elapse = peer.InCopy!;
        peer.InCopy = copy =>
        {
            if (copy == 5)
            {
                peer.Reset();
            }

            elapse(copy);
        };
        int sent = peer.Send(10 * Goal, TcpSendFlags.None, out SocketError error);
        Assert.InRange(sent, peer.Chunks.Take(5).Sum(), peer.Chunks.Take(9).Sum());
        Assert.Equal(SocketError.Success, error);
        Assert.Equal(0, peer.Connection.Memory.WriteQueueBytes);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "T9")]
    public async Task Between_two_flushes_of_the_budget_there_is_at_least_one_chunk_however_many_packets_come()
    {
        await using HandPeer peer = Slow(5 * Millisecond);
        peer.Link.OnSent = _ => peer.Data(1);
        Action<int> elapse = peer.InCopy!;
        peer.InCopy = copy =>
        {
            peer.Data(1);
            elapse(copy);
        };
        Assert.Equal(2 * Goal, peer.Send(2 * Goal));
        Assert.InRange(peer.Connection.Snapshot().BacklogFlushes, peer.Chunks.Count / 2, peer.Chunks.Count);
        peer.Link.OnSent = null;
    }

    [Fact]
    [Trait("Requirement", "R1.16")]
    public async Task Chunks_shrink_to_a_page_while_the_source_is_slow_and_grow_again_and_the_next_send_remembers()
    {
        await using HandPeer peer = Slow(250_000);
        peer.Send(2 * Goal);
        Assert.InRange(peer.Chunks[0], Page + 1, 32 * 1024);
        Assert.All(peer.Chunks.Skip(1), c => Assert.InRange(c, 1, Page));
        peer.Send(Goal);
        Assert.All(peer.Chunks, c => Assert.InRange(c, 1, Page));
        peer.InCopy = null;
        peer.Send(4 * Goal);
        Assert.InRange(peer.Chunks.Take(6).Max(), 16 * 1024, 32 * 1024);
        Assert.Contains(peer.Chunks, c => c == 32 * 1024);
    }

    [Theory]
    [Trait("Requirement", "T9")]
    [InlineData(0, 1_000_000)]
    [InlineData(1, 0)]
    [InlineData(16, 0)]
    public async Task Without_a_budget_or_switched_off_no_clock_is_read_and_no_buffer_is_interrupted(int buffers, long budget)
    {
        await using HandPeer peer = Slow(250_000);
        peer.Settings.BacklogFlushBuffers = buffers;
        peer.Settings.BacklogFlushBudgetNanos = budget;
        Action<int> elapse = peer.InCopy!;
        peer.InCopy = copy =>
        {
            peer.Data(1);
            elapse(copy);
        };
        peer.Send(4 * Goal);
        Assert.Equal(0, peer.Connection.Snapshot().FlushClockReads);
        Assert.Equal(buffers == 1 ? 3 : 0, peer.Connection.Snapshot().BacklogFlushes);
    }

    [Fact]
    [Trait("Requirement", "T9")]
    public async Task The_clock_is_read_at_most_once_a_chunk_and_once_a_flush_and_not_for_a_send_of_one_page()
    {
        await using HandPeer peer = Slow(0);
        peer.Send(Page);
        Assert.Equal(0, peer.Connection.Snapshot().FlushClockReads);
        peer.Send(16 * Goal);
        Assert.Equal(0, peer.Connection.Snapshot().BacklogFlushes);
        Assert.Equal(peer.Chunks.Count + 1, peer.Connection.Snapshot().FlushClockReads);
    }

    [Theory]
    [Trait("Requirement", "T9")]
    [InlineData("off", 0)]
    [InlineData("every 2 buffers", 1)]
    [InlineData("every buffer", 3)]
    [InlineData("adaptive within 1 ms", 15)]
    [InlineData("adaptive within 500 ms", 0)]
    public async Task A_socket_s_own_policy_comes_before_the_stack_s(string policy, int flushes)
    {
        TcpFlushPolicy own = new[]
        {
            TcpFlushPolicy.Off, TcpFlushPolicy.Every(2), TcpFlushPolicy.Every(1), TcpFlushPolicy.Adaptive, TcpFlushPolicy.AdaptiveWithin(TimeSpan.FromMilliseconds(500)),
        }.Single(p => p.ToString() == policy);
        await using HandPeer peer = Slow(250_000, new TcpConnectOptions { FlushPolicy = own });
        peer.Settings.BacklogFlushBuffers = own == TcpFlushPolicy.Off ? 1 : 0;
        Assert.Equal(own, peer.Socket.FlushPolicy);
        Action<int> elapse = peer.InCopy!;
        peer.InCopy = copy =>
        {
            peer.Data(1);
            elapse(copy);
        };
        peer.Send(4 * Goal);
        Assert.InRange(peer.Connection.Snapshot().BacklogFlushes, flushes, flushes == 15 ? 40 : flushes);
        peer.Socket.FlushPolicy = null;
        Assert.Equal(own == TcpFlushPolicy.Off ? TcpFlushPolicy.AdaptiveWithin(TimeSpan.FromMilliseconds(1)).Budget : TimeSpan.Zero, peer.Socket.FlushPolicy.Budget);
    }

    [Fact]
    public void A_policy_that_makes_no_sense_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => TcpFlushPolicy.Every(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => TcpFlushPolicy.AdaptiveWithin(TimeSpan.Zero));
        Assert.Throws<ArgumentOutOfRangeException>(() => TcpFlushPolicy.AdaptiveWithin(TimeSpan.FromSeconds(1.1)));
        Assert.Equal((16, TimeSpan.FromMilliseconds(1)), (TcpFlushPolicy.Adaptive.Buffers, TcpFlushPolicy.Adaptive.Budget));
        Assert.Equal(TcpFlushPolicy.Adaptive, TcpFlushPolicy.AdaptiveWithin(TimeSpan.FromMilliseconds(1)));
        Assert.NotEqual(TcpFlushPolicy.Adaptive, TcpFlushPolicy.Every(16));
    }

    [Fact]
    [Trait("Requirement", "R1.12")]
    public async Task An_ACK_that_is_owed_when_the_budget_is_used_up_does_not_wait_for_data_to_ride_on()
    {
        await using HandPeer peer = Slow(250_000);
        peer.Data(10);
        Action<int> elapse = peer.InCopy!;
        long asked = 0, answered = 0;
        peer.Link.OnSent = sent => answered = answered == 0 && asked != 0 && sent.Acknowledgment == peer.Next ? peer.Time.NowNanos : answered;
        peer.InCopy = copy =>
        {
            if (copy == 20)
            {
                // In a conversation an ACK waits for data.
                peer.Connection.QuickAck = false;
                asked = peer.Time.NowNanos;
                peer.Data(10);
            }

            elapse(copy);
        };
        peer.Send(4 * Goal);
        Assert.InRange(answered - asked, 1, Millisecond);
    }

    /// <summary>An open connection with the adaptive policy whose source takes so long for each page.</summary>
    private static HandPeer Slow(long pageNanos, TcpConnectOptions? options = null)
    {
        var peer = new HandPeer(s => s.EarlyRetrans = 0, options: options);
        peer.Open().SendBuffer(1 << 30);
        peer.InCopy = _ =>
        {
            if (pageNanos > 0)
            {
                peer.Time.Elapse((peer.Chunks[^1] + Page - 1) / Page * pageNanos);
            }
        };
        return peer;
    }
}
