using System.Buffers.Binary;
using System.Diagnostics;
using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Links;

/// <summary>
/// Makes wire packets of a TCP super-segment: which bytes each of them carries and what its headers say (Linux: <c>tcp_gso_segment</c>). It never changes the
/// super-segment, whose payload other clones can see, and keeps nothing.
/// </summary>
internal static class Segmentation
{
    /// <summary>Flags byte of a TCP header, and the bits in it that only one of the wire packets may have.</summary>
    private const int FlagsOffset = 13;
    private const byte OnlyOnLast = (byte)(TcpFlags.Fin | TcpFlags.Psh);
    private const byte OnlyOnFirst = (byte)TcpFlags.Cwr;

    /// <summary>True when the packet has more payload than one wire packet takes.</summary>
    public static bool IsSuperSegment(PacketBuffer packet) => packet.GsoSize > 0 && packet.Length > packet.GsoSize;

    /// <summary>Packets on the wire that the packet stands for, at least 1.</summary>
    public static int SegmentsOf(PacketBuffer packet) =>
        IsSuperSegment(packet) ? (packet.Length + packet.GsoSize - 1) / packet.GsoSize : 1;

    /// <summary>Bytes, IP header included, of the wire packet at <paramref name="index"/>.</summary>
    public static int LengthOf(PacketBuffer packet, int index) => packet.HeadLength + PayloadOf(packet, index);

    /// <summary>Payload bytes of the wire packet at <paramref name="index"/>.</summary>
    public static int PayloadOf(PacketBuffer packet, int index) =>
        IsSuperSegment(packet) ? Math.Min(packet.GsoSize, packet.Length - (index * packet.GsoSize)) : packet.Length;

    /// <summary>
    /// Copies the packet as it is, a super-segment whole. With <paramref name="complete"/> a partial transport checksum is completed in the copy, in the same
    /// pass over the payload. Returns the bytes written.
    /// </summary>
    public static int WriteWhole(PacketBuffer packet, Span<byte> destination, bool complete)
    {
        Span<byte> head = destination[..packet.HeadLength];
        packet.Head.CopyTo(head);
        Span<byte> body = destination.Slice(head.Length, packet.Length);
        if (complete && packet.Checksum == ChecksumState.Partial)
        {
            CopyAndComplete(packet, 0, head, packet.ChecksumStart, body);
        }
        else
        {
            packet.CopyPayloadTo(0, body);
        }

        return head.Length + body.Length;
    }

    /// <summary>
    /// Writes the wire packet at <paramref name="index"/>. With <paramref name="complete"/> its checksum is real; without, it is left partial
    /// if the super-segment's is. Returns the bytes written.
    /// </summary>
    public static int WriteSegment(PacketBuffer packet, int index, Span<byte> destination, bool complete)
    {
        if (!IsSuperSegment(packet))
        {
            return WriteWhole(packet, destination, complete);
        }

        Span<byte> head = destination[..packet.HeadLength];
        WriteHead(packet, index, head);
        int offset = index * packet.GsoSize;
        Span<byte> body = destination.Slice(head.Length, PayloadOf(packet, index));
        if (complete || packet.Checksum == ChecksumState.None)
        {
            CopyAndComplete(packet, offset, head, IpHeaderLength(head), body);
        }
        else
        {
            packet.CopyPayloadTo(offset, body);
        }

        return head.Length + body.Length;
    }

