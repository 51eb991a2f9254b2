namespace Penstock;

/// <summary>The states of a TCP connection (RFC 9293 3.3.2).</summary>
public enum TcpConnectionState
{
    /// <summary>No connection.</summary>
    Closed,

    /// <summary>Waiting for connection requests.</summary>
    Listen,

    /// <summary>A SYN was sent, its answer is awaited.</summary>
    SynSent,

    /// <summary>SYNs have crossed, the acknowledgment of ours is awaited.</summary>
    SynReceived,

    /// <summary>Open: data flows both ways.</summary>
    Established,

    /// <summary>We closed, the peer has not acknowledged it.</summary>
    FinWait1,

    /// <summary>We closed, the peer knows and may still send.</summary>
    FinWait2,

    /// <summary>The peer closed, we have not.</summary>
    CloseWait,

    /// <summary>Both closed at once, the peer has not acknowledged ours.</summary>
    Closing,

    /// <summary>The peer closed, then we; the acknowledgment is awaited.</summary>
    LastAck,

    /// <summary>Closed; old segments are given time to die.</summary>
    TimeWait,
}
