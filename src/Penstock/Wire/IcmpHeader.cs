using System.Buffers.Binary;

namespace Penstock.Wire;

/// <summary>
/// The values of an ICMPv4 header (RFC 792), apart from the bytes they came from, and the way to the datagram that an error quotes. It
/// never decides whether an error may be sent or is believed: that is IP's and the transport's.
/// </summary>
internal readonly struct IcmpHeader
{
    public const int WireLength = 8;

    /// <summary>What an error quotes behind the IP header at the least (RFC 792): enough for the ports and TCP's sequence number.</summary>
    public const int MinQuotedPayload = 8;

    /// <summary>RFC 1812 4.3.2.3: an error quotes as much as fits into an IP datagram of this size.</summary>
    public const int MaxErrorDatagram = 576;

    private const int ChecksumOffset = 2;

    public IcmpType Type { get; init; }

    public byte Code { get; init; }

    /// <summary>The second word, whose meaning the type gives.</summary>
    public uint Rest { get; init; }

    /// <summary>Echo: whose it is.</summary>
    public ushort Identifier => (ushort)(Rest >> 16);

    /// <summary>Echo: which one it is.</summary>
    public ushort Sequence => (ushort)Rest;

    /// <summary>Fragmentation needed: the next hop's MTU in bytes (RFC 1191 4); zero from a router that does not tell.</summary>
    public ushort NextHopMtu => (ushort)Rest;

    /// <summary>Parameter problem: the offset of the offending byte in the quoted datagram.</summary>
    public byte Pointer => (byte)(Rest >> 24);

    /// <summary>True for the messages that quote a datagram, which must never be answered with an error (RFC 1122 3.2.2).</summary>
    public bool IsError => Type is IcmpType.DestinationUnreachable or IcmpType.SourceQuench or IcmpType.Redirect
        or IcmpType.TimeExceeded or IcmpType.ParameterProblem;

    /// <summary>Parses a message that lies in one piece. <paramref name="verifyChecksum"/> is false when that has been done.</summary>
    public static bool TryParse(
        ReadOnlySpan<byte> message, out IcmpHeader header, out MalformedReason reason, bool verifyChecksum = true)
    {
        header = default;
        if (message.Length < WireLength)
        {
            reason = MalformedReason.IcmpTooShort;
            return false;
        }

        if (verifyChecksum && !Checksum.IsValid(Checksum.Add(message)))
        {
            reason = MalformedReason.IcmpBadChecksum;
            return false;
        }

        header = new IcmpHeader
        {
            Type = (IcmpType)message[0],
            Code = message[1],
            Rest = BinaryPrimitives.ReadUInt32BigEndian(message[4..]),
        };
        reason = MalformedReason.None;
        return true;
    }

    /// <summary>
    /// Finds the datagram that an error quotes: its IP header and <paramref name="payload"/>, the beginning of what it carried, at least
    /// 8 bytes. What lies behind those may be cut short, or be extensions (RFC 4884), and is not to be relied on.
    /// </summary>
    public static bool TryParseOriginal(
        ReadOnlySpan<byte> message, out IPv4Header original, out ReadOnlySpan<byte> payload, out MalformedReason reason)
    {
        payload = default;
        original = default;
        if (message.Length >= WireLength
            && IPv4Header.TryParseQuoted(message[WireLength..], out original, out _)
            && message.Length - WireLength - original.HeaderLength >= MinQuotedPayload)
        {
            payload = message[(WireLength + original.HeaderLength)..];
            reason = MalformedReason.None;
            return true;
        }

        original = default;
        reason = MalformedReason.IcmpBadOriginal;
        return false;
    }

    /// <summary>The second word of an echo message.</summary>
    public static uint EchoRest(ushort identifier, ushort sequence) => ((uint)identifier << 16) | sequence;

    /// <summary>Writes the header in front of data that is already in place behind it, with the checksum over both.</summary>
    public static void Write(Span<byte> message, IcmpType type, byte code, uint rest) =>
        WriteHeader(message, type, code, rest, Checksum.Add(message[WireLength..]));

    /// <summary>
    /// Writes an error that quotes <paramref name="original"/>, a datagram from its IP header on, as far as <paramref name="destination"/>
    /// has room for it, and returns the message's length.
    /// </summary>
    public static int WriteError(Span<byte> destination, IcmpType type, byte code, uint rest, ReadOnlySpan<byte> original)
    {
        ReadOnlySpan<byte> quoted = original[..Math.Min(original.Length, destination.Length - WireLength)];
        WriteHeader(destination, type, code, rest, Checksum.CopyAndAdd(quoted, destination[WireLength..]));
        return WireLength + quoted.Length;
    }

    /// <summary>Writes the header of a message whose data has the sum <paramref name="dataSum"/> and may lie elsewhere.</summary>
    public static void WriteHeader(Span<byte> destination, IcmpType type, byte code, uint rest, uint dataSum)
    {
        Span<byte> bytes = destination[..WireLength];
        bytes[0] = (byte)type;
        bytes[1] = code;
        BinaryPrimitives.WriteUInt16BigEndian(bytes[ChecksumOffset..], 0);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[4..], rest);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[ChecksumOffset..], Checksum.Finish(Checksum.Add(bytes, dataSum)));
    }
}
