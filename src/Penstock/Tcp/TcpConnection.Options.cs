using Penstock.Time;

namespace Penstock.Tcp;

/// <summary>Socket options (Linux: tcp(7), socket(7)). The caller owns the connection, or has just made it.</summary>
internal sealed partial class TcpConnection
{
    /// <summary>TCP_NODELAY. Switching it on sends what was waiting, corked or not, now or as soon as windows let it (Linux).</summary>
    public bool NoDelay
    {
        get => (_nagle & NagleMode.Off) != 0;
        set
        {
            if (value)
            {
                _nagle |= NagleMode.Off | NagleMode.Push;
                PushIfOpen();
            }
            else
            {
                _nagle &= ~NagleMode.Off;
            }
        }
    }

    /// <summary>TCP_CORK. Pulling it sends what was waiting.</summary>
    public bool Cork
    {
        get => (_nagle & NagleMode.Cork) != 0;
        set
        {
            if (value)
            {
                _nagle |= NagleMode.Cork;
            }
            else
            {
                _nagle &= ~NagleMode.Cork;
                if (NoDelay)
                {
                    _nagle |= NagleMode.Push;
                }

                PushIfOpen();
            }
        }
    }

    /// <summary>TCP_QUICKACK: on, ACKs go at once for a while; off, they ride along.</summary>
    public bool QuickAck
    {
        get => !IsInteractive;
        set
        {
            if (value)
            {
                _pingPong = 0;
                if (State is TcpConnectionState.Established or TcpConnectionState.CloseWait && _ackScheduled)
                {
                    // What waits is sent as after a read of the peer's write: not while some of it is unread (Linux).
                    _writeEnds = Math.Max(_writeEnds, 1);
                    AfterRead(copied: 1);
                }
            }
            else
            {
                _pingPong = _tcp.Settings.PingPongThreshold;
            }
        }
    }

    /// <summary>SO_OOBINLINE.</summary>
    public bool UrgentInline
    {
        get => _urgentInline;
        set => _urgentInline = value;
    }

    /// <summary>TCP_MAXSEG: an upper bound for both directions, set before the handshake; 0 for none.</summary>
    public int MaximumSegment
    {
        get => _userMss;
        set => _userMss = value;
    }

    /// <summary>SO_SNDBUF: fixed by the application; doubled for overhead as Linux does. <paramref name="most"/> takes the place of the stack's bound (SO_SNDBUFFORCE).</summary>
    public void SetSendBuffer(int bytes, int? most = null)
    {
        Memory.SendBufferLocked = true;
        Memory.SendBuffer = _tcp.Settings.FixedSendBuffer(bytes, most);
        CheckSendSpace();
    }

    /// <summary>SO_RCVBUF, SO_RCVBUFFORCE.</summary>
    public void SetReceiveBuffer(int bytes, int? most = null)
    {
        Memory.ReceiveBufferLocked = true;
        Memory.ReceiveBuffer = _tcp.Settings.FixedReceiveBuffer(bytes, most);
    }

    public byte TypeOfService
    {
        get => _tos;
        set => _tos = value;
    }

    public byte TimeToLive
    {
        get => _timeToLive;
        set => _timeToLive = value;
    }

    public bool SetCongestionControl(string name)
    {
        if (Congestion.Name == name)
        {
            return true;
        }

        if (Penstock.Tcp.Congestion.CongestionControl.Create(name, Cwnd) is not { } next)
        {
            return false;
        }

        Congestion = next;
        if (IsSynchronized)
        {
            next.Begin(Now, _sndNxt);
        }

        return true;
    }

    // --- Options that few connections set.

    private RareOptions? _rare;

    private RareOptions Rare => _rare ??= new RareOptions();

    /// <summary>TCP_USER_TIMEOUT (RFC 5482); 0 for the system's limits.</summary>
    public long UserTimeoutNanos
    {
        get => _rare?.UserTimeoutNanos ?? 0;
        set => SetRare(value, 0, static (rare, v) => rare.UserTimeoutNanos = v);
    }

    /// <summary>TCP_KEEPIDLE; setting 0 goes back to the stack's setting, also below.</summary>
    public long KeepAliveIdleNanos
    {
        get => _rare is { KeepAliveIdleNanos: > 0 } rare ? rare.KeepAliveIdleNanos : _tcp.Settings.KeepAliveTime * Nanos.PerSecond;
        set
        {
            SetRare(value, 0, static (rare, v) => rare.KeepAliveIdleNanos = v);
            ArmKeepAlive(HeardNanos);
        }
    }

