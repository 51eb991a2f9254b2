using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;

namespace Penstock;

/// <summary>
/// Where a stack's packets leave and enter: a TUN device, a virtual cable, a loopback, or a <c>PacketLink</c> that an
/// application feeds. A link belongs to the stack it was added to and is disposed with it. What a link does inside is
/// still experimental, so links are made by this project for now; use <c>PacketLink</c> to connect anything else.
/// </summary>
/// <remarks>Thread-safe.</remarks>
public abstract class Link : IDisposable
{
    private protected Link(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        Name = name;
    }

    /// <summary>A short name for messages, metrics and captures.</summary>
    public string Name { get; }

    /// <summary>The largest IP packet that crosses, in bytes, header included; at least 68 (RFC 791).</summary>
    public abstract int Mtu { get; }

    /// <summary>Stops the link. A stack that still uses it sees it fail: its connections time out or are reset as routes vanish.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Stops deliveries and gives up what the link holds.</summary>
    private protected abstract void Dispose(bool disposing);

    /// <summary>What the link does for the stack.</summary>
    internal virtual LinkOffloads Offloads => LinkOffloads.None;

    /// <summary>The link has let go of a packet, sent or lost, when <see cref="Transmit"/> returns: it keeps no reference to its payload and counts for nothing as a device.</summary>
    internal virtual bool LetsGoAtOnce => false;

    /// <summary>True when TCP segments that arrive in one burst should be merged into super-segments before IP (Linux: GRO).</summary>
    internal virtual bool MergesReceived => false;

    /// <summary>Receive queues; each gets a worker.</summary>
    internal virtual int QueueCount => 1;

    /// <summary>A driver that waits on the device for this queue, or null: the stack's own worker serves it.</summary>
    internal virtual Driver? CreateDriver(int queue) => null;

    /// <summary>Begins to deliver to <paramref name="client"/>. Called once.</summary>
    internal abstract void Attach(ILinkClient client);

    /// <summary>
    /// Sends one IP packet. True: the link has taken it over, also when it was lost or could not be sent, and will free it. False: the link is
    /// full, the caller keeps it, and <see cref="ILinkClient.OnSpace"/> follows. Never calls into a socket. Any thread.
    /// </summary>
    internal abstract bool Transmit(PacketBuffer packet);
}
