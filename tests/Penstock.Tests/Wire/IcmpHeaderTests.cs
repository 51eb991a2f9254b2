using Penstock.Wire;

namespace Penstock.Tests.Wire;

public class IcmpHeaderTests
{
    private static byte[] Datagram(int payload)
    {
        var packet = new byte[20 + payload];
        new Random(payload).NextBytes(packet);
        new IPv4Header
        {
            Source = IpAddress.FromIPv4(0x0A000001),
            Destination = IpAddress.FromIPv4(0x0A000002),
            TotalLength = (ushort)packet.Length,
            TimeToLive = 1,
            Protocol = IpProtocol.Tcp,
        }.Write(packet);
        return packet;
    }

    [Fact]
    public void An_echo_request_survives_the_wire()
    {
        var message = new byte[8 + 57];
        new Random(1).NextBytes(message);
        IcmpHeader.Write(message, IcmpType.EchoRequest, 0, IcmpHeader.EchoRest(0x1234, 7));
        Assert.True(IcmpHeader.TryParse(message, out IcmpHeader header, out _));
        Assert.Equal(IcmpType.EchoRequest, header.Type);
        Assert.Equal((0x1234, 7), (header.Identifier, header.Sequence));
        Assert.False(header.IsError);
        message[30] ^= 4;
        Assert.False(IcmpHeader.TryParse(message, out _, out MalformedReason reason));
        Assert.Equal(MalformedReason.IcmpBadChecksum, reason);
        Assert.True(IcmpHeader.TryParse(message, out _, out _, verifyChecksum: false));
        Assert.False(IcmpHeader.TryParse(message.AsSpan(0, 7), out _, out reason));
        Assert.Equal(MalformedReason.IcmpTooShort, reason);
    }

    [Fact]
    public void Fragmentation_needed_tells_the_MTU_and_quotes_the_datagram()
    {
        byte[] datagram = Datagram(1000);
        var message = new byte[IcmpHeader.MaxErrorDatagram - IPv4Header.MinLength];
        int length = IcmpHeader.WriteError(
            message, IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, 1400, datagram);
        Assert.Equal(message.Length, length);
        Assert.True(IcmpHeader.TryParse(message, out IcmpHeader header, out _));
        Assert.Equal(IcmpUnreachable.FragmentationNeeded, header.Code);
        Assert.Equal(1400, header.NextHopMtu);
        Assert.True(header.IsError);
        Assert.True(IcmpHeader.TryParseOriginal(message, out IPv4Header original, out ReadOnlySpan<byte> payload, out _));
        Assert.Equal(0x0A000002u, original.Destination.IPv4Value);
        Assert.True(payload.SequenceEqual(datagram.AsSpan(20, 548 - 20)));
    }

    [Fact]
    public void A_short_datagram_is_quoted_whole()
    {
        var message = new byte[548];
        int length = IcmpHeader.WriteError(message, IcmpType.ParameterProblem, 0, 9u << 24, Datagram(11));
        Assert.Equal(8 + 31, length);
        Assert.True(IcmpHeader.TryParse(message.AsSpan(0, length), out IcmpHeader header, out _));
        Assert.Equal(9, header.Pointer);
    }

    [Fact]
    public void A_quote_needs_a_header_and_eight_bytes()
    {
        byte[] datagram = Datagram(8);
        var message = new byte[8 + 28];
        IcmpHeader.WriteError(message, IcmpType.TimeExceeded, IcmpTimeExceeded.InTransit, 0, datagram);
        Assert.True(IcmpHeader.TryParseOriginal(message, out _, out _, out _));
        for (int length = 0; length < message.Length; length++)
        {
            Assert.False(IcmpHeader.TryParseOriginal(message.AsSpan(0, length), out _, out _, out MalformedReason reason));
            Assert.Equal(MalformedReason.IcmpBadOriginal, reason);
        }

        // The header that a router quotes has had its time to live lowered: its checksum may be off.
        message[8 + 8] = 0;
        Assert.True(IcmpHeader.TryParseOriginal(message, out _, out _, out _));
        message[8] = 0x65;
        Assert.False(IcmpHeader.TryParseOriginal(message, out _, out _, out _));
    }
}
