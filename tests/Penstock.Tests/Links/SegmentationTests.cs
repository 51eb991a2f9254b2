using System.Buffers.Binary;
using CsCheck;
using Penstock.Buffers;
using Penstock.Links;
using Penstock.Wire;

namespace Penstock.Tests.Links;

/// <summary>The way from a super-segment to wire packets, by copying and by sharing.</summary>
public sealed class SegmentationTests
{
    private static readonly Gen<(int Payload, int Gso, int Fragment, int Options, int Flags, uint Sequence, int Id)> Packets =
        from payload in Gen.Int[1, 60_000]
        from gso in Gen.Int[100, 9_000]
        from fragment in Gen.Int[4_000, 16_000]
        from options in Gen.Int[0, 10]
        from flags in Gen.Int[0, 0xFF]
        from sequence in Gen.UInt
        from id in Gen.Int[0, 65_535]
        select (payload, gso, fragment, options * 4, flags & ~0x26, sequence, id);

    [Fact]
    public void Any_super_segment_becomes_wire_packets_that_together_are_its_stream()
    {
        Packets.Sample(
            p =>
            {
                var pool = new PacketPool(16 << 20);
                PacketBuffer packet = Make(pool, p);
                var wire = new List<byte[]>();
                for (int i = 0; i < Segmentation.SegmentsOf(packet); i++)
                {
                    byte[] bytes = new byte[Segmentation.LengthOf(packet, i)];
                    Assert.Equal(bytes.Length, Segmentation.WriteSegment(packet, i, bytes, complete: true));
                    wire.Add(bytes);
                }

                packet.Free();
                AssertSegments(wire, p);
                Assert.Equal(0, pool.RentedSlabs);
            },
            iter: 300);
    }

    [Fact]
    public void A_link_without_offloads_gets_the_same_packets_without_a_copy()
    {
        Packets.Sample(
            p =>
            {
                var pool = new PacketPool(16 << 20);
                var link = new BareLink(int.MaxValue);
                PacketBuffer packet = Make(pool, p);
                var account = new Account();
                packet.Device = account;
                packet.DeviceCharge = packet.TrueSize;
                account.Add(packet.TrueSize);
                Assert.True(LinkOutput.Transmit(link, packet, out int lost));
                Assert.Equal(0, lost);
                Assert.True(account.DeviceBytes > 0, "the link still holds the packets");
                AssertSegments(link.Bytes(), p);
                link.FreeAll();
                Assert.Equal(0, account.DeviceBytes);
                Assert.Equal(0, pool.RentedBuffers);
                Assert.Equal(0, pool.RentedSlabs);
            },
            iter: 300);
    }

    [Fact]
    public void A_link_that_is_full_from_the_start_leaves_the_packet_to_the_caller()
    {
        var pool = new PacketPool(16 << 20);
        var link = new BareLink(0);
        PacketBuffer packet = TestPackets.Tcp(pool, 14_600, gsoSize: 1460);
        Assert.False(LinkOutput.Transmit(link, packet, out int lost));
        Assert.Equal(0, lost);
        Assert.Equal(14_600, packet.Length);
        Assert.Equal(10, Segmentation.SegmentsOf(packet));
        packet.Free();
        Assert.Equal(0, pool.RentedBuffers);
    }

    [Fact]
    public void What_does_not_fit_in_the_middle_of_a_super_segment_is_lost_and_said_so()
    {
        var pool = new PacketPool(16 << 20);
        var link = new BareLink(4);
        var account = new Account();
        PacketBuffer packet = TestPackets.Tcp(pool, 14_600, gsoSize: 1460);
        packet.Device = account;
        packet.DeviceCharge = 5_000;
        account.Add(5_000);
        Assert.True(LinkOutput.Transmit(link, packet, out int lost));
        Assert.Equal(6, lost);
        Assert.Equal(4, link.Bytes().Count);
        Assert.Equal(0, account.DeviceBytes);
        link.FreeAll();
        Assert.Equal(0, pool.RentedBuffers);
        Assert.Equal(0, pool.RentedSlabs);
    }

