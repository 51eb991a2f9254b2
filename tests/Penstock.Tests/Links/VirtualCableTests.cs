using System.Net;
using System.Numerics;
using Penstock.Buffers;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Links;

public sealed class VirtualCableTests : IDisposable
{
    private const long Millisecond = 1_000_000;
    private readonly VirtualTime _time = new();
    private readonly RecordingClient _a;
    private readonly RecordingClient _b;
    private VirtualCable? _cable;

    public VirtualCableTests()
    {
        _a = new RecordingClient(_time);
        _b = new RecordingClient(_time);
    }

    public void Dispose()
    {
        _cable?.Dispose();
        _time.RunReady();
        _a.AssertNothingRented();
        _b.AssertNothingRented();
        if (_cable is not null)
        {
            AssertBalanced(_cable.AToB.Counters);
            AssertBalanced(_cable.BToA.Counters);
        }
    }

    [Fact]
    public void A_packet_crosses_a_plain_cable_at_once_and_unchanged_but_not_within_the_call()
    {
        Plug(new CableOptions());
        Send(100);
        Assert.Empty(_b.Arrivals);
        _time.RunReady();
        RecordingClient.Arrival arrival = Assert.Single(_b.Arrivals);
        Assert.Equal(TestPackets.HeaderLength + 100, arrival.Bytes.Length);
        Assert.Equal(ChecksumState.Verified, arrival.Checksum);
        Assert.Equal(_time.NowNanos, arrival.StampNanos);
        Assert.Empty(_a.Arrivals);
    }

    [Fact]
    public void Both_ends_send()
    {
        Plug(new CableOptions { Delay = TimeSpan.FromMilliseconds(3) });
        Send(10);
        _cable!.B.Transmit(TestPackets.Tcp(_b.Pool, 20));
        _time.RunFor(TimeSpan.FromMilliseconds(3));
        Assert.Equal(TestPackets.HeaderLength + 10, Assert.Single(_b.Arrivals).Bytes.Length);
        Assert.Equal(TestPackets.HeaderLength + 20, Assert.Single(_a.Arrivals).Bytes.Length);
    }

    [Fact]
    public void Each_direction_can_have_options_of_its_own()
    {
        _cable = new VirtualCable(
            new CableOptions { Delay = TimeSpan.FromMilliseconds(1), Mtu = 1400 }, new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        _cable.A.Attach(_a);
        _cable.B.Attach(_b);
        long start = _time.NowNanos;
        Send(10);
        _cable.B.Transmit(TestPackets.Tcp(_b.Pool, 10));
        _time.RunFor(TimeSpan.FromSeconds(1));
        Assert.Equal(start + Millisecond, _b.Arrivals[0].Nanos);
        Assert.Equal(start + (5 * Millisecond), _a.Arrivals[0].Nanos);
        Assert.Equal(1400, _cable.A.Mtu);
        Assert.Equal(1500, _cable.B.Mtu);
    }

    [Fact]
    public void A_delay_is_exact_to_the_nanosecond()
    {
        Plug(new CableOptions { Delay = TimeSpan.FromTicks(123_457) });
        long start = _time.NowNanos;
        Send(100);
        _time.RunUntil(start + 12_345_699);
        Assert.Empty(_b.Arrivals);
        _time.RunUntil(start + 12_345_700);
        Assert.Equal(start + 12_345_700, Assert.Single(_b.Arrivals).Nanos);
    }

    [Fact]
    public void A_rate_counts_the_bytes_of_ip_packets_exactly_and_carries_fractions_over()
    {
        // 1500 bytes at 7 Mbit/s take 1714285.714 ns.
        Plug(new CableOptions { Rate = 7_000_000, QueueLimit = 10_000 });
        long start = _time.NowNanos;
        for (uint i = 0; i < 7_000; i++)
        {
            Send(1460, sequence: i * 1460);
        }

        _time.RunFor(TimeSpan.FromSeconds(20));
        Assert.Equal(7_000, _b.Arrivals.Count);
        for (int i = 0; i < 7_000; i++)
        {
            BigInteger exact = (BigInteger)(i + 1) * 1500 * 8 * 1_000_000_000;
            long expected = (long)((exact + 6_999_999) / 7_000_000);
            Assert.Equal(start + expected, _b.Arrivals[i].Nanos);
        }
    }

    [Fact]
    public void A_wire_that_was_idle_owes_nothing()
    {
        Plug(new CableOptions { Rate = 8_000_000, Delay = TimeSpan.FromMilliseconds(10) });
        Send(960);
        _time.RunFor(TimeSpan.FromMilliseconds(100));
        long start = _time.NowNanos;
        Send(960);
        _time.RunFor(TimeSpan.FromMilliseconds(100));
        Assert.Equal(start + Millisecond + (10 * Millisecond), _b.Arrivals[1].Nanos);
    }

    [Fact]
    public void Super_segments_are_split_before_they_meet_a_rate()
    {
        Plug(new CableOptions { Rate = 12_000_000, Checksums = true });
        long start = _time.NowNanos;
        _cable!.A.Transmit(TestPackets.Tcp(_a.Pool, 14_600, gsoSize: 1460));
        _time.RunFor(TimeSpan.FromSeconds(1));
        Assert.Equal(10, _b.Arrivals.Count);
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(1500, _b.Arrivals[i].Bytes.Length);
            Assert.Equal(start + ((i + 1) * Millisecond), _b.Arrivals[i].Nanos);
            Assert.True(TestPackets.ChecksumsHold(_b.Arrivals[i].Bytes));
        }
    }

