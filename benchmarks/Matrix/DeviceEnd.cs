using Penstock.Buffers;
using Penstock.Time;

namespace Penstock.Benchmarks.Matrix;

/// <summary>A bridge between a TUN device and an end of a cable, on the device's own thread: what the kernel sends goes into the cable, what the cable delivers goes to the kernel.</summary>
internal sealed class DeviceEnd : IDisposable
{
    private const long MemoryLimit = 512L << 20;
    private readonly TunLink _device;
    private readonly Link _cable;
    private readonly Worker _worker;

    public DeviceEnd(TunLink device, Link cable)
    {
        _device = device;
        _cable = cable;
        _worker = new Worker(device.CreateDriver(0)!, index: 0);
        _worker.Driver.Start(_worker);
        DeviceSide.Join(device, cable, new PacketPool(MemoryLimit), _worker);
    }

    public void Dispose()
    {
        _device.Dispose();
        _worker.Driver.Stop(_worker);
        _cable.Dispose();
        _worker.Close();
    }
}
