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

        Action<TcpConnection>? change = NumberedOptions.Change(level, name, value);
        if ((level, name) is (LevelTcp, 23 or 30 or 33 or 34))
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[2].At, NoFastOpen);
        }

        if (change is null)
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[2].At, $"the option {ScriptPrinter.Print(arguments[2])} is not run yet");
        }

        if (NumberedOptions.Check(level, name, value) is var refused and not Errno.None)
        {
            return CallOutcome.Fail(refused);
        }

        descriptor.Set[(level, name)] = value;
        descriptor.Change(change);
        if (descriptor.Listener?.Socket is { } listener)
        {
            NumberedOptions.ChangeListener(listener, level, name, value);
        }

        return new CallOutcome(0);
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
            long seconds = NumberedOptions.DeferredSeconds(descriptor.Set.GetValueOrDefault((level, name)));
            return new CallOutcome(0) { OutputMismatch = Compare(arguments, 3, seconds, "the option's value") };
        }

        long? value = (level, name) switch
        {
            (LevelSocket, 4) => TakeError(connection),
            (LevelSocket, 3) => 1,
            (LevelSocket, 30) => descriptor.Listener is not null ? 1 : 0,
            (LevelTcp, 36) => descriptor.TellsQueue ? 1 : 0,
            _ when NumberedOptions.Read(connection, level, name) is { } now => now,
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
