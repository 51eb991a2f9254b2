using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;

namespace Penstock.Testing.Cables;

/// <summary>An end of a cable with the gates of both directions in front of it.</summary>
internal sealed class GatedLink(Link inner, CableGate outgoing, CableGate incoming) : Link(inner.Name)
{
    public override int Mtu => inner.Mtu;

    internal override LinkOffloads Offloads => inner.Offloads;

    internal override bool MergesReceived => inner.MergesReceived;

    internal override void Attach(ILinkClient client)
    {
        incoming.Attach(client);
        inner.Attach(new Receiver(incoming, client));
    }

    internal override bool Transmit(PacketBuffer packet) => !outgoing.Admit(packet) || inner.Transmit(packet);

    private protected override void Dispose(bool disposing)
    {
        inner.Dispose();
        incoming.Close();
    }

    /// <summary>Stands between the cable and whoever receives from it.</summary>
    private sealed class Receiver(CableGate gate, ILinkClient client) : ILinkClient
    {
        public PacketPool Pool => client.Pool;

        public Worker WorkerOf(int queue) => client.WorkerOf(queue);

        public void Deliver(PacketBuffer packet, int queue) => gate.Deliver(packet, queue);

        public void OnSpace() => client.OnSpace();

        public void OnFailed(Exception reason) => client.OnFailed(reason);

        public void OnReceiveDropped() => client.OnReceiveDropped();
    }
}