    /// <summary>TCP_KEEPINTVL.</summary>
    public long KeepAliveIntervalNanos
    {
        get => _rare is { KeepAliveIntervalNanos: > 0 } rare ? rare.KeepAliveIntervalNanos : _tcp.Settings.KeepAliveInterval * Nanos.PerSecond;
        set => SetRare(value, 0, static (rare, v) => rare.KeepAliveIntervalNanos = v);
    }

    /// <summary>TCP_KEEPCNT.</summary>
    public int KeepAliveProbes
    {
        get => _rare is { KeepAliveProbes: > 0 } rare ? rare.KeepAliveProbes : _tcp.Settings.KeepAliveProbes;
        set => SetRare(value, 0, static (rare, v) => rare.KeepAliveProbes = v);
    }

    /// <summary>TCP_LINGER2: how long an orphan waits in FIN-WAIT-2; negative: not at all. Setting 0 goes back to the stack's setting.</summary>
    public long LingerTwoNanos
    {
        get => _rare is { LingerTwoNanos: not 0 } rare ? rare.LingerTwoNanos : _tcp.Settings.FinTimeout * Nanos.PerSecond;
        set => SetRare(Math.Clamp(value, -1, MostLingerTwoNanos), 0, static (rare, v) => rare.LingerTwoNanos = v);
    }

    /// <summary>Linux: TCP_FIN_TIMEOUT_MAX.</summary>
    private const long MostLingerTwoNanos = 120 * Nanos.PerSecond;

    /// <summary>TCP_SYNCNT: times that a SYN is sent again; setting 0 goes back to the stack's setting.</summary>
    public int SynRetries
    {
        get => _rare is { SynRetries: > 0 } rare ? rare.SynRetries : _tcp.Settings.SynRetries;
        set => SetRare(value, 0, static (rare, v) => rare.SynRetries = v);
    }

    /// <summary>TCP_NOTSENT_LOWAT: writable below so many bytes that were not sent yet; setting 0 goes back to the stack's setting.</summary>
    public uint NotSentLowWater
    {
        get => _rare is { NotSentLowWater: > 0 } rare ? rare.NotSentLowWater : _tcp.Settings.NotSentLowWater;
        set
        {
            SetRare(value, 0u, static (rare, v) => rare.NotSentLowWater = v);
            CheckSendSpace();
        }
    }

    /// <summary>The value of TCP_NOTSENT_LOWAT itself; 0 when it was not set.</summary>
    public uint OwnNotSentLowWater => _rare?.NotSentLowWater ?? 0;

    /// <summary>TCP_RTO_MAX_MS; setting 0 goes back to the stack's setting.</summary>
    public long MaximumRtoNanos
    {
        get => _rare is { RtoMaxNanos: > 0 } rare ? rare.RtoMaxNanos : _tcp.Settings.RtoMaxMilliseconds * Nanos.PerMillisecond;
        set
        {
            SetRare(value, 0, static (rare, v) => rare.RtoMaxNanos = v);
            Rtt.RtoMaxNanos = MaximumRtoNanos;
            _rtoNanos = Math.Min(_rtoNanos, MaximumRtoNanos);
        }
    }

    /// <summary>TCP_RTO_MIN_US; setting 0 goes back to the stack's setting.</summary>
    public long MinimumRtoNanos
    {
        get => _rare is { RtoMinNanos: > 0 } rare ? rare.RtoMinNanos : _tcp.Settings.RtoMinMicroseconds * Nanos.PerMicrosecond;
        set
        {
            SetRare(value, 0, static (rare, v) => rare.RtoMinNanos = v);
            Rtt.RtoMinNanos = MinimumRtoNanos;
        }
    }

    /// <summary>TCP_DELACK_MAX_US; setting 0 goes back to 200 ms.</summary>
    public long DelayedAckMaximumNanos
    {
        get => _rare is { DelayedAckMaxNanos: > 0 } rare ? rare.DelayedAckMaxNanos : AckTimeoutMax;
        set => SetRare(value, 0, static (rare, v) => rare.DelayedAckMaxNanos = v);
    }

    /// <summary>TCP_DEFER_ACCEPT of an active open: the last ACK of the handshake waits 200 ms for data to ride on.</summary>
    public bool DefersAck
    {
        get => _rare?.DefersAck ?? false;
        set => SetRare(value, false, static (rare, v) => rare.DefersAck = v);
    }

