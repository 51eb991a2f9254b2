using Penstock.Buffers;
using Penstock.Time;

namespace Penstock.Links;

/// <summary>What a link sees of whoever uses it: the stack's interface, or a decorator in between.</summary>
internal interface ILinkClient
{
    /// <summary>Memory for received packets.</summary>
    PacketPool Pool { get; }

    /// <summary>The worker that serves a receive queue.</summary>
    Worker WorkerOf(int queue);

    /// <summary>
    /// Takes over a received IP packet: its bytes contiguous in the first fragment, or at least all headers and the rest behind it, <see cref="PacketBuffer.TrueSize"/> set to the
    /// memory it really holds, <see cref="PacketBuffer.ArrivalNanos"/> stamped, <see cref="PacketBuffer.Checksum"/> set if the link vouches for the
    /// transport checksum, <see cref="PacketBuffer.GsoSize"/> set for a merged super-segment. Only appends to the worker's ready queue.
    /// </summary>
    void Deliver(PacketBuffer packet, int queue);

    /// <summary>As <see cref="Deliver"/> for each of a chain of packets, linked from <paramref name="first"/> to <paramref name="last"/>.</summary>
    void DeliverBurst(PacketBuffer first, PacketBuffer last, int count, int queue)
    {
        for (PacketBuffer? packet = first; packet is not null;)
        {
            PacketBuffer? next = packet.Next;
            packet.Next = null;
            Deliver(packet, queue);
            packet = next;
        }
    }

    /// <summary>A link that refused a packet takes packets again. Any thread.</summary>
    void OnSpace();

    /// <summary>The link is gone for good: the device was removed or failed. Any thread.</summary>
    void OnFailed(Exception reason);

    /// <summary>A received packet was lost inside the link because there was no memory or a queue was full.</summary>
    void OnReceiveDropped();
}
