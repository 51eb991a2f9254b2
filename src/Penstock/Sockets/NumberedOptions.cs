using Penstock.Tcp;
using Penstock.Time;

namespace Penstock.Sockets;

/// <summary>
/// Linux's socket options whose value is a number, by level and number: which values they take, what they change on a connection and on a listener, and how they are read back. Once, for
/// native callers and for scripts.
/// </summary>
internal static class NumberedOptions
{
    public const int LevelIp = 0, LevelSocket = 1, LevelTcp = 6;

    /// <summary>Why an option does not take a value; <see cref="Errno.None"/> when it does.</summary>
    /// <remarks>TCP_RTO_MIN_US and TCP_DELACK_MAX_US take no more than 200 ms, and no less than two of Linux's clock ticks, which are a millisecond here.</remarks>
    public static Errno Check(long level, long name, long value) => (level, name, value) switch
    {
        (LevelTcp, 2, not 0 and (< 88 or > 32767)) or (LevelTcp, 4 or 5, < 1 or > 32767) or (LevelTcp, 6 or 7, < 1 or > 127) or (LevelTcp, 18, < 0) or (LevelTcp, 36, < 0 or > 1)
            or (LevelTcp, 44, < 1000 or > 120_000) or (LevelTcp, 45 or 46, <= 1000 or > 200_000) or (LevelTcp, 16 or 17, < 0 or > 1) => Errno.EINVAL,
        (LevelIp, 2, 0 or < -1 or > 255) or (LevelIp, 10, < 0 or > 5) or (LevelSocket, 60, < 0 or > 1) => Errno.EINVAL,
        _ => Errno.None,
    };

    /// <summary>What setting an option does to a connection that the caller owns, or has just made; null when there is no such option.</summary>
    public static Action<TcpConnection>? Change(long level, long name, long value) => (level, name) switch
    {
        // Nothing for the stack to do: SO_REUSEADDR, SO_PRIORITY, SO_REUSEPORT, SO_MARK; SO_PEEK_OFF and TCP_INQ are the reader's, IP_FREEBIND is the binding's affair; TCP_THIN_DUPACK has done nothing since Linux 4.18.
        (LevelSocket, 2 or 12 or 15 or 36 or 42) or (LevelIp, 15) or (LevelTcp, 17 or 36) => static _ => { },
        (LevelSocket, 7) => c => c.SetSendBuffer((int)value),
        (LevelSocket, 8) => c => c.SetReceiveBuffer((int)value),
        (LevelSocket, 9) => c => c.KeepAlive = value != 0,
        (LevelSocket, 10) => c => c.UrgentInline = value != 0,
        (LevelSocket, 18) => c => c.ReceiveLowWater = value < 0 ? int.MaxValue : (int)value,
        (LevelSocket, 32) => c => c.SetSendBuffer((int)value, most: int.MaxValue),
        (LevelSocket, 33) => c => c.SetReceiveBuffer((int)value, most: int.MaxValue),
        (LevelSocket, 47) => c => c.MaximumPacingRate = value < 0 ? Tcp.Pacing.Pacer.Unlimited : value,
        (LevelSocket, 60) => c => c.ZeroCopy.QueuesNotifications = value != 0,
        (LevelIp, 1) => c => c.TypeOfService = (byte)(value & ~3),
        (LevelIp, 2) => c => c.TimeToLive = value < 0 ? c.Stack.Tcp.Settings.TimeToLive : (byte)value,
        (LevelIp, 10) => c => c.PathMtuDiscovery = (PathMtuDiscovery)value,
        (LevelIp, 11) => c => c.ReportsIcmpErrors = value != 0,
        (LevelTcp, 1) => c => c.NoDelay = value != 0,
        (LevelTcp, 2) => c => c.MaximumSegment = (int)value,
        (LevelTcp, 3) => c => c.Cork = value != 0,
        (LevelTcp, 4) => c => c.KeepAliveIdleNanos = value * Nanos.PerSecond,
        (LevelTcp, 5) => c => c.KeepAliveIntervalNanos = value * Nanos.PerSecond,
        (LevelTcp, 6) => c => c.KeepAliveProbes = (int)value,
        (LevelTcp, 7) => c => c.SynRetries = (int)value,
        (LevelTcp, 8) => c => c.LingerTwoNanos = value * Nanos.PerSecond,
        (LevelTcp, 9) => c => c.DefersAck = value > 0,
        (LevelTcp, 10) => c => c.WindowClamp = (int)value,
        (LevelTcp, 12) => c => c.QuickAck = value != 0,
        (LevelTcp, 16) => c => c.ThinLinearTimeouts = value != 0,
        (LevelTcp, 18) => c => c.UserTimeoutNanos = value * Nanos.PerMillisecond,
        (LevelTcp, 25) => c => c.NotSentLowWater = (uint)value,
        (LevelTcp, 44) => c => c.MaximumRtoNanos = value * Nanos.PerMillisecond,
        (LevelTcp, 45) => c => c.MinimumRtoNanos = value * Nanos.PerMicrosecond,
        (LevelTcp, 46) => c => c.DelayedAckMaximumNanos = value * Nanos.PerMicrosecond,
        _ => null,
    };

