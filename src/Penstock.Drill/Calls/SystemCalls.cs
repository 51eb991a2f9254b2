using System.Net;
using System.Net.Sockets;
using Penstock.Ip;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>
/// Linux's socket calls over the stack's internal faces: the descriptors of one run and what each call does to them. It never waits: a call that has
/// to is an attempt that says so.
/// </summary>
internal sealed partial class SystemCalls(NetworkStack stack, IPEndPoint defaultRemote, ushort defaultPort, VirtualFiles files)
{
    private readonly Dictionary<long, OpenFile> _open = [];
    private readonly List<TcpConnection> _seen = [];
    private readonly List<TcpSocketListener> _listeners = [];

    /// <summary>An active open has begun, with these ports.</summary>
    public event Action<ushort, ushort>? Connecting;

    /// <summary>The port that was last listened on.</summary>
    public ushort? LastListenPort { get; private set; }

    /// <summary>The connection that assertions look at: the one that was last opened or accepted.</summary>
    public TcpConnection? Watched { get; private set; }

    public bool IsListening(ushort port) => _listeners.Exists(l => l.LocalEndPoint.Port == port);

    /// <summary>Every connection there is, those without a descriptor included.</summary>
    public IEnumerable<TcpConnection> Connections()
    {
        foreach (FlowEntry entry in stack.Tcp.Flows.Snapshot())
        {
            if (entry is TcpConnection connection && !_seen.Contains(connection))
            {
                _seen.Add(connection);
            }
        }

        return _seen;
    }

    public void AbortAll()
    {
        foreach (OpenFile file in _open.Values)
        {
            file.Abort();
        }

        _open.Clear();
    }

    public SystemCallAttempt Prepare(SystemCall call)
    {
        if (!Names.Contains(call.Name))
        {
            throw NearestName.Find(call.Name, Names) is { } near
                ? new DrillStop(DrillOutcome.Failed, call.At, $"there is no call '{call.Name}'; did you mean {near}?")
                : new DrillStop(DrillOutcome.Skipped, call.At, $"the call {call.Name} is not run here");
        }

        var arguments = new Arguments(call);
        switch (call.Name)
        {
            case "socket":
                return Done(Socket(arguments));
            case "poll":
                return Poll(arguments);
            case "epoll_create":
                return Done(arguments.Long(0) > 0 ? Fresh(new EpollInstance()) : CallOutcome.Fail(Errno.EINVAL));
            case "epoll_create1":
                return Done(Fresh(new EpollInstance()));
            case "pipe" or "pipe2":
                return Done(Pipe(arguments));
            case "open":
                return Done(OpenFile(arguments));
        }

        if (!_open.TryGetValue(arguments.Long(0), out OpenFile? file))
        {
            return Done(CallOutcome.Fail(Errno.EBADF));
        }

        SystemCallAttempt? attempt = call.Name switch
        {
            "close" => Done(Close(arguments)),
            "fcntl" => Done(Control(file, arguments)),
            "epoll_ctl" => Done(EpollControl(file, arguments)),
            "epoll_wait" or "epoll_pwait" => EpollWait(file, arguments),
            "splice" => Splice(file, arguments),
            "sendfile" => SendFile(file, arguments),
            "read" when file is not Descriptor => Done(ReadFile(file, arguments)),
            "write" when file is not Descriptor => Done(WriteFile(file, arguments)),
            _ => null,
        };
        if (attempt is not null)
        {
            return attempt;
        }

        if (file is not Descriptor socket)
        {
            return Done(CallOutcome.Fail(Errno.ENOTSOCK));
        }

        return call.Name switch
        {
            "bind" => Done(Bind(socket, arguments)),
            "listen" => Done(Listen(socket, arguments)),
            "accept" or "accept4" => Accept(socket, call.Name == "accept4" ? arguments.Long(3, 0) : 0),
            "connect" => Connect(socket, arguments),
            "shutdown" => Done(Shutdown(socket, arguments)),
            "ioctl" => Done(Ioctl(socket, arguments)),
            "read" or "recv" or "recvfrom" or "readv" or "recvmsg" => Receive(socket, call.Name, arguments),
            "write" or "send" or "sendto" or "writev" or "sendmsg" => Send(socket, call.Name, arguments),
            "setsockopt" => Done(SetOption(socket, arguments)),
            "getsockopt" => Done(GetOption(socket, arguments)),
            _ => Done(CallOutcome.Fail(Errno.EINVAL)),
        };
    }

