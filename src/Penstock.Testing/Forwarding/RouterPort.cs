using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Testing.Forwarding;

/// <summary>One link of a router. What arrives waits in the router's ready queue; nothing is forwarded on the sender's thread.</summary>
internal sealed class RouterPort(Forwarder forwarder, Link link, IpAddress address) : ILinkClient, IReceiver
{
    private int _failed;

    /// <summary>The router's own address on this link: the source of the ICMP errors that it sends from here.</summary>
    public IpAddress Address { get; } = address;

    public int Mtu => link.Mtu;

    public PacketPool Pool => forwarder.Pool;

    public Worker WorkerOf(int queue) => forwarder.Worker;

    public void Deliver(PacketBuffer packet, int queue)
    {
        packet.Ingress = this;
        forwarder.Worker.Post(packet);
    }

    public void Receive(PacketBuffer packet, Worker worker) => forwarder.Forward(packet, this);

    /// <summary>Sends a packet; false: it was lost here.</summary>
    public bool Transmit(PacketBuffer packet)
    {
        if (Volatile.Read(ref _failed) == 0 && LinkOutput.Transmit(link, packet, out int lost))
        {
            return lost == 0;
        }

        packet.Free();
        return false;
    }

    public void Attach() => link.Attach(this);

    public void Close() => link.Dispose();

    public void OnSpace()
    {
        // A router keeps nothing that a link refused, so there is nothing to resume.
    }

    public void OnFailed(Exception reason) => Volatile.Write(ref _failed, 1);

    public void OnReceiveDropped() => forwarder.OnDropped();
}
