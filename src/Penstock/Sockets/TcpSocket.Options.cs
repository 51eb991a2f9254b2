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
        set => Change(value, static (connection, on) =>
        {
            connection.KeepAlive = on;
            connection.ArmKeepAlive();
        });
    }

    /// <summary>What <see cref="Dispose"/> does with data that is not delivered yet: enabled with 0 seconds it resets the connection (SO_LINGER). Other times do not make Dispose wait; use <see cref="CloseAsync"/>.</summary>
    public LingerOption? LingerState
    {
        get => _linger;
        set => _linger = value;
    }

    /// <summary>
    /// How long data may stay unacknowledged before the connection is given up (TCP_USER_TIMEOUT, RFC 5482); zero for the stack's setting. As in Linux it counts from the first retransmission,
    /// and from the first probe of a window that the peer keeps shut, even while the peer answers.
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

    /// <summary>When a long send works off what arrives meanwhile. Setting it acts from the next send on; null gives the socket the stack's policy again, and reading tells that one then.</summary>
    [System.Diagnostics.CodeAnalysis.AllowNull]
    public TcpFlushPolicy FlushPolicy
    {
        get => _connection.FlushPolicy
            ?? TcpFlushPolicy.Of(_connection.Stack.Tcp.Settings.BacklogFlushBuffers, _connection.Stack.Tcp.Settings.BacklogFlushBudgetNanos);
        set => Change(value, static (connection, policy) => connection.FlushPolicy = policy);
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
