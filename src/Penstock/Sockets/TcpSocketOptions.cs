using System.Net;
using Penstock.Tcp;
using Penstock.Time;

namespace Penstock;

/// <summary>What both ends of a connection may set before it begins. Validated when used; changes made later have no effect.</summary>
public abstract class TcpSocketOptions
{
    private protected TcpSocketOptions()
    {
    }

    /// <summary>Sends small segments at once instead of collecting them (TCP_NODELAY). False by default, as in Linux.</summary>
    public bool NoDelay { get; set; }

    /// <summary>Send buffer in bytes, fixed (SO_SNDBUF; doubled for overhead as Linux does); null, the default, lets the stack tune it within <c>net.ipv4.tcp_wmem</c>.</summary>
    public int? SendBufferSize { get; set; }

    /// <summary>Receive buffer in bytes, fixed (SO_RCVBUF); null, the default, lets the stack tune it within <c>net.ipv4.tcp_rmem</c>.</summary>
    public int? ReceiveBufferSize { get; set; }

    /// <summary>Probes an idle peer (SO_KEEPALIVE). False by default.</summary>
    public bool KeepAlive { get; set; }

    /// <summary>Idle time before the first probe (TCP_KEEPIDLE); null: <c>net.ipv4.tcp_keepalive_time</c>, two hours.</summary>
    public TimeSpan? KeepAliveIdle { get; set; }

    /// <summary>Time between probes (TCP_KEEPINTVL); null: 75 s.</summary>
    public TimeSpan? KeepAliveInterval { get; set; }

    /// <summary>Probes without an answer before the connection is given up (TCP_KEEPCNT); null: 9.</summary>
    public int? KeepAliveProbes { get; set; }

    /// <summary>
    /// How long data may stay unacknowledged, or wait before a window that the peer keeps shut, before the connection is given up (TCP_USER_TIMEOUT, RFC 5482); null:
    /// <c>net.ipv4.tcp_retries2</c>, and for ever before a shut window of a peer that answers.
    /// </summary>
    public TimeSpan? UserTimeout { get; set; }

    /// <summary>
    /// How long a closed socket waits for the peer's FIN when its own is acknowledged (TCP_LINGER2), at most 120 s; as in Linux three and a half retransmission timeouts at least, and beyond a minute only twice what is beyond; zero: not at all, the peer is reset (a negative value in Linux); null: <c>net.ipv4.tcp_fin_timeout</c>.
    /// </summary>
    public TimeSpan? FinWaitTimeout { get; set; }

    /// <summary>Bytes not sent yet from which on the socket is not writable, 1 or more (TCP_NOTSENT_LOWAT); null: <c>net.ipv4.tcp_notsent_lowat</c>, in effect no such bound.</summary>
    public long? NotSentLowWater { get; set; }

    /// <summary>Bytes from which on the socket is readable and a receive ends its wait (SO_RCVLOWAT); null: 1.</summary>
    public int? ReceiveLowWater { get; set; }

    /// <summary>Bytes a second that are sent at most (SO_MAX_PACING_RATE). Sending is then paced: segments leave one by one at the rate and not in bursts. Null: neither.</summary>
    public long? MaximumPacingRate { get; set; }

    /// <summary>The largest window offered to the peer, bytes, at least 1152 (TCP_WINDOW_CLAMP); null: the receive buffer's.</summary>
    public int? WindowClamp { get; set; }

    /// <summary>Smallest and largest retransmission timeout (TCP_RTO_MIN_US, TCP_RTO_MAX_MS); null: <c>net.ipv4.tcp_rto_min_us</c> and <c>tcp_rto_max_ms</c>.</summary>
    public TimeSpan? MinimumRetransmissionTimeout { get; set; }

    /// <inheritdoc cref="MinimumRetransmissionTimeout"/>
    public TimeSpan? MaximumRetransmissionTimeout { get; set; }

    /// <summary>What is done about packets that are too big for the path (IP_MTU_DISCOVER).</summary>
    public PathMtuDiscovery PathMtuDiscovery { get; set; } = PathMtuDiscovery.Want;

    /// <summary>Congestion control by Linux's name, <c>cubic</c> or <c>reno</c>; null: the stack's.</summary>
    public string? CongestionControl { get; set; }

    /// <summary>Largest segment payload offered and used, bytes, 48-65495 (TCP_MAXSEG); null: from the MTU.</summary>
    public int? MaximumSegmentSize { get; set; }

    /// <summary>Keeps the urgent byte in the stream (SO_OOBINLINE).</summary>
    public bool OutOfBandInline { get; set; }

