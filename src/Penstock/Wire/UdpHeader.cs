using System.Buffers.Binary;

namespace Penstock.Wire;

/// <summary>The values of a UDP header (RFC 768), apart from the bytes they came from.</summary>
internal readonly struct UdpHeader
{
    public const int WireLength = 8;

    /// <summary>Where the checksum stands, as an offload wants to know.</summary>
    public const int ChecksumOffset = 6;

    public ushort SourcePort { get; init; }

    public ushort DestinationPort { get; init; }

    /// <summary>Bytes of header and payload, 8..65535.</summary>
    public ushort Length { get; init; }

    /// <summary>As the wire has it; zero says that the sender took none.</summary>
    public ushort ChecksumField { get; init; }

    public int PayloadLength => Length - WireLength;

    /// <summary>The payload in the datagram that this header was parsed from; what lies behind the length is not part of it.</summary>
    public ReadOnlySpan<byte> Payload(ReadOnlySpan<byte> datagram) => datagram[WireLength..Length];

    public static bool TryParse(ReadOnlySpan<byte> datagram, out UdpHeader header, out MalformedReason reason) =>
        TryParse(datagram, datagram.Length, out header, out reason);

    /// <summary>
    /// Parses a datagram of <paramref name="datagramLength"/> bytes of which <paramref name="head"/> is the beginning: the header has to
    /// lie in it, the payload may be elsewhere. The checksum is a matter of its own.
    /// </summary>
    public static bool TryParse(ReadOnlySpan<byte> head, int datagramLength, out UdpHeader header, out MalformedReason reason)
    {
        header = default;
        if (head.Length < WireLength)
        {
            reason = MalformedReason.UdpTooShort;
            return false;
        }

        int length = BinaryPrimitives.ReadUInt16BigEndian(head[4..]);
        if (length < WireLength || length > datagramLength)
        {
            reason = MalformedReason.UdpBadLength;
            return false;
        }

        header = new UdpHeader
        {
            SourcePort = BinaryPrimitives.ReadUInt16BigEndian(head),
            DestinationPort = BinaryPrimitives.ReadUInt16BigEndian(head[2..]),
            Length = (ushort)length,
            ChecksumField = BinaryPrimitives.ReadUInt16BigEndian(head[ChecksumOffset..]),
        };
        reason = MalformedReason.None;
        return true;
    }

    /// <summary>
    /// True when the checksum of a datagram that lies in one piece is right, or absent over IPv4 (RFC 768); over IPv6 it must be there
    /// (RFC 8200 8.1).
    /// </summary>
    public bool ChecksumHolds(ReadOnlySpan<byte> datagram, IpAddress source, IpAddress destination)
    {
        if (ChecksumField == 0)
        {
            return source.IsIPv4;
        }

        return Checksum.IsValid(
            Checksum.Add(datagram[..Length], Checksum.PseudoHeader(source, destination, IpProtocol.Udp, Length)));
    }

    /// <summary>Writes a header with a checksum of zero; <paramref name="length"/> counts header and payload.</summary>
    public static void Write(Span<byte> destination, ushort sourcePort, ushort destinationPort, ushort length)
    {
        Span<byte> bytes = destination[..WireLength];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, sourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], destinationPort);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[4..], length);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[6..], 0);
    }

    /// <summary>
    /// Writes a checksum, as <see cref="Checksum.Finish"/> gives it, into a header that is already there. Zero is written as ffff, its
    /// twin, since zero says that there is none (RFC 768).
    /// </summary>
    public static void WriteChecksum(Span<byte> header, ushort checksum) =>
        BinaryPrimitives.WriteUInt16BigEndian(header[ChecksumOffset..], checksum == 0 ? (ushort)0xFFFF : checksum);
}
