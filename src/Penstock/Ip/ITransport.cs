using Penstock.Buffers;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Ip;

/// <summary>What IP hands packets to. One for each protocol number, family-neutral.</summary>
internal interface ITransport
{
    /// <summary>
    /// Takes over a packet whose first fragment begins with the transport header; source, destination, type of service and time to live are
    /// noted on it. Runs on a worker, at top level.
    /// </summary>
    void Input(PacketBuffer packet, StackInterface ingress, Worker worker);

    /// <summary>
    /// An ICMP error came back for a packet that looks like ours: <paramref name="original"/> and the first bytes behind its header. Nothing in it is to be
    /// believed before it was compared with what is in flight (RFC 5927).
    /// </summary>
    void OnIcmpError(in IPv4Header original, ReadOnlySpan<byte> transport, IcmpType type, byte code, int nextHopMtu, Worker worker);

    /// <summary>True when a packet to an address that is not this stack's shall be taken all the same (any-destination listening).</summary>
    bool AcceptsForeign { get; }
}