    [Fact]
    public void Splitting_by_sharing_costs_no_managed_memory()
    {
        var pool = new PacketPool(16 << 20);
        var link = new BareLink(int.MaxValue) { Discard = true };
        for (int i = 0; i < 10; i++)
        {
            LinkOutput.Transmit(link, TestPackets.Tcp(pool, 60_000, gsoSize: 1460), out _);
        }

        long allocated = Allocations.Least(() =>
        {
            for (int i = 0; i < 2_000; i++)
            {
                LinkOutput.Transmit(link, TestPackets.Tcp(pool, 60_000, gsoSize: 1460), out _);
            }
        });
        Assert.InRange(allocated, 0, Allocations.OnceOnly);
    }

    private static PacketBuffer Make(PacketPool pool, (int Payload, int Gso, int Fragment, int Options, int Flags, uint Sequence, int Id) p) =>
        TestPackets.Tcp(pool, p.Payload, p.Gso, p.Sequence, (TcpFlags)p.Flags, p.Fragment, (ushort)p.Id, p.Options);

    private static void AssertSegments(List<byte[]> wire, (int Payload, int Gso, int Fragment, int Options, int Flags, uint Sequence, int Id) p)
    {
        Assert.Equal((p.Payload + p.Gso - 1) / p.Gso, wire.Count);
        uint sequence = p.Sequence;
        int payload = 0;
        for (int i = 0; i < wire.Count; i++)
        {
            byte[] bytes = wire[i];
            Assert.True(IPv4Header.TryParse(bytes, out IPv4Header ip, out _));
            Assert.Equal(bytes.Length, ip.TotalLength);
            Assert.Equal((ushort)(p.Id + i), ip.Identification);
            Assert.True(TestPackets.ChecksumsHold(bytes));
            Assert.True(TcpHeader.TryParse(ip.Payload(bytes), out TcpSegmentHeader tcp, out _));
            Assert.Equal(sequence, tcp.Sequence.Value);
            Assert.Equal(20 + p.Options, tcp.HeaderLength);
            TcpFlags expected = (TcpFlags)p.Flags;
            expected &= i == wire.Count - 1 ? expected : ~(TcpFlags.Fin | TcpFlags.Psh);
            expected &= i == 0 ? expected : ~TcpFlags.Cwr;
            Assert.Equal(expected, tcp.Flags);
            ReadOnlySpan<byte> body = ip.Payload(bytes)[tcp.HeaderLength..];
            for (int j = 0; j < body.Length; j++)
            {
                if (body[j] != TestPackets.PayloadByte((uint)(sequence + j)))
                {
                    Assert.Fail($"byte {j} of packet {i}");
                }
            }

            Assert.Equal(Math.Min(p.Gso, p.Payload - payload), body.Length);
            sequence += (uint)body.Length;
            payload += body.Length;
        }

        Assert.Equal(p.Payload, payload);
    }

    private sealed class Account : DeviceAccount
    {
        protected override void OnDeviceSpace(int bytesLeft)
        {
        }
    }

    /// <summary>A link that can do nothing by itself and takes so many packets.</summary>
    private sealed class BareLink(int room) : Link("bare")
    {
        private readonly List<PacketBuffer> _taken = [];
        private int _room = room;

        public bool Discard { get; init; }

        public override int Mtu => 1500;

        public List<byte[]> Bytes() => _taken.ConvertAll(packet =>
        {
            Assert.Equal(ChecksumState.None, packet.Checksum);
            byte[] bytes = new byte[packet.TotalLength];
            Segmentation.WriteWhole(packet, bytes, complete: false);
            return bytes;
        });

        public void FreeAll() => _taken.ForEach(packet => packet.Free());

        internal override void Attach(ILinkClient client)
        {
        }

        internal override bool Transmit(PacketBuffer packet)
        {
            if (_room-- <= 0)
            {
                return false;
            }

            if (Discard)
            {
                packet.Free();
            }
            else
            {
                _taken.Add(packet);
            }

            return true;
        }

        private protected override void Dispose(bool disposing)
        {
        }
    }
}