    /// <summary>The byte of the IP header that holds the Diffserv codepoint in its upper six bits, passed to IP unchanged (IP_TOS, RFC 9293 3.9.2); 0 by default.</summary>
    public byte TypeOfService { get; set; }

    /// <summary>Time to live of the packets sent, 1-255 (IP_TTL); null: <c>net.ipv4.ip_default_ttl</c>.</summary>
    public byte? TimeToLive { get; set; }

    /// <summary>When a long send works off what arrives meanwhile; null, the default: the stack's, which is <see cref="TcpFlushPolicy.Adaptive"/> unless <see cref="Sysctl"/> was told otherwise. Linux has no such option: it flushes every 16 buffers.</summary>
    public TcpFlushPolicy? FlushPolicy { get; set; }

    /// <summary>
    /// The group that the memory of the socket is charged to for all its life, sockets accepted from a listener included (Linux: the cgroup of who made the socket); null, the default:
    /// <see cref="NetworkStackOptions.MemoryGroup"/>.
    /// </summary>
    public MemoryGroup? MemoryGroup { get; set; }

    /// <summary>Sets what has no public option, on a connection that nobody has seen yet: for drills and native callers.</summary>
    internal Action<TcpConnection>? Prepare { get; set; }

    internal virtual void Validate()
    {
        CheckPositive(SendBufferSize, nameof(SendBufferSize));
        CheckPositive(ReceiveBufferSize, nameof(ReceiveBufferSize));
        CheckPositive(KeepAliveProbes, nameof(KeepAliveProbes));
        CheckPositive(KeepAliveIdle, nameof(KeepAliveIdle));
        CheckPositive(KeepAliveInterval, nameof(KeepAliveInterval));
        CheckPositive(UserTimeout, nameof(UserTimeout));
        CheckPositive(ReceiveLowWater, nameof(ReceiveLowWater));
        CheckPositive(WindowClamp, nameof(WindowClamp));
        CheckPositive(MinimumRetransmissionTimeout, nameof(MinimumRetransmissionTimeout));
        CheckPositive(MaximumRetransmissionTimeout, nameof(MaximumRetransmissionTimeout));
        if (FinWaitTimeout < TimeSpan.Zero)
        {
            throw new ArgumentOutOfRangeException(nameof(FinWaitTimeout), FinWaitTimeout, "A time to wait is not negative; zero resets the peer instead of waiting.");
        }

        if (NotSentLowWater is < 1 or > uint.MaxValue)
        {
            throw new ArgumentOutOfRangeException(nameof(NotSentLowWater), NotSentLowWater, "A low-water mark is between 1 and 4294967295 bytes, or null for the stack's.");
        }

        if (MaximumPacingRate is <= 0)
        {
            throw new ArgumentOutOfRangeException(nameof(MaximumPacingRate), MaximumPacingRate, "A rate is a positive number of bytes a second, or null for none.");
        }

        if (!Enum.IsDefined(PathMtuDiscovery))
        {
            throw new ArgumentOutOfRangeException(nameof(PathMtuDiscovery), PathMtuDiscovery, "Choose one of the values of PathMtuDiscovery.");
        }

        if (TimeToLive is 0)
        {
            throw new ArgumentOutOfRangeException(nameof(TimeToLive), TimeToLive, "A time to live is between 1 and 255, or null for the stack's setting.");
        }

        if (MaximumSegmentSize is < 48 or > 65495)
        {
            throw new ArgumentOutOfRangeException(nameof(MaximumSegmentSize), MaximumSegmentSize, "A segment carries between 48 and 65495 bytes.");
        }

        if (CongestionControl is not null && !Tcp.Congestion.CongestionControl.Available.Contains(CongestionControl))
        {
            throw new ArgumentException(
                $"There is no congestion control '{CongestionControl}'. Choose one of: {string.Join(", ", Tcp.Congestion.CongestionControl.Available)}.",
                nameof(CongestionControl));
        }
    }