    /// <summary>What a listener's SYN-ACKs show of an option.</summary>
    public static void ChangeListener(ListenSocket listener, long level, long name, long value)
    {
        switch (level, name)
        {
            case (LevelSocket, 8):
                listener.ReceiveBuffer = listener.Stack.Tcp.Settings.FixedReceiveBuffer((int)value);
                break;
            case (LevelSocket, 33):
                listener.ReceiveBuffer = listener.Stack.Tcp.Settings.FixedReceiveBuffer((int)value, most: int.MaxValue);
                break;
            case (LevelIp, 1):
                listener.TypeOfService = (byte)(value & ~3);
                break;
            case (LevelIp, 2):
                // -1 and 0 are the stack's own.
                listener.TimeToLive = (byte)Math.Max(0, value);
                break;
            case (LevelTcp, 2):
                listener.MaximumSegment = (int)value;
                break;
            case (LevelTcp, 7):
                listener.SynAckRetries = (int)value;
                break;
            case (LevelTcp, 9):
                listener.DeferredTimeouts = value > 0 ? DeferAccept.Timeouts(TimeSpan.FromSeconds(value)) : 0;
                break;
            case (LevelTcp, 10):
                listener.WindowClamp = value == 0 ? int.MaxValue : Math.Max((int)value, TcpConnection.SmallestReceiveBuffer / 2);
                break;
        }
    }

    /// <summary>An option of a connection as it is now; null when it has to be remembered as it was set, or does not exist.</summary>
    public static long? Read(TcpConnection connection, long level, long name) => (level, name) switch
    {
        (LevelSocket, 7) => connection.Memory.SendBuffer,
        (LevelSocket, 8) => connection.Memory.ReceiveBuffer,
        (LevelSocket, 9) => connection.KeepAlive ? 1 : 0,
        (LevelSocket, 10) => connection.UrgentInline ? 1 : 0,
        (LevelSocket, 18) => connection.ReceiveLowWater,
        (LevelSocket, 47) => connection.MaximumPacingRate == Tcp.Pacing.Pacer.Unlimited ? -1 : connection.MaximumPacingRate,
        (LevelIp, 1) => connection.TypeOfService,
        (LevelIp, 2) => connection.TimeToLive,
        (LevelIp, 10) => (long)connection.PathMtuDiscovery,
        (LevelIp, 11) => connection.ReportsIcmpErrors ? 1 : 0,
        (LevelTcp, 1) => connection.NoDelay ? 1 : 0,
        (LevelTcp, 2) => connection.SendMss,
        (LevelTcp, 3) => connection.Cork ? 1 : 0,
        (LevelTcp, 4) => connection.KeepAliveIdleNanos / Nanos.PerSecond,
        (LevelTcp, 5) => connection.KeepAliveIntervalNanos / Nanos.PerSecond,
        (LevelTcp, 6) => connection.KeepAliveProbes,
        (LevelTcp, 7) => connection.SynRetries,
        (LevelTcp, 8) => connection.LingerTwoNanos < 0 ? -1 : connection.LingerTwoNanos / Nanos.PerSecond,
        (LevelTcp, 10) => connection.WindowClampInEffect,
        (LevelTcp, 12) => connection.QuickAck ? 1 : 0,
        (LevelTcp, 16) => connection.ThinLinearTimeouts ? 1 : 0,
        (LevelTcp, 17) => 0,
        (LevelTcp, 18) => connection.UserTimeoutNanos / Nanos.PerMillisecond,
        (LevelTcp, 25) => connection.OwnNotSentLowWater,
        (LevelTcp, 44) => connection.MaximumRtoNanos / Nanos.PerMillisecond,
        (LevelTcp, 45) => connection.MinimumRtoNanos / Nanos.PerMicrosecond,
        (LevelTcp, 46) => connection.DelayedAckMaximumNanos / Nanos.PerMicrosecond,
        _ => null,
    };

    /// <summary>TCP_DEFER_ACCEPT as it is read back: the seconds that the set ones are worth in timeouts of the SYN-ACK.</summary>
    public static long DeferredSeconds(long set) => set > 0 ? (long)DeferAccept.Time(DeferAccept.Timeouts(TimeSpan.FromSeconds(set))).TotalSeconds : 0;
}
