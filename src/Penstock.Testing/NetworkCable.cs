using System.Net;
using Penstock.Testing.Cables;

namespace Penstock.Testing;

/// <summary>
/// A cable between two nodes of a <see cref="VirtualNetwork"/>, with an IPv4 network of its own. Its impairments may change while a test runs. Made by <see cref="VirtualNetwork.Connect(VirtualNode,
/// VirtualNode, CableOptions?)"/>.
/// </summary>
/// <remarks>All members are thread-safe.</remarks>
public sealed class NetworkCable
{
    /// <summary>Bits of the network part of every cable's network.</summary>
    internal const int PrefixLength = 24;

    private readonly VirtualCable _cable;
    private readonly CableGate _gateToB = new();
    private readonly CableGate _gateToA = new();
    private readonly IPAddress _addressA;
    private readonly IPAddress _addressB;

    /// <summary>The cable at <paramref name="index"/>, from 0, has the network 10.x.y.0/24 of that number.</summary>
    internal NetworkCable(VirtualNode a, VirtualNode b, VirtualCable cable, int index)
    {
        A = a;
        B = b;
        _cable = cable;
        byte high = (byte)(index >> 8);
        byte low = (byte)index;
        Network = new IPNetwork(new IPAddress([10, high, low, 0]), PrefixLength);
        _addressA = new IPAddress([10, high, low, 1]);
        _addressB = new IPAddress([10, high, low, 2]);
    }

    /// <summary>The node that was named first when the cable was made.</summary>
    public VirtualNode A { get; }

    /// <summary>The other node.</summary>
    public VirtualNode B { get; }

    /// <summary>The network of the cable's two addresses.</summary>
    public IPNetwork Network { get; }

    /// <summary>The address that a node has on this cable.</summary>
    /// <exception cref="ArgumentException">The cable is not plugged into the node.</exception>
    public IPAddress AddressOf(VirtualNode node) => IsA(node) ? _addressA : _addressB;

    /// <summary>The node at the other end.</summary>
    /// <exception cref="ArgumentException">The cable is not plugged into the node.</exception>
    public VirtualNode Other(VirtualNode node) => IsA(node) ? B : A;

    /// <summary>A copy of the options in force for what <paramref name="from"/> sends.</summary>
    /// <exception cref="ArgumentException">The cable is not plugged into the node.</exception>
    public CableOptions OptionsFrom(VirtualNode from) => DirectionFrom(from).Options;

    /// <summary>
    /// What has become of the packets that <paramref name="from"/> sent. A packet that a partition took counts as lost, one that is frozen as in flight.
    /// </summary>
    /// <exception cref="ArgumentException">The cable is not plugged into the node.</exception>
    public CableCounters CountersFrom(VirtualNode from) => GateFrom(from).Adjust(DirectionFrom(from).Counters);

    /// <summary>
    /// Changes the impairments of both directions for packets that are sent from now on, as in <c>cable.Update(o =&gt; o.Loss = 0.3)</c>; see <see cref="VirtualCable.Update"/>.
    /// </summary>
    /// <param name="change">Called once for each direction, with a copy of its options.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or the MTU or the name was changed. Nothing has changed then.</exception>
    public void Update(Action<CableOptions> change) => _cable.Update(change);

    /// <summary>Changes the impairments of what <paramref name="from"/> sends; see <see cref="Update(Action{CableOptions})"/>.</summary>
    /// <exception cref="ArgumentException">The cable is not plugged into the node, or an option is out of its range. Nothing has changed then.</exception>
    public void Update(VirtualNode from, Action<CableOptions> change) => DirectionFrom(from).Update(change);

    /// <summary>
    /// Cuts both directions until <see cref="Heal"/>: everything that is sent, on its way or frozen is lost, and nobody is told, as on a network that has parted. Doing it again does nothing.
    /// </summary>
    public void Partition()
    {
        _gateToA.Cut();
        _gateToB.Cut();
    }

    /// <summary>Cuts only what <paramref name="from"/> sends, until <see cref="Heal"/>; see <see cref="Partition()"/>.</summary>
    /// <exception cref="ArgumentException">The cable is not plugged into the node.</exception>
    public void Partition(VirtualNode from) => GateFrom(from).Cut();

    /// <summary>
    /// Holds both directions until <see cref="Heal"/>: nothing is lost, but nothing arrives, as behind a machine that is paused. At most 10,000 packets wait in each direction; more are lost. A
    /// partition on top of it loses what waits.
    /// </summary>
    public void Freeze()
    {
        _gateToA.Freeze();
        _gateToB.Freeze();
    }

    /// <summary>Holds only what <paramref name="from"/> sends, until <see cref="Heal"/>; see <see cref="Freeze()"/>.</summary>
    /// <exception cref="ArgumentException">The cable is not plugged into the node.</exception>
    public void Freeze(VirtualNode from) => GateFrom(from).Freeze();

    /// <summary>
    /// Ends partitions and freezes of both directions: packets cross again, and what was frozen arrives at once and in order. The <see cref="CableOptions"/> in force stay; they are changed by
    /// <see cref="Update(Action{CableOptions})"/> alone. On a cable that is whole it does nothing.
    /// </summary>
    public void Heal()
    {
        _gateToA.Open();
        _gateToB.Open();
    }

    /// <summary>The names of both nodes, as in <c>client-server</c>.</summary>
    public override string ToString() => $"{A.Name}-{B.Name}";

    /// <summary>The link for one of the nodes, with the gates in front.</summary>
    internal Link EndOf(VirtualNode node) => IsA(node) ? new GatedLink(_cable.A, _gateToB, _gateToA) : new GatedLink(_cable.B, _gateToA, _gateToB);

    internal bool Joins(VirtualNode one, VirtualNode other) => (one == A && other == B) || (one == B && other == A);

    private CableDirection DirectionFrom(VirtualNode from) => IsA(from) ? _cable.AToB : _cable.BToA;

    private CableGate GateFrom(VirtualNode from) => IsA(from) ? _gateToB : _gateToA;

    private bool IsA(VirtualNode node)
    {
        ArgumentNullException.ThrowIfNull(node);
        return node == A || (node == B
            ? false
            : throw new ArgumentException($"The cable {this} is not plugged into '{node.Name}'. Pass '{A.Name}' or '{B.Name}'.", nameof(node)));
    }
}
