namespace Penstock;

/// <summary>
/// What one direction of a <see cref="VirtualCable"/> has done so far, in packets as they are on the wire; a super-segment that crosses whole counts as the
/// packets it stands for. Always <c>Sent + Duplicated = Delivered + Lost + DroppedByQueue + DroppedByMemory + InFlight</c>.
/// </summary>
public readonly record struct CableCounters
{
    /// <summary>Packets that the sender gave to the cable.</summary>
    public long Sent { get; init; }

    /// <summary>Bytes of IP packets that the sender gave to the cable.</summary>
    public long SentBytes { get; init; }

    /// <summary>Packets handed to the receiver, damaged ones and second copies included.</summary>
    public long Delivered { get; init; }

    /// <summary>Packets lost by chance, too long for the MTU, or because an end was disposed or belonged to no stack yet.</summary>
    public long Lost { get; init; }

    /// <summary>Packets that found the rate queue full.</summary>
    public long DroppedByQueue { get; init; }

    /// <summary>Packets for which the receiver's stack had no memory (<see cref="NetworkStackOptions.MemoryLimit"/>).</summary>
    public long DroppedByMemory { get; init; }

    /// <summary>Second copies made.</summary>
    public long Duplicated { get; init; }

    /// <summary>Packets with a flipped bit.</summary>
    public long Corrupted { get; init; }

    /// <summary>Packets that overtook at least one other.</summary>
    public long Reordered { get; init; }

    /// <summary>Packets in the rate queue and on their way now.</summary>
    public long InFlight { get; init; }
}
