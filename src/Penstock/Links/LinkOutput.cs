using System.Buffers.Binary;
using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Links;

/// <summary>What happens to every packet between IP and a link: whatever the link cannot do itself is done here, once.</summary>
internal static class LinkOutput
{
    /// <summary>Sends a packet, after completing what the link has no offload for. False: the link is full and the caller keeps the packet.</summary>
    public static bool Transmit(Link link, PacketBuffer packet)
    {
        if (packet.Checksum == ChecksumState.Partial && (link.Offloads & LinkOffloads.Checksum) == 0)
        {
            CompleteChecksum(packet);
        }

        return link.Transmit(packet);
    }

    /// <summary>Adds the payload to the pseudo-header sum that is in the transport header already (RFC 9293 3.1).</summary>
    public static void CompleteChecksum(PacketBuffer packet)
    {
        Span<byte> transport = packet.Head[packet.ChecksumStart..];
        uint sum = Checksum.Add(transport);
        int length = transport.Length;
        for (int i = 0; i < packet.FragmentCount; i++)
        {
            ref Fragment fragment = ref packet.FragmentAt(i);
            sum = Checksum.Combine(sum, Checksum.Add(fragment.Span), length);
            length += fragment.Length;
        }

        BinaryPrimitives.WriteUInt16BigEndian(transport[TcpHeader.ChecksumOffset..], Checksum.Finish(sum));
        packet.Checksum = ChecksumState.None;
    }
}
