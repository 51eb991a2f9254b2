using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>What an ACK lets be sent once the window is set.</summary>
internal enum RetransmitKind : byte
{
    /// <summary>Nothing but what goes anyway.</summary>
    None,

    /// <summary>What is lost.</summary>
    Lost,

    /// <summary>New data, although something is lost: the test of a timeout (RFC 5682).</summary>
    NewData,
}

/// <summary>What one incoming ACK turned out to bring, collected on the way through the parts that look at it.</summary>
internal struct AckOutcome
{
    /// <summary>Now, and when the segment arrived: between the two it may have waited for the owner.</summary>
    public long NowNanos;
    public long ArrivedNanos;

    /// <summary>The cumulative acknowledgment moved.</summary>
    public bool Advanced;

    /// <summary>By so many sequence numbers.</summary>
    public int BytesAcked;

    /// <summary>The end of what was SACKed before this ACK came, or what was acknowledged then. What this ACK itself SACKs is no sign that what it acknowledges was late.</summary>
    public SequenceNumber SackedBefore;

    /// <summary>The lowest segment that was passed by others and then SACKed, without having been sent again; what is next to be sent when there is none.</summary>
    public SequenceNumber LowestLate;

    /// <summary>Segments newly SACKed, or counted by duplicate ACKs.</summary>
    public int NewlySacked;

    /// <summary>A SACK block tagged something new.</summary>
    public bool NewlyTagged;

    /// <summary>Segments that left the retransmit queue and had not been SACKed.</summary>
    public int NewlyAcked;

    /// <summary>Duplicates counted as delivered that the cumulative ACK now covers (connections without SACK).</summary>
    public int DeliveredCorrection;

    /// <summary>Copies that the peer reports to have received in vain: they were delivered too.</summary>
    public int DuplicatesDelivered;

    /// <summary>Segments that left the retransmit queue, SACKed ones included.</summary>
    public int Removed;

    /// <summary>Something acknowledged had been retransmitted (Karn: no sample from it).</summary>
    public bool RetransmittedAcked;

    /// <summary>Something was acknowledged or SACKed that was in flight when the recovery began, and was never sent again.</summary>
    public bool OriginalDelivered;

    public bool DataAcked;
    public bool SynAcked;

    /// <summary>The segment is newer than the one that said the window last, whether or not it says another: no duplicate.</summary>
    public bool IsNewer;
    public bool CarriesData;

    /// <summary>A DSACK came: something of ours arrived twice.</summary>
    public bool DuplicateReported;

    /// <summary>It was the tail-loss probe.</summary>
    public bool ProbeDuplicateReported;

    /// <summary>The peer echoes a congestion mark (RFC 3168).</summary>
    public bool CongestionEcho;

    /// <summary>What is first in flight now had been SACKed.</summary>
    public bool Reneging;

    /// <summary>A retransmission was found to be lost.</summary>
    public bool RetransmissionLost;

    /// <summary>The retransmission deadline is to be set anew.</summary>
    public bool RearmTimer;

    public RetransmitKind Rexmit;

    /// <summary>Of the newest transmission that was delivered: its place in the order, and how much had been delivered when it was sent; -1 when nothing was.</summary>
    public long NewestOrder;
    public long PriorDelivered;

    /// <summary>When the oldest and the newest transmission that this ACK covers, or SACKs, were sent; -1 without one. Only what was sent once.</summary>
    public long OldestAckedSentNanos;
    public long NewestAckedSentNanos;
    public long OldestSackedSentNanos;
    public long NewestSackedSentNanos;

    /// <summary>Round-trip time of the newest segment that this ACK delivered, as it was on the path (<see cref="OnPath"/>): for the path's smallest, RACK and congestion control; -1 without one.</summary>
    public long NewestRttNanos;

    public AckOutcome(long nowNanos, long arrivedNanos)
    {
        // In one go; else the compiler writes each field by itself.
        this = default;
        NowNanos = nowNanos;
        ArrivedNanos = arrivedNanos;
        PriorDelivered = OldestAckedSentNanos = NewestAckedSentNanos = OldestSackedSentNanos = NewestSackedSentNanos = NewestRttNanos = -1;
    }

    /// <summary>
    /// How long something was on the path that was sent then and is acknowledged now. Time that the ACK waited here has to be in a timeout, but is no queue on the path. A time of arrival from before the sending is
    /// that of a batch which had begun earlier, and says nothing.
    /// </summary>
    public readonly long OnPath(long sentNanos) => (ArrivedNanos > sentNanos ? ArrivedNanos : NowNanos) - sentNanos;

    public readonly int Delivered => Math.Max(0, NewlyAcked + NewlySacked + DeliveredCorrection + DuplicatesDelivered);

    /// <summary>It acknowledges, updates the window or brings data: whatever else, it is no duplicate ACK (RFC 5681 2).</summary>
    public readonly bool IsNoDuplicate => CarriesData || IsNewer || DataAcked || SynAcked;

    public void TakeSackSample(long sentNanos)
    {
        NewestSackedSentNanos = sentNanos;
        if (OldestSackedSentNanos < 0)
        {
            OldestSackedSentNanos = sentNanos;
        }
    }

    public void TakeAckSample(long sentNanos)
    {
        NewestAckedSentNanos = sentNanos;
        if (OldestAckedSentNanos < 0)
        {
            OldestAckedSentNanos = sentNanos;
        }
    }
}
