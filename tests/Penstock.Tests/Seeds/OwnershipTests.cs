using Penstock.Ownership;
using Penstock.Time;

namespace Penstock.Tests.Seeds;

/// <summary>The socket lock and its backlog, without a protocol and on one thread.</summary>
public class OwnershipTests
{
    private readonly VirtualTime _time = new();
    private readonly TestSocket _socket;

    public OwnershipTests() => _socket = new TestSocket(_time);

    [Fact]
    [Trait("Requirement", "R1.1")]
    public void The_owner_runs_without_the_inner_word_so_a_packet_can_queue_meanwhile()
    {
        _socket.Own();
        Assert.True(_socket.IsOwned);
        Assert.False(_socket.TryOwn());
        _socket.Arrive(1);
        Assert.Equal(1, _socket.BacklogPackets);
        Assert.Empty(_socket.Processed);
        _socket.Release();
        Assert.False(_socket.IsOwned);
        Assert.Equal([1u], _socket.Processed);
    }

    [Fact]
    [Trait("Requirement", "R1.2")]
    [Trait("Requirement", "T1")]
    public void A_packet_is_queued_if_and_only_if_the_socket_is_owned()
    {
        bool ownedInside = false;
        _socket.OnPacket = _ => ownedInside = _socket.IsOwned;
        _socket.Arrive(1);
        Assert.Equal([1u], _socket.Processed);
        Assert.True(ownedInside, "a packet that finds the socket free becomes its owner");
        Assert.False(_socket.IsOwned);
        Assert.True(_socket.TryOwn());
        _socket.Arrive(2);
        Assert.Equal([1u], _socket.Processed);
        _socket.Release();
        Assert.Equal([1u, 2u], _socket.Processed);
    }

    [Fact]
    [Trait("Requirement", "R1.3")]
    [Trait("Requirement", "T2")]
    public void The_backlog_is_worked_off_in_order_of_arrival_and_counts_true_size()
    {
        _socket.Own();
        for (uint i = 0; i < 5; i++)
        {
            _socket.Arrive(i, extra: 100);
        }

        Assert.Equal(5 * (TestSocket.PacketSize + 100), _socket.BacklogBytes);
        Assert.Equal(5, _socket.BacklogPackets);
        _socket.Release();
        Assert.Equal([0u, 1u, 2u, 3u, 4u], _socket.Processed);
        Assert.Equal(0, _socket.BacklogBytes);
        Assert.Equal(0, _socket.Rented);
    }

    [Fact]
    [Trait("Requirement", "R1.3")]
    [Trait("Requirement", "R1.5")]
    [Trait("Requirement", "T4")]
    public void The_length_falls_to_zero_only_when_the_drain_ends()
    {
        var seen = new List<long>();
        _socket.Own();
        _socket.Arrive(0);
        _socket.Arrive(1);
        _socket.OnPacket = number =>
        {
            seen.Add(_socket.BacklogBytes);
            if (number == 1)
            {
                _socket.Arrive(2);
            }
        };
        _socket.FlushBacklog(runDeferred: true);
        int size = TestSocket.PacketSize;
        Assert.Equal([2 * size, 2 * size, 3 * size], seen);
        Assert.Equal(0, _socket.BacklogBytes);
        _socket.Release();
    }

    [Theory]
    [Trait("Requirement", "R1.4")]
    [Trait("Requirement", "T3")]
    [InlineData(0, 0, 1)]
    [InlineData(447, 0, 1)]
    [InlineData(448, 0, 2)]
    [InlineData(1000, 0, 3)]
    [InlineData(1000, 104, 3)]
    [InlineData(1000, 105, 2)]
    [InlineData(1000, 1000, 1)]
    [InlineData(1000, 1001, 0)]
    public void The_limit_counts_what_waits_and_what_was_received_but_not_the_packet_itself(long limit, int received, int fit)
    {
        Assert.Equal(448, TestSocket.PacketSize);
        _socket.Limit = limit;
        _socket.Received = received;
        _socket.Own();
        for (uint i = 0; i < 6; i++)
        {
            _socket.Arrive(i);
        }

        Assert.Equal(fit, _socket.BacklogPackets);
        Assert.Equal(6 - fit, _socket.Drops);
        _socket.Release();
        Assert.Equal(fit, _socket.Processed.Count);
        Assert.Equal(0, _socket.Rented);
    }

