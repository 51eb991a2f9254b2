using System.Buffers.Binary;
using Penstock.Wire;

namespace Penstock.Tests.Wire;

public class UdpHeaderTests
{
    private static readonly IpAddress A = IpAddress.FromIPv4(0x0A000001), B = IpAddress.FromIPv4(0x0A000002);

    private static byte[] Datagram(int payload, IpAddress source, IpAddress destination)
    {
        var datagram = new byte[8 + payload];
        new Random(payload).NextBytes(datagram);
        UdpHeader.Write(datagram, 53, 4242, (ushort)datagram.Length);
        UdpHeader.WriteChecksum(datagram, Checksum.Finish(
            Checksum.Add(datagram, Checksum.PseudoHeader(source, destination, IpProtocol.Udp, (uint)datagram.Length))));
        return datagram;
    }

    [Fact]
    public void A_datagram_survives_the_wire_and_padding_behind_it()
    {
        byte[] datagram = [.. Datagram(33, A, B), 1, 2, 3];
        Assert.True(UdpHeader.TryParse(datagram, out UdpHeader header, out _));
        Assert.Equal((53, 4242, 41), (header.SourcePort, header.DestinationPort, header.Length));
        Assert.Equal(33, header.Payload(datagram).Length);
        Assert.True(header.ChecksumHolds(datagram, A, B));
        datagram[9] ^= 1;
        Assert.False(header.ChecksumHolds(datagram, A, B));
    }

    [Fact]
    public void No_checksum_is_allowed_over_IPv4_only()
    {
        byte[] datagram = Datagram(5, A, B);
        BinaryPrimitives.WriteUInt16BigEndian(datagram.AsSpan(6), 0);
        Assert.True(UdpHeader.TryParse(datagram, out UdpHeader header, out _));
        Assert.True(header.ChecksumHolds(datagram, A, B));
        Assert.False(header.ChecksumHolds(datagram, IpAddress.LoopbackIPv6, IpAddress.LoopbackIPv6));
    }

    [Fact]
    public void A_checksum_that_comes_out_as_zero_is_written_as_its_twin()
    {
        byte[] datagram = Datagram(2, A, B);
        BinaryPrimitives.WriteUInt16BigEndian(datagram.AsSpan(6), 0);
        BinaryPrimitives.WriteUInt16BigEndian(datagram.AsSpan(8), 0);
        uint pseudo = Checksum.PseudoHeader(A, B, IpProtocol.Udp, 10);
        BinaryPrimitives.WriteUInt16BigEndian(datagram.AsSpan(8), Checksum.Finish(Checksum.Add(datagram, pseudo)));
        ushort checksum = Checksum.Finish(Checksum.Add(datagram, pseudo));
        Assert.Equal(0, checksum);
        UdpHeader.WriteChecksum(datagram, checksum);
        Assert.True(UdpHeader.TryParse(datagram, out UdpHeader header, out _));
        Assert.Equal(0xFFFF, header.ChecksumField);
        Assert.True(header.ChecksumHolds(datagram, A, B));
    }

    [Theory]
    [InlineData(7, 8, MalformedReason.UdpTooShort)]
    [InlineData(20, 7, MalformedReason.UdpBadLength)]
    [InlineData(20, 0, MalformedReason.UdpBadLength)]
    [InlineData(20, 21, MalformedReason.UdpBadLength)]
    public void A_length_that_does_not_fit_is_refused(int present, int claimed, object reason)
    {
        var datagram = new byte[20];
        UdpHeader.Write(datagram, 1, 2, (ushort)claimed);
        Assert.False(UdpHeader.TryParse(datagram.AsSpan(0, present), out _, out MalformedReason found));
        Assert.Equal((MalformedReason)reason, found);
    }
}
