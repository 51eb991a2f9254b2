using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Links;

/// <summary>
/// What happens to every packet between IP and a link: whatever the link cannot do itself is done here, once. It splits super-segments and completes
/// checksums; it queues nothing.
/// </summary>
internal static class LinkOutput
{
    /// <summary>
    /// Sends a packet, after doing what the link has no offload for. False: the link is full, nothing was sent and the caller keeps the packet.
    /// </summary>
    /// <param name="link">Where to.</param>
    /// <param name="packet">With its IP header in front.</param>
    /// <param name="lost">
    /// Wire packets that could not be sent although the result is true: the link became full, or memory ran out, in the middle of a super-segment. What went
    /// before them is on its way, so the packet can be neither kept nor taken back; the rest is lost as in a full queue of Linux's, and TCP repairs it.
    /// </param>
    public static bool Transmit(Link link, PacketBuffer packet, out int lost)
    {
        lost = 0;
        LinkOffloads offloads = link.Offloads;
        if (Segmentation.IsSuperSegment(packet) && (offloads & LinkOffloads.TcpSegmentation) == 0)
        {
            return TransmitSplit(link, packet, offloads, out lost);
        }

        if (packet.Checksum == ChecksumState.Partial && (offloads & LinkOffloads.Checksum) == 0)
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

        Segmentation.WriteChecksum(packet.Head, transport, Checksum.Finish(sum));
        packet.Checksum = ChecksumState.None;
    }

    /// <summary>Sends the wire packets of a super-segment one by one; they share its payload.</summary>
    private static bool TransmitSplit(Link link, PacketBuffer packet, LinkOffloads offloads, out int lost)
    {
        int count = Segmentation.SegmentsOf(packet);
        lost = 0;
        for (int i = 0; i < count; i++)
        {
            PacketBuffer? segment = TryMakeSegment(packet, i);
            if (segment is not null)
            {
                if (packet.Checksum == ChecksumState.None || (offloads & LinkOffloads.Checksum) == 0)
                {
                    CompleteChecksum(segment);
                }

                if (i == count - 1)
                {
                    // The last to leave the device tells the socket, as Linux's does: small queues then see the whole super-segment.
                    (segment.Device, segment.DeviceCharge) = (packet.Device, packet.DeviceCharge);
                }

                if (link.Transmit(segment))
                {
                    if (i == count - 1)
                    {
                        (packet.Device, packet.DeviceCharge) = (null, 0);
                    }

                    continue;
                }

                (segment.Device, segment.DeviceCharge) = (null, 0);
                segment.Free();
                if (i == 0)
                {
                    return false;
                }
            }

            lost = count - i;
            break;
        }

        packet.Free();
        return true;
    }

    private static PacketBuffer? TryMakeSegment(PacketBuffer packet, int index)
    {
        PacketBuffer? segment = packet.Pool.RentBufferWithHead();
        if (segment is null)
        {
            return null;
        }

        Segmentation.WriteHead(packet, index, segment.PushHead(packet.HeadLength));
        segment.ShareFrom(packet, index * packet.GsoSize, Segmentation.PayloadOf(packet, index));
        segment.Checksum = ChecksumState.Partial;
        segment.ChecksumStart = packet.ChecksumStart;
        segment.SegmentCount = 1;
        return segment;
    }
}
