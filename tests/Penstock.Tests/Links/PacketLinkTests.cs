using CsCheck;
using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Links;

public sealed class PacketLinkTests : IDisposable
{
    private readonly VirtualTime _time = new();
    private readonly RecordingClient _client;
    private PacketLink _link;

    public PacketLinkTests()
    {
        _client = new RecordingClient(_time);
        _link = Attach(new PacketLinkOptions());
    }

    public void Dispose()
    {
        _link.Dispose();
        _time.RunReady();
        _client.AssertNothingRented();
    }

    [Fact]
    public void Injected_packets_reach_the_stack_unverified()
    {
        byte[] packet = [0x45, 1, 2, 3];
        Assert.True(_link.Inject(packet));
        Assert.Empty(_client.Arrivals);
        _time.RunReady();
        RecordingClient.Arrival arrival = Assert.Single(_client.Arrivals);
        Assert.Equal(packet, arrival.Bytes);
        Assert.Equal(ChecksumState.None, arrival.Checksum);
        Assert.Equal(1, _link.InjectedPackets);
    }

    [Fact]
    public void A_batch_is_injected_in_order()
    {
        Assert.Equal(3, _link.InjectBatch([new byte[] { 1 }, new byte[] { 2, 2 }, new byte[] { 3, 3, 3 }]));
        _time.RunReady();
        Assert.Equal([1, 2, 3], _client.Arrivals.Select(a => a.Bytes.Length));
    }

    [Fact]
    public void Empty_and_overlong_packets_are_the_callers_mistake()
    {
        Assert.Throws<ArgumentException>("packet", () => _link.Inject([]));
        Assert.Throws<ArgumentException>("packet", () => _link.Inject(new byte[1501]));
        Assert.Throws<ArgumentException>("packets", () => _link.InjectBatch([new byte[1], new byte[1501]]));
        _time.RunReady();
        Assert.Empty(_client.Arrivals);
    }

    [Fact]
    public void A_link_without_a_stack_drops()
    {
        using var alone = new PacketLink();
        Assert.False(alone.Inject([1, 2, 3]));
        Assert.Equal(1, alone.DroppedPackets);
    }

    [Fact]
    public void Too_many_packets_waiting_to_be_processed_are_dropped()
    {
        _link = Attach(new PacketLinkOptions { QueueLimit = 2 });
        Assert.Equal(2, _link.InjectBatch([new byte[] { 1 }, new byte[] { 2 }, new byte[] { 3 }]));
        Assert.Equal(1, _client.Dropped);
        _time.RunReady();
        Assert.True(_link.Inject([4]));
    }

    [Fact]
    public void Packets_are_read_complete_and_super_segments_as_wire_packets()
    {
        _link.Transmit(TestPackets.Tcp(_client.Pool, 500, sequence: 1));
        _link.Transmit(TestPackets.Tcp(_client.Pool, 4_000, gsoSize: 1460, sequence: 501));
        Assert.Equal(4, _link.QueuedPackets);
        byte[] buffer = new byte[1500];
        var lengths = new List<int>();
        uint sequence = 1;
        while (_link.TryRead(buffer, out int length))
        {
            byte[] packet = buffer[..length];
            Assert.True(TestPackets.ChecksumsHold(packet));
            Assert.Equal(sequence, TestPackets.SequenceOf(packet));
            sequence += (uint)(length - TestPackets.HeaderLength);
            lengths.Add(length);
        }

        Assert.Equal([540, 1500, 1500, 1120], lengths);
        Assert.Equal(0, _link.QueuedPackets);
    }

    [Fact]
    public void Super_segments_are_read_whole_when_asked_for()
    {
        _link = Attach(new PacketLinkOptions { SuperSegments = true });
        _link.Transmit(TestPackets.Tcp(_client.Pool, 4_000, gsoSize: 1460));
        byte[] buffer = new byte[65535];
        Assert.True(_link.TryRead(buffer, out int length));
        Assert.Equal(4_040, length);
        Assert.True(TestPackets.ChecksumsHold(buffer[..length]));
        Assert.True(_link.Inject(buffer.AsSpan(0, length)));
        _time.RunReady();
        Assert.Equal(1460, _client.Arrivals[0].GsoSize);
        Assert.Equal(3, _client.Arrivals[0].SegmentCount);
    }

    [Fact]
    public void A_short_destination_loses_nothing()
    {
        _link.Transmit(TestPackets.Tcp(_client.Pool, 500));
        Assert.Throws<ArgumentException>("destination", () => _link.TryRead(new byte[539], out _));
        Assert.True(_link.TryRead(new byte[540], out int length));
        Assert.Equal(540, length);
    }

    [Fact]
    public void A_batch_is_read_into_buffers_of_its_own()
    {
        for (int i = 0; i < 5; i++)
        {
            _link.Transmit(TestPackets.Tcp(_client.Pool, 100 + i));
        }

        Memory<byte>[] buffers = [new byte[1500], new byte[1500], new byte[1500]];
        int[] lengths = new int[3];
        Assert.Equal(3, _link.ReadBatch(buffers, lengths));
        Assert.Equal([140, 141, 142], lengths);
        Assert.Equal(1, _link.ReadBatch([new byte[1500], new byte[10]], lengths));
        Assert.Equal(1, _link.ReadBatch(buffers, lengths));
        Assert.Equal(0, _link.ReadBatch(buffers, lengths));
        Assert.Throws<ArgumentException>(() => _link.ReadBatch(buffers, new int[2]));
    }

