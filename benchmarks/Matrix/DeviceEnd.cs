using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;

namespace Penstock.Benchmarks.Matrix;

/// <summary>Joins a TUN device to an end of a cable: what the kernel sends goes into the cable, what the cable delivers goes to the kernel, on the device's own thread.</summary>
internal sealed class DeviceEnd : IDisposable
{
    private const long MemoryLimit = 512L << 20;
    private readonly TunLink _device;
    private readonly Link _cable;
    private readonly PacketPool _pool = new(MemoryLimit);
    private readonly Worker _worker;

    public DeviceEnd(TunLink device, Link cable)
    {
        _device = device;
        _cable = cable;
        _worker = new Worker(device.CreateDriver(0)!, index: 0);
        _worker.Driver.Start(_worker);
        cable.Attach(new Side(this, device));
        device.Attach(new Side(this, cable));
    }

    public void Dispose()
    {
        _device.Dispose();
        _worker.Driver.Stop(_worker);
        _cable.Dispose();
        _worker.Close();
    }

    /// <summary>What comes in at one side leaves by <paramref name="other"/>.</summary>
    private sealed class Side(DeviceEnd owner, Link other) : ILinkClient
    {
        public PacketPool Pool => owner._pool;

        public Worker WorkerOf(int queue) => owner._worker;

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
}