    /// <summary>Every call there is; docs/drill.md lists them.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "accept", "accept4", "bind", "close", "connect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "fcntl", "getsockopt", "ioctl", "listen",
        "open", "pipe", "pipe2", "poll", "read", "readv", "recv", "recvfrom", "recvmsg", "send", "sendfile", "sendmsg", "sendto", "setsockopt", "shutdown", "socket", "splice",
        "write", "writev",
    ];

    /// <summary>Null when the outcome is what the script expects, else a sentence. Gives a new descriptor the script's number.</summary>
    public string? Judge(SystemCall call, CallOutcome outcome)
    {
        long? wanted = call.Result is AnyResult ? null : Arguments.Long(call.Result);
        if (outcome.Error == Errno.None && call.ErrorName is null && _fresh is { } fresh)
        {
            long number = wanted ?? NextFree();
            if (number < 0 || _open.ContainsKey(number))
            {
                fresh.Abort();
                _fresh = null;
                return $"{call.Name}(...) gave a new descriptor, but {number} cannot be its number";
            }

            _open[number] = fresh;
            _fresh = null;
            ArmEpolls();
            return outcome.OutputMismatch;
        }

        if (_fresh is not null)
        {
            _fresh.Abort();
            _fresh = null;
        }

        ArmEpolls();

        string actual = outcome.Error == Errno.None ? Text(outcome.Result) : $"-1 {outcome.Error}";
        string expected = call.ErrorName is null ? wanted is null ? "anything" : Text(wanted.Value) : $"{Text(wanted ?? -1)} {call.ErrorName}";
        bool fits = wanted is null
            || (outcome.Result == wanted
                && (outcome.Error == Errno.None) == (call.ErrorName is null)
                && (call.ErrorName is null || (Symbols.TryGet(call.ErrorName, out long number2) && number2 == (long)outcome.Error)));
        return !fits ? $"{call.Name}(...) should give {expected} but gives {actual}" : outcome.OutputMismatch;
    }

    private static string Text(long value) => value.ToString(System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>What a call has just made, until the script has given it a number.</summary>
    private OpenFile? _fresh;

    private CallOutcome Fresh(OpenFile file)
    {
        _fresh = file;
        return new CallOutcome(NextFree());
    }

    private void ArmEpolls()
    {
        foreach (OpenFile file in _open.Values)
        {
            (file as EpollInstance)?.Arm();
        }
    }

    private long NextFree()
    {
        long number = 3;
        while (_open.ContainsKey(number))
        {
            number++;
        }

        return number;
    }

    private static SystemCallAttempt Done(CallOutcome outcome) => new(() => outcome);

    private CallOutcome Socket(Arguments arguments)
    {
        long type = arguments.Long(1, 1);
        const long NonBlocking = 2048, CloseOnExec = 524288;
        if (arguments.Long(0, 2) == 10)
        {
            throw DrillStop.Skipped(ScriptRun.NoIpv6);
        }

        if (arguments.Long(0, 2) != 2 || (type & ~(NonBlocking | CloseOnExec)) != 1 || arguments.Long(2, 6) is not (0 or 6))
        {
            throw DrillStop.Skipped("the stack has TCP sockets only");
        }

        return Fresh(new Descriptor { NonBlocking = (type & NonBlocking) != 0 });
    }

    private CallOutcome Bind(Descriptor descriptor, Arguments arguments)
    {
        if (descriptor.Bound is not null || descriptor.Socket is not null)
        {
            return CallOutcome.Fail(Errno.EINVAL);
        }

        IPEndPoint address = arguments.Address(1) ?? new IPEndPoint(IPAddress.Any, defaultPort);
        if (!address.Address.Equals(IPAddress.Any) && !stack.Ip.IsLocal(Wire.IpAddress.From(address.Address)))
        {
            return CallOutcome.Fail(Errno.EADDRNOTAVAIL);
        }

        descriptor.Bound = address;
        return new CallOutcome(0);
    }

    private CallOutcome Listen(Descriptor descriptor, Arguments arguments)
    {
        if (descriptor.Socket is not null)
        {
            return CallOutcome.Fail(Errno.EINVAL);
        }

        if (descriptor.Listener is not null)
        {
            return new CallOutcome(0);
        }

        try
        {
            descriptor.Listener = stack.ListenTcp(new TcpListenOptions(descriptor.Bound ?? new IPEndPoint(IPAddress.Any, 0))
            {
                Backlog = (int)Math.Clamp(arguments.Long(1), 1, int.MaxValue),
                Prepare = descriptor.ApplyTo,
                MaximumSegmentSize = descriptor.Set.TryGetValue((6, 2), out long most) && most > 0 ? (int)most : null,
                DeferAccept = descriptor.Set.TryGetValue((6, 9), out long wait) && wait > 0 ? TimeSpan.FromSeconds(wait) : null,
                SynAckRetries = descriptor.Set.TryGetValue((6, 7), out long retries) ? (int)retries : null,
                WindowClamp = descriptor.Set.TryGetValue((6, 10), out long clamp) && clamp > 0 ? (int)clamp : null,
                ReceiveBufferSize = descriptor.Set.TryGetValue((1, 8), out long size) ? (int)size : null,
            });
        }
        catch (SocketException refused)
        {
            return CallOutcome.Fail(SocketErrors.ToErrno(refused.SocketErrorCode));
        }

        _listeners.Add(descriptor.Listener);
        LastListenPort = (ushort)descriptor.Listener.LocalEndPoint.Port;
        return new CallOutcome(0);
    }

    private SystemCallAttempt Accept(Descriptor descriptor, long flags) => new(() =>
    {
        if (descriptor.Listener is not { } listener)
        {
            return CallOutcome.Fail(Errno.EINVAL);
        }

        if (listener.TryAccept() is not { } socket)
        {
            return descriptor.NonBlocking ? CallOutcome.Fail(Errno.EAGAIN) : null;
        }

        Connections();
        Watched = socket.Connection;
        var accepted = new Descriptor { Socket = socket, WasConnected = true, NonBlocking = (flags & 2048) != 0 };
        accepted.InheritFrom(descriptor);
        return Fresh(accepted);
    });

    private SystemCallAttempt Connect(Descriptor descriptor, Arguments arguments)
    {
        if (descriptor.Listener is not null)
        {
            return Done(CallOutcome.Fail(Errno.EISCONN));
        }

        if (descriptor.Socket is not null && !descriptor.IsConnecting && descriptor.WasConnected)
        {
            return Done(CallOutcome.Fail(Errno.EISCONN));
        }

        bool again = descriptor.IsConnecting;
        if (!again)
        {
            try
            {
                TcpSocket socket = stack.BeginConnectTcp(
                    arguments.Address(1) ?? defaultRemote,
                    new TcpConnectOptions { LocalEndPoint = descriptor.Bound, Prepare = descriptor.ApplyTo });
                descriptor.Socket = socket;
                socket.LingerState = descriptor.Linger;
                Watched = socket.Connection;
                Connections();
                Connecting?.Invoke((ushort)socket.LocalEndPoint.Port, (ushort)socket.RemoteEndPoint.Port);
            }
            catch (SocketException failed)
            {
                return Done(CallOutcome.Fail(SocketErrors.ToErrno(failed.SocketErrorCode)));
            }

            descriptor.IsConnecting = true;
        }

        return new SystemCallAttempt(() =>
        {
            TcpConnection connection = descriptor.Connection!;
            switch (connection.State)
            {
                case TcpConnectionState.SynSent or TcpConnectionState.SynReceived:
                    return descriptor.NonBlocking ? CallOutcome.Fail(again ? Errno.EALREADY : Errno.EINPROGRESS) : null;
                case TcpConnectionState.Closed when !descriptor.WasConnected:
                    descriptor.IsConnecting = false;
                    SocketError error = connection.TakeError();
                    descriptor.Socket!.Dispose();
                    descriptor.Socket = null;
                    return CallOutcome.Fail(error == SocketError.Success ? Errno.ECONNABORTED : SocketErrors.ToErrno(error));
                default:
                    descriptor.IsConnecting = false;
                    descriptor.WasConnected = true;
                    return new CallOutcome(0);
            }
        });
    }

    private CallOutcome Close(Arguments arguments)
    {
        _open.Remove(arguments.Long(0), out OpenFile? file);
        foreach (OpenFile other in _open.Values)
        {
            (other as EpollInstance)?.Forget(file!);
        }

        file!.Close();
        return new CallOutcome(0);
    }

    private static CallOutcome Shutdown(Descriptor descriptor, Arguments arguments)
    {
        long how = arguments.Long(1);
        if (how is < 0 or > 2)
        {
            return CallOutcome.Fail(Errno.EINVAL);
        }

        if (descriptor.Socket is not { } socket)
        {
            return CallOutcome.Fail(Errno.ENOTCONN);
        }

        try
        {
            socket.Shutdown((SocketShutdown)how);
            return new CallOutcome(0);
        }
        catch (SocketException wrong)
        {
            return CallOutcome.Fail(SocketErrors.ToErrno(wrong.SocketErrorCode));
        }
    }
}