    [Fact]
    public void Super_segments_cross_whole_when_nothing_acts_on_single_packets()
    {
        Plug(new CableOptions { Delay = TimeSpan.FromMilliseconds(1) });
        _cable!.A.Transmit(TestPackets.Tcp(_a.Pool, 14_600, gsoSize: 1460));
        _time.RunFor(TimeSpan.FromSeconds(1));
        RecordingClient.Arrival arrival = Assert.Single(_b.Arrivals);
        Assert.Equal(14_640, arrival.Bytes.Length);
        Assert.Equal(1460, arrival.GsoSize);
        Assert.Equal(10, arrival.SegmentCount);
        Assert.Equal(10, _cable.AToB.Counters.Delivered);
        Assert.Equal(15_000, _cable.AToB.Counters.SentBytes);
    }

    [Fact]
    public void Super_segments_are_split_when_they_are_not_wanted()
    {
        Plug(new CableOptions { SuperSegments = false });
        _cable!.A.Transmit(TestPackets.Tcp(_a.Pool, 14_600, gsoSize: 1460));
        _time.RunReady();
        Assert.Equal(10, _b.Arrivals.Count);
        Assert.All(_b.Arrivals, arrival => Assert.Equal(ChecksumState.Verified, arrival.Checksum));
    }

    [Fact]
    public void Jitter_adds_up_to_its_bound_and_keeps_the_order()
    {
        Plug(new CableOptions { Delay = TimeSpan.FromMilliseconds(10), Jitter = TimeSpan.FromMilliseconds(4) });
        var sent = new List<long>();
        for (uint i = 0; i < 2_000; i++)
        {
            sent.Add(_time.NowNanos);
            Send(10, sequence: i);
            _time.RunFor(TimeSpan.FromMilliseconds(i % 5 == 0 ? 20 : 0.3));
        }

        _time.RunFor(TimeSpan.FromSeconds(1));
        long least = long.MaxValue, most = 0;
        for (int i = 0; i < sent.Count; i++)
        {
            Assert.Equal((uint)i, TestPackets.SequenceOf(_b.Arrivals[i].Bytes));
            long took = _b.Arrivals[i].Nanos - sent[i];
            least = Math.Min(least, took);
            most = Math.Max(most, took);
        }

        Assert.InRange(least, 10 * Millisecond, (10 * Millisecond) + 100_000);
        Assert.InRange(most, (14 * Millisecond) - 100_000, 14 * Millisecond);
    }

