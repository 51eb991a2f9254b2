namespace Penstock.Tcp.LossRecovery;

/// <summary>Where the sender stands with losses (Linux: <c>TCP_CA_*</c>).</summary>
internal enum CongestionState
{
    /// <summary>Nothing is suspicious.</summary>
    Open,

    /// <summary>Duplicate ACKs or SACKs have come, nothing is taken for lost yet.</summary>
    Disorder,

    /// <summary>The window is being reduced although nothing is known to be lost (congestion notification, a lost probe).</summary>
    Reducing,

    /// <summary>Fast recovery.</summary>
    Recovery,

    /// <summary>A retransmission timeout fired.</summary>
    Loss,
}
