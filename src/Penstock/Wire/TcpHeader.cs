using System.Buffers.Binary;
using System.Diagnostics;

namespace Penstock.Wire;

/// <summary>
/// Reads and writes the fixed part of a TCP header (RFC 9293 3.1). Options have files of their own; the checksum covers bytes that may lie
/// elsewhere, so whoever holds all of them takes it, with <see cref="Checksum"/>.
/// </summary>
internal static class TcpHeader
{
    public const int MinLength = 20;
    public const int MaxLength = 60;

    /// <summary>Where the checksum stands, as an offload wants to know.</summary>
    public const int ChecksumOffset = 16;

    private const ushort FlagsMask = 0x1FF;

    /// <summary>
    /// Parses the header of a segment; it has to lie whole in <paramref name="segment"/>, the payload may be elsewhere. The three bits that
    /// are still reserved are ignored (RFC 9293 3.1).
    /// </summary>
    public static bool TryParse(ReadOnlySpan<byte> segment, out TcpSegmentHeader header, out MalformedReason reason)
    {
        header = default;
        if (segment.Length < MinLength)
        {
            reason = MalformedReason.TcpTooShort;
            return false;
        }

        int headerLength = (segment[12] >> 4) * 4;
        if (headerLength < MinLength || headerLength > segment.Length)
        {
            reason = MalformedReason.TcpBadDataOffset;
            return false;
        }

        header = new TcpSegmentHeader
        {
            SourcePort = BinaryPrimitives.ReadUInt16BigEndian(segment),
            DestinationPort = BinaryPrimitives.ReadUInt16BigEndian(segment[2..]),
            Sequence = new SequenceNumber(BinaryPrimitives.ReadUInt32BigEndian(segment[4..])),
            Acknowledgment = new SequenceNumber(BinaryPrimitives.ReadUInt32BigEndian(segment[8..])),
            HeaderLength = (byte)headerLength,
            Flags = (TcpFlags)(BinaryPrimitives.ReadUInt16BigEndian(segment[12..]) & FlagsMask),
            Window = BinaryPrimitives.ReadUInt16BigEndian(segment[14..]),
            UrgentPointer = BinaryPrimitives.ReadUInt16BigEndian(segment[18..]),
        };
        reason = MalformedReason.None;
        return true;
    }

    /// <summary>True when the checksum of a segment that lies in one piece is right.</summary>
    public static bool ChecksumHolds(ReadOnlySpan<byte> segment, IpAddress source, IpAddress destination) =>
        Checksum.IsValid(
            Checksum.Add(segment, Checksum.PseudoHeader(source, destination, IpProtocol.Tcp, (uint)segment.Length)));

    /// <summary>
    /// Writes the first 20 bytes, with a checksum of zero. <see cref="TcpSegmentHeader.HeaderLength"/> says how long the header is going
    /// to be with its options: a multiple of 4 in 20..60.
    /// </summary>
    public static void Write(Span<byte> destination, in TcpSegmentHeader header)
    {
        Debug.Assert(
            header.HeaderLength is >= MinLength and <= MaxLength && header.HeaderLength % 4 == 0, "a header length that has no encoding");
        Span<byte> bytes = destination[..MinLength];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, header.SourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], header.DestinationPort);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[4..], header.Sequence.Value);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[8..], header.Acknowledgment.Value);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[12..], (ushort)((header.HeaderLength << 10) | ((int)header.Flags & FlagsMask)));
        BinaryPrimitives.WriteUInt16BigEndian(bytes[14..], header.Window);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[16..], 0);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[18..], header.UrgentPointer);
    }

    /// <summary>Writes a checksum, as <see cref="Checksum.Finish"/> gives it, into a header that is already there.</summary>
    public static void WriteChecksum(Span<byte> header, ushort checksum) =>
        BinaryPrimitives.WriteUInt16BigEndian(header[ChecksumOffset..], checksum);
}