    /// <summary>IP_RECVERR: what ICMP says of the open connection is an error of the next call, once, and not only remembered. The error queue has none of it.</summary>
    public bool ReportsIcmpErrors
    {
        get => _rare?.ReportsIcmpErrors ?? false;
        set => SetRare(value, false, static (rare, v) => rare.ReportsIcmpErrors = v);
    }

    /// <summary>TCP_THIN_LINEAR_TIMEOUTS: as the stack's setting, for this connection.</summary>
    public bool ThinLinearTimeouts
    {
        get => _rare?.ThinLinearTimeouts ?? false;
        set => SetRare(value, false, static (rare, v) => rare.ThinLinearTimeouts = v);
    }

    /// <summary>IP_MTU_DISCOVER.</summary>
    public PathMtuDiscovery PathMtuDiscovery
    {
        get => _rare?.PathMtuDiscovery ?? PathMtuDiscovery.Want;
        set => SetRare(value, PathMtuDiscovery.Want, static (rare, v) => rare.PathMtuDiscovery = v);
    }

    /// <summary>SO_RCVLOWAT: readable from so many bytes on.</summary>
    public int ReceiveLowWater
    {
        get => _rare?.ReceiveLowWater ?? 1;
        set
        {
            TcpSettings settings = _tcp.Settings;
            int most = Math.Max(1, (Memory.ReceiveBufferLocked ? Memory.ReceiveBuffer : settings.ReceiveBufferMax) >> 1);
            int bytes = Math.Clamp(value, 1, most);
            SetRare(bytes, 1, static (rare, v) => rare.ReceiveLowWater = v);
            int space = SpaceFromWindow(bytes);
            if (!Memory.ReceiveBufferLocked && space > Memory.ReceiveBuffer)
            {
                // What is waited for must fit (Linux: tcp_set_rcvlowat).
                Memory.ReceiveBuffer = Math.Min(space, settings.ReceiveBufferMax);
                _windowClamp = Math.Min(WindowCeiling, bytes);
            }

            NotifyIfReadable();
        }
    }

    /// <summary>TCP_WINDOW_CLAMP: no larger window is offered; 0 for no such bound, which can only be said before the handshake.</summary>
    public int WindowClamp
    {
        get => _rare is { WindowClamp: > 0 } rare ? rare.WindowClamp : 0;
        set
        {
            int bytes = value == 0 ? 0 : Math.Max(value, SmallestReceiveBuffer / 2);
            SetRare(bytes, 0, static (rare, v) => rare.WindowClamp = v);
            int before = _windowClamp;
            _windowClamp = WindowCeiling;
            if (State == TcpConnectionState.Closed)
            {
                return;
            }

            _rcvSsthresh = _windowClamp < before ? Math.Min(_rcvSsthresh, _windowClamp) : Math.Max(_rcvSsthresh, (int)Math.Min(_rcvWnd, (uint)_windowClamp));
        }
    }

    /// <summary>
    /// TCP_WINDOW_CLAMP as Linux reads it back: what was set; else, once there is a connection, what its receive buffer can offer, of which a segment is held back until data has come or the buffer has grown
    /// (tcp_init_buffer_space); while it is being opened, what the field can say.
    /// </summary>
    public int WindowClampInEffect
    {
        get
        {
            if (WindowClamp > 0 || State == TcpConnectionState.Closed)
            {
                return WindowClamp;
            }

            if (State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived)
            {
                return ushort.MaxValue << _rcvWscale;
            }

            return WindowLimit;
        }
    }

    /// <summary>The largest window there may be: what the field holds without scaling, and what the application wants.</summary>
    private int WindowCeiling
    {
        get
        {
            int ceiling = IsSynchronized && !_windowScalingOk ? ushort.MaxValue : int.MaxValue;
            return _rare is { WindowClamp: > 0 } rare ? Math.Min(ceiling, rare.WindowClamp) : ceiling;
        }
    }

    /// <summary>Linux: SOCK_MIN_RCVBUF.</summary>
    internal const int SmallestReceiveBuffer = 2304;

    private void SetRare<T>(T value, T usual, Action<RareOptions, T> set)
    {
        if (_rare is not null || !EqualityComparer<T>.Default.Equals(value, usual))
        {
            set(Rare, value);
        }
    }

    private void PushIfOpen()
    {
        if (_writeQueue.First is not null && IsSynchronized)
        {
            PushPending();
        }
    }
}
