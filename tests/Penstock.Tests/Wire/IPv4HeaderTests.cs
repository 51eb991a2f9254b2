using System.Buffers.Binary;
using CsCheck;
using Penstock.Wire;

namespace Penstock.Tests.Wire;

public class IPv4HeaderTests
{
    /// <summary>A real header (the one most textbooks compute): 172.16.10.99 to 172.16.10.12, TCP, checksum b1e6.</summary>
    private static byte[] Known() => Convert.FromHexString("4500003c1c4640004006b1e6ac100a63ac100a0c");

    private static byte[] KnownPacket() => [.. Known(), .. new byte[40]];

    /// <summary>Changes the header and puts its checksum right again.</summary>
    private static byte[] With(Action<byte[]> change)
    {
        byte[] packet = KnownPacket();
        change(packet);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(10), 0);
        int length = Math.Min((packet[0] & 15) * 4, packet.Length);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(10), Checksum.Finish(Checksum.Add(packet.AsSpan(0, length))));
        return packet;
    }

    private static MalformedReason Refusal(ReadOnlySpan<byte> packet)
    {
        Assert.False(IPv4Header.TryParse(packet, out _, out MalformedReason reason));
        return reason;
    }

    [Fact]
    public void A_known_header_is_read_and_written_to_the_byte()
    {
        byte[] packet = KnownPacket();
        Assert.True(IPv4Header.TryParse(packet, out IPv4Header header, out MalformedReason reason));
        Assert.Equal(MalformedReason.None, reason);
        Assert.Equal("172.16.10.99", header.Source.ToString());
        Assert.Equal("172.16.10.12", header.Destination.ToString());
        Assert.Equal(IpProtocol.Tcp, header.Protocol);
        Assert.Equal(64, header.TimeToLive);
        Assert.Equal(0x1c46, header.Identification);
        Assert.Equal(60, header.TotalLength);
        Assert.Equal(20, header.HeaderLength);
        Assert.Equal(40, header.PayloadLength);
        Assert.True(header.DontFragment);
        Assert.False(header.MoreFragments || header.IsFragment);
        Assert.Equal(40, header.Payload(packet).Length);
        Assert.True(header.Options(packet).IsEmpty);

        var written = new byte[20];
        header.Write(written);
        Assert.Equal(Known(), written);
    }

    [Fact]
    public void Any_values_survive_the_wire() =>
        Gen.Byte.Array[20].Sample(
            bytes =>
            {
                var header = new IPv4Header
                {
                    Source = IpAddress.ReadIPv4(bytes),
                    Destination = IpAddress.ReadIPv4(bytes.AsSpan(4)),
                    TotalLength = (ushort)(20 + bytes[8]),
                    Identification = BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(9)),
                    FragmentField = BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(11)),
                    HeaderLength = 20,
                    Protocol = bytes[13],
                    TimeToLive = bytes[14],
                    TypeOfService = bytes[15],
                };
                var packet = new byte[20 + 255];
                header.Write(packet);
                return IPv4Header.TryParse(packet, out IPv4Header read, out _) && read.Equals(header);
            },
            iter: 5_000);

    [Fact]
    public void Fragments_tell_where_they_belong()
    {
        byte[] packet = With(p => BinaryPrimitives.WriteUInt16BigEndian(p.AsSpan(6), 0x2000 | 185));
        Assert.True(IPv4Header.TryParse(packet, out IPv4Header header, out _));
        Assert.True(header.IsFragment && header.MoreFragments);
        Assert.Equal(1480, header.FragmentOffset);
        packet = With(p => BinaryPrimitives.WriteUInt16BigEndian(p.AsSpan(6), 185));
        Assert.True(IPv4Header.TryParse(packet, out header, out _));
        Assert.True(header.IsFragment && !header.MoreFragments);
    }

    [Fact]
    public void Options_and_a_links_padding_are_told_from_the_payload()
    {
        byte[] packet = With(p =>
        {
            p[0] = 0x46;
            p[3] = 40;
            p[20] = 1;
        });
        Assert.True(IPv4Header.TryParse(packet, out IPv4Header header, out _));
        Assert.Equal([1, 0, 0, 0], header.Options(packet).ToArray());
        Assert.Equal(16, header.Payload(packet).Length);
    }

    [Fact]
    public void Every_defect_has_its_own_reason()
    {
        Assert.Equal(MalformedReason.IPv4TooShort, Refusal([]));
        Assert.Equal(MalformedReason.IPv4TooShort, Refusal(KnownPacket().AsSpan(0, 19)));
        Assert.Equal(MalformedReason.IPv4BadVersion, Refusal(With(p => p[0] = 0x65)));
        Assert.Equal(MalformedReason.IPv4BadHeaderLength, Refusal(With(p => p[0] = 0x44)));
        Assert.Equal(MalformedReason.IPv4BadHeaderLength, Refusal(With(p => p[0] = 0x4F).AsSpan(0, 59)));
        Assert.Equal(MalformedReason.IPv4BadTotalLength, Refusal(With(p => p[3] = 19)));
        Assert.Equal(MalformedReason.IPv4Truncated, Refusal(With(p => p[3] = 61)));
        byte[] damaged = KnownPacket();
        damaged[8]--;
        Assert.Equal(MalformedReason.IPv4BadChecksum, Refusal(damaged));
        Assert.True(IPv4Header.TryParse(damaged, out IPv4Header vouchedFor, out _, verifyChecksum: false));
        Assert.Equal(63, vouchedFor.TimeToLive);
    }

    [Fact]
    public void A_payload_may_lie_elsewhere_but_the_header_may_not()
    {
        byte[] packet = KnownPacket();
        Assert.True(IPv4Header.TryParse(packet.AsSpan(0, 20), 60, out _, out _));
        Assert.False(IPv4Header.TryParse(packet.AsSpan(0, 20), 59, out _, out MalformedReason reason));
        Assert.Equal(MalformedReason.IPv4Truncated, reason);
        Assert.False(IPv4Header.TryParse(packet.AsSpan(0, 19), 60, out _, out _));
    }
}
