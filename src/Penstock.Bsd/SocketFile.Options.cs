using System.Buffers.Binary;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using Penstock.Sockets;
using Penstock.Tcp;
using Penstock.Tcp.Congestion;
using Penstock.Time;

namespace Penstock.Bsd;

/// <summary>setsockopt, getsockopt and ioctl by Linux's numbers. What is set before there is a connection is kept and applied to it, and to what a listener accepts.</summary>
internal sealed partial class SocketFile
{
    private const int LevelIp = NumberedOptions.LevelIp, LevelSocket = NumberedOptions.LevelSocket, LevelTcp = NumberedOptions.LevelTcp, TcpInq = 36, PeekOffset = 42, MaximumPacingRate = 47;

    private readonly Dictionary<(int Level, int Name), long> _set = [];
    private bool _freeBind;
    private bool _zeroCopy;
    private bool _reportsQueue;

    /// <summary>SO_PEEK_OFF: where the next peek begins, bytes behind the front; negative: at the front, always.</summary>
    private int _peekOffset = -1;
    private bool _lingers;
    private long _lingerSeconds;
    private long _receiveTimeoutNanos;
    private long _sendTimeoutNanos;

    public int SetOption(int level, int name, ReadOnlySpan<byte> value)
    {
        switch (level, name)
        {
            case (LevelSocket, 13): // SO_LINGER
                return SetLinger(value);
            case (LevelSocket, 20 or 66): // SO_RCVTIMEO
                return SetTimeout(value, ref _receiveTimeoutNanos);
            case (LevelSocket, 21 or 67): // SO_SNDTIMEO
                return SetTimeout(value, ref _sendTimeoutNanos);
            case (LevelTcp, 13): // TCP_CONGESTION
                return SetCongestion(value);
            case (LevelSocket, MaximumPacingRate) when value.Length >= 8:
                return SetNumber(level, name, BinaryPrimitives.ReadInt64LittleEndian(value));
            case (LevelSocket, MaximumPacingRate) when value.Length >= 4:
                // Without a sign, and all ones are no limit.
                uint rate = BinaryPrimitives.ReadUInt32LittleEndian(value);
                return SetNumber(level, name, rate == uint.MaxValue ? -1 : rate);
            case (LevelIp, _) when value.Length is >= 1 and < 4:
                // As in Linux, a byte will do for the options of IP.
                return SetNumber(level, name, value[0]);
            default:
                return value.Length < 4 ? Result.Fail(Errno.EINVAL) : SetNumber(level, name, BinaryPrimitives.ReadInt32LittleEndian(value));
        }
    }

    /// <summary>Writes an option's value; the number of bytes written, or a negative error number.</summary>
    public int GetOption(int level, int name, Span<byte> value)
    {
        TcpConnection? connection = Connection;
        switch (level, name)
        {
            case (LevelTcp, 11): // TCP_INFO
                return TcpInfoLayout.Write(Info(), value);
            case (LevelIp, 14): // IP_MTU
                if (connection is null or { State: TcpConnectionState.Closed })
                {
                    return Result.Fail(Errno.ENOTCONN);
                }

                Span<byte> mtu = stackalloc byte[4];
                BinaryPrimitives.WriteInt32LittleEndian(mtu, connection.Snapshot().PathMtu);
                return Copy(mtu, value);
            case (LevelTcp, 26): // TCP_CC_INFO: neither CUBIC nor Reno has any
                return 0;
            case (LevelTcp, 13): // TCP_CONGESTION
                return Copy(Encoding.ASCII.GetBytes((connection?.Congestion.Name ?? _congestion ?? stack.Sysctl.Get("net.ipv4.tcp_congestion_control")).PadRight(16, '\0')), value);
            case (LevelSocket, 55): // SO_MEMINFO
                return TcpInfoLayout.WriteMemory(Info(), value);
            case (LevelSocket, 13): // SO_LINGER
                Span<byte> linger = stackalloc byte[8];
                BinaryPrimitives.WriteInt32LittleEndian(linger, _lingers ? 1 : 0);
                BinaryPrimitives.WriteInt32LittleEndian(linger[4..], (int)_lingerSeconds);
                return Copy(linger, value);
            case (LevelSocket, 20 or 66):
                return WriteTimeout(_receiveTimeoutNanos, value);
            case (LevelSocket, 21 or 67):
                return WriteTimeout(_sendTimeoutNanos, value);
            default:
                if (GetNumber(level, name, connection) is not { } number)
                {
                    return Result.Fail(level is LevelIp or LevelSocket or LevelTcp ? Errno.ENOPROTOOPT : Errno.EOPNOTSUPP);
                }

                Span<byte> bytes = stackalloc byte[8];
                BinaryPrimitives.WriteInt64LittleEndian(bytes, number);
                if ((level, name) is (LevelSocket, MaximumPacingRate))
                {
                    if (value.Length >= 8)
                    {
                        return Copy(bytes, value);
                    }

                    BinaryPrimitives.WriteUInt32LittleEndian(bytes, (uint)Math.Min((ulong)number, uint.MaxValue));
                }

                return Copy(bytes[..4], value);
        }
    }

