namespace Penstock;

/// <summary>Takes a packet that the stack sends. <paramref name="packet"/> is valid during the call only.</summary>
public delegate void PacketHandler(ReadOnlySpan<byte> packet);

/// <summary>How a <see cref="PacketLink"/> is made. Validated and copied when the link is made; changes made later have no effect.</summary>
public sealed class PacketLinkOptions
{
    /// <summary>A short name for messages, metrics and captures.</summary>
    public string Name { get; set; } = "packets";

    /// <summary>The largest IP packet that crosses, bytes, header included: 68..65535, 1500 by default. For WireGuard 1420 is usual.</summary>
    public int Mtu { get; set; } = 1500;

    /// <summary>
    /// Packets that may wait in either direction, at least 1; 1024 by default. When that many wait to be read, the stack is held back until
    /// half of them are read; it may pass the limit by one super-segment. When that many wait to be processed, <see cref="PacketLink.Inject"/>
    /// drops.
    /// </summary>
    public int QueueLimit { get; set; } = 1024;

    /// <summary>
    /// Lets TCP packets longer than the MTU, up to 65535 bytes, be read and injected: faster, when whoever is at the other end is not a real wire. Off by
    /// default: what is read is no longer than the MTU.
    /// </summary>
    public bool SuperSegments { get; set; }

    /// <summary>
    /// Merges TCP segments that were injected in one burst before TCP sees them, which is faster (Linux: GRO). On by default; off, TCP sees, and answers, each
    /// packet by itself.
    /// </summary>
    public bool MergeReceived { get; set; } = true;

    /// <summary>
    /// Is given every packet at once instead of the queue, for processing to completion without a thread hop; reading is not possible then. It is called on
    /// whatever thread the stack sends from, by several at the same time if there are, and in the middle of TCP's work: it must
    /// return soon and must not wait for a socket of this stack. It may inject packets, into any link. If it throws, the link fails.
    /// </summary>
    public PacketHandler? OnPacket { get; set; }

    internal PacketLinkOptions Clone() => (PacketLinkOptions)MemberwiseClone();

    internal void Validate()
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(Name);
        ArgumentOutOfRangeException.ThrowIfLessThan(Mtu, 68);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Mtu, 65535);
        ArgumentOutOfRangeException.ThrowIfLessThan(QueueLimit, 1);
    }
}
