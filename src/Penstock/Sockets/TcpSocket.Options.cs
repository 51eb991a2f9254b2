using System.Net.Sockets;
using Penstock.Tcp;
using Penstock.Time;

namespace Penstock;

/// <summary>Options that can be changed while the socket lives. Reading never waits; setting waits for the socket's owner, for microseconds as a rule.</summary>
public sealed partial class TcpSocket
{
    /// <summary>Sends small segments at once instead of collecting them (TCP_NODELAY).</summary>
    public bool NoDelay
    {
        get => _connection.NoDelay;
        set => Change(value, static (connection, on) => connection.NoDelay = on);
    }

    /// <summary>Holds partial segments back until it is switched off again (TCP_CORK).</summary>
    public bool Cork
    {
        get => _connection.Cork;
        set => Change(value, static (connection, on) => connection.Cork = on);
    }

    /// <summary>Acknowledges at once for a while (TCP_QUICKACK); like Linux's it does not last.</summary>
    public bool QuickAck
    {
        get => _connection.QuickAck;
        set => Change(value, static (connection, on) => connection.QuickAck = on);
    }

    /// <summary>Keeps the urgent byte in the stream (SO_OOBINLINE).</summary>
    public bool OutOfBandInline
    {
        get => _connection.UrgentInline;
        set => Change(value, static (connection, on) => connection.UrgentInline = on);
    }

    /// <summary>The byte of the IP header that holds the Diffserv codepoint in its upper six bits (IP_TOS). To change it in mid-connection may reorder segments.</summary>
    public byte TypeOfService
    {
        get => _connection.TypeOfService;
        set => Change(value, static (connection, octet) => connection.TypeOfService = octet);
    }

    /// <summary>Time to live of the packets sent, 1-255 (IP_TTL).</summary>
    public byte TimeToLive
    {
        get => _connection.TimeToLive;
        set
        {
            ArgumentOutOfRangeException.ThrowIfZero(value);
            Change(value, static (connection, hops) => connection.TimeToLive = hops);
        }
    }

    /// <summary>True when the next byte to be read is the urgent one (sockatmark).</summary>
    public bool IsAtMark => _connection.IsAtMark;

    /// <summary>Probes an idle peer (SO_KEEPALIVE).</summary>
    public bool KeepAlive
    {
        get => _connection.KeepAlive;
        set => Change(value, static (connection, on) => connection.KeepAlive = on);
    }

    /// <summary>What <see cref="Dispose"/> does with data that is not delivered yet: enabled with 0 seconds it resets the connection (SO_LINGER). Other times do not make Dispose wait; use <see cref="CloseAsync"/>.</summary>
    public LingerOption? LingerState
    {
        get => _linger;
        set => _linger = value;
    }