    public override int Control(ulong request, ref int value)
    {
        TcpConnection? connection = Connection;
        switch (request)
        {
            case 0x541B or 0x5411 or 0x894B when IsListening:
                return Result.Fail(Errno.EINVAL);
            case 0x541B: // SIOCINQ, FIONREAD
                value = Math.Max(0, connection?.ReadableUpToMark ?? 0);
                return 0;
            case 0x5411: // SIOCOUTQ
                value = connection is null || IsOpening ? 0 : connection.SendQueueLength;
                return 0;
            case 0x894B: // SIOCOUTQNSD
                value = connection is null || IsOpening ? 0 : connection.NotSentLength;
                return 0;
            case 0x8905: // SIOCATMARK
                value = connection is { IsAtMark: true } ? 1 : 0;
                return 0;
            default:
                return base.Control(request, ref value);
        }
    }

    private string? _congestion;

    /// <summary>What TCP_INFO and SO_MEMINFO tell, for a socket that is no connection too.</summary>
    public TcpInfo Info() => Connection?.Snapshot() ?? (IsListening ? UnconnectedInfo(TcpConnectionState.Listen) : UnconnectedInfo(TcpConnectionState.Closed) with
    {
        SendMss = DefaultSegment,
        SlowStartThreshold = CongestionWindow.InfiniteThreshold,
        RetransmissionTimeout = TimeSpan.FromTicks(TcpConnection.UnmeasuredRtoNanos / 100),
        RoundTripVariance = TimeSpan.FromTicks(TcpConnection.UnmeasuredVarianceNanos / 100),
        DeliveryRateIsApplicationLimited = true,
    });

    private TcpInfo UnconnectedInfo(TcpConnectionState state) => new()
    {
        State = state,
        Local = LocalEndPoint,
        Remote = new System.Net.IPEndPoint(System.Net.IPAddress.Any, 0),
        CongestionWindow = CongestionWindow.Initial,
        Reordering = stack.Tcp.Settings.Reordering,
        PacingRate = GetNumber(LevelSocket, MaximumPacingRate, null) is >= 0 and var rate ? rate : Tcp.Pacing.Pacer.Unlimited,
        MaximumPacingRate = GetNumber(LevelSocket, MaximumPacingRate, null) is >= 0 and var most ? most : Tcp.Pacing.Pacer.Unlimited,
        ReceiveQueue = _listener?.Pending ?? 0,
        SendQueue = _listener?.Socket.Backlog ?? 0,
        SendBuffer = (int)GetNumber(LevelSocket, 7, null)!,
        ReceiveBuffer = (int)GetNumber(LevelSocket, 8, null)!,
    };

