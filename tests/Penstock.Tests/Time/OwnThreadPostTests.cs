using Penstock.Buffers;
using Penstock.Time;

namespace Penstock.Tests.Time;

/// <summary>What the thread that runs a worker posts to it itself: without gate and wake, in the same order as everybody's, and not lost when the worker is closed.</summary>
public sealed class OwnThreadPostTests
{
    /// <summary>Enough that every thread here has blocks of its own at hand. Counted, not allocated.</summary>
    private const long Large = 512L << 20;

    private readonly CountingDriver _driver = new();
    private readonly PacketPool _pool = new(1 << 20);
    private readonly Receiver _receiver = new();
    private readonly Worker _worker;

    public OwnThreadPostTests() => _worker = new Worker(_driver, 0);

    [Fact]
    public void Own_posts_wake_nobody_and_are_run_in_order()
    {
        _worker.Thread = Environment.CurrentManagedThreadId;
        _worker.Post(Packet(1));
        PacketBuffer second = Packet(2), third = Packet(3);
        second.Next = third;
        _worker.Post(second, third, 2);
        Assert.Equal((0, 3), (_driver.Wakes, _worker.ReadyCount));
        Assert.False(_worker.Run());
        Assert.Equal([1, 2, 3], _receiver.Seen);
        Assert.Equal(0, _worker.ReadyCount);
    }

    [Fact]
    public void Own_posts_do_not_pass_what_others_have_posted_before()
    {
        _worker.Post(Packet(1));
        Assert.Equal(1, _driver.Wakes);
        _worker.Thread = Environment.CurrentManagedThreadId;
        _worker.Post(Packet(2));
        _worker.Run();
        Assert.Equal([1, 2], _receiver.Seen);
    }

    [Fact]
    public void What_a_packet_posts_to_its_own_worker_comes_behind_those_that_wait()
    {
        _worker.Thread = Environment.CurrentManagedThreadId;
        _receiver.OnFirst = () => _worker.Post(Packet(9));
        _worker.Post(Packet(1));
        _worker.Post(Packet(2));
        _worker.Run();
        Assert.Equal([1, 2, 9], _receiver.Seen);
    }

    /// <summary>Links lose packets by this count: one that only grew while the queue is never empty would have all of them lost after a while.</summary>
    [Fact]
    public void What_waits_is_counted_and_what_was_received_is_not()
    {
        _worker.Thread = Environment.CurrentManagedThreadId;
        var counts = new List<int>();
        _receiver.OnEach = seen =>
        {
            counts.Add(_worker.ReadyCount);
            if (seen < 1000)
            {
                _worker.Post(Packet(seen));
            }
        };
        _worker.Post(Packet(1));
        _worker.Post(Packet(2));
        while (_worker.Run())
        {
        }

        Assert.InRange(counts.Max(), 1, 2);
        Assert.Equal((0, 1001), (_worker.ReadyCount, counts.Count));

        // What others have posted counts until it is received, too.
        _worker.Thread = 0;
        counts.Clear();
        _receiver.OnEach = _ => counts.Add(_worker.ReadyCount);
        _worker.Post(Packet(1));
        _worker.Post(Packet(2));
        _worker.Post(Packet(3));
        _worker.Run();
        Assert.Equal([2, 1, 0], counts);
    }

    [Fact]
    public void A_closed_worker_keeps_nothing()
    {
        _worker.Thread = Environment.CurrentManagedThreadId;
        _worker.Post(Packet(1));
        _worker.Close();
        _worker.Post(Packet(2));
        Assert.Equal((0L, 0), (_pool.RentedBuffers, _receiver.Seen.Count));
    }

    /// <summary>What a worker sends to another of its thread comes at the time of its sending, which was read; the clock is not asked again. For what others post, and later, it is.</summary>
    [Fact]
    public void What_a_batch_posts_to_another_worker_of_its_thread_has_the_time_that_was_read_last()
    {
        var other = new Worker(_driver, 1) { Thread = Environment.CurrentManagedThreadId };
        _worker.Thread = Environment.CurrentManagedThreadId;
        long read = 0, fresh = 0;
        _receiver.OnFirst = () =>
        {
            read = _worker.ReadNanos();
            _receiver.OnFirst = () => fresh = other.RecentNanos;
            other.Post(Packet(2));
        };
        _worker.Post(Packet(1));
        _worker.Run();
        Assert.Equal((2L, 2), (read, _driver.Reads));
        other.Run();
        Assert.Equal((2L, 2), (fresh, _driver.Reads));

        // Outside of a batch nothing was read that would do.
        _receiver.OnFirst = () => fresh = other.RecentNanos;
        other.Post(Packet(3));
        other.Run();
        Assert.Equal((3L, 3), (fresh, _driver.Reads));

        // Nor by another thread, whose reading may be old before it is noted.
        other.Thread = 0;
        _receiver.OnFirst = () => read = other.ReadNanos();
        other.Post(Packet(4));
        _receiver.OnEach = _ => fresh = other.RecentNanos;
        other.Run();
        Assert.Equal((5L, 4L), (read, fresh));
        Assert.Equal([1, 2, 3, 4], _receiver.Seen);
    }

