namespace Penstock.Tcp;

/// <summary>Socket options that few connections set; made when the first of them is set, so that the others cost nothing. The owner's.</summary>
internal sealed class RareOptions
{
    /// <summary>TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT; 0 for the stack's settings.</summary>
    public long KeepAliveIdleNanos, KeepAliveIntervalNanos;
    public int KeepAliveProbes;

    /// <summary>TCP_USER_TIMEOUT; 0 for the system's limits.</summary>
    public long UserTimeoutNanos;

    /// <summary>TCP_LINGER2; 0 for the stack's setting, negative: no waiting at all.</summary>
    public long LingerTwoNanos;

    /// <summary>TCP_RTO_MAX_MS and TCP_RTO_MIN_US; 0 for the stack's settings.</summary>
    public long RtoMaxNanos, RtoMinNanos;

    /// <summary>TCP_DELACK_MAX_US; 0 for 200 ms.</summary>
    public long DelayedAckMaxNanos;

    /// <summary>TCP_NOTSENT_LOWAT; 0 for the stack's setting.</summary>
    public uint NotSentLowWater;

    /// <summary>SO_RCVLOWAT, and what the receive that waited last wants: less when its buffer is smaller.</summary>
    public int ReceiveLowWater = 1, Wanted = int.MaxValue;

    /// <summary>TCP_SYNCNT; 0 for the stack's setting.</summary>
    public int SynRetries;

    /// <summary>TCP_WINDOW_CLAMP; 0 for none.</summary>
    public int WindowClamp;

    /// <summary>TCP_DEFER_ACCEPT of an active open: the last ACK of the handshake waits for data to ride on.</summary>
    public bool DefersAck;

    /// <summary>TCP_THIN_LINEAR_TIMEOUTS.</summary>
    public bool ThinLinearTimeouts;

    /// <summary>IP_RECVERR: what ICMP says of the open connection is an error of the next call.</summary>
    public bool ReportsIcmpErrors;

    /// <summary>IP_MTU_DISCOVER.</summary>
    public PathMtuDiscovery PathMtuDiscovery = PathMtuDiscovery.Want;
}
