using Penstock.Buffers;

namespace Penstock.Links;

/// <summary>One end of a <see cref="VirtualCable"/>, as a stack sees it. It only connects: what happens to packets is the directions' matter.</summary>
internal sealed class CableEnd(string name, CableDirection outgoing, CableDirection incoming) : Link(name)
{
    private ILinkClient? _client;
    private int _disposed;

    public override int Mtu => outgoing.Mtu;

    internal override LinkOffloads Offloads => LinkOffloads.Checksum | LinkOffloads.TcpSegmentation | LinkOffloads.ScatterGather;

    internal override bool LetsGoAtOnce => true;

    internal override bool MergesReceived => incoming.MergesReceived;

    internal override void Attach(ILinkClient client)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        if (Interlocked.CompareExchange(ref _client, client, null) is not null)
        {
            throw new InvalidOperationException($"Cable end '{Name}' already belongs to a stack. Each end goes to one stack.");
        }

        incoming.AttachReceiver(client);
    }

    internal override bool Transmit(PacketBuffer packet)
    {
        outgoing.Send(packet);
        return true;
    }

    private protected override void Dispose(bool disposing)
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            outgoing.Cut();
            incoming.DetachReceiver();
            _client?.OnFailed(new ObjectDisposedException(Name, $"Cable end '{Name}' was disposed."));
        }
    }
}
