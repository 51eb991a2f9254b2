using System.Net.Sockets;
using Penstock.Sockets;
using Penstock.Tcp;
using Penstock.Time;

namespace Penstock.Drill;

/// <summary>setsockopt, getsockopt, fcntl and ioctl, for the options that the stack has; another one skips the script.</summary>
internal sealed partial class SystemCalls
{
    private const long LevelIp = 0, LevelSocket = 1, LevelTcp = 6, IpReceiveError = 11, TcpInq = 36;

    internal const string NoFastOpen = "the stack does not speak TCP Fast Open";

    private static CallOutcome SetOption(Descriptor descriptor, Arguments arguments)
    {
        long level = arguments.Long(1);
        long name = arguments.Long(2);
        Expression given = arguments[3] is ArrayExpression { Items.Count: 1 } array ? array.Items[0] : arguments[3];
        if ((level, name) == (LevelTcp, 13) && given is StringExpression algorithm)
        {
            if (!Penstock.Tcp.Congestion.CongestionControl.Available.Contains(algorithm.Bytes.TrimEnd('\0')))
            {
                return CallOutcome.Fail(Errno.EPERM);
            }

            descriptor.Change(c => c.SetCongestionControl(algorithm.Bytes.TrimEnd('\0')));
            return new CallOutcome(0);
        }

        if ((level, name) == (LevelSocket, 13) && given is StructExpression { Kind: StructKind.Linger } linger)
        {
            return SetLinger(descriptor, linger);
        }

        long value = Arguments.Long(given);
        if ((level, name) == (LevelSocket, 60))
        {
            if (value is < 0 or > 1)
            {
                return CallOutcome.Fail(Errno.EINVAL);
            }

            descriptor.ZeroCopy = value != 0;
        }

        if ((level, name) == (LevelTcp, 36))
        {
            if (value is < 0 or > 1)
            {
                return CallOutcome.Fail(Errno.EINVAL);
            }

            descriptor.TellsQueue = value != 0;
        }

        Action<TcpConnection>? change = (level, name) switch
        {
            // Nothing for the stack to do: SO_REUSEADDR, SO_PRIORITY, SO_REUSEPORT, SO_MARK; IP_RECVERR, IP_FREEBIND of scripts change nothing that TCP does.
            (LevelSocket, 2 or 12 or 15 or 36) or (LevelIp, 11 or 15) => _ => { },
            (LevelSocket, 60) => c => c.ZeroCopy.QueuesNotifications = value != 0,
            (LevelTcp, 36) => _ => { }, // TCP_INQ: what a recvmsg tells
            (LevelSocket, 7) => c => c.SetSendBuffer((int)value),
            (LevelSocket, 8) => c => c.SetReceiveBuffer((int)value),
            (LevelSocket, 9) => c =>
            {
                c.KeepAlive = value != 0;
                c.ArmKeepAlive();
            },
            (LevelSocket, 10) => c => c.UrgentInline = value != 0,
            (LevelSocket, 18) => c => c.ReceiveLowWater = value < 0 ? int.MaxValue : (int)value,
            (LevelSocket, 47) => c => c.MaximumPacingRate = value is < 0 or uint.MaxValue ? Penstock.Tcp.Pacing.Pacer.Unlimited : value,
            (LevelIp, 10) => c => c.PathMtuDiscovery = (PathMtuDiscovery)value,
            (LevelIp, 1) => c => c.TypeOfService = (byte)(value & ~3),
            (LevelIp, 2) => c => c.TimeToLive = value < 0 ? c.Stack.Tcp.Settings.TimeToLive : (byte)value,
            (LevelTcp, 1) => c => c.NoDelay = value != 0,
            (LevelTcp, 2) => c => c.MaximumSegment = (int)value,
            (LevelTcp, 3) => c => c.Cork = value != 0,
            (LevelTcp, 4) => c =>
            {
                c.KeepAliveIdleNanos = value * Nanos.PerSecond;
                c.ArmKeepAlive();
            },
            (LevelTcp, 5) => c => c.KeepAliveIntervalNanos = value * Nanos.PerSecond,
            (LevelTcp, 6) => c => c.KeepAliveProbes = (int)value,
            (LevelTcp, 7) => c => c.SynRetries = (int)value,
            (LevelTcp, 8) => c => c.LingerTwoNanos = value * Nanos.PerSecond,
            (LevelTcp, 9) => c => c.DefersAck = value > 0,
            (LevelTcp, 10) => c => c.WindowClamp = (int)value,
            (LevelTcp, 12) => c => c.QuickAck = value != 0,
            (LevelTcp, 18) => c => c.UserTimeoutNanos = value * Nanos.PerMillisecond,
            (LevelTcp, 25) => c => c.NotSentLowWater = (uint)value,
            (LevelTcp, 44) => c => c.MaximumRtoNanos = value * Nanos.PerMillisecond,
            (LevelTcp, 45) => c => c.MinimumRtoNanos = value * Nanos.PerMicrosecond,
            (LevelTcp, 46) => c => c.DelayedAckMaximumNanos = value * Nanos.PerMicrosecond,
            _ => null,
        };
        if ((level, name) is (LevelTcp, 23 or 30 or 33 or 34))
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[2].At, NoFastOpen);
        }

        if (change is null)
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[2].At, $"the option {ScriptPrinter.Print(arguments[2])} is not run yet");
        }

        if ((level, name, value) is (LevelTcp, 2, not 0 and (< 88 or > 32767)) or (LevelTcp, 4 or 5, < 1 or > 32767) or (LevelTcp, 6 or 7, < 1 or > 127)
            or (LevelTcp, 18, < 0) or (LevelTcp, 36, < 0 or > 1) or (LevelTcp, 44, < 1000 or > 120_000) or (LevelTcp, 45 or 46, < 1) or (LevelIp, 2, 0 or < -1 or > 255)
            or (LevelIp, 10, < 0 or > 5))
        {
            return CallOutcome.Fail(Errno.EINVAL);
        }

        descriptor.Set[(level, name)] = value;
        descriptor.Change(change);
        if (descriptor.Listener?.Socket is { } listener)
        {
            ChangeListener(listener, level, name, value);
        }

        return new CallOutcome(0);
    }

    /// <summary>What a listener's SYN-ACKs show.</summary>
    private static void ChangeListener(ListenSocket listener, long level, long name, long value)
    {
        switch (level, name)
        {
            case (LevelSocket, 8):
                TcpSettings settings = listener.Stack.Tcp.Settings;
                listener.ReceiveBuffer = Math.Max((int)Math.Min(Math.Min(value, settings.CoreReceiveMax) * 2, int.MaxValue), settings.ReceiveBufferMin);
                break;
            case (LevelIp, 1):
                listener.TypeOfService = (byte)value;
                break;
            case (LevelIp, 2):
                listener.TimeToLive = (byte)value;
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
                listener.WindowClamp = value > 0 ? (int)value : int.MaxValue;
                break;
        }
    }

    private static CallOutcome SetLinger(Descriptor descriptor, StructExpression linger)
    {
        bool on = Arguments.Long(linger.Get("onoff")!) != 0;
        int seconds = (int)Arguments.Long(linger.Get("linger")!);
        if (on && seconds > 0)
        {
            throw new DrillStop(DrillOutcome.Skipped, linger.At, "close never waits in this stack: a linger time above 0 is not run");
        }

        descriptor.Linger = new LingerOption(on, seconds);
        if (descriptor.Socket is { } socket)
        {
            socket.LingerState = descriptor.Linger;
        }

        return new CallOutcome(0);
    }

    private CallOutcome GetOption(Descriptor descriptor, Arguments arguments)
    {
        long level = arguments.Long(1);
        long name = arguments.Long(2);
        TcpConnection connection = descriptor.Connection ?? Detached(descriptor);
        if ((level, name) == (LevelTcp, 9))
        {
            int waits = descriptor.Set.TryGetValue((level, name), out long seconds) && seconds > 0 ? DeferAccept.Timeouts(TimeSpan.FromSeconds(seconds)) : 0;
            return new CallOutcome(0) { OutputMismatch = Compare(arguments, 3, (long)DeferAccept.Time(waits).TotalSeconds, "the option's value") };
        }

        long? value = (level, name) switch
        {
            (LevelSocket, 4) => TakeError(connection),
            (LevelSocket, 3) => 1,
            (LevelSocket, 7) => connection.Memory.SendBuffer,
            (LevelSocket, 8) => connection.Memory.ReceiveBuffer,
            (LevelSocket, 9) => connection.KeepAlive ? 1 : 0,
            (LevelSocket, 30) => descriptor.Listener is not null ? 1 : 0,
            (LevelSocket, 18) => connection.ReceiveLowWater,
            (LevelSocket, 47) => connection.MaximumPacingRate == Penstock.Tcp.Pacing.Pacer.Unlimited ? -1 : connection.MaximumPacingRate,
            (LevelIp, 1) => connection.TypeOfService,
            (LevelIp, 2) => connection.TimeToLive,
            (LevelIp, 10) => (long)connection.PathMtuDiscovery,
            (LevelTcp, 4) => connection.KeepAliveIdleNanos / Nanos.PerSecond,
            (LevelTcp, 5) => connection.KeepAliveIntervalNanos / Nanos.PerSecond,
            (LevelTcp, 6) => connection.KeepAliveProbes,
            (LevelTcp, 7) => connection.SynRetries,
            (LevelTcp, 8) => connection.LingerTwoNanos < 0 ? -1 : connection.LingerTwoNanos / Nanos.PerSecond,
            (LevelTcp, 10) => connection.WindowClamp,
            (LevelTcp, 18) => connection.UserTimeoutNanos / Nanos.PerMillisecond,
            (LevelTcp, 25) => connection.OwnNotSentLowWater,
            (LevelTcp, 36) => descriptor.TellsQueue ? 1 : 0,
            (LevelTcp, 44) => connection.MaximumRtoNanos / Nanos.PerMillisecond,
            (LevelTcp, 45) => connection.MinimumRtoNanos / Nanos.PerMicrosecond,
            (LevelTcp, 46) => connection.DelayedAckMaximumNanos / Nanos.PerMicrosecond,
            (LevelTcp, 1) => connection.NoDelay ? 1 : 0,
            (LevelTcp, 2) => connection.SendMss,
            (LevelTcp, 3) => connection.Cork ? 1 : 0,
            (LevelTcp, 12) => connection.QuickAck ? 1 : 0,
            _ => descriptor.Set.TryGetValue((level, name), out long set) ? set : null,
        };
        if (value is not { } found)
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[2].At, $"the option {ScriptPrinter.Print(arguments[2])} cannot be read here yet");
        }

        return new CallOutcome(0) { OutputMismatch = Compare(arguments, 3, found, "the option's value") };
    }

    /// <summary>What a socket that is not connected would have: for reading options back as they took effect.</summary>
    private TcpConnection Detached(Descriptor descriptor)
    {
        var connection = new TcpConnection(stack, stack.OwnWorker, default, null);
        descriptor.ApplyTo(connection);
        connection.Discard();
        return connection;
    }

    private static long TakeError(TcpConnection? connection)
    {
        if (connection is null)
        {
            return 0;
        }

        connection.Own();
        SocketError error = connection.TakeError();
        connection.Release();
        return (long)SocketErrors.ToErrno(error);
    }

    private static CallOutcome Control(OpenFile descriptor, Arguments arguments)
    {
        const long ReadWrite = 2, NonBlocking = 2048;
        switch (arguments.Long(1))
        {
            case 3: // F_GETFL
                return new CallOutcome(ReadWrite | (descriptor.NonBlocking ? NonBlocking : 0));
            case 4: // F_SETFL
                descriptor.NonBlocking = (arguments.Long(2) & NonBlocking) != 0;
                return new CallOutcome(0);
            case 1 or 2:
                return new CallOutcome(0);
            default:
                throw new DrillStop(DrillOutcome.Skipped, arguments[1].At, "this fcntl is not run yet");
        }
    }

    private static CallOutcome Ioctl(Descriptor descriptor, Arguments arguments)
    {
        if (descriptor.Connection is not { } connection)
        {
            return CallOutcome.Fail(Errno.EINVAL);
        }

        long value = arguments.Long(1) switch
        {
            21531 => connection.ReadableUpToMark, // SIOCINQ, FIONREAD
            21521 => connection.UnacknowledgedBytes, // SIOCOUTQ
            35147 => connection.NotSentBytes, // SIOCOUTQNSD
            35077 => connection.IsAtMark ? 1 : 0, // SIOCATMARK
            _ => throw new DrillStop(DrillOutcome.Skipped, arguments[1].At, "this ioctl is not run yet"),
        };
        return new CallOutcome(0) { OutputMismatch = Compare(arguments, 2, value, "the value it gives") };
    }

    private static string? Compare(Arguments arguments, int index, long found, string what) =>
        arguments.IsEllipsis(index) || arguments[index] is ArrayExpression { Items: [EllipsisExpression] } || Arguments.Long(arguments[index]) == found
            ? null
            : $"{what} should be {ScriptPrinter.Print(arguments[index])} but is {Text(found)}";
}