    /// <summary>
    /// How long data may stay unacknowledged before the connection is given up (TCP_USER_TIMEOUT, RFC 5482); zero for the stack's setting. As in Linux it counts from the first retransmission; while a connection is being
    /// opened, from the start; before a window that the peer keeps shut, from the first probe, even while the peer answers.
    /// </summary>
    public TimeSpan UserTimeout
    {
        get => TimeSpan.FromTicks(_connection.UserTimeoutNanos / 100);
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, TimeSpan.Zero);
            Change(Nanos.From(value), static (connection, nanos) => connection.UserTimeoutNanos = nanos);
        }
    }

    /// <summary>Send buffer in bytes of true size (SO_SNDBUF). Setting it fixes it, at twice the value as Linux does.</summary>
    public int SendBufferSize
    {
        get => _connection.Memory.SendBuffer;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value);
            Change(value, static (connection, bytes) => connection.SetSendBuffer(bytes));
        }
    }

    /// <summary>Receive buffer in bytes of true size (SO_RCVBUF). Setting it fixes it, at twice the value as Linux does.</summary>
    public int ReceiveBufferSize
    {
        get => _connection.Memory.ReceiveBuffer;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value);
            Change(value, static (connection, bytes) => connection.SetReceiveBuffer(bytes));
        }
    }

    /// <summary>Idle time before the first keepalive probe (TCP_KEEPIDLE); zero gives the socket the stack's setting again, and reading tells that one then.</summary>
    public TimeSpan KeepAliveIdle
    {
        get => Span(_connection.KeepAliveIdleNanos);
        set => Change(NotNegative(value), static (connection, nanos) => connection.KeepAliveIdleNanos = nanos);
    }

    /// <summary>Time between keepalive probes (TCP_KEEPINTVL); zero as for <see cref="KeepAliveIdle"/>.</summary>
    public TimeSpan KeepAliveInterval
    {
        get => Span(_connection.KeepAliveIntervalNanos);
        set => Change(NotNegative(value), static (connection, nanos) => connection.KeepAliveIntervalNanos = nanos);
    }

    /// <summary>Keepalive probes without an answer before the connection is given up (TCP_KEEPCNT); 0 as for <see cref="KeepAliveIdle"/>.</summary>
    public int KeepAliveProbes
    {
        get => _connection.KeepAliveProbes;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            Change(value, static (connection, count) => connection.KeepAliveProbes = count);
        }
    }

    /// <summary>
    /// How long the closed socket will wait for the peer's FIN when its own is acknowledged (TCP_LINGER2), at most 120 s; as in Linux three and a half retransmission timeouts at least, and beyond a minute only twice what is beyond. Zero: not at all, the peer is reset; null gives the socket the stack's setting again, and reading
    /// tells that one then.
    /// </summary>
    public TimeSpan? FinWaitTimeout
    {
        get => _connection.LingerTwoNanos < 0 ? TimeSpan.Zero : Span(_connection.LingerTwoNanos);
        set => Change(value is not { } wait ? 0 : wait == TimeSpan.Zero ? -1 : NotNegative(wait), static (connection, nanos) => connection.LingerTwoNanos = nanos);
    }

    /// <summary>Bytes not sent yet from which on the socket is not writable (TCP_NOTSENT_LOWAT); 0 gives the socket the stack's setting again, and reading tells that one then.</summary>
    public long NotSentLowWater
    {
        get => _connection.NotSentLowWater;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, uint.MaxValue);
            Change((uint)value, static (connection, bytes) => connection.NotSentLowWater = bytes);
        }
    }

    /// <summary>Bytes from which on the socket is readable and a receive ends its wait; less when no more fits, or at the end (SO_RCVLOWAT). 1 by default; the receive buffer grows to hold it, if it may.</summary>
    public int ReceiveLowWater
    {
        get => _connection.ReceiveLowWater;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value);
            Change(value, static (connection, bytes) => connection.ReceiveLowWater = bytes);
        }
    }

    /// <summary>
    /// Bytes a second that are sent at most (SO_MAX_PACING_RATE); <see cref="long.MaxValue"/> for no limit. From the first limit on sending is paced, as in Linux: segments leave at the rate that window and
    /// round-trip time give, and not in bursts.
    /// </summary>
    public long MaximumPacingRate
    {
        get => _connection.MaximumPacingRate;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value);
            Change(value, static (connection, rate) => connection.MaximumPacingRate = rate);
        }
    }

    /// <summary>The largest window that is offered to the peer, bytes (TCP_WINDOW_CLAMP); 0 for no such bound. At least 1152.</summary>
    /// <exception cref="InvalidOperationException">A bound that was set cannot be taken away from an open connection; set a large one.</exception>
    public int WindowClamp
    {
        get => _connection.WindowClamp;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            if (value == 0 && _connection.State != TcpConnectionState.Closed)
            {
                throw new InvalidOperationException("A bound of the window cannot be taken away from an open connection. Set a large one.");
            }

            Change(value, static (connection, bytes) => connection.WindowClamp = bytes);
        }
    }

    /// <summary>Smallest retransmission timeout (TCP_RTO_MIN_US); zero gives the socket the stack's setting again, and reading tells that one then.</summary>
    public TimeSpan MinimumRetransmissionTimeout
    {
        get => Span(_connection.MinimumRtoNanos);
        set => Change(NotNegative(value), static (connection, nanos) => connection.MinimumRtoNanos = nanos);
    }

    /// <summary>Largest retransmission timeout (TCP_RTO_MAX_MS); zero as for <see cref="MinimumRetransmissionTimeout"/>.</summary>
    public TimeSpan MaximumRetransmissionTimeout
    {
        get => Span(_connection.MaximumRtoNanos);
        set => Change(NotNegative(value), static (connection, nanos) => connection.MaximumRtoNanos = nanos);
    }

    /// <summary>What is done about packets that are too big for the path (IP_MTU_DISCOVER).</summary>
    public PathMtuDiscovery PathMtuDiscovery
    {
        get => _connection.PathMtuDiscovery;
        set
        {
            if (!Enum.IsDefined(value))
            {
                throw new ArgumentOutOfRangeException(nameof(value), value, "Choose one of the values of PathMtuDiscovery.");
            }

            Change(value, static (connection, way) => connection.PathMtuDiscovery = way);
        }
    }

    /// <summary>Payload of a segment sent now, bytes (reading TCP_MAXSEG). The bound that the option sets is <see cref="TcpSocketOptions.MaximumSegmentSize"/>.</summary>
    public int SegmentSize => _connection.SendMss;


    /// <summary>Bytes written and not acknowledged, whether sent or not (SIOCOUTQ).</summary>
    public int Unacknowledged => _connection.UnacknowledgedBytes;

    /// <summary>Bytes written and not sent (SIOCOUTQNSD).</summary>
    public int NotSent => _connection.NotSentBytes;

    /// <summary>When a long send works off what arrives meanwhile. Setting it acts from the next send on; null gives the socket the stack's policy again, and reading tells that one then.</summary>
    [System.Diagnostics.CodeAnalysis.AllowNull]
    public TcpFlushPolicy FlushPolicy
    {
        get => _connection.FlushPolicy
            ?? TcpFlushPolicy.Of(_connection.Stack.Tcp.Settings.BacklogFlushBuffers, _connection.Stack.Tcp.Settings.BacklogFlushBudgetNanos);
        set => Change(value, static (connection, policy) => connection.FlushPolicy = policy);
    }

    private static TimeSpan Span(long nanos) => TimeSpan.FromTicks(nanos / 100);

    private static long NotNegative(TimeSpan value, [System.Runtime.CompilerServices.CallerMemberName] string name = "")
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, TimeSpan.Zero, name);
        return Nanos.From(value);
    }

    private void Change<T>(T value, Action<TcpConnection, T> change)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        _connection.Own();
        try
        {
            change(_connection, value);
        }
        finally
        {
            _connection.Release();
        }
    }
}