    [Fact]
    public void Losses_are_as_frequent_as_asked_for_and_take_no_room_on_the_wire()
    {
        Plug(new CableOptions { Loss = 0.1, Rate = 1_000_000_000, QueueLimit = 100_000 });
        for (uint i = 0; i < 20_000; i++)
        {
            Send(10, sequence: i);
        }

        _time.RunFor(TimeSpan.FromSeconds(10));
        CableCounters counters = _cable!.AToB.Counters;
        Assert.InRange(counters.Lost, 1_850, 2_150);
        Assert.Equal(20_000 - counters.Lost, _b.Arrivals.Count);
        Assert.Equal(counters.Delivered * 50 * 8, _b.Arrivals[^1].Nanos - 1_000_000_000);
    }

    [Fact]
    public void Duplicates_follow_their_originals()
    {
        Plug(new CableOptions { Duplicate = 0.25 });
        for (uint i = 0; i < 4_000; i++)
        {
            Send(10, sequence: i);
        }

        _time.RunReady();
        CableCounters counters = _cable!.AToB.Counters;
        Assert.InRange(counters.Duplicated, 900, 1_100);
        Assert.Equal(4_000 + counters.Duplicated, _b.Arrivals.Count);
        uint last = 0;
        Assert.All(_b.Arrivals, arrival =>
        {
            uint sequence = TestPackets.SequenceOf(arrival.Bytes);
            Assert.InRange(sequence, last, last + 1);
            last = sequence;
        });
    }

    [Fact]
    public void Corruption_flips_exactly_one_bit_and_checksums_find_it()
    {
        Plug(new CableOptions { Corrupt = 0.5 });
        byte[] expected = SegmentBytes();
        for (int i = 0; i < 2_000; i++)
        {
            Send(300);
        }

        _time.RunReady();
        int flipped = 0;
        var where = new HashSet<int>();
        foreach (RecordingClient.Arrival arrival in _b.Arrivals)
        {
            Assert.Equal(ChecksumState.None, arrival.Checksum);
            int bits = 0;
            for (int i = 0; i < expected.Length; i++)
            {
                int difference = expected[i] ^ arrival.Bytes[i];
                bits += BitOperations.PopCount((uint)difference);
                if (difference != 0)
                {
                    where.Add(i);
                }
            }

            Assert.InRange(bits, 0, 1);
            Assert.Equal(bits == 0, TestPackets.ChecksumsHold(arrival.Bytes));
            flipped += bits;
        }

        Assert.Equal(_cable!.AToB.Counters.Corrupted, flipped);
        Assert.InRange(flipped, 900, 1_100);
        Assert.True(where.Count > 300, "flips are to be found everywhere, headers included");

        byte[] SegmentBytes()
        {
            PacketBuffer packet = TestPackets.Tcp(_a.Pool, 300);
            byte[] bytes = new byte[packet.TotalLength];
            Penstock.Links.Segmentation.WriteWhole(packet, bytes, complete: true);
            packet.Free();
            return bytes;
        }
    }

    [Fact]
    public void A_reordered_packet_skips_the_delay()
    {
        Plug(new CableOptions { Delay = TimeSpan.FromMilliseconds(10) });
        Send(10, sequence: 1);
        Send(10, sequence: 2);
        _cable!.Update(o => o.Reorder = 1);
        Send(10, sequence: 3);
        long start = _time.NowNanos;
        _time.RunFor(TimeSpan.FromMilliseconds(20));
        Assert.Equal([3u, 1u, 2u], _b.Arrivals.Select(a => TestPackets.SequenceOf(a.Bytes)));
        Assert.Equal([start, start + (10 * Millisecond), start + (10 * Millisecond)], _b.Arrivals.Select(a => a.Nanos));
        Assert.Equal(1, _cable.AToB.Counters.Reordered);
    }

    [Fact]
    public void A_reordered_packet_still_takes_its_turn_in_the_rate_queue()
    {
        Plug(new CableOptions { Delay = TimeSpan.FromMilliseconds(10), Rate = 8_000_000, Reorder = 1 });
        long start = _time.NowNanos;
        Send(960);
        Send(960);
        _time.RunFor(TimeSpan.FromMilliseconds(20));
        Assert.Equal([start + Millisecond, start + (2 * Millisecond)], _b.Arrivals.Select(a => a.Nanos));
        Assert.Equal(0, _cable!.AToB.Counters.Reordered);
    }