    private int SetNumber(int level, int name, long value)
    {
        if (NumberedOptions.Change(level, name, value) is not { } change)
        {
            return Result.Fail(Errno.ENOPROTOOPT);
        }

        // A bound of the window cannot be taken away from a connection or a listener (Linux: tcp_set_window_clamp).
        bool isTooLate = (level, name, value) is (LevelTcp, 10, 0) && (IsListening || Connection is { State: not TcpConnectionState.Closed });
        if ((isTooLate ? Errno.EINVAL : NumberedOptions.Check(level, name, value)) is var refused and not Errno.None)
        {
            return Result.Fail(refused);
        }

        TcpSocketListener? listener;
        lock (_gate)
        {
            if (level == LevelSocket)
            {
                // Of a buffer's two options the last one counts: SO_SNDBUF, SO_RCVBUF and their like without a bound.
                _set.Remove((level, name switch { 7 => 32, 8 => 33, 32 => 7, 33 => 8, _ => -1 }));
            }

            _set[(level, name)] = value;
            listener = _listener;
        }

        switch (level, name)
        {
            case (NumberedOptions.LevelIp, 15): // IP_FREEBIND
                _freeBind = value != 0;
                break;
            case (NumberedOptions.LevelSocket, 60): // SO_ZEROCOPY
                _zeroCopy = value != 0;
                break;
            case (LevelSocket, PeekOffset):
                _peekOffset = (int)value;
                break;
            case (NumberedOptions.LevelTcp, TcpInq):
                _reportsQueue = value != 0;
                break;
        }

        Change(change);
        if (listener is not null)
        {
            NumberedOptions.ChangeListener(listener.Socket, level, name, value);
        }

        return 0;
    }

    private long? GetNumber(int level, int name, TcpConnection? connection)
    {
        long? set;
        lock (_gate)
        {
            set = _set.TryGetValue((level, name), out long value) ? value : null;
        }

        switch (level, name)
        {
            case (LevelSocket, 3): // SO_TYPE
                return 1;
            case (LevelSocket, 4): // SO_ERROR
                return (long)(connection is null ? TakeOwnError() : SocketErrors.ToErrno(TakeAnyError(connection)));
            case (LevelSocket, 30): // SO_ACCEPTCONN
                return IsListening ? 1 : 0;
            case (LevelSocket, 38): // SO_PROTOCOL
                return LevelTcp;
            case (LevelSocket, 39): // SO_DOMAIN
                return 2;
            case (LevelTcp, 9): // TCP_DEFER_ACCEPT
                return NumberedOptions.DeferredSeconds(set ?? 0);
            case (LevelTcp, 2) when connection is null: // TCP_MAXSEG
                return set is > 0 ? set : DefaultSegment;
            case (LevelTcp, 2) when IsOpening:
                return connection.SendMss;
            case (LevelSocket, PeekOffset):
                return _peekOffset;
            case (LevelSocket, 32 or 33): // SO_SNDBUFFORCE, SO_RCVBUFFORCE
                return null;
        }

        // What took effect, else what was set; what never was is 0, if there is such an option.
        return NumberedOptions.Read(connection ?? Detached(), level, name) ?? set ?? (NumberedOptions.Change(level, name, 0) is null ? null : 0);
    }

    /// <summary>What a connection of this socket would be: options are read back as they took effect.</summary>
    private TcpConnection Detached()
    {
        var connection = new TcpConnection(stack, stack.OwnWorker, default, null);
        Prepare(connection);
        connection.Discard();
        return connection;
    }

    /// <summary>Linux: TCP_MSS_DEFAULT.</summary>
    private const int DefaultSegment = 536;

    private int SetLinger(ReadOnlySpan<byte> value)
    {
        if (value.Length < 8)
        {
            return Result.Fail(Errno.EINVAL);
        }

        _lingers = BinaryPrimitives.ReadInt32LittleEndian(value) != 0;
        if (_lingers)
        {
            // Switched off, the time stays as it was; a negative one is for ever.
            int seconds = BinaryPrimitives.ReadInt32LittleEndian(value[4..]);
            _lingerSeconds = seconds < 0 ? LingerForever : seconds;
        }

        if (_socket is { } socket)
        {
            socket.LingerState = LingerState;
        }

        return 0;
    }

