using System.Buffers.Binary;
using System.Net;
using Microsoft.Win32.SafeHandles;
using Penstock.Buffers;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tun.Tests;

/// <summary>A link over a descriptor that somebody else has opened: exact bytes in both directions, hostile ones too.</summary>
public sealed class TunDescriptorTests
{
    private static readonly IPEndPoint Host = new(IPAddress.Parse("10.77.0.1"), 80);
    private static readonly IPEndPoint Own = new(IPAddress.Parse("10.77.0.2"), 9);
    private static readonly TunOptions WithHeader = new() { Offloads = true };

    public static TheoryData<string, int, int, int, int, int, int> HostileHeaders => new()
    {
        // what is wrong, flags, type, header length, segment size, checksum start, checksum offset
        { "the checksum stands behind the packet", 1, 0, 0, 0, 1500, 16 },
        { "the checksum's second byte stands behind the packet", 1, 0, 0, 0, 1023, 16 },
        { "the sum of start and offset passes 65535", 1, 0, 0, 0, 65535, 65535 },
        { "a type that nobody knows", 0, 2, 40, 100, 0, 0 },
        { "UDP segmentation, which was not asked for", 1, 5, 28, 100, 20, 6 },
        { "TCP over IPv6, which was not asked for", 1, 4, 60, 100, 40, 16 },
        { "a segment size of nothing", 1, 1, 40, 0, 20, 16 },
        { "headers longer than the packet", 1, 1, 65535, 100, 20, 16 },
    };