    [Fact]
    public void A_full_rate_queue_drops_the_newest_packet()
    {
        Plug(new CableOptions { Rate = 8_000_000, QueueLimit = 3 });
        for (uint i = 0; i < 5; i++)
        {
            Send(960, sequence: i);
        }

        _time.RunFor(TimeSpan.FromMilliseconds(1));
        Send(960, sequence: 5);
        _time.RunFor(TimeSpan.FromSeconds(1));
        Assert.Equal([0u, 1u, 2u, 5u], _b.Arrivals.Select(a => TestPackets.SequenceOf(a.Bytes)));
        Assert.Equal(2, _cable!.AToB.Counters.DroppedByQueue);
    }

    [Fact]
    public void The_rate_queue_can_be_limited_in_bytes()
    {
        Plug(new CableOptions { Rate = 8_000_000, QueueLimitBytes = 2_500 });
        Send(960, sequence: 0);
        Send(960, sequence: 1);
        Send(960, sequence: 2);
        Send(460, sequence: 3);
        _time.RunFor(TimeSpan.FromSeconds(1));
        Assert.Equal([0u, 1u, 3u], _b.Arrivals.Select(a => TestPackets.SequenceOf(a.Bytes)));
    }

    [Fact]
    public void A_shorter_delay_lets_nobody_overtake()
    {
        Plug(new CableOptions { Delay = TimeSpan.FromMilliseconds(10) });
        Send(10, sequence: 1);
        _cable!.Update(o => o.Delay = TimeSpan.Zero);
        Send(10, sequence: 2);
        _time.RunReady();
        Assert.Empty(_b.Arrivals);
        _time.RunFor(TimeSpan.FromMilliseconds(10));
        Assert.Equal([1u, 2u], _b.Arrivals.Select(a => TestPackets.SequenceOf(a.Bytes)));
        Send(10, sequence: 3);
        _time.RunReady();
        Assert.Equal(3, _b.Arrivals.Count);
    }

    [Fact]
    public void One_seed_gives_the_same_packets_and_another_gives_others()
    {
        static List<RecordingClient.Arrival> Run(ulong seed)
        {
            var time = new VirtualTime();
            var a = new RecordingClient(time);
            var b = new RecordingClient(time);
            using var cable = new VirtualCable(new CableOptions
            {
                Delay = TimeSpan.FromMilliseconds(5),
                Jitter = TimeSpan.FromMilliseconds(2),
                Loss = 0.1,
                Duplicate = 0.1,
                Corrupt = 0.1,
                Reorder = 0.1,
                Rate = 20_000_000,
                Seed = seed,
            });
            cable.A.Attach(a);
            cable.B.Attach(b);
            for (uint i = 0; i < 300; i++)
            {
                cable.A.Transmit(TestPackets.Tcp(a.Pool, 5_000, gsoSize: 1460, sequence: i * 5_000));
                time.RunFor(TimeSpan.FromMilliseconds(2));
            }

            time.RunFor(TimeSpan.FromSeconds(1));
            return b.Arrivals;
        }

        List<RecordingClient.Arrival> first = Run(42), again = Run(42), other = Run(43);
        Assert.Equal(first.Select(a => a.Nanos), again.Select(a => a.Nanos));
        Assert.Equal(first.SelectMany(a => a.Bytes), again.SelectMany(a => a.Bytes));
        Assert.NotEqual(first.Select(a => a.Nanos), other.Select(a => a.Nanos));
    }

    [Fact]
    public void Switching_one_impairment_on_leaves_the_choices_of_the_others_alone()
    {
        uint[] Survivors(double duplicate)
        {
            var time = new VirtualTime();
            var a = new RecordingClient(time);
            var b = new RecordingClient(time);
            using var cable = new VirtualCable(new CableOptions { Loss = 0.3, Duplicate = duplicate });
            cable.A.Attach(a);
            cable.B.Attach(b);
            for (uint i = 0; i < 200; i++)
            {
                cable.A.Transmit(TestPackets.Tcp(a.Pool, 10, identification: (ushort)i));
            }

            time.RunReady();
            return [.. b.Arrivals.Select(x => (uint)((x.Bytes[4] << 8) | x.Bytes[5]))];
        }

        Assert.Equal(Survivors(duplicate: 0), Survivors(duplicate: 1).Distinct());
    }

