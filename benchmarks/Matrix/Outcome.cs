namespace Penstock.Benchmarks.Matrix;

/// <summary>Who sends to whom.</summary>
internal enum Pairing
{
    /// <summary>Linux to Linux, which the others are read against.</summary>
    Linux,

    /// <summary>Penstock sends, Linux receives.</summary>
    Sends,

    /// <summary>Linux sends, Penstock receives.</summary>
    Receives,
}

/// <summary>What a sender tells of itself.</summary>
internal readonly record struct SenderCounts(long Retransmits, long Timeouts, long Duplicates, long FastRetransmits, long Probes);

/// <summary>What one transfer came to.</summary>
internal sealed record Outcome
{
    public required string Cell { get; init; }

    public required Pairing Pairing { get; init; }

    public required ulong Seed { get; init; }

    /// <summary>What the receiver's application read.</summary>
    public required long Bytes { get; init; }

    /// <summary>Bits that the receiver's application read, in millions a second, from the begin of the connection on.</summary>
    public required double Megabits { get; init; }

    /// <summary>The longest time without a byte for the receiver's application.</summary>
    public required double LongestGapSeconds { get; init; }

    /// <summary>Segments that the sender sent again.</summary>
    public required long Retransmits { get; init; }

    public required long Timeouts { get; init; }

    /// <summary>Segments sent again in fast recovery (Linux: TCPFastRetrans).</summary>
    public required long FastRetransmits { get; init; }

    /// <summary>Tail-loss probes (Linux: TCPLossProbes).</summary>
    public required long Probes { get; init; }

    /// <summary>Retransmissions that the receiver reported as duplicates (DSACK, RFC 2883).</summary>
    public required long Duplicates { get; init; }

    /// <summary>Packets that a device did not take, although the cable carried them there.</summary>
    public required long DeviceDrops { get; init; }

    /// <summary>Segments that the kernel's TCP received and threw away, for want of room for one reason or another.</summary>
    public required long ReceiverDrops { get; init; }

    /// <summary>Packets towards the receiver.</summary>
    public required CableCounters Data { get; init; }

    /// <summary>Packets towards the sender.</summary>
    public required CableCounters Acks { get; init; }
}