    [Fact]
    [Trait("Requirement", "R1.4")]
    [Trait("Requirement", "T3")]
    public void One_packet_of_any_size_fits_an_empty_backlog()
    {
        _socket.Limit = 10;
        _socket.Own();
        _socket.Arrive(1, extra: 1_000_000);
        _socket.Arrive(2);
        Assert.Equal(1, _socket.BacklogPackets);
        Assert.Equal(1, _socket.Drops);
        _socket.Release();
        Assert.Equal([1u], _socket.Processed);
    }

    [Fact]
    [Trait("Requirement", "R1.5")]
    [Trait("Requirement", "T4")]
    public void A_drain_takes_the_whole_chain_and_then_what_came_meanwhile()
    {
        var waiting = new List<int>();
        _socket.Own();
        _socket.Arrive(0);
        _socket.Arrive(1);
        _socket.OnPacket = number =>
        {
            waiting.Add(_socket.BacklogPackets);
            if (number < 2)
            {
                _socket.Arrive(number + 10);
            }
        };
        _socket.Release();
        Assert.Equal([0u, 1u, 10u, 11u], _socket.Processed);
        Assert.Equal([0, 1, 0, 0], waiting);
    }

    [Fact]
    [Trait("Requirement", "R1.5")]
    [Trait("Requirement", "T4")]
    public void A_drain_ends_although_packets_come_faster_than_they_are_processed()
    {
        const int Bound = 20_000;
        _socket.Limit = 50 * TestSocket.PacketSize;
        int left = Bound;
        uint next = 1;
        _socket.OnPacket = _ =>
        {
            for (int i = 0; i < 2 && left > 0; i++, left--)
            {
                _socket.Arrive(next++);
            }
        };
        _socket.Own();
        _socket.Arrive(0);
        _socket.FlushBacklog(runDeferred: true);

        // The length grows by every accepted packet and is not zeroed meanwhile: 51 are the most that one drain can take.
        Assert.Equal(51, _socket.Processed.Count);
        Assert.True(left > 0);
        Assert.True(_socket.Drops > 0);
        _socket.OnPacket = null;
        _socket.Release();
    }

    [Fact]
    [Trait("Requirement", "R1.5")]
    [Trait("Requirement", "R1.6")]
    [Trait("Requirement", "T4")]
    public void A_release_ends_although_each_deferred_work_brings_another_packet_and_each_packet_defers_work()
    {
        const int Bound = 20_000;
        _socket.Limit = 50 * TestSocket.PacketSize;
        _socket.AckAfterDrain = true;
        uint next = 1;
        _socket.OnWork = _ =>
        {
            if (next < Bound)
            {
                _socket.Arrive(next++);
            }
        };
        _socket.Own();
        _socket.Arrive(0);
        _socket.Release();
        Assert.InRange(_socket.Processed.Count, 2, 52);
        Assert.False(_socket.IsOwned);
    }

    [Fact]
    [Trait("Requirement", "R1.6")]
    public void Release_drains_then_does_what_was_deferred_then_hands_over_then_wakes()
    {
        var log = new List<string>();
        var waiter = new LoggingWaiter(log) { Interest = SocketEvents.Readable };
        _socket.Own();
        _socket.Subscribe(waiter);
        _socket.OnPacket = number =>
        {
            log.Add($"packet {number} owned {_socket.IsOwned}");
            _socket.Raise(SocketEvents.Readable);
        };
        _socket.OnWork = work => log.Add($"{work} owned {_socket.IsOwned}");
        ValueTask one = _socket.OwnAsync();
        ValueTask two = _socket.OwnAsync();
        _socket.RunOrDefer(DeferredWork.Timer, null);
        _socket.Arrive(1);
        Assert.Empty(log);
        _socket.Release();
        _time.RunReady();
        Assert.Equal(["packet 1 owned True", "Timer owned True", "wake"], log);
        Assert.True(one.IsCompleted);
        Assert.False(two.IsCompleted, "one waiter is served for each release");
        Assert.True(_socket.IsOwned, "handed over, never up for grabs");
        Assert.False(_socket.TryOwn());
        _socket.Release();
        _time.RunReady();
        Assert.True(two.IsCompleted);
        _socket.Release();
        Assert.False(_socket.IsOwned);
    }

