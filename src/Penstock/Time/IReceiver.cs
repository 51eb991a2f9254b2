using Penstock.Buffers;

namespace Penstock.Time;

/// <summary>What a packet in a ready queue is handed to; <see cref="PacketBuffer.Ingress"/> names it.</summary>
internal interface IReceiver
{
    /// <summary>Takes over the packet. Runs on <paramref name="worker"/>, at top level, owning nothing.</summary>
    void Receive(PacketBuffer packet, Worker worker);
}
