using System.Net;
using Penstock.Testing.Cables;

namespace Penstock.Testing;

/// <summary>A host or a router of a <see cref="VirtualNetwork"/>: something that cables are plugged into.</summary>
/// <remarks>All members are thread-safe.</remarks>
public abstract class VirtualNode
{
    private protected VirtualNode(VirtualNetwork network, string name)
    {
        Network = network;
        Name = name;
    }

    /// <summary>The name that it was added with, and that hosts resolve if it is a host's.</summary>
    public string Name { get; }

    /// <summary>The cables that are plugged in, in the order in which they were connected.</summary>
    public IReadOnlyList<NetworkCable> Cables => Network.CablesOf(this);

    /// <summary>Its addresses, one for each cable, in the order of <see cref="Cables"/>.</summary>
    public IReadOnlyList<IPAddress> Addresses => [.. Cables.Select(cable => cable.AddressOf(this))];

    internal VirtualNetwork Network { get; }

    internal abstract bool IsDisposed { get; }

    /// <summary>Cuts every cable that is plugged in; see <see cref="NetworkCable.Partition()"/>.</summary>
    public void Partition() => Each(static cable => cable.Partition());

    /// <summary>Freezes every cable that is plugged in; see <see cref="NetworkCable.Freeze()"/>.</summary>
    public void Freeze() => Each(static cable => cable.Freeze());

    /// <summary>Mends and thaws every cable that is plugged in; see <see cref="NetworkCable.Heal"/>.</summary>
    public void Heal() => Each(static cable => cable.Heal());

    /// <summary>The name.</summary>
    public override string ToString() => Name;

    /// <summary>Takes one end of a cable.</summary>
    internal abstract void Plug(NetworkCable cable, Link end);

    /// <summary>The network has grown: <paramref name="paths"/> says which of this node's cables leads to each cable that can be reached, nearest first.</summary>
    internal abstract void SetPaths(IReadOnlyList<CablePath> paths);

    private void Each(Action<NetworkCable> action)
    {
        foreach (NetworkCable cable in Cables)
        {
            action(cable);
        }
    }
}