    [Theory]
    [MemberData(nameof(HostileHeaders))]
    public void A_header_that_does_not_fit_its_packet_drops_it(
        string wrong, int flags, int type, int headerLength, int segmentSize, int checksumStart, int checksumOffset)
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near, WithHeader));

        device.Write(Frame(flags, type, headerLength, segmentSize, checksumStart, checksumOffset, TcpPacket(1000)));
        device.Write(Frame(0, 0, 0, 0, 0, 0, TcpPacket(7)));

        Arrival next = client.Next(_ => true);
        Assert.True(next.Bytes.Length == 47, wrong);
        Assert.Equal(1, client.Dropped);
    }

    [Fact]
    public void A_super_segment_whose_own_headers_lie_is_dropped()
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near, WithHeader));
        byte[] noTcp = TcpPacket(1000), longIp = TcpPacket(20), longTcp = TcpPacket(10), six = TcpPacket(1000);
        noTcp[9] = IpProtocol.Udp;
        longIp[0] = 0x4F;
        longTcp[20 + 12] = 0xF0;
        six[0] = 0x65;

        device.Write(Frame(1, 1, 40, 100, 20, 16, noTcp));
        device.Write(Frame(1, 1, 40, 5, 20, 16, longIp));
        device.Write(Frame(1, 1, 40, 5, 20, 16, longTcp));
        device.Write(Frame(1, 1, 40, 100, 20, 16, six));
        device.Write(new byte[10]);
        device.Write(new byte[3]);
        device.Write(Frame(1, 0x81, 40, 100, 20, 16, TcpPacket(1000)));

        Arrival next = client.Next(_ => true);
        Assert.Equal((100, 10, ChecksumState.Verified), (next.GsoSize, next.SegmentCount, next.Checksum));
        Assert.Equal(6, client.Dropped);
    }

    [Fact]
    public void A_super_segment_of_one_segment_is_an_ordinary_packet()
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near, WithHeader));

        device.Write(Frame(1, 1, 40, 1000, 20, 16, TcpPacket(1000)));

        Arrival next = client.Next(_ => true);
        Assert.Equal((0, 1), (next.GsoSize, next.SegmentCount));
    }

    [Theory]
    [InlineData(0, ChecksumState.None)]
    [InlineData(1, ChecksumState.Verified)]
    [InlineData(2, ChecksumState.Verified)]
    public void The_link_vouches_for_a_checksum_only_if_the_header_does(int flags, object state)
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near, WithHeader));

        device.Write(Frame(flags, 0, 0, 0, 20, 16, TcpPacket(1)));

        Assert.Equal(state, client.Next(_ => true).Checksum);
    }

    [Theory]
    [InlineData(100, 256)]
    [InlineData(256, 256)]
    [InlineData(1500, 2048)]
    [InlineData(9000, 16 * 1024)]
    [InlineData(32 * 1024, 32 * 1024)]
    [InlineData((32 * 1024) + 1, 66 * 1024)]
    [InlineData(65535, 66 * 1024)]
    public void A_packet_holds_and_is_charged_with_a_slab_of_its_size(int length, int slab)
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near));
        byte[] packet = TcpPacket(length - 40);
        new Random(length).NextBytes(packet.AsSpan(40));

        for (int i = 0; i < 3; i++)
        {
            device.Write(packet);
            Arrival arrival = client.Next(_ => true);
            Assert.Equal(packet, arrival.Bytes);
            Assert.Equal(PacketBuffer.ObjectSize + slab, arrival.TrueSize);
            Assert.Equal(ChecksumState.None, arrival.Checksum);
            Assert.True(arrival.ArrivalNanos > 0);
        }
    }

    [Fact]
    public void Without_memory_packets_are_lost_and_counted_and_the_link_lives_on()
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near), memoryLimit: 1 << 20);
        var hoard = new Stack<Slab>();
        device.Write(TcpPacket(100));
        client.Next(_ => true);

        // Everything but the reserve, down to the smallest class, and the unused buffer and slab of the packet before.
        foreach (int size in (int[])[PacketPool.LargeSlab, PacketPool.SendSlab, PacketPool.MediumSlab, PacketPool.SmallSlab, PacketPool.TinySlab])
        {
            while (client.Pool.RentSlab(size) is { } slab)
            {
                hoard.Push(slab);
            }
        }

        device.Write(TcpPacket(1000));
        device.Write(TcpPacket(60_000));
        Assert.True(SpinWait.SpinUntil(() => client.Dropped == 2, 20_000));
        while (hoard.TryPop(out Slab? slab))
        {
            slab.Release();
        }

        device.Write(TcpPacket(60_000));
        Assert.Equal(60_040, client.Next(_ => true).Bytes.Length);
        Assert.Equal(2, client.Dropped);
        Assert.Equal(0, client.Failures);
    }

    [Fact]
    public void A_packet_is_written_in_one_piece_behind_a_header_that_describes_it()
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near, WithHeader));
        byte[] payload = new byte[5000];
        new Random(2).NextBytes(payload);

        client.SendTcp(Own, Host, TcpFlags.Ack, 1, 2, payload, segmentSize: 1448, fragments: 17, options: new byte[12]);

        byte[] frame = device.Read();
        Assert.Equal(10 + 20 + 32 + 5000, frame.Length);
        Assert.Equal([1, 1], frame[..2]);
        Assert.Equal((ushort)52, BitConverter.ToUInt16(frame, 2));
        Assert.Equal((ushort)1448, BitConverter.ToUInt16(frame, 4));
        Assert.Equal((ushort)20, BitConverter.ToUInt16(frame, 6));
        Assert.Equal((ushort)16, BitConverter.ToUInt16(frame, 8));
        Assert.Equal(payload, frame[62..]);

        client.SendTcp(Own, Host, TcpFlags.Ack, 1, 2, [1]);
        Assert.Equal([1, 0, 0, 0, 0, 0], device.Read()[..6]);
    }

    [Fact]
    public void A_full_device_loses_packets_and_does_not_block()
    {
        using var device = new VirtualDevice();
        TunLink link = TunLink.FromDescriptor(device.Near);
        using var client = new RecordingClient(link);

        // The socket's buffer takes a few hundred KiB and nobody reads it.
        for (int i = 0; i < 200; i++)
        {
            client.SendTcp(Own, Host, TcpFlags.Ack, 1, 2, new byte[20_000]);
        }

        Assert.InRange(link.TransmitDrops, 1, 199);
        Assert.Equal(0, client.Failures);
    }

    [Fact]
    public void The_end_of_the_descriptor_is_a_failure_reported_once()
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near));

        device.Dispose();

        Assert.IsType<IOException>(client.NextFailure());
        client.SendTcp(Own, Host, TcpFlags.Ack, 1, 2, [1]);
        Assert.Equal(1, client.Failures);
    }

    [Fact]
    public void The_links_driver_fires_timers_in_order_and_on_time_while_no_packet_comes()
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near));
        Worker worker = client.WorkerOf(0);
        using var done = new CountdownEvent(3);
        long start = worker.NowNanos;
        var early = new Stamp(done);
        var middle = new Stamp(done);
        var late = new Stamp(done);

        // Filed from this thread while the driver sleeps: the later ones must not hold up the one that becomes the earliest.
        worker.Arm(late, start + 30_000_000);
        worker.Arm(middle, start + 20_000_000);
        worker.Arm(early, start + 10_000_000);

        Assert.True(done.Wait(20_000, TestContext.Current.CancellationToken));
        Assert.True(early.FiredNanos >= start + 10_000_000);
        Assert.True(middle.FiredNanos >= start + 20_000_000 && middle.FiredNanos >= early.FiredNanos);
        Assert.True(late.FiredNanos >= start + 30_000_000 && late.FiredNanos >= middle.FiredNanos);
    }

    [Fact]
    public void Posted_work_wakes_a_sleeping_driver_every_time()
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near));
        using var ran = new SemaphoreSlim(0);
        var item = new Item(ran);

        for (int i = 0; i < 2000; i++)
        {
            client.WorkerOf(0).Post(item);
            Assert.True(ran.Wait(20_000, TestContext.Current.CancellationToken));
        }
    }

    [Fact]
    public void Clocks_of_different_drivers_agree()
    {
        using var device = new VirtualDevice();
        using var client = new RecordingClient(TunLink.FromDescriptor(device.Near));
        var other = new ThreadDriver("other");

        long before = other.NowNanos;
        long between = client.WorkerOf(0).NowNanos;
        Assert.InRange(between, before, other.NowNanos);
    }

    [Fact]
    public void Descriptors_that_can_not_work_are_argument_errors()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "A link over a descriptor works on Linux only.");
        Assert.Throws<ArgumentOutOfRangeException>(() => TunLink.FromDescriptor(-1));
        using var closed = new SafeFileHandle(-1, ownsHandle: false);
        Assert.Throws<ArgumentException>(() => TunLink.FromDescriptor(closed));
        using var device = new VirtualDevice();
        Assert.Throws<ArgumentException>(() => TunLink.FromDescriptor(device.Near, new TunOptions { Queues = 2 }));
        Assert.False(device.Near.IsClosed);
    }

    private static byte[] Frame(int flags, int type, int headerLength, int segmentSize, int checksumStart, int checksumOffset, byte[] packet)
    {
        byte[] frame = new byte[VirtioHeader.Size + packet.Length];
        frame[0] = (byte)flags;
        frame[1] = (byte)type;
        BitConverter.TryWriteBytes(frame.AsSpan(2), (ushort)headerLength);
        BitConverter.TryWriteBytes(frame.AsSpan(4), (ushort)segmentSize);
        BitConverter.TryWriteBytes(frame.AsSpan(6), (ushort)checksumStart);
        BitConverter.TryWriteBytes(frame.AsSpan(8), (ushort)checksumOffset);
        packet.CopyTo(frame, VirtioHeader.Size);
        return frame;
    }

    private static byte[] TcpPacket(int payload)
    {
        byte[] packet = new byte[40 + payload];
        new IPv4Header
        {
            Source = IpAddress.From(Host.Address),
            Destination = IpAddress.From(Own.Address),
            Protocol = IpProtocol.Tcp,
            TimeToLive = 64,
            TotalLength = (ushort)packet.Length,
        }.Write(packet);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(20), (ushort)Host.Port);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(22), (ushort)Own.Port);
        packet[20 + 12] = 0x50;
        return packet;
    }

    private sealed class Stamp(CountdownEvent done) : TimerEntry
    {
        public long FiredNanos;

        public override void OnTimer(long nowNanos)
        {
            FiredNanos = nowNanos;
            done.Signal();
        }
    }

    private sealed class Item(SemaphoreSlim ran) : WorkItem
    {
        public override void OnWorker(Worker worker) => ran.Release();
    }
}