    internal virtual void ApplyTo(TcpConnection connection)
    {
        connection.NoDelay = NoDelay;
        connection.UrgentInline = OutOfBandInline;
        connection.TypeOfService = TypeOfService;
        connection.FlushPolicy = FlushPolicy;
        if (TimeToLive is { } hops)
        {
            connection.TimeToLive = hops;
        }

        if (SendBufferSize is { } send)
        {
            connection.SetSendBuffer(send);
        }

        if (ReceiveBufferSize is { } receive)
        {
            connection.SetReceiveBuffer(receive);
        }

        connection.KeepAlive = KeepAlive;
        connection.KeepAliveIdleNanos = KeepAliveIdle is { } idle ? Nanos.From(idle) : 0;
        connection.KeepAliveIntervalNanos = KeepAliveInterval is { } interval ? Nanos.From(interval) : 0;
        connection.KeepAliveProbes = KeepAliveProbes ?? 0;
        connection.UserTimeoutNanos = UserTimeout is { } timeout ? Nanos.From(timeout) : 0;
        connection.MaximumSegment = MaximumSegmentSize ?? 0;
        connection.LingerTwoNanos = FinWaitTimeout is { } wait ? wait == TimeSpan.Zero ? -1 : Nanos.From(wait) : 0;
        connection.NotSentLowWater = (uint)(NotSentLowWater ?? 0);
        connection.ReceiveLowWater = ReceiveLowWater ?? 1;
        connection.MaximumPacingRate = MaximumPacingRate ?? Tcp.Pacing.Pacer.Unlimited;
        connection.PathMtuDiscovery = PathMtuDiscovery;
        connection.WindowClamp = WindowClamp ?? 0;
        connection.MinimumRtoNanos = MinimumRetransmissionTimeout is { } least ? Nanos.From(least) : 0;
        connection.MaximumRtoNanos = MaximumRetransmissionTimeout is { } most ? Nanos.From(most) : 0;
        if (CongestionControl is not null)
        {
            connection.SetCongestionControl(CongestionControl);
        }

        Prepare?.Invoke(connection);
    }

    private protected static void CheckPositive(int? value, string name)
    {
        if (value is <= 0)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} is a positive number, or null for the stack's own choice.");
        }
    }

    private protected static void CheckPositive(TimeSpan? value, string name)
    {
        if (value is { } span && span <= TimeSpan.Zero)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} is a positive time, or null for the stack's own choice.");
        }
    }
}

/// <summary>How <see cref="NetworkStack.ConnectTcpAsync(EndPoint, TcpConnectOptions?, CancellationToken)"/> opens a connection.</summary>
public sealed class TcpConnectOptions : TcpSocketOptions
{
    /// <summary>Local address and port; null, or port 0, lets the stack choose (RFC 6056).</summary>
    public IPEndPoint? LocalEndPoint { get; set; }

    /// <summary>
    /// Times that the SYN is sent again before connecting fails, 1-127 (TCP_SYNCNT); null: <c>net.ipv4.tcp_syn_retries</c>. As in Linux <c>net.ipv4.tcp_syn_linear_timeouts</c> come on top, within the time that
    /// the doubling ones would take.
    /// </summary>
    public int? SynRetries { get; set; }

    internal override void Validate()
    {
        base.Validate();
        if (SynRetries is < 1 or > 127)
        {
            throw new ArgumentOutOfRangeException(nameof(SynRetries), SynRetries, "A SYN is sent again between 1 and 127 times.");
        }
    }

    internal override void ApplyTo(TcpConnection connection)
    {
        connection.SynRetries = SynRetries ?? 0;
        base.ApplyTo(connection);
    }
}

/// <summary>How <see cref="NetworkStack.ListenTcp(TcpListenOptions)"/> listens.</summary>
public sealed class TcpListenOptions : TcpSocketOptions
{
    /// <summary>Listens on an address and port. <see cref="IPAddress.Any"/> is every address of the stack, port 0 a free port.</summary>
    public TcpListenOptions(IPEndPoint endPoint)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        EndPoint = endPoint;
    }

    /// <summary>Where to listen.</summary>
    public IPEndPoint EndPoint { get; }

    /// <summary>Connections that may wait to be accepted, at most <c>net.core.somaxconn</c>. 512 by default.</summary>
    public int Backlog { get; set; } = 512;

    /// <summary>
    /// A connection is handed out only when its first data has come, or when so much time has passed (TCP_DEFER_ACCEPT; counted in retransmissions of the SYN-ACK, as in Linux: after 1, 3, 7, 15... s).
    /// Null, the default: as soon as it is established.
    /// </summary>
    public TimeSpan? DeferAccept { get; set; }

    /// <summary>Times that a SYN-ACK is sent again, 1-127 (TCP_SYNCNT of a listener); null: <c>net.ipv4.tcp_synack_retries</c>.</summary>
    public int? SynAckRetries { get; set; }

    /// <summary>
    /// Accepts connections to any destination that reaches the stack, also to addresses that are not its own; with port 0 to any port. The accepted socket's local end point is the packet's original
    /// destination. This is what tunnels are built on.
    /// </summary>
    public bool AnyDestination { get; set; }

    internal override void Validate()
    {
        base.Validate();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(Backlog);
        CheckPositive(DeferAccept, nameof(DeferAccept));
        if (SynAckRetries is < 1 or > 127)
        {
            throw new ArgumentOutOfRangeException(nameof(SynAckRetries), SynAckRetries, "A SYN-ACK is sent again between 1 and 127 times.");
        }
    }
}