    /// <summary>A packet that a batch posts to its own worker is received in it; the next batch, a long time later, has a time of its own.</summary>
    [Fact]
    public void What_a_batch_posts_to_its_own_worker_leaves_no_time_behind()
    {
        _worker.Thread = Environment.CurrentManagedThreadId;
        _receiver.OnFirst = () => _worker.Post(Packet(2));
        _worker.Post(Packet(1));
        _worker.Run();
        Assert.Equal([1, 2], _receiver.Seen);
        Assert.Equal(1, _driver.Reads);
        long began = 0;
        _receiver.OnFirst = () => began = _worker.RecentNanos;
        _worker.Thread = 0;
        _worker.Post(Packet(3));
        _worker.Run();
        Assert.Equal((2L, 2), (began, _driver.Reads));
    }

    /// <summary>A buffer that keeps its room for headers is not in use, and is given up when memory is no longer plenty.</summary>
    [Fact]
    public void A_buffer_that_keeps_its_head_counts_as_free()
    {
        var pool = new PacketPool(Large);
        PacketBuffer buffer = pool.RentBufferWithHead()!;
        int cost = buffer.TrueSize;
        buffer.PushHead(20);
        buffer.Free();
        Assert.Equal((0L, 0L, 0L), (pool.RentedBuffers, pool.RentedSlabs, pool.RentedBytes));
        Assert.Throws<InvalidOperationException>(buffer.Free);
        PacketBuffer again = pool.RentBufferWithHead()!;
        Assert.Same(buffer, again);
        Assert.Equal((0, cost, 0), (again.HeadLength, again.TrueSize, again.Length));
        again.Free();

        // No longer plenty: what is kept at hand is anybody's.
        const int Most = (int)(Large / 5 * 3);
        Assert.True(pool.TryTakeRoom(Most));
        PacketBuffer other = pool.RentBuffer()!;
        Assert.Null(other.DetachSlab());
        other.Free();
        pool.GiveRoom(Most);
        Assert.Equal((0L, 0L, 0L), (pool.RentedBuffers, pool.RentedSlabs, pool.RentedBytes));
    }

    /// <summary>A short message's buffer and the slab with its bytes stay together; a slab that somebody else refers to does not.</summary>
    [Fact]
    public unsafe void A_buffer_that_keeps_the_slab_of_its_payload_counts_as_free()
    {
        var pool = new PacketPool(Large);
        if (pool.MagazineOfThread() is null)
        {
            // Threads beyond the first hundred or so have none, and on which one a test runs is not ours to say: buffer and slab then go back apart.
            PacketBuffer apart = pool.RentBufferAndSlab(60, forced: false, out Slab? own)!;
            apart.Append(own!, own!.Address, 60);
            apart.Free();
            Assert.Equal((0L, 0L, 0L), (pool.RentedBuffers, pool.RentedSlabs, pool.RentedBytes));
            return;
        }

        PacketBuffer buffer = pool.RentBufferAndSlab(60, forced: false, out Slab? slab)!;
        buffer.Append(slab!, slab!.Address, 60);
        buffer.Free();
        Assert.Equal((0L, 0L, 0L), (pool.RentedBuffers, pool.RentedSlabs, pool.RentedBytes));
        PacketBuffer sent = pool.RentBufferForTiny(forced: false)!;
        Assert.Equal((PacketBuffer.ObjectSize, PacketBuffer.ObjectSize, 0, 0), (sent.TrueSize, sent.HeadTrueSize, sent.HeadLength, sent.FragmentCount));
        Assert.Same(slab, sent.DetachSlab());
        Assert.Null(sent.DetachSlab());

        sent.Append(slab, slab.Address, 60);
        slab.AddReference();
        sent.Free();
        Assert.Equal((0L, 1L), (pool.RentedBuffers, pool.RentedSlabs));
        PacketBuffer next = pool.RentBufferAndSlab(60, forced: false, out Slab? another)!;
        Assert.NotSame(slab, another);
        another!.Release();
        slab.Release();
        next.Free();
        Assert.Equal((0L, 0L, 0L), (pool.RentedBuffers, pool.RentedSlabs, pool.RentedBytes));
    }

    private PacketBuffer Packet(long number)
    {
        PacketBuffer packet = _pool.RentBuffer()!;
        packet.SentOrder = number;
        packet.Ingress = _receiver;
        return packet;
    }

    private sealed class Receiver : IReceiver
    {
        public List<long> Seen { get; } = [];

        public Action? OnFirst { get; set; }

        public Action<int>? OnEach { get; set; }

        public void Receive(PacketBuffer packet, Worker worker)
        {
            Seen.Add(packet.SentOrder);
            packet.Free();
            OnEach?.Invoke(Seen.Count);
            Action? first = OnFirst;
            OnFirst = null;
            first?.Invoke();
        }
    }

    private sealed class CountingDriver : Driver
    {
        public int Wakes { get; private set; }

        public int Reads { get; private set; }

        public override long NowNanos => ++Reads;

        public override void Wake(Worker worker) => Wakes++;

        public override void Start(Worker worker)
        {
        }

        public override void Stop(Worker worker)
        {
        }
    }
}
