using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;

namespace Penstock.Benchmarks.Matrix;

/// <summary>One of two links that are joined, as its client: what comes in at this side leaves by the other.</summary>
internal sealed class DeviceSide(Link other, PacketPool pool, Worker worker) : ILinkClient
{
    public PacketPool Pool => pool;

    public Worker WorkerOf(int queue) => worker;

    /// <summary>Joins a device and an end of a cable.</summary>
    public static void Join(Link device, Link cable, PacketPool pool, Worker worker)
    {
        cable.Attach(new DeviceSide(device, pool, worker));
        device.Attach(new DeviceSide(cable, pool, worker));
    }

    public void Deliver(PacketBuffer packet, int queue)
    {
        packet.Next = null;
        if (!other.Transmit(packet))
        {
            packet.Free();
        }
    }

    public void OnSpace()
    {
        // Neither a device nor a cable refuses packets: both lose them.
    }

    public void OnFailed(Exception reason)
    {
        // The run ends, or ends with no byte received, which is seen.
    }

    public void OnReceiveDropped()
    {
        // The cable counts it.
    }
}
