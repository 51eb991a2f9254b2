using System.Globalization;
using System.Net;
using Penstock.Bsd;
using Penstock.Ip;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>
/// The socket calls of a script: reads their arguments, makes them (Penstock.Bsd knows how), and says whether they did what the script expects. Holds the descriptors of one run.
/// </summary>
internal sealed partial class SystemCalls
{
    private readonly NetworkStack _stack;
    private readonly Pace _pace;
    private readonly IPEndPoint _defaultRemote;
    private readonly ushort _defaultPort;
    private readonly VirtualFiles _virtualFiles;
    private readonly DescriptorTable _files;
    private readonly List<TcpConnection> _seen = [];
    private readonly HashSet<int> _listened = [];
    private readonly List<CallMemory> _kept = [];
    private int _number;

    public SystemCalls(NetworkStack stack, Pace pace, IPEndPoint defaultRemote, ushort defaultPort, VirtualFiles files)
    {
        (_stack, _pace, _defaultRemote, _defaultPort, _virtualFiles) = (stack, pace, defaultRemote, defaultPort, files);
        _files = new DescriptorTable(() => _number, static _ => { });
    }

    /// <summary>An active open has begun, with these ports.</summary>
    public event Action<ushort, ushort>? Connecting;

    /// <summary>The port that was last listened on.</summary>
    public ushort? LastListenPort { get; private set; }

    /// <summary>The connection that assertions look at: the one that was last opened or accepted.</summary>
    public TcpConnection? Watched { get; private set; }

    /// <summary>The socket that was made last by socket(2).</summary>
    public SocketFile? Newest { get; private set; }

    /// <summary>How often a socket has begun to listen.</summary>
    public int Listens { get; private set; }

    public bool IsListening(ushort port) => _listened.Contains(port);

    /// <summary>Every connection there is, those without a descriptor included.</summary>
    public IEnumerable<TcpConnection> Connections()
    {
        foreach (FlowEntry entry in _stack.Tcp.Flows.Snapshot())
        {
            if (entry is TcpConnection connection && !_seen.Contains(connection))
            {
                _seen.Add(connection);
            }
        }

        return _seen;
    }

    /// <summary>The end of a run: as if everything was closed, but nothing is sent any more that would have to be answered.</summary>
    public void AbortAll()
    {
        foreach (OpenFile file in _files.Open)
        {
            (file as SocketFile)?.Disconnect();
        }

        _files.CloseAll(static _ => true);
    }