    [Fact]
    public void A_full_queue_holds_the_stack_back_until_half_is_read()
    {
        _link = Attach(new PacketLinkOptions { QueueLimit = 4 });
        for (int i = 0; i < 4; i++)
        {
            Assert.True(_link.Transmit(TestPackets.Tcp(_client.Pool, 10)));
        }

        PacketBuffer refused = TestPackets.Tcp(_client.Pool, 10);
        Assert.False(_link.Transmit(refused));
        byte[] buffer = new byte[1500];
        _link.TryRead(buffer, out _);
        Assert.Equal(0, _client.Spaces);
        _link.TryRead(buffer, out _);
        Assert.Equal(1, _client.Spaces);
        Assert.True(_link.Transmit(refused));
        while (_link.TryRead(buffer, out _))
        {
        }

        Assert.Equal(1, _client.Spaces);
    }

    [Fact]
    public void A_waiting_reader_gets_the_packet_away_from_the_senders_call()
    {
        byte[] buffer = new byte[1500];
        Task<int> read = _link.ReadAsync(buffer, TestContext.Current.CancellationToken).AsTask();
        Assert.False(read.IsCompleted);
        _link.Transmit(TestPackets.Tcp(_client.Pool, 10));
        Assert.False(read.IsCompleted);
        _time.RunReady();
        Assert.True(read.IsCompletedSuccessfully);
        _link.Transmit(TestPackets.Tcp(_client.Pool, 11));
        Assert.True(_link.ReadAsync(buffer, TestContext.Current.CancellationToken).AsTask().IsCompletedSuccessfully);
    }

