using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using Penstock.Sockets;
using Penstock.Tcp;
using Penstock.Tcp.Congestion;
using Penstock.Time;

namespace Penstock.Bsd;

/// <summary>setsockopt, getsockopt and ioctl by Linux's numbers. What is set before there is a connection is kept and applied to it, and to what a listener accepts.</summary>
internal sealed partial class SocketFile
{
    public const int LevelIp = 0, LevelSocket = 1, LevelTcp = 6;
    private const int TcpInq = 36;

    private readonly Dictionary<(int Level, int Name), int> _set = [];
    private bool _freeBind;
    private bool _zeroCopy;
    private bool _reportsQueue;
    private int _maximumSegment;
    private int _receiveBuffer;
    private int _sendBuffer;
    private byte _typeOfService;
    private LingerOption? _linger;
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
            case (LevelIp, 1) when value.Length is >= 1 and < 4: // IP_TOS
            case (LevelIp, 2) when value.Length is >= 1 and < 4: // IP_TTL
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
                return TcpInfoBytes.Write(connection, IsListening, value);
            case (LevelTcp, 26): // TCP_CC_INFO: neither CUBIC nor Reno has any
                return 0;
            case (LevelTcp, 13): // TCP_CONGESTION
                return Copy(Encoding.ASCII.GetBytes((connection?.Congestion.Name ?? _congestion ?? stack.Sysctl.Get("net.ipv4.tcp_congestion_control")).PadRight(16, '\0')), value);
            case (LevelSocket, 55): // SO_MEMINFO
                return WriteMemory(connection, value);
            case (LevelSocket, 13): // SO_LINGER
                Span<byte> linger = stackalloc byte[8];
                BinaryPrimitives.WriteInt32LittleEndian(linger, _linger is { Enabled: true } ? 1 : 0);
                BinaryPrimitives.WriteInt32LittleEndian(linger[4..], _linger?.LingerTime ?? 0);
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

