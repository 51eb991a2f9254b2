using System.Buffers.Binary;
using CsCheck;
using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Links;
using Penstock.Tests.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Ip;

/// <summary>Segments that arrive in one burst, as TCP gets to see them.</summary>
public sealed class ReceiveMergeTests : IAsyncLifetime
{
    private static readonly TcpFlags[] Special =
    [
        TcpFlags.Ack | TcpFlags.Psh, TcpFlags.Ack | TcpFlags.Fin, TcpFlags.Syn, TcpFlags.Rst, TcpFlags.Ack | TcpFlags.Urg, TcpFlags.Ack | TcpFlags.Ece,
    ];

    private readonly VirtualTime _time = new();
    private readonly Recorder _tcp = new();
    private readonly PacketPool _pool = new(256 << 20);
    private readonly NetworkStack _stack;
    private readonly PacketLink _link;

    public ReceiveMergeTests()
    {
        _stack = new NetworkStack(new NetworkStackOptions { Driver = _time, Seed = 1, CloseTimeout = TimeSpan.Zero });
        _stack.Ip.Register(_tcp);
        _link = new PacketLink(new PacketLinkOptions { QueueLimit = 100_000 });
        _stack.AddInterface(_link, InterfaceAddress.Parse("10.0.0.2/24"));
    }

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        await _stack.DisposeAsync();
        Assert.Equal(0, _stack.Pool.RentedBuffers);
        Assert.Equal(0, _stack.Pool.RentedSlabs);
    }

    [Fact]
    public void A_burst_of_one_flow_becomes_one_super_segment()
    {
        for (uint i = 0; i < 10; i++)
        {
            Inject(1460, 1000 + (i * 1460));
        }

        _time.RunReady();
        Seen seen = Assert.Single(_tcp.Segments);
        Assert.Equal(1460, seen.GsoSize);
        Assert.Equal(10, seen.SegmentCount);
        Assert.Equal(9, _stack.GetCounter(StackCounter.TcpGroMerged));
        Assert.Equal(ChecksumState.Verified, seen.Checksum);
        Assert.Equal(14_600, seen.Payload.Length);
        for (uint i = 0; i < seen.Payload.Length; i++)
        {
            Assert.Equal(TestPackets.PayloadByte(1000 + i), seen.Payload[i]);
        }

        Assert.Equal(PacketBuffer.ObjectSize + PacketBuffer.OverflowSize + (10 * PacketPool.SmallSlab), seen.TrueSize);
        Assert.Equal(1, _stack.GetCounter(StackCounter.IpInReceives));
    }

    [Fact]
    public void A_packet_that_comes_alone_is_left_alone()
    {
        Inject(1460, 1000);
        _time.RunReady();
        Inject(1460, 2460);
        _time.RunReady();
        Assert.Equal([1, 1], _tcp.Segments.Select(s => s.SegmentCount));
        Assert.All(_tcp.Segments, s => Assert.Equal(0, s.GsoSize));
        Assert.All(_tcp.Segments, s => Assert.Equal(ChecksumState.None, s.Checksum));
    }

    [Fact]
    public void It_can_be_switched_off()
    {
        _stack.Interfaces[1].MergesReceived = false;
        Inject(1460, 1000);
        Inject(1460, 2460);
        _time.RunReady();
        Assert.Equal(2, _tcp.Segments.Count);
    }

    [Fact]
    public void Seventeen_segments_are_the_most()
    {
        for (uint i = 0; i < 20; i++)
        {
            Inject(1460, i * 1460);
        }

        _time.RunReady();
        Assert.Equal([17, 3], _tcp.Segments.Select(s => s.SegmentCount));
    }

    [Fact]
    public void No_merged_packet_is_longer_than_an_ip_packet_can_be()
    {
        using var link = new PacketLink(new PacketLinkOptions { Mtu = 9000, QueueLimit = 1_000 });
        _stack.AddInterface(link, InterfaceAddress.Parse("10.0.9.2/24"));
        for (uint i = 0; i < 10; i++)
        {
            Assert.True(link.Inject(Bytes(8_900, i * 8_900)));
        }

        _time.RunReady();
        Assert.Equal([7, 3], _tcp.Segments.Select(s => s.SegmentCount));
        Assert.Equal(89_000, _tcp.Segments.Sum(s => s.Payload.Length));
    }

    [Fact]
    public void A_shorter_segment_joins_and_ends_the_merge()
    {
        Inject(1000, 0);
        Inject(400, 1000);
        Inject(400, 1400);
        Inject(400, 1800);
        _time.RunReady();
        Assert.Equal([1400, 800], _tcp.Segments.Select(s => s.Payload.Length));
    }

    [Fact]
    public void A_push_or_fin_joins_ends_the_merge_and_is_seen()
    {
        Inject(1000, 0);
        Inject(1000, 1000, TcpFlags.Ack | TcpFlags.Psh);
        Inject(1000, 2000);
        Inject(1000, 3000, TcpFlags.Ack | TcpFlags.Fin | TcpFlags.Psh);
        Inject(1000, 4000, TcpFlags.Ack | TcpFlags.Psh);
        _time.RunReady();
        Assert.Equal([2000, 2000, 1000], _tcp.Segments.Select(s => s.Payload.Length));
        Assert.Equal(
            [TcpFlags.Ack | TcpFlags.Psh, TcpFlags.Ack | TcpFlags.Fin | TcpFlags.Psh, TcpFlags.Ack | TcpFlags.Psh],
            _tcp.Segments.Select(s => s.Flags));
    }

    [Fact]
    public void What_differs_in_anything_but_sequence_stays_apart()
    {
        Action<byte[]>[] changes =
        [
            packet => packet[1] ^= 0x02, // ECN
            packet => packet[6] ^= 0x40, // DF
            packet => packet[8]--, // TTL
            packet => packet[31] ^= 1, // acknowledgment
            packet => packet[33] ^= (byte)TcpFlags.Ece,
            packet => packet[33] ^= (byte)TcpFlags.Cwr,
            packet => packet[35] ^= 1, // window
            packet => packet[43] ^= 1, // an option
        ];
        for (int i = 0; i < changes.Length; i++)
        {
            _tcp.Segments.Clear();
            byte[] second = Bytes(1000, 1000, optionBytes: 12);
            changes[i](second);
            Sign(second);
            _link.Inject(Bytes(1000, 0, optionBytes: 12));
            _link.Inject(second);
            _link.Inject(Bytes(1000, 9_000, optionBytes: 12));
            _time.RunReady();
            Assert.Equal([0u, 1000u, 9_000u], _tcp.Segments.Select(s => s.Sequence));
        }
    }

    [Fact]
    public void A_gap_or_a_pure_acknowledgment_delivers_what_is_held_first()
    {
        Inject(1000, 0);
        Inject(1000, 1000);
        Inject(0, 2000);
        Inject(1000, 2000);
        Inject(1000, 9000);
        Inject(1000, 3000);
        _time.RunReady();
        Assert.Equal([2000, 0, 1000, 1000, 1000], _tcp.Segments.Select(s => s.Payload.Length));
        Assert.Equal([0u, 2000u, 2000u, 9000u, 3000u], _tcp.Segments.Select(s => s.Sequence));
    }

    [Fact]
    public void Nothing_unsound_gets_into_a_merge()
    {
        Inject(1000, 0);
        byte[] damaged = Bytes(1000, 1000);
        damaged[700] ^= 4;
        _link.Inject(damaged);
        Inject(1000, 2000);
        _time.RunReady();
        Assert.Equal([ChecksumState.Verified, ChecksumState.None, ChecksumState.None], _tcp.Segments.Select(s => s.Checksum));
        Assert.Equal([1, 1, 1], _tcp.Segments.Select(s => s.SegmentCount));
    }

    [Fact]
    public void Padding_of_a_link_does_not_get_between_two_payloads()
    {
        byte[] padded = [.. Bytes(500, 0), 0xEE, 0xEE, 0xEE];
        byte[] second = [.. Bytes(500, 500), 0xEE];
        _link.Inject(padded);
        _link.Inject(second);
        Inject(500, 1000);
        _time.RunReady();
        Seen seen = Assert.Single(_tcp.Segments);
        Assert.Equal(1500, seen.Payload.Length);
        Assert.DoesNotContain(Enumerable.Range(0, 1500), i => seen.Payload[i] != TestPackets.PayloadByte((uint)i));
    }

    [Fact]
    public void Interleaved_flows_merge_each_for_itself()
    {
        for (uint i = 0; i < 5; i++)
        {
            for (ushort flow = 0; flow < 3; flow++)
            {
                Inject(1000, i * 1000, port: (ushort)(100 + flow));
            }
        }

        _time.RunReady();
        Assert.Equal([5, 5, 5], _tcp.Segments.Select(s => s.SegmentCount));
    }

    [Fact]
    public void A_super_segment_is_the_same_after_a_cable_that_splits_it()
    {
        using var cable = new VirtualCable(new CableOptions { SuperSegments = false, Delay = TimeSpan.FromMilliseconds(1) });
        _stack.AddInterface(cable.B, InterfaceAddress.Parse("10.0.1.2/24"));
        var sender = new RecordingClient(_time);
        cable.A.Attach(sender);
        PacketBuffer packet = TestPackets.Tcp(_pool, 20_000, gsoSize: 1460, sequence: 5, flags: TcpFlags.Ack | TcpFlags.Psh | TcpFlags.Cwr);
        cable.A.Transmit(packet);
        cable.A.Transmit(TestPackets.Tcp(_pool, 20_000, gsoSize: 1460, sequence: 20_005, flags: TcpFlags.Ack | TcpFlags.Psh));
        _time.RunFor(TimeSpan.FromMilliseconds(2));

        // The first wire packet carries CWR and the others do not, so it stays by itself, as with Linux.
        Assert.Equal([1460, 18_540, 20_000], _tcp.Segments.Select(s => s.Payload.Length));
        Assert.Equal([1, 13, 14], _tcp.Segments.Select(s => s.SegmentCount));
        Assert.Equal(TcpFlags.Ack | TcpFlags.Cwr, _tcp.Segments[0].Flags);
        Assert.Equal(TcpFlags.Ack | TcpFlags.Psh, _tcp.Segments[2].Flags);
        Assert.Equal(0, _pool.RentedBuffers);
    }

    [Fact]
    public void Whatever_arrives_each_flow_sees_the_same_bytes_in_the_same_order()
    {
        Gen<Wire> wire =
            from flow in Gen.Int[0, 10]
            from step in Gen.Frequency((12, Gen.Const(0)), (1, Gen.Int[-3, 3]))
            from size in Gen.Frequency((8, Gen.Const(700)), (2, Gen.Int[0, 800]))
            from flags in Gen.Frequency((10, Gen.Const(TcpFlags.Ack)), (1, Gen.Int[0, Special.Length - 1].Select(i => Special[i])))
            from damage in Gen.Frequency((20, Gen.Const(-1)), (1, Gen.Int[40, 60]))
            select new Wire((ushort)flow, step * 700, size, flags, damage);
        wire.Array[0, 150].Sample(
            packets =>
            {
                List<string> plain = Run(packets, merge: false);
                List<string> merged = Run(packets, merge: true);
                Assert.Equal(plain, merged);
            },
            iter: 60,
            threads: 1);
    }

    [Fact]
    public void Merging_costs_no_managed_memory()
    {
        byte[][] packets = [.. Enumerable.Range(0, 40).Select(i => Bytes(1460, (uint)i * 1460))];
        _tcp.OnlyFree = true;
        Round(20);
        Assert.InRange(Allocations.Least(() => Round(100)), 0, Allocations.OnceOnly);

        void Round(int count)
        {
            for (int i = 0; i < count; i++)
            {
                foreach (byte[] packet in packets)
                {
                    _link.Inject(packet);
                }

                _time.RunReady();
            }
        }
    }

    /// <summary>What each flow's TCP sees, byte by byte, so that it does not matter how the bytes were packed.</summary>
    private List<string> Run(Wire[] packets, bool merge)
    {
        _stack.Interfaces[1].MergesReceived = merge;
        _tcp.Segments.Clear();
        uint[] next = new uint[11];
        foreach (Wire wire in packets)
        {
            uint sequence = (uint)(100_000 + next[wire.Flow] + wire.Step);
            next[wire.Flow] = (uint)(next[wire.Flow] + wire.Step + wire.Size);
            byte[] bytes = Bytes(wire.Size, sequence, wire.Flags, (ushort)(100 + wire.Flow));
            if (wire.Damage >= 0 && wire.Damage < bytes.Length)
            {
                bytes[wire.Damage] ^= 0x10;
            }

            _link.Inject(bytes);
        }

        _time.RunReady();
        var byFlow = new Dictionary<ushort, (List<(uint, byte)> Bytes, List<string> Marks)>();
        foreach (Seen seen in _tcp.Segments)
        {
            if (!seen.IsSound)
            {
                continue;
            }

            if (!byFlow.TryGetValue(seen.Port, out (List<(uint, byte)> Bytes, List<string> Marks) flow))
            {
                byFlow[seen.Port] = flow = ([], []);
            }

            for (int i = 0; i < seen.Payload.Length; i++)
            {
                flow.Bytes.Add(((uint)(seen.Sequence + i), seen.Payload[i]));
            }

            TcpFlags special = seen.Flags & ~(TcpFlags.Ack | TcpFlags.Psh);
            if (special != 0 || seen.Payload.Length == 0)
            {
                flow.Marks.Add($"{special} at byte {flow.Bytes.Count}");
            }
        }

        // ECE on merged segments is seen once instead of many times; it says the same.
        return [.. byFlow.OrderBy(f => f.Key).Select(f =>
            $"{f.Key}: {string.Join(',', f.Value.Bytes)} {string.Join(';', f.Value.Marks.Where(m => !m.StartsWith("Ece", StringComparison.Ordinal)))}")];
    }

    private void Inject(int payload, uint sequence, TcpFlags flags = TcpFlags.Ack, ushort port = 5000) =>
        Assert.True(_link.Inject(Bytes(payload, sequence, flags, port)));

    private byte[] Bytes(int payload, uint sequence, TcpFlags flags = TcpFlags.Ack, ushort port = 5000, int optionBytes = 0)
    {
        PacketBuffer packet = TestPackets.Tcp(_pool, payload, sequence: sequence, flags: flags, optionBytes: optionBytes);
        byte[] bytes = new byte[packet.TotalLength];
        Segmentation.WriteWhole(packet, bytes, complete: false);
        packet.Free();
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(20), port);
        Sign(bytes);
        return bytes;
    }

    /// <summary>Makes both checksums right.</summary>
    private static void Sign(byte[] bytes)
    {
        bytes[10] = bytes[11] = bytes[36] = bytes[37] = 0;
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(10), Checksum.Finish(Checksum.Add(bytes.AsSpan(0, 20))));
        uint pseudo = Checksum.PseudoHeader(TestPackets.Source, TestPackets.Destination, IpProtocol.Tcp, (uint)(bytes.Length - 20));
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(36), Checksum.Finish(Checksum.Add(bytes.AsSpan(20), pseudo)));
    }

    private sealed record Wire(ushort Flow, int Step, int Size, TcpFlags Flags, int Damage);

    private sealed record Seen(
        ushort Port, uint Sequence, TcpFlags Flags, byte[] Payload, int GsoSize, int SegmentCount, int TrueSize, ChecksumState Checksum, bool IsSound);

    private sealed class Recorder : ITransport
    {
        public List<Seen> Segments { get; } = [];

        public bool OnlyFree { get; set; }

        public bool AcceptsForeign => false;

        public void Input(PacketBuffer packet, StackInterface ingress, Worker worker)
        {
            if (!OnlyFree && TcpHeader.TryParse(packet.FirstSpan, out TcpSegmentHeader header, out _))
            {
                byte[] payload = new byte[packet.Length - header.HeaderLength];
                packet.CopyPayloadTo(header.HeaderLength, payload);
                bool sound = packet.Checksum == ChecksumState.Verified || TcpHeader.ChecksumHolds(packet.FirstSpan, packet.Source, packet.Destination);
                Segments.Add(new Seen(
                    header.SourcePort, header.Sequence.Value, header.Flags, payload, packet.GsoSize, packet.SegmentCount, packet.TrueSize, packet.Checksum, sound));
            }

            packet.Free();
        }

        public void OnIcmpError(in IPv4Header original, ReadOnlySpan<byte> transport, IcmpType type, byte code, int nextHopMtu, Worker worker)
        {
        }
    }
}
