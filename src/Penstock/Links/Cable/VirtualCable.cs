using Penstock.Links;

namespace Penstock;

/// <summary>
/// A cable between two stacks, or within one, inside this process: each end is a <see cref="Link"/> for one stack. It can delay, lose, reorder, duplicate and
/// corrupt packets and limit their rate, each direction by itself. In virtual time arrivals are exact to the nanosecond and the same
/// seed gives the same packets; in real time they are as punctual as the receiving stack's driver.
/// </summary>
/// <remarks>
/// All members are thread-safe. A stack that an end was added to disposes that end; the other end then sees silence, as if the plug had been pulled.
/// Packets under way are paid for by the stack that they go to.
/// </remarks>
public sealed class VirtualCable : IDisposable
{
    private readonly object _updating = new();

    /// <summary>Makes a cable that does the same in both directions; without options one that only carries packets.</summary>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    public VirtualCable(CableOptions? options = null)
        : this(options ?? new CableOptions(), options ?? new CableOptions())
    {
    }

    /// <summary>Makes a cable with options for each direction. The name is taken from <paramref name="aToB"/>.</summary>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    public VirtualCable(CableOptions aToB, CableOptions bToA)
    {
        ArgumentNullException.ThrowIfNull(aToB);
        ArgumentNullException.ThrowIfNull(bToA);
        aToB.Validate();
        bToA.Validate();
        AToB = new CableDirection(aToB, 0, _updating);
        BToA = new CableDirection(bToA, 1, _updating);
        A = new CableEnd(aToB.Name + "-a", AToB, BToA);
        B = new CableEnd(aToB.Name + "-b", BToA, AToB);
    }

    /// <summary>One end. Its MTU is that of <see cref="AToB"/>.</summary>
    public Link A { get; }

    /// <summary>The other end. Its MTU is that of <see cref="BToA"/>.</summary>
    public Link B { get; }

    /// <summary>What happens, and has happened, to packets that <see cref="A"/> sends.</summary>
    public CableDirection AToB { get; }

    /// <summary>What happens, and has happened, to packets that <see cref="B"/> sends.</summary>
    public CableDirection BToA { get; }

    /// <summary>
    /// Changes both directions, as in <c>cable.Update(o =&gt; o.Loss = 1)</c>, while the cable is in use; see <see cref="CableDirection.Update"/>.
    /// <paramref name="change"/> is called once for each direction, with a copy of its options.
    /// </summary>
    /// <exception cref="ArgumentException">An option is out of its range, or the MTU or the name was changed. Nothing has changed then.</exception>
    public void Update(Action<CableOptions> change)
    {
        ArgumentNullException.ThrowIfNull(change);
        lock (_updating)
        {
            CableOptions there = AToB.Changed(change);
            CableOptions back = BToA.Changed(change);
            AToB.Apply(there);
            BToA.Apply(back);
        }
    }

    /// <summary>Pulls both plugs. Stacks that use the ends see their links fail.</summary>
    public void Dispose()
    {
        A.Dispose();
        B.Dispose();
    }
}
