using Penstock.Testing.Cables;
using Penstock.Testing.Forwarding;
using Penstock.Wire;

namespace Penstock.Testing;

/// <summary>
/// A router of a <see cref="VirtualNetwork"/>: forwards IPv4 between the cables that are plugged into it, by the shortest path. It counts the time to live down, and tells senders by ICMP of packets
/// that lived too long, have no way to go, or are too large for the next cable. It has no sockets. Made by <see cref="VirtualNetwork.AddRouter"/>.
/// </summary>
/// <remarks>
/// All members are thread-safe. The router never fragments: a packet that is too large is refused whether or not it may be fragmented. It has a thread of its own and at most 64 MiB for packets; queues
/// that fill are the cables' (<see cref="CableOptions.Rate"/> and <see cref="CableOptions.QueueLimit"/>).
/// </remarks>
public sealed class VirtualRouter : VirtualNode
{
    private readonly Dictionary<NetworkCable, RouterPort> _ports = [];
    private int _disposed;

    internal VirtualRouter(VirtualNetwork network, string name)
        : base(network, name) => Forwarder = new Forwarder(name);

    /// <summary>Packets that were sent on; several segments that cross in one piece are one.</summary>
    public long ForwardedPackets => Forwarder.Forwarded;

    /// <summary>Packets that ended here: malformed, lived too long, no way to go, too large, no memory, or addressed to the router itself.</summary>
    public long DroppedPackets => Forwarder.Dropped;

    internal Forwarder Forwarder { get; }

    internal override bool IsDisposed => Volatile.Read(ref _disposed) != 0;

    internal void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Forwarder.Close();
        }
    }

    internal override void Plug(NetworkCable cable, Link end) => _ports[cable] = Forwarder.AddPort(end, IpAddress.From(cable.AddressOf(this)));

    internal override void SetPaths(IReadOnlyList<CablePath> paths) =>
        Forwarder.SetRoutes([.. paths.Select(path =>
            (IpPrefix.Of(IpAddress.From(path.To.Network.BaseAddress), NetworkCable.PrefixLength), _ports[path.First]))]);
}
