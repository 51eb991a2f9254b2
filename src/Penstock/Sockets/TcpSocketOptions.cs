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

    internal void ApplyTo(TcpConnection connection)
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
        connection.KeepAliveProbeLimit = KeepAliveProbes ?? 0;
        connection.UserTimeoutNanos = UserTimeout is { } timeout ? Nanos.From(timeout) : 0;
        connection.MaximumSegment = MaximumSegmentSize ?? 0;
        if (CongestionControl is not null)
        {
            connection.SetCongestionControl(CongestionControl);
        }

        Prepare?.Invoke(connection);
    }

    private static void CheckPositive(int? value, string name)
    {
        if (value is <= 0)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} is a positive number, or null for the stack's own choice.");
        }
    }

    private static void CheckPositive(TimeSpan? value, string name)
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
    /// Accepts connections to any destination that reaches the stack, also to addresses that are not its own; with port 0 to any port. The accepted socket's local end point is the packet's original
    /// destination. This is what tunnels are built on.
    /// </summary>
    public bool AnyDestination { get; set; }

    internal override void Validate()
    {
        base.Validate();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(Backlog);
    }
}
