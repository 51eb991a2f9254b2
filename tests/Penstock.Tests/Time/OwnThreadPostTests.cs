using Penstock.Buffers;
using Penstock.Time;

namespace Penstock.Tests.Time;

/// <summary>What the thread that runs a worker posts to it itself: without gate and wake, in the same order as everybody's, and not lost when the worker is closed.</summary>
public sealed class OwnThreadPostTests
{
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

    /// <summary>A buffer that keeps its room for headers is not in use, and is given up when memory is no longer plenty.</summary>
    [Fact]
    public void A_buffer_that_keeps_its_head_counts_as_free()
    {
        PacketBuffer buffer = _pool.RentBufferWithHead()!;
        int cost = buffer.TrueSize;
        buffer.PushHead(20);
        buffer.Free();
        Assert.Equal((0L, 0L, 0L), (_pool.RentedBuffers, _pool.RentedSlabs, _pool.RentedBytes));
        Assert.Throws<InvalidOperationException>(buffer.Free);
        PacketBuffer again = _pool.RentBufferWithHead()!;
        Assert.Equal((0, cost, 0), (again.HeadLength, again.TrueSize, again.Length));
        again.Free();

        // All of the limit is asked for: what is kept at hand must not stand in the way.
        var taken = new List<PacketBuffer>();
        while (_pool.RentBuffer() is { } one)
        {
            taken.Add(one);
        }

        taken.ForEach(one => one.Free());
        Assert.Equal((0L, 0L, 0L), (_pool.RentedBuffers, _pool.RentedSlabs, _pool.RentedBytes));
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

        public override long NowNanos => 1;

        public override void Wake(Worker worker) => Wakes++;

        public override void Start(Worker worker)
        {
        }

        public override void Stop(Worker worker)
        {
        }
    }
}