    [Fact]
    [Trait("Requirement", "R1.6")]
    public void Who_waits_for_the_socket_gets_it_in_the_order_of_asking()
    {
        _socket.Own();
        Task[] waits = [_socket.OwnAsync().AsTask(), _socket.OwnAsync().AsTask(), _socket.OwnAsync().AsTask(), _socket.OwnAsync().AsTask()];
        for (int served = 0; served < waits.Length; served++)
        {
            _socket.Release();
            _time.RunReady();
            for (int i = 0; i < waits.Length; i++)
            {
                Assert.Equal(i <= served, waits[i].IsCompleted);
            }
        }

        _socket.Release();
        Assert.False(_socket.IsOwned);
    }

    [Fact]
    [Trait("Requirement", "R1.7")]
    [Trait("Requirement", "T5")]
    public void A_flush_of_nothing_takes_no_lock()
    {
        _socket.Own();
        long before = _socket.InnerEntries;
        for (int i = 0; i < 1000; i++)
        {
            Assert.False(_socket.FlushBacklog(runDeferred: true));
        }

        Assert.Equal(before, _socket.InnerEntries);
        _socket.Release();
    }

    [Fact]
    [Trait("Requirement", "R1.7")]
    [Trait("Requirement", "R1.8")]
    [Trait("Requirement", "T6")]
    public void A_flush_keeps_the_socket_and_wakes_nobody_who_waits_for_it()
    {
        Assert.SkipWhen((Proof.Omitted & Omission.FlushKeepsSocket) != Omission.None, "on one thread this would wait for itself; the test with threads notices");
        _socket.Own();
        ValueTask wait = _socket.OwnAsync();
        for (uint i = 0; i < 10; i++)
        {
            _socket.Arrive(i);
            Assert.True(_socket.FlushBacklog(runDeferred: true));
            _time.RunReady();
            Assert.False(wait.IsCompleted);
            Assert.True(_socket.IsOwned);
        }

        Assert.Equal(10, _socket.Processed.Count);
        _socket.Release();
        _time.RunReady();
        Assert.True(wait.IsCompleted);
        _socket.Release();
    }

    [Fact]
    [Trait("Requirement", "R1.7")]
    public void What_arrives_after_the_look_is_found_by_the_next_one_or_by_release()
    {
        _socket.Own();
        Assert.False(_socket.FlushBacklog(runDeferred: true));
        _socket.Arrive(1);
        Assert.True(_socket.FlushBacklog(runDeferred: true));
        Assert.False(_socket.FlushBacklog(runDeferred: true));
        _socket.Arrive(2);
        _socket.Release();
        Assert.Equal([1u, 2u], _socket.Processed);
    }

    [Fact]
    [Trait("Requirement", "R1.6")]
    [Trait("Requirement", "T11")]
    public void Deferred_work_runs_at_a_flush_that_asks_for_it_else_at_release()
    {
        var done = new List<DeferredWork>();
        _socket.OnWork = done.Add;
        _socket.Own();
        _socket.RunOrDefer(DeferredWork.Timer, null);
        Assert.False(_socket.FlushBacklog(runDeferred: false));
        Assert.Empty(done);
        Assert.True(_socket.FlushBacklog(runDeferred: true));
        Assert.Equal([DeferredWork.Timer], done);
        _socket.RunOrDefer(DeferredWork.PathMtu, null);
        _socket.Release();
        Assert.Equal([DeferredWork.Timer, DeferredWork.PathMtu], done);
        _socket.RunOrDefer(DeferredWork.Timer, null);
        Assert.Equal(3, done.Count);
    }

    private sealed class LoggingWaiter(List<string> log) : SocketWaiter
    {
        public override void Fire(SocketEvents events) => log.Add("wake");
    }
}