    /// <summary>Every call there is; docs/drill.md lists them.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "accept", "accept4", "bind", "close", "connect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "fcntl", "getsockopt", "ioctl", "listen",
        "open", "pipe", "pipe2", "poll", "read", "readv", "recv", "recvfrom", "recvmsg", "send", "sendfile", "sendmsg", "sendto", "setsockopt", "shutdown", "socket", "splice",
        "write", "writev",
    ];

    /// <summary>Makes a call; waits as it does. To be judged when it has returned.</summary>
    public CallOutcome Run(SystemCall call)
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
                return Socket(arguments);
            case "poll":
                return Poll(arguments);
            case "epoll_create":
                return arguments.Long(0) > 0 ? Add(call, new EpollFile(_pace)) : Fail(Errno.EINVAL);
            case "epoll_create1":
                return Add(call, new EpollFile(_pace));
            case "pipe" or "pipe2":
                return Pipe(arguments);
            case "open":
                return Open(arguments);
        }

        if (File(arguments, 0) is not { } file)
        {
            return Fail(Errno.EBADF);
        }

        switch (call.Name)
        {
            case "close":
                return new CallOutcome(_files.Close(arguments.Int(0)));
            case "fcntl":
                return Control(file, arguments);
            case "ioctl":
                return DeviceControl(file, arguments);
            case "read" or "readv":
                return Read(file, arguments);
            case "write" or "writev":
                return Write(file, arguments);
            case "splice":
                return Splice(file, arguments);
            case "epoll_ctl":
                return EpollControl(file, arguments);
            case "epoll_wait" or "epoll_pwait":
                return EpollWait(file, arguments);
        }

        if (file is not SocketFile socket)
        {
            return Fail(Errno.ENOTSOCK);
        }

        return call.Name switch
        {
            "bind" => new CallOutcome(socket.Bind(arguments.Address(1) ?? new IPEndPoint(IPAddress.Any, _defaultPort))),
            "listen" => Listen(socket, arguments),
            "accept" or "accept4" => Accept(socket, arguments),
            "connect" when arguments.IsUnspecified(1) => new CallOutcome(socket.Disconnect()),
            "connect" => Connect(socket, arguments),
            "shutdown" => new CallOutcome(socket.Shutdown(arguments.Int(1))),
            "recv" or "recvfrom" or "recvmsg" => Receive(socket, arguments),
            "send" or "sendto" or "sendmsg" => Send(socket, arguments),
            "sendfile" => SendFile(socket, arguments),
            "setsockopt" => SetOption(socket, arguments),
            _ => GetOption(socket, arguments),
        };
    }

    /// <summary>Null when the outcome is what the script expects, else a sentence.</summary>
    public static string? Judge(SystemCall call, CallOutcome outcome)
    {
        long? wanted = call.Result is AnyResult ? null : Arguments.Long(call.Result);
        string actual = outcome.Error == Errno.None ? Text(outcome.Result) : $"-1 {outcome.Error}";
        string expected = call.ErrorName is null ? wanted is null ? "anything" : Text(wanted.Value) : $"{Text(wanted ?? -1)} {call.ErrorName}";
        bool fits = wanted is null
            || (call.ErrorName is null
                ? outcome.Result >= 0 && outcome.Result == wanted
                : wanted == -1 && outcome.Result < 0 && Symbols.TryGet(call.ErrorName, out long number) && number == -outcome.Result);
        return !fits ? $"{call.Name}(...) should give {expected} but gives {actual}" : outcome.OutputMismatch;
    }

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static CallOutcome Fail(Errno error) => new(Result.Fail(error));

    private OpenFile? File(Arguments arguments, int index) => arguments.Long(index) is >= 0 and <= int.MaxValue and var number ? _files[(int)number] : null;

    /// <summary>A new descriptor, with the number that the script writes as the call's result.</summary>
    private CallOutcome Add(SystemCall call, OpenFile file)
    {
        bool hasNumber = call.ErrorName is null && call.Result is not AnyResult;
        return Add(file, hasNumber ? Arguments.Long(call.Result) : NextFree(), call.Name);
    }

    private CallOutcome Add(OpenFile file, long number, string name)
    {
        if (number is < 0 or > int.MaxValue || _files[(int)number] is not null)
        {
            file.Close();
            throw DrillStop.Failed($"{name}(...) gave a new descriptor, but {number} cannot be its number");
        }

        _number = (int)number;
        return new CallOutcome(_files.Add(file));
    }

    private int NextFree()
    {
        int number = 3;
        while (_files[number] is not null)
        {
            number++;
        }

        return number;
    }

    private CallOutcome Socket(Arguments arguments)
    {
        long type = arguments.Long(1, 1);
        const long CloseOnExec = 524288;
        if (arguments.Long(0, 2) == 10)
        {
            throw DrillStop.Skipped(ScriptRun.NoIpv6);
        }

        if (arguments.Long(0, 2) != 2 || (type & ~(OpenFile.NonBlockFlag | CloseOnExec)) != 1 || arguments.Long(2, 6) is not (0 or 6))
        {
            throw DrillStop.Skipped("the stack has TCP sockets only");
        }

        Newest = new SocketFile(_stack, _pace) { NonBlocking = (type & OpenFile.NonBlockFlag) != 0 };
        return Add(arguments.Call, Newest);
    }

    private CallOutcome Listen(SocketFile socket, Arguments arguments)
    {
        int result = socket.Listen(arguments.Int(1));
        if (result == 0)
        {
            LastListenPort = (ushort)socket.LocalEndPoint.Port;
            Listens++;
            _listened.Add(socket.LocalEndPoint.Port);
        }

        return new CallOutcome(result);
    }

    private CallOutcome Accept(SocketFile socket, Arguments arguments)
    {
        int result = socket.Accept((arguments.Long(3, 0) & OpenFile.NonBlockFlag) != 0, out SocketFile? accepted);
        if (accepted is null)
        {
            return new CallOutcome(result);
        }

        Connections();
        Watched = accepted.Connection;
        return Add(arguments.Call, accepted);
    }

    private CallOutcome Connect(SocketFile socket, Arguments arguments)
    {
        TcpConnection? before = socket.Connection;
        int begun = socket.BeginConnect(arguments.Address(1) ?? _defaultRemote);
        if (socket.Connection is { } connection && connection != before)
        {
            // Told before the call waits: the script may look at the SYN.
            Watched = connection;
            Connections();
            Connecting?.Invoke(connection.Key.LocalPort, connection.Key.RemotePort);
        }

        return new CallOutcome(socket.FinishConnect(begun));
    }
}