    /// <summary>
    /// Writes IP and TCP header of the wire packet at <paramref name="index"/>: lengths, identification and sequence of its own; FIN and PSH only on the last,
    /// CWR only on the first (RFC 3168 6.1.2); the TCP checksum is left partial, the sum of the pseudo-header.
    /// </summary>
    public static void WriteHead(PacketBuffer packet, int index, Span<byte> head)
    {
        Debug.Assert(packet.HeadLength >= IPv4Header.MinLength + TcpHeader.MinLength && packet.Head[0] >> 4 == 4, "a super-segment is TCP over IPv4");
        packet.Head.CopyTo(head);
        int offset = index * packet.GsoSize;
        int payload = PayloadOf(packet, index);
        bool last = offset + payload == packet.Length;
        Span<byte> ip = head[..IpHeaderLength(head)];
        Span<byte> tcp = head[ip.Length..];

        BinaryPrimitives.WriteUInt16BigEndian(ip[2..], (ushort)(head.Length + payload));
        BinaryPrimitives.WriteUInt16BigEndian(ip[4..], (ushort)(BinaryPrimitives.ReadUInt16BigEndian(ip[4..]) + index));
        ip[IPv4Header.ChecksumOffset] = ip[IPv4Header.ChecksumOffset + 1] = 0;
        BinaryPrimitives.WriteUInt16BigEndian(ip[IPv4Header.ChecksumOffset..], Checksum.Finish(Checksum.Add(ip)));

        BinaryPrimitives.WriteUInt32BigEndian(tcp[4..], BinaryPrimitives.ReadUInt32BigEndian(tcp[4..]) + (uint)offset);
        if (!last)
        {
            tcp[FlagsOffset] &= unchecked((byte)~OnlyOnLast);
        }

        if (index > 0)
        {
            tcp[FlagsOffset] &= unchecked((byte)~OnlyOnFirst);
        }

        uint pseudo = Checksum.PseudoHeader(
            IpAddress.ReadIPv4(ip[12..]), IpAddress.ReadIPv4(ip[16..]), IpProtocol.Tcp, (uint)(tcp.Length + payload));
        BinaryPrimitives.WriteUInt16BigEndian(tcp[TcpHeader.ChecksumOffset..], Checksum.ToNetwork(pseudo));
    }

    /// <summary>Where the transport's checksum stands behind an IPv4 header.</summary>
    public static int ChecksumOffsetOf(ReadOnlySpan<byte> ip) => ip[9] == IpProtocol.Udp ? UdpHeader.ChecksumOffset : TcpHeader.ChecksumOffset;

    private static int IpHeaderLength(ReadOnlySpan<byte> head) => (head[0] & 0xF) * 4;

    private static void CopyAndComplete(PacketBuffer packet, int offset, Span<byte> head, int transportStart, Span<byte> body)
    {
        Span<byte> transport = head[transportStart..];
        uint sum = Checksum.Combine(Checksum.Add(transport), CopyAndAdd(packet, offset, body), transport.Length);
        WriteChecksum(head, transport, Checksum.Finish(sum));
    }

    /// <summary>Writes a finished checksum into the transport header; UDP's zero becomes its twin, since zero says that there is none (RFC 768).</summary>
    public static void WriteChecksum(ReadOnlySpan<byte> ip, Span<byte> transport, ushort checksum)
    {
        int at = ChecksumOffsetOf(ip);
        if (checksum == 0 && at == UdpHeader.ChecksumOffset)
        {
            checksum = 0xFFFF;
        }

        BinaryPrimitives.WriteUInt16BigEndian(transport[at..], checksum);
    }

    /// <summary>Copies payload from <paramref name="offset"/> on, as much as the destination takes, and sums it.</summary>
    private static uint CopyAndAdd(PacketBuffer packet, int offset, Span<byte> destination)
    {
        uint sum = 0;
        int done = 0;
        for (int i = 0; done < destination.Length; i++)
        {
            ref Fragment fragment = ref packet.FragmentAt(i);
            if (offset >= fragment.Length)
            {
                offset -= fragment.Length;
                continue;
            }

            int take = Math.Min(destination.Length - done, fragment.Length - offset);
            uint part = Checksum.CopyAndAdd(fragment.Span.Slice(offset, take), destination[done..]);
            sum = Checksum.Combine(sum, part, done);
            done += take;
            offset = 0;
        }

        return sum;
    }
}
