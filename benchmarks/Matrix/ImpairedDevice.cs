using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;

namespace Penstock.Benchmarks.Matrix;

/// <summary>
/// A TUN device behind a cable, as a stack's link: the path's impairments are on the stack's side of the device, whose thread is the stack's worker, as over any TUN device. It sleeps to the microsecond, which
/// a stack without a device does not: a half of a path's millisecond would become a whole one.
/// </summary>
internal sealed class ImpairedDevice(TunLink device, Link near, Link far) : Link(device.Name)
{
    public override int Mtu => near.Mtu;

    internal override LinkOffloads Offloads => near.Offloads;

    internal override bool LetsGoAtOnce => near.LetsGoAtOnce;

    internal override bool MergesReceived => near.MergesReceived;

    internal override Driver? CreateDriver(int queue) => device.CreateDriver(queue);

    internal override void Attach(ILinkClient client)
    {
        near.Attach(client);
        DeviceSide.Join(device, far, client.Pool, client.WorkerOf(0));
    }

    internal override bool Transmit(PacketBuffer packet) => near.Transmit(packet);

    private protected override void Dispose(bool disposing)
    {
        device.Dispose();
        near.Dispose();
        far.Dispose();
    }
}