    [Fact]
    public void Packets_for_an_end_without_a_stack_are_lost_and_counted()
    {
        _cable = new VirtualCable();
        _cable.A.Attach(_a);
        Send(10);
        Assert.Equal(1, _cable.AToB.Counters.Lost);
    }

    [Fact]
    public void A_disposed_end_frees_what_is_under_way_to_it_and_hears_nothing_more()
    {
        Plug(new CableOptions { Delay = TimeSpan.FromMilliseconds(10), Rate = 1_000_000 });
        for (int i = 0; i < 10; i++)
        {
            Send(10);
        }

        _cable!.B.Transmit(TestPackets.Tcp(_b.Pool, 10));
        _cable.B.Dispose();
        Assert.Equal(0, _b.Pool.RentedBuffers);
        Send(10);
        _time.RunFor(TimeSpan.FromSeconds(1));
        Assert.Empty(_b.Arrivals);
        Assert.Single(_a.Arrivals);
        Assert.Equal(11, _cable.AToB.Counters.Lost);
        Assert.IsType<ObjectDisposedException>(_b.Failure);
        Assert.Null(_a.Failure);
    }

    [Fact]
    public void A_receiver_without_memory_drops_and_counts()
    {
        var poor = new RecordingClient(_time, memory: 1 << 20);
        _cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(10) });
        _cable.A.Attach(_a);
        _cable.B.Attach(poor);
        for (int i = 0; i < 1_000; i++)
        {
            Send(1460);
        }

        CableCounters counters = _cable.AToB.Counters;
        Assert.True(counters.DroppedByMemory > 400);
        Assert.Equal(counters.DroppedByMemory, poor.Dropped);
        Assert.Equal(1_000, counters.DroppedByMemory + counters.InFlight);
        _time.RunFor(TimeSpan.FromMilliseconds(10));
        Assert.Equal(1_000 - counters.DroppedByMemory, poor.Arrivals.Count);
        poor.AssertNothingRented();
    }

    [Fact]
    public void A_packet_longer_than_the_mtu_is_lost()
    {
        Plug(new CableOptions { Mtu = 576 });
        Send(536);
        Send(537);
        _time.RunReady();
        Assert.Single(_b.Arrivals);
        Assert.Equal(1, _cable!.AToB.Counters.Lost);
    }

    [Fact]
    public void Options_out_of_range_are_refused_and_a_refused_update_changes_nothing()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new VirtualCable(new CableOptions { Loss = 1.5 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new VirtualCable(new CableOptions { Corrupt = double.NaN }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new VirtualCable(new CableOptions { Mtu = 67 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new VirtualCable(new CableOptions { Rate = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new VirtualCable(new CableOptions { Delay = TimeSpan.FromTicks(-1) }));
        Assert.Throws<ArgumentException>(() => new VirtualCable(new CableOptions { Reorder = 0.1 }));
        Plug(new CableOptions { Delay = TimeSpan.FromMilliseconds(1) });
        Assert.Throws<ArgumentOutOfRangeException>(() => _cable!.Update(o => o.Loss = -1));
        Assert.Throws<ArgumentException>(() => _cable!.Update(o => o.Mtu = 9000));
        Assert.Equal(0, _cable!.AToB.Options.Loss);
        _cable.BToA.Update(o => o.Loss = 1);
        Assert.Equal(0, _cable.AToB.Options.Loss);
        Assert.Equal(1, _cable.BToA.Options.Loss);
    }

    [Fact]
    public void An_end_belongs_to_one_stack()
    {
        Plug(new CableOptions());
        Assert.Throws<InvalidOperationException>(() => _cable!.A.Attach(_b));
    }

    [Fact]
    public void A_packet_costs_no_managed_memory_once_the_cable_is_warm()
    {
        Plug(new CableOptions
        {
            Delay = TimeSpan.FromMilliseconds(1),
            Jitter = TimeSpan.FromMilliseconds(1),
            Loss = 0.01,
            Duplicate = 0.01,
            Corrupt = 0.01,
            Reorder = 0.01,
            Rate = 1_000_000_000,
        });
        _b.OnlyCount = true;

        // The pool grows until the unluckiest burst so far has fitted.
        for (int i = 0; i < 200; i++)
        {
            Burst();
        }

        long allocated = Allocations.Least(() =>
        {
            for (int i = 0; i < 500; i++)
            {
                Burst();
            }
        });
        Assert.InRange(allocated, 0, Allocations.OnceOnly);

        void Burst()
        {
            for (uint i = 0; i < 20; i++)
            {
                _cable!.A.Transmit(TestPackets.Tcp(_a.Pool, 14_600, gsoSize: 1460, sequence: i));
            }

            _time.RunFor(TimeSpan.FromMilliseconds(20));
        }
    }

    [Fact]
    public async Task Two_stacks_ping_each_other_over_a_cable()
    {
        var a = new NetworkStack(new NetworkStackOptions { Driver = _time, Seed = 1, CloseTimeout = TimeSpan.Zero });
        var b = new NetworkStack(new NetworkStackOptions { Driver = _time, Seed = 2, CloseTimeout = TimeSpan.Zero });
        _cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(7) });
        a.AddInterface(_cable.A, InterfaceAddress.Parse("10.0.0.1/24"));
        b.AddInterface(_cable.B, InterfaceAddress.Parse("10.0.0.2/24"));
        byte[] request = new byte[28];
        IcmpHeader.Write(request.AsSpan(20), IcmpType.EchoRequest, 0, 1);
        new IPv4Header
        {
            Source = TestPackets.Source,
            Destination = TestPackets.Destination,
            Protocol = IpProtocol.Icmp,
            TimeToLive = 64,
            TotalLength = 28,
        }.Write(request);
        _cable.A.Transmit(Raw(a.Pool, request));
        _time.RunFor(TimeSpan.FromMilliseconds(14));
        Assert.Equal(1, _cable.BToA.Counters.Delivered);
        Assert.Equal(1, a.GetCounter(StackCounter.IcmpInMessages));
        await a.DisposeAsync();
        await b.DisposeAsync();
        foreach (NetworkStack stack in new[] { a, b })
        {
            Assert.Equal(0, stack.Pool.RentedBuffers);
            Assert.Equal(0, stack.Pool.RentedSlabs);
        }
    }

    [Fact]
    public async Task Ends_on_two_threads_lose_nothing_and_keep_the_order()
    {
        using var cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(2) });
        var near = new ThreadDriver("near");
        var far = new ThreadDriver("far");
        var sender = new RecordingClient(near);
        var receiver = new RecordingClient(far);
        cable.A.Attach(sender);
        cable.B.Attach(receiver);
        const int Count = 5_000;
        await Task.Run(
            () =>
            {
                for (uint i = 0; i < Count; i++)
                {
                    cable.A.Transmit(TestPackets.Tcp(sender.Pool, 100, sequence: i));
                }
            },
            TestContext.Current.CancellationToken);
        SpinWait.SpinUntil(() => receiver.Count >= Count, TimeSpan.FromSeconds(10));
        near.Stop(sender.WorkerOf(0));
        far.Stop(receiver.WorkerOf(0));
        Assert.Equal(Enumerable.Range(0, Count).Select(i => (uint)i), receiver.Arrivals.Select(a => TestPackets.SequenceOf(a.Bytes)));
        sender.AssertNothingRented();
        receiver.AssertNothingRented();
    }

    private static unsafe PacketBuffer Raw(PacketPool pool, byte[] bytes)
    {
        PacketBuffer packet = pool.RentBuffer()!;
        Slab slab = pool.RentSlab(bytes.Length)!;
        bytes.CopyTo(slab.Array, 0);
        packet.Append(slab, slab.Address, bytes.Length);
        return packet;
    }

    private static void AssertBalanced(CableCounters c) =>
        Assert.Equal(c.Sent + c.Duplicated, c.Delivered + c.Lost + c.DroppedByQueue + c.DroppedByMemory + c.InFlight);

    private void Plug(CableOptions options)
    {
        _cable = new VirtualCable(options);
        _cable.A.Attach(_a);
        _cable.B.Attach(_b);
    }

    private void Send(int payload, uint sequence = 1000) => Assert.True(_cable!.A.Transmit(TestPackets.Tcp(_a.Pool, payload, sequence: sequence)));
}
