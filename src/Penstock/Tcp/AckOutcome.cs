using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>What one incoming ACK turned out to bring, collected on the way through the parts that look at it.</summary>
internal struct AckOutcome
{
    public long NowNanos;

    /// <summary>The cumulative acknowledgment moved.</summary>
    public bool Advanced;

    /// <summary>The end of what was SACKed before this ACK came, or what was acknowledged then. What this ACK itself SACKs is no sign that what it acknowledges was late.</summary>
    public SequenceNumber SackedBefore;

    /// <summary>Segments newly SACKed, or counted by duplicate ACKs.</summary>
    public int NewlySacked;

    /// <summary>Segments that left the retransmit queue and had not been SACKed.</summary>
    public int NewlyAcked;

    /// <summary>Duplicates counted as delivered that the cumulative ACK now covers (connections without SACK).</summary>
    public int DeliveredCorrection;

    /// <summary>Segments that left the retransmit queue, SACKed ones included.</summary>
    public int Removed;

    /// <summary>Something acknowledged had been retransmitted (Karn: no sample from it).</summary>
    public bool RetransmittedAcked;

    /// <summary>An original transmission was acknowledged, sent before any retransmission of this recovery.</summary>
    public bool OriginalAcked;

    public bool DataAcked;
    public bool SynAcked;
    public bool WindowUpdated;
    public bool CarriesData;

    /// <summary>A DSACK came: something of ours arrived twice.</summary>
    public bool DuplicateReported;

    /// <summary>Round-trip time of the oldest and of the newest segment acknowledged by this ACK, -1 without one.</summary>
    public long OldestRttNanos;
    public long NewestRttNanos;
    public long SackRttNanos;

    public readonly int Delivered => Math.Max(0, NewlyAcked + NewlySacked + DeliveredCorrection);
}