                Span<byte> bytes = stackalloc byte[4];
                BinaryPrimitives.WriteInt32LittleEndian(bytes, number);
                return Copy(bytes, value);
        }
    }

    /// <summary>ioctl: the requests that write an int. A negative error number, else 0.</summary>
    public int Control(ulong request, out int value)
    {
        value = 0;
        TcpConnection? connection = Connection;
        switch (request)
        {
            case 0x541B: // SIOCINQ, FIONREAD
                if (IsListening)
                {
                    return Result.Fail(Errno.EINVAL);
                }

                value = Math.Max(0, connection?.ReadableBytes ?? 0);
                return 0;
            case 0x5411: // SIOCOUTQ
                value = connection is null || IsOpening ? 0 : connection.UnacknowledgedBytes;
                return IsListening ? Result.Fail(Errno.EINVAL) : 0;
            case 0x894B: // SIOCOUTQNSD
                value = connection is null || IsOpening ? 0 : connection.Snapshot().NotSent;
                return IsListening ? Result.Fail(Errno.EINVAL) : 0;
            case 0x8905: // SIOCATMARK
                value = connection is { IsAtMark: true } ? 1 : 0;
                return 0;
            default:
                return Result.Fail(Errno.ENOTTY);
        }
    }

    private string? _congestion;

    private int SetNumber(int level, int name, int value)
    {
        bool on = value != 0;
        Action<TcpConnection>? change = null;
        switch (level, name)
        {
            case (LevelSocket, 2 or 15): // SO_REUSEADDR, SO_REUSEPORT: TIME-WAIT never holds a port back here
            case (LevelSocket, 12): // SO_PRIORITY: no queueing discipline looks at it
                break;
            case (LevelSocket, 7): // SO_SNDBUF
                _sendBuffer = value;
                change = c => c.SetSendBuffer(value);
                break;
            case (LevelSocket, 8): // SO_RCVBUF
                _receiveBuffer = value;
                change = c => c.SetReceiveBuffer(value);
                break;
            case (LevelSocket, 9): // SO_KEEPALIVE
                change = c =>
                {
                    c.KeepAlive = on;
                    c.ArmKeepAlive();
                };
                break;
            case (LevelSocket, 10): // SO_OOBINLINE
                change = c => c.UrgentInline = on;
                break;
            case (LevelSocket, 60): // SO_ZEROCOPY
                if (value is < 0 or > 1)
                {
                    return Result.Fail(Errno.EINVAL);
                }

                _zeroCopy = on;
                change = c => c.ZeroCopy.QueuesNotifications = on;
                break;
            case (LevelIp, 1): // IP_TOS
                _typeOfService = (byte)value;
                change = c => c.TypeOfService = (byte)value;
                break;
            case (LevelIp, 2): // IP_TTL
                if (value is not -1 and (< 1 or > 255))
                {
                    return Result.Fail(Errno.EINVAL);
                }

                change = value == -1 ? null : c => c.TimeToLive = (byte)value;
                break;
            case (LevelIp, 11): // IP_RECVERR: errors of ICMP are the connection's, as with it off
                break;
            case (LevelIp, 15): // IP_FREEBIND
                _freeBind = on;
                break;
            case (LevelTcp, 1): // TCP_NODELAY
                change = c => c.NoDelay = on;
                break;
            case (LevelTcp, 2): // TCP_MAXSEG
                if (value is not 0 and (< 88 or > 32767))
                {
                    return Result.Fail(Errno.EINVAL);
                }

                _maximumSegment = value;
                change = c => c.MaximumSegment = value;
                break;
            case (LevelTcp, 3): // TCP_CORK
                change = c => c.Cork = on;
                break;
            case (LevelTcp, 4): // TCP_KEEPIDLE
                change = c =>
                {
                    c.KeepAliveIdleNanos = value * Nanos.PerSecond;
                    c.ArmKeepAlive();
                };
                break;
            case (LevelTcp, 5): // TCP_KEEPINTVL
                change = c => c.KeepAliveIntervalNanos = value * Nanos.PerSecond;
                break;
            case (LevelTcp, 6): // TCP_KEEPCNT
                change = c => c.KeepAliveProbeLimit = value;
                break;
            case (LevelTcp, 8): // TCP_LINGER2
                change = c => c.LingerTwoNanos = value * Nanos.PerSecond;
                break;
            case (LevelTcp, 12): // TCP_QUICKACK
                change = c => c.QuickAck = on;
                break;
            case (LevelTcp, 18): // TCP_USER_TIMEOUT
                change = c => c.UserTimeoutNanos = value * Nanos.PerMillisecond;
                break;
            case (LevelTcp, TcpInq):
                if (value is < 0 or > 1)
                {
                    return Result.Fail(Errno.EINVAL);
                }

                _reportsQueue = on;
                break;
            default:
                return Result.Fail(Errno.ENOPROTOOPT);
        }

        if ((level, name, value) is (LevelTcp, 4 or 5, < 1 or > 32767) or (LevelTcp, 6, < 1 or > 127) or (LevelTcp, 18, < 0))
        {
            return Result.Fail(Errno.EINVAL);
        }

        lock (_gate)
        {
            _set[(level, name)] = value;
        }

        if (change is not null)
        {
            Change(change);
        }

        return 0;
    }

    private int? GetNumber(int level, int name, TcpConnection? connection)
    {
        switch (level, name)
        {
            case (LevelSocket, 3): // SO_TYPE
                return 1;
            case (LevelSocket, 4): // SO_ERROR
                return connection is null ? 0 : (int)SocketErrors.ToErrno(TakeError(connection));
            case (LevelSocket, 7):
                return connection?.Memory.SendBuffer
                    ?? (_sendBuffer > 0 ? stack.Tcp.Settings.FixedSendBuffer(_sendBuffer) : stack.Tcp.Settings.SendBufferDefault);
            case (LevelSocket, 8):
                return connection?.Memory.ReceiveBuffer
                    ?? (_receiveBuffer > 0 ? stack.Tcp.Settings.FixedReceiveBuffer(_receiveBuffer) : stack.Tcp.Settings.ReceiveBufferDefault);
            case (LevelSocket, 30): // SO_ACCEPTCONN
                return IsListening ? 1 : 0;
            case (LevelSocket, 38): // SO_PROTOCOL
                return 6;
            case (LevelSocket, 39): // SO_DOMAIN
                return 2;
            case (LevelTcp, 2) when connection is not null && !IsOpening:
                return connection.Snapshot().SendMss;
            case (LevelTcp, 2):
                const int Default = 536;
                return _maximumSegment > 0 ? _maximumSegment : Default;
            case (LevelTcp, 1) when connection is not null:
                return connection.NoDelay ? 1 : 0;
            case (LevelTcp, 3) when connection is not null:
                return connection.Cork ? 1 : 0;
            case (LevelTcp, 12):
                return connection is null or { QuickAck: true } ? 1 : 0;
            case (LevelIp, 2) when connection is not null:
                return connection.TimeToLive;
        }

        lock (_gate)
        {
            if (_set.TryGetValue((level, name), out int set))
            {
                return set;
            }
        }

        // What was never set: the default, for the options there are.
        return (level, name) switch
        {
            (LevelSocket, 2 or 9 or 10 or 12 or 15 or 60) => 0,
            (LevelIp, 1 or 11 or 15) => 0,
            (LevelIp, 2) => int.Parse(stack.Sysctl.Get("net.ipv4.ip_default_ttl"), System.Globalization.CultureInfo.InvariantCulture),
            (LevelTcp, 1 or 3 or 18 or TcpInq) => 0,
            (LevelTcp, 4) => SysctlNumber("net.ipv4.tcp_keepalive_time"),
            (LevelTcp, 5) => SysctlNumber("net.ipv4.tcp_keepalive_intvl"),
            (LevelTcp, 6) => SysctlNumber("net.ipv4.tcp_keepalive_probes"),
            (LevelTcp, 8) => SysctlNumber("net.ipv4.tcp_fin_timeout"),
            _ => null,
        };
    }

    private int? SysctlNumber(string key) =>
        stack.Sysctl.TryGet(key, out string? text) && int.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, out int value) ? value : null;

    private int SetLinger(ReadOnlySpan<byte> value)
    {
        if (value.Length < 8)
        {
            return Result.Fail(Errno.EINVAL);
        }

        _linger = new LingerOption(BinaryPrimitives.ReadInt32LittleEndian(value) != 0, Math.Max(0, BinaryPrimitives.ReadInt32LittleEndian(value[4..])));
        if (_socket is { } socket)
        {
            socket.LingerState = _linger;
        }

        return 0;
    }

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

    private static int WriteMemory(TcpConnection? connection, Span<byte> value)
    {
        Span<byte> bytes = stackalloc byte[36];
        if (connection is null)
        {
            bytes.Clear();
            return Copy(bytes, value);
        }

        TcpInfo info = connection.Snapshot();
        ReadOnlySpan<long> numbers =
        [
            info.ReceiveMemory, info.ReceiveBuffer, info.DeviceMemory, info.SendBuffer, info.ForwardAlloc, info.WriteQueueMemory, info.OptionalMemory,
            info.BacklogMemory, info.Drops,
        ];
        for (int i = 0; i < numbers.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(bytes[(4 * i)..], (uint)numbers[i]);
        }

        return Copy(bytes, value);
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

    /// <summary>An accepted socket begins with its listener's options.</summary>
    private void InheritFrom(SocketFile listener)
    {
        lock (listener._gate)
        {
            _prepared.AddRange(listener._prepared);
            foreach (((int, int) name, int value) in listener._set)
            {
                _set[name] = value;
            }
        }

        _zeroCopy = listener._zeroCopy;
        _reportsQueue = listener._reportsQueue;
        _linger = listener._linger;
        _receiveTimeoutNanos = listener._receiveTimeoutNanos;
        _sendTimeoutNanos = listener._sendTimeoutNanos;
        if (_socket is { } socket)
        {
            socket.LingerState = _linger;
        }
    }
}
