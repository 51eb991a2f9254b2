using System.Runtime.InteropServices;
using Penstock.Buffers;
using Penstock.Links;
using Penstock.Wire;

namespace Penstock;

/// <summary>
/// What stands in front of each packet of a device with offloads (<c>struct virtio_net_hdr</c>, in the machine's own byte order).
/// Reading believes none of it before it was compared with the packet behind it.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 2)]
internal struct VirtioHeader
{
    public const int Size = 10;

    /// <summary><see cref="Flags"/>: the transport checksum is partial.</summary>
    public const byte NeedsChecksum = 1;

    /// <summary><see cref="Flags"/>: the transport checksum has been verified.</summary>
    public const byte DataValid = 2;

    /// <summary><see cref="SegmentationType"/>: one packet.</summary>
    public const byte NotSegmented = 0;

    /// <summary><see cref="SegmentationType"/>: a TCP super-segment over IPv4.</summary>
    public const byte Tcp4 = 1;

    /// <summary><see cref="SegmentationType"/>, as an added bit: the first segment carries CWR (RFC 3168).</summary>
    public const byte ExplicitCongestion = 0x80;

    public byte Flags;
    public byte SegmentationType;
    public ushort HeaderLength;
    public ushort SegmentSize;
    public ushort ChecksumStart;
    public ushort ChecksumOffset;

    /// <summary>Describes <paramref name="packet"/>, whose headers are in its head, to the device.</summary>
    public static VirtioHeader Describe(PacketBuffer packet)
    {
        VirtioHeader header = default;
        if (packet.Checksum == ChecksumState.Partial)
        {
            header.Flags = NeedsChecksum;
            header.ChecksumStart = (ushort)packet.ChecksumStart;
            header.ChecksumOffset = TcpHeader.ChecksumOffset;
        }

        if (Segmentation.IsSuperSegment(packet))
        {
            header.SegmentationType = Tcp4;
            header.SegmentSize = (ushort)packet.GsoSize;
            header.HeaderLength = (ushort)(packet.ChecksumStart + TcpHeaderLength(packet.Head[packet.ChecksumStart..]));
        }

        return header;
    }

    /// <summary>
    /// Notes on <paramref name="packet"/> what the header says about its <paramref name="bytes"/>. False: the header does not fit the
    /// packet, which is to be dropped.
    /// </summary>
    public readonly bool TryApply(ReadOnlySpan<byte> bytes, PacketBuffer packet)
    {
        packet.SegmentCount = 1;
        if ((Flags & NeedsChecksum) != 0 && ChecksumStart + ChecksumOffset + sizeof(ushort) > bytes.Length)
        {
            return false;
        }

        if ((Flags & (NeedsChecksum | DataValid)) != 0)
        {
            packet.Checksum = ChecksumState.Verified;
        }

        return SegmentationType == NotSegmented || TryApplySegmentation(bytes, packet);
    }

    private readonly bool TryApplySegmentation(ReadOnlySpan<byte> bytes, PacketBuffer packet)
    {
        // Only what was asked for with TUNSETOFFLOAD can come; anything else is not to be guessed at.
        if ((SegmentationType & ~ExplicitCongestion) != Tcp4 || SegmentSize == 0 || HeaderLength > bytes.Length
            || bytes.Length < IPv4Header.MinLength + TcpHeader.MinLength || bytes[0] >> 4 != 4 || bytes[9] != IpProtocol.Tcp)
        {
            return false;
        }

        // HeaderLength is a hint for linear memory only; the packet's own fields say where the payload begins.
        int transport = (bytes[0] & 0xF) * 4;
        if (transport < IPv4Header.MinLength || transport + TcpHeader.MinLength > bytes.Length)
        {
            return false;
        }

        int payload = bytes.Length - transport - TcpHeaderLength(bytes[transport..]);
        if (payload < 0)
        {
            return false;
        }

        if (payload > SegmentSize)
        {
            packet.GsoSize = SegmentSize;
            packet.SegmentCount = (payload + SegmentSize - 1) / SegmentSize;
        }

        return true;
    }

    private static int TcpHeaderLength(ReadOnlySpan<byte> transport) => (transport[12] >> 4) * 4;
}
