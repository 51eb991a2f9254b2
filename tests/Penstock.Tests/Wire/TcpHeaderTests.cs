using System.Buffers.Binary;
using CsCheck;
using Penstock.Wire;

namespace Penstock.Tests.Wire;

public class TcpHeaderTests
{
    [Fact]
    public void Any_values_survive_the_wire() =>
        Gen.Byte.Array[20].Sample(
            bytes =>
            {
                var header = new TcpSegmentHeader
                {
                    SourcePort = BinaryPrimitives.ReadUInt16BigEndian(bytes),
                    DestinationPort = BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(2)),
                    Sequence = new SequenceNumber(BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(4))),
                    Acknowledgment = new SequenceNumber(BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(8))),
                    Flags = (TcpFlags)(BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(12)) & 0x1FF),
                    Window = BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(14)),
                    UrgentPointer = BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(16)),
                    HeaderLength = (byte)(20 + bytes[18] % 11 * 4),
                };
                var segment = new byte[60];
                Array.Fill(segment, (byte)0xEE);
                TcpHeader.Write(segment, header);
                return TcpHeader.TryParse(segment, out TcpSegmentHeader read, out _) && read.Equals(header)
                    && header.Options(segment).Length == header.HeaderLength - 20
                    && BinaryPrimitives.ReadUInt16BigEndian(segment.AsSpan(16)) == 0
                    && segment[20] == 0xEE;
            },
            iter: 5_000);

    [Fact]
    public void Every_flag_stands_where_the_RFCs_put_it()
    {
        var segment = new byte[20];
        TcpHeader.Write(segment, new TcpSegmentHeader { HeaderLength = 20, Flags = TcpFlags.Ae });
        Assert.Equal([0x51, 0x00], segment[12..14]);
        TcpFlags[] inOrder =
            [TcpFlags.Fin, TcpFlags.Syn, TcpFlags.Rst, TcpFlags.Psh, TcpFlags.Ack, TcpFlags.Urg, TcpFlags.Ece, TcpFlags.Cwr];
        for (int bit = 0; bit < 8; bit++)
        {
            TcpHeader.Write(segment, new TcpSegmentHeader { HeaderLength = 20, Flags = inOrder[bit] });
            Assert.Equal([0x50, (byte)(1 << bit)], segment[12..14]);
        }
    }

    [Fact]
    public void Reserved_bits_are_ignored()
    {
        var segment = new byte[20];
        segment[12] = 0x5E;
        Assert.True(TcpHeader.TryParse(segment, out TcpSegmentHeader header, out _));
        Assert.Equal(TcpFlags.None, header.Flags);
    }

    [Fact]
    public void A_header_has_to_lie_within_its_segment()
    {
        var segment = new byte[24];
        Assert.False(TcpHeader.TryParse(segment.AsSpan(0, 19), out _, out MalformedReason reason));
        Assert.Equal(MalformedReason.TcpTooShort, reason);
        segment[12] = 0x40;
        Assert.False(TcpHeader.TryParse(segment, out _, out reason));
        Assert.Equal(MalformedReason.TcpBadDataOffset, reason);
        segment[12] = 0x70;
        Assert.False(TcpHeader.TryParse(segment, out _, out reason));
        Assert.Equal(MalformedReason.TcpBadDataOffset, reason);
        segment[12] = 0x60;
        Assert.True(TcpHeader.TryParse(segment, out _, out _));
    }

    [Fact]
    public void Syn_and_fin_take_a_number_each()
    {
        var start = new SequenceNumber(uint.MaxValue);
        Assert.Equal(1u, new TcpSegmentHeader { Sequence = start, Flags = TcpFlags.Syn | TcpFlags.Fin }.End(0).Value);
        Assert.Equal(9u, new TcpSegmentHeader { Sequence = start, Flags = TcpFlags.Ack }.End(10).Value);
    }

    [Theory]
    [InlineData("192.0.2.1", "198.51.100.7")]
    [InlineData("2001:db8::1", "2001:db8:ffff::2")]
    public void A_segments_checksum_covers_addresses_and_payload(string from, string to)
    {
        IpAddress source = IpAddress.From(System.Net.IPAddress.Parse(from)), destination = IpAddress.From(System.Net.IPAddress.Parse(to));
        var segment = new byte[20 + 333];
        new Random(7).NextBytes(segment);
        TcpHeader.Write(segment, new TcpSegmentHeader { HeaderLength = 20, SourcePort = 80, Flags = TcpFlags.Ack });
        uint sum = Checksum.Add(segment, Checksum.PseudoHeader(source, destination, IpProtocol.Tcp, (uint)segment.Length));
        TcpHeader.WriteChecksum(segment, Checksum.Finish(sum));
        Assert.True(TcpHeader.ChecksumHolds(segment, source, destination));
        Assert.False(TcpHeader.ChecksumHolds(segment.AsSpan(0, 352), source, destination));
        Assert.False(TcpHeader.ChecksumHolds(segment, source, IpAddress.LoopbackIPv4));
        segment[^1] ^= 1;
        Assert.False(TcpHeader.ChecksumHolds(segment, source, destination));
    }
}