    /// <summary>Linux: MAX_SCHEDULE_TIMEOUT in seconds, at a thousand ticks each. Read back, its low half shows.</summary>
    private const long LingerForever = long.MaxValue / 1000;

    /// <summary>What the connection has to know: whether a close resets.</summary>
    private LingerOption LingerState => new(_lingers, (int)Math.Min(_lingerSeconds, int.MaxValue));

    private static int SetTimeout(ReadOnlySpan<byte> value, ref long nanos)
    {
        if (value.Length < 16)
        {
            return Result.Fail(Errno.EINVAL);
        }

        long seconds = BinaryPrimitives.ReadInt64LittleEndian(value);
        long micros = BinaryPrimitives.ReadInt64LittleEndian(value[8..]);
        if (micros is < 0 or >= 1_000_000)
        {
            return Result.Fail(Errno.EDOM);
        }

        // A negative time is no time at all, and one beyond a century is for ever (0).
        nanos = seconds < 0 ? 1 : seconds > 100L * 365 * 86400 ? 0 : (seconds * Nanos.PerSecond) + (micros * Nanos.PerMicrosecond);
        return 0;
    }

    private static int WriteTimeout(long nanos, Span<byte> value)
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, nanos / Nanos.PerSecond);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[8..], nanos % Nanos.PerSecond / Nanos.PerMicrosecond);
        return Copy(bytes, value);
    }

    private int SetCongestion(ReadOnlySpan<byte> value)
    {
        int end = value.IndexOf((byte)0);
        string name = Encoding.ASCII.GetString(end < 0 ? value : value[..end]);
        if (!CongestionControl.Available.Contains(name))
        {
            return Result.Fail(Errno.ENOENT);
        }

        _congestion = name;
        Change(c => c.SetCongestionControl(name));
        return 0;
    }

    private static int Copy(ReadOnlySpan<byte> from, Span<byte> to)
    {
        int count = Math.Min(from.Length, to.Length);
        from[..count].CopyTo(to);
        return count;
    }

    /// <summary>Changes an option now, and on every connection that this socket will stand for or accept.</summary>
    private void Change(Action<TcpConnection> change)
    {
        TcpConnection? connection;
        lock (_gate)
        {
            _prepared.Add(change);
            connection = Connection;
        }

        if (connection is not null)
        {
            connection.Own();
            change(connection);
            connection.Release();
        }
    }

    private void Prepare(TcpConnection connection)
    {
        lock (_gate)
        {
            foreach (Action<TcpConnection> change in _prepared)
            {
                change(connection);
            }
        }
    }

    /// <summary>The sockets that wait to be accepted, with the listener's options as they were at the end of their handshake (Linux: sk_clone), not as they are when they are accepted.</summary>
    private readonly ConditionalWeakTable<TcpConnection, SocketFile> _children = [];

    private void PrepareChild(TcpConnection connection)
    {
        Prepare(connection);
        _children.AddOrUpdate(connection, Child());
    }

    private SocketFile Accepted(TcpSocket socket)
    {
        SocketFile child = _children.TryGetValue(socket.Connection, out SocketFile? prepared) ? prepared : Child();
        _children.Remove(socket.Connection);
        child._socket = socket;
        socket.LingerState = child.LingerState;
        return child;
    }

    /// <summary>A socket that begins with this listener's options.</summary>
    private SocketFile Child()
    {
        var child = new SocketFile(stack, Pace);
        lock (_gate)
        {
            child._prepared.AddRange(_prepared);
            foreach (((int, int) name, long value) in _set)
            {
                child._set[name] = value;
            }

            child._zeroCopy = _zeroCopy;
            child._reportsQueue = _reportsQueue;
            child._peekOffset = _peekOffset;
            (child._lingers, child._lingerSeconds) = (_lingers, _lingerSeconds);
            child._receiveTimeoutNanos = _receiveTimeoutNanos;
            child._sendTimeoutNanos = _sendTimeoutNanos;
        }

        // TCP_DEFER_ACCEPT is the listener's alone.
        child._set.Remove((LevelTcp, 9));
        return child;
    }
}