    [Fact]
    public async Task A_canceled_read_loses_no_packet_and_leaves_the_link_usable()
    {
        using var cancel = new CancellationTokenSource();
        byte[] buffer = new byte[1500];
        Task<int> read = _link.ReadAsync(buffer, cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read);
        _link.Transmit(TestPackets.Tcp(_client.Pool, 10));
        Assert.Equal(50, await _link.ReadAsync(buffer, TestContext.Current.CancellationToken));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await _link.ReadAsync(buffer, cancel.Token));
    }

    [Fact]
    public async Task Disposal_ends_a_waiting_read_and_frees_what_waits()
    {
        Task<bool> wait = _link.WaitToReadAsync(TestContext.Current.CancellationToken).AsTask();
        _link.Dispose();
        _time.RunReady();
        Assert.False(await wait);
        await Assert.ThrowsAsync<ObjectDisposedException>(
            async () => await _link.ReadAsync(new byte[1500], TestContext.Current.CancellationToken));
        Assert.False(_link.Inject([1]));
        Assert.True(_link.Transmit(TestPackets.Tcp(_client.Pool, 10)));
        Assert.False(_link.TryRead(new byte[1500], out _));
        Assert.IsType<ObjectDisposedException>(_client.Failure);

        _link = Attach(new PacketLinkOptions());
        _link.Transmit(TestPackets.Tcp(_client.Pool, 4_000, gsoSize: 1460));
        _link.TryRead(new byte[1500], out _);
        _link.Dispose();
        _client.AssertNothingRented();
    }

    [Fact]
    public async Task One_reader_waits_at_a_time()
    {
        Task<bool> first = _link.WaitToReadAsync(TestContext.Current.CancellationToken).AsTask();
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await _link.WaitToReadAsync(TestContext.Current.CancellationToken));
        _link.Dispose();
        _time.RunReady();
        Assert.True(first.IsCompleted);
    }

    [Fact]
    public async Task A_handler_gets_every_wire_packet_within_the_call()
    {
        var seen = new List<byte[]>();
        _link = Attach(new PacketLinkOptions { OnPacket = packet => seen.Add(packet.ToArray()) });
        _link.Transmit(TestPackets.Tcp(_client.Pool, 4_000, gsoSize: 1460));
        Assert.Equal([1500, 1500, 1120], seen.Select(packet => packet.Length));
        Assert.All(seen, packet => Assert.True(TestPackets.ChecksumsHold(packet)));
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await _link.WaitToReadAsync(TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_handler_that_throws_fails_the_link_and_nothing_else()
    {
        _link = Attach(new PacketLinkOptions { OnPacket = _ => throw new NotSupportedException() });
        Assert.True(_link.Transmit(TestPackets.Tcp(_client.Pool, 100)));
        Assert.IsType<NotSupportedException>(_client.Failure);
    }

    [Fact]
    public void Reading_and_injecting_cost_no_managed_memory()
    {
        _client.OnlyCount = true;
        byte[] buffer = new byte[1500];
        Round();
        long allocated = Allocations.Least(() =>
        {
            for (int i = 0; i < 2_000; i++)
            {
                Round();
            }
        });
        Assert.InRange(allocated, 0, Allocations.OnceOnly);

        void Round()
        {
            _link.Transmit(TestPackets.Tcp(_client.Pool, 14_600, gsoSize: 1460));
            while (_link.TryRead(buffer, out int length))
            {
                _link.Inject(buffer.AsSpan(0, length));
            }

            _time.RunReady();
        }
    }

    [Fact]
    public void A_reader_that_waits_costs_no_managed_memory()
    {
        byte[] buffer = new byte[1500];
        int reads = 0;
        CancellationToken cancel = TestContext.Current.CancellationToken;
        Task reader = ReadAll();
        Round(500);
        int rounds = 0;
        long allocated = Allocations.Least(() =>
        {
            Round(5_000);
            rounds++;
        });
        Assert.InRange(allocated, 0, Allocations.OnceOnly);
        Assert.Equal(500 + (rounds * 5_000), reads);
        _link.Dispose();
        _time.RunReady();
        Assert.True(reader.IsCompleted);

        async Task ReadAll()
        {
            try
            {
                while (true)
                {
                    await _link.ReadAsync(buffer, cancel).ConfigureAwait(false);
                    reads++;
                }
            }
            catch (ObjectDisposedException)
            {
            }
        }

        void Round(int count)
        {
            for (int i = 0; i < count; i++)
            {
                _link.Transmit(TestPackets.Tcp(_client.Pool, 100));
                _time.RunReady();
            }
        }
    }

    [Fact]
    public async Task A_reader_on_another_thread_misses_nothing_even_when_its_waits_are_canceled()
    {
        const int Count = 20_000;
        var driver = new ThreadDriver("reader test");
        var client = new RecordingClient(driver);
        using var link = new PacketLink(new PacketLinkOptions { QueueLimit = 64 });
        link.Attach(client);
        CancellationToken cancel = TestContext.Current.CancellationToken;
        Task writer = Task.Run(
            () =>
            {
                for (uint i = 0; i < Count; i++)
                {
                    PacketBuffer packet = TestPackets.Tcp(client.Pool, 10, sequence: i);
                    SpinWait.SpinUntil(() => link.Transmit(packet));
                }
            },
            cancel);
        byte[] buffer = new byte[1500];
        int canceled = 0;
        for (uint i = 0; i < Count;)
        {
            using var soon = new CancellationTokenSource();
            ValueTask<int> read = link.ReadAsync(buffer, soon.Token);
            if (i % 3 == 0)
            {
                await soon.CancelAsync();
            }

            try
            {
                int length = await read;
                Assert.Equal(i++, TestPackets.SequenceOf(buffer[..length]));
            }
            catch (OperationCanceledException)
            {
                canceled++;
                await Task.Yield();
            }
        }

        await writer;
        TestContext.Current.TestOutputHelper?.WriteLine($"{canceled} waits canceled");
        driver.Stop(client.WorkerOf(0));
        client.AssertNothingRented();
    }

    [Fact]
    public async Task Hostile_bytes_are_counted_and_leave_nothing_behind()
    {
        var stack = new NetworkStack(new NetworkStackOptions { Driver = _time, Seed = 1, CloseTimeout = TimeSpan.Zero });
        var link = new PacketLink(new PacketLinkOptions { OnPacket = _ => { } });
        stack.AddInterface(link, InterfaceAddress.Parse("10.0.0.2/24"));
        Gen<byte[]> anything = Gen.Byte.Array[1, 200];
        Gen<byte[]> headed = anything.Select(bytes => Headed(bytes, sound: false));
        Gen<byte[]> sound = anything.Select(bytes => Headed(bytes, sound: true));
        Gen.OneOf(anything, headed, sound).Sample(
            bytes =>
            {
                Assert.True(link.Inject(bytes));
                _time.RunReady();
            },
            iter: 20_000,
            threads: 1);
        Assert.Equal(link.InjectedPackets, stack.GetCounter(StackCounter.IpInReceives));
        await stack.DisposeAsync();
        Assert.Equal(0, stack.Pool.RentedBuffers);
        Assert.Equal(0, stack.Pool.RentedSlabs);

        // Random bytes behind a header that leads deeper: the right addresses, a known protocol, with or without a right length and checksum.
        static byte[] Headed(byte[] bytes, bool sound)
        {
            byte[] packet = new byte[IPv4Header.MinLength + bytes.Length];
            bytes.CopyTo(packet, IPv4Header.MinLength);
            new IPv4Header
            {
                Source = TestPackets.Source,
                Destination = TestPackets.Destination,
                Protocol = bytes[0] switch { < 100 => IpProtocol.Tcp, < 180 => IpProtocol.Icmp, < 240 => IpProtocol.Udp, _ => bytes[0] },
                TimeToLive = 64,
                TotalLength = (ushort)(sound ? packet.Length : bytes[^1] * 2),
            }.Write(packet);
            return packet;
        }
    }

    private PacketLink Attach(PacketLinkOptions options)
    {
        _link?.Dispose();
        var link = new PacketLink(options);
        link.Attach(_client);
        return link;
    }
}
