using System.Net;
using Penstock.Links;
using Penstock.Tcp;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Drill;

/// <summary>
/// One run of one script: a fresh stack, its wire, its clock. Walks the events in order, lets time pass between them, checks the stack's
/// invariants at every step and, when all is over, that the stack has given everything back. Used once.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage(
    "Design", "CA1001", Justification = "The run itself ends by disposing the stack, which owns the link.")]
internal sealed partial class ScriptRun
{
    /// <summary>How long a packet is waited for behind the time it was expected at, to be able to say how late it came.</summary>
    private const long Patience = 150 * Nanos.PerSecond;

    private readonly Script _script;
    private readonly DrillRunOptions _options;
    private readonly VirtualTime _time = new();
    private readonly ScriptPace _pace;
    private readonly NetworkStack _stack;
    private readonly PcapNgWriter? _capture;
    private readonly DrillLink _link;
    private readonly SystemCalls _calls;
    private readonly ShellCommands _commands;
    private readonly CodeEvaluator _evaluator;
    private readonly WireLog _wire;
    private readonly List<string> _output = [];
    private readonly TimingTolerance _tolerance;
    private readonly long _startNanos;
    private readonly IpAddress _local;
    private readonly IpAddress _remote;
    private ScriptEvent? _current;
    private PendingCall? _pending;
    private long _previousNanos;
    private long? _injectedAtNanos;

    public ScriptRun(Script script, DrillRunOptions options, IReadOnlyList<KeyValuePair<string, string>>? sysctls = null)
    {
        _script = script;
        _options = options;
        HeadOptions head = script.Options;
        long tolerance = Nanos.From(options.Tolerance);
        _tolerance = TimingTolerance.From(head, new TimingTolerance(tolerance, tolerance == 0 ? 0 : TimingTolerance.Default.Percent));
        IPAddress local = IPAddress.Parse(head.GetText("local_ip") ?? "192.168.0.1");
        IPAddress remote = IPAddress.Parse(head.GetText("remote_ip") ?? "192.0.2.1");
        _local = IpAddress.From(local);
        _remote = IpAddress.From(remote);
        _capture = options.Capture is null ? null : new PcapNgWriter(options.Capture, "drill", leaveOpen: true);
        _link = new DrillLink((int)(head.GetLong("mtu") ?? 1500), _capture) { MergedSegment = (int)(head.GetLong("mss") ?? 0) };
        _stack = new NetworkStack(new NetworkStackOptions { Name = "drill", Driver = _time, Seed = options.Seed }) { Omitted = options.Omitted };
        if (_local.IsIPv4 && _remote.IsIPv4)
        {
            _stack.AddInterface(_link, new InterfaceAddress(local, 16));
            _stack.AddRoute(new IPNetwork(IPAddress.Any, 0), _link);
        }

        foreach ((string key, string value) in options.Sysctls.Concat(sysctls ?? []))
        {
            _stack.Sysctl.Set(key, value);
        }

        var files = new VirtualFiles();
        _commands = new ShellCommands(_stack.Sysctl, files, options.ReadFile);
        _startNanos = _time.NowNanos;
        _wire = new WireLog(_startNanos);
        _link.Sent = _wire.AddOut;
        _bindPort = (ushort)(head.GetLong("bind_port") ?? 8080);
        _pace = new ScriptPace(_time);
        _calls = new SystemCalls(_stack, _pace, new IPEndPoint(remote, (int)(head.GetLong("connect_port") ?? 8080)), _bindPort, files);
        _calls.Connecting += OnConnecting;
        _evaluator = new CodeEvaluator(name => InfoVariables.Find(name, () => Watched?.Snapshot() ?? _calls.Newest?.Info()), _output.Add);
    }

    private long ElapsedNanos => _time.NowNanos - _startNanos;

    public DrillResult Run()
    {
        DrillOutcome outcome = DrillOutcome.Passed;
        string? message = null;
        long duration = 0;
        try
        {
            CheckSupported();
            RunAll();
        }
        catch (DrillStop stop)
        {
            outcome = stop.Outcome;
            SourcePosition at = stop.At ?? _current?.At ?? new SourcePosition(1, 1);
            message = _script.ErrorAt(at, stop.Message).ToString();
        }
        catch
        {
            GiveUp();
            _capture?.Dispose();
            throw;
        }

        duration = ElapsedNanos;
        List<string> packets = _wire.Render(Describe);
        if (TearDown() is { } leak && outcome == DrillOutcome.Passed)
        {
            outcome = DrillOutcome.Failed;
            message = $"{_script.Path}: {leak}";
        }

        _capture?.Dispose();
        return new DrillResult(outcome, message, packets, _output, TimeSpan.FromTicks(duration / 100));
    }

    private void CheckSupported()
    {
        if (_script.Options.GetText("ip_version") is "ipv6" or "ipv4-mapped-ipv6" || !_local.IsIPv4 || !_remote.IsIPv4)
        {
            throw DrillStop.Skipped(NoIpv6);
        }

        foreach (ScriptEvent next in _script.Events)
        {
            if (WhyNotRun(next) is { } reason)
            {
                throw new DrillStop(DrillOutcome.Skipped, next.At, reason);
            }
        }
    }

    internal const string NoIpv6 = "the stack speaks IPv4 only";

    /// <summary>What the stack does not speak makes a script one to skip, wherever it stands.</summary>
    private static string? WhyNotRun(ScriptEvent next)
    {
        if (next is UdpIn or UdpOut)
        {
            return "the stack has no UDP";
        }

        TcpPattern? packet = (next as PacketIn)?.Packet ?? (next as PacketOut)?.Packet;
        foreach (DrillOption option in packet?.Options ?? [])
        {
            switch (option)
            {
                case FastOpenOption:
                    return SystemCalls.NoFastOpen;
                case Md5Option:
                    return "the stack does not sign segments (RFC 2385)";
                case AccEcnOption:
                    return "the stack does not speak accurate ECN (RFC 9768)";
            }
        }

        return packet?.Ip.FlowLabel is not null ? NoIpv6 : null;
    }

    /// <summary>How timestamps are compared now: the allowance grows with the time since the script's start, as the clocks' difference does.</summary>
    private TimestampRule TimestampRule() => new((_script.Options.GetLong("tcp_ts_tick_usecs") ?? 0) * 1000, Math.Max(_tolerance.Allowance(ElapsedNanos), 1_000_000))
    {
        ComparesEchoes = _options.CompareEchoedTimestamps,
    };

    private void RunAll()
    {
        if (_script.InitCommand is { } init)
        {
            _current = init;
            RunCommand(init);
        }

        foreach (ScriptEvent next in _script.Events)
        {
            _current = next;
            RunEvent(next);
        }

        FinishPending();
        if (_options.FailOnUnreadPackets && _link.Waiting > 0)
        {
            throw DrillStop.Failed("the script ends here, but the stack has sent a packet that it does not expect; see the last packets below");
        }
    }

    private void RunEvent(ScriptEvent next)
    {
        bool injects = next is PacketIn or UdpIn or IcmpIn;

        // Of two injected packets in a row the second counts from the first's written time, so that a burst keeps its spacing.
        long origin = injects && _injectedAtNanos is { } written ? written : ElapsedNanos;
        TimeSpec time = next.Time.Resolve(origin);
        _previousNanos = ElapsedNanos;
        _injectedAtNanos = injects ? time.StartNanos : null;
        switch (next)
        {
            case PacketOut expected:
                Expect(expected.Packet, expected.Payload, time);
                return;
            case IcmpOut expected:
                Expect(expected.Packet, time);
                return;
        }

        if (next is SystemCall { Time.CallEndNanos: not null })
        {
            // Scripts have one thread for calls that wait; what does not wait goes on beside it.
            FinishPending();
        }

        WaitUntil(time, "the event");
        switch (next)
        {
            case PacketIn packet:
                Inject(packet.Packet, packet.Payload);
                break;
            case IcmpIn packet:
                Inject(packet.Packet);
                break;
            case SystemCall call:
                Call(call, time);
                break;
            case Command command:
                RunCommand(command);
                break;
            case Code code:
                RunCode(code);
                break;
            case Check check:
                RunCheck(check);
                break;
            case ApplicationStart start:
                StartApplication(start);
                break;
        }

        Settle();
    }

    private void WaitUntil(TimeSpec time, string what)
    {
        if (time.StartNanos >= ElapsedNanos)
        {
            PassTimeUntil(_startNanos + time.StartNanos);
        }
        else if (_tolerance.Check(time, _previousNanos, ElapsedNanos, what) is { } late)
        {
            throw DrillStop.Failed(late);
        }
    }

    /// <summary>Lets time pass event by event, so that a blocked call returns at the very moment at which it can.</summary>
    private void PassTimeUntil(long nanos)
    {
        while (true)
        {
            Settle();
            long next = Math.Min(NextNanos(), nanos);
            if (next > _time.NowNanos)
            {
                _time.RunUntil(next);
            }

            if (_time.NowNanos >= nanos && !_time.HasWork)
            {
                Settle();
                return;
            }
        }
    }

    private long NextNanos() => Math.Min(_time.NextEventNanos, _pace.DeadlineNanos);

    /// <summary>Does what is due now, gives a blocked call its chance, and checks that the stack's books are right.</summary>
    private void Settle()
    {
        do
        {
            _time.RunReady();
        }
        while (LetCallGoOn());

        LookAtApplications();
        foreach (TcpConnection connection in _calls.Connections())
        {
            if (connection.VerifyInvariants() is { } wrong)
            {
                throw DrillStop.Failed($"the stack's own bookkeeping is wrong at {TimingTolerance.Seconds(ElapsedNanos)} s: {wrong}");
            }
        }
    }

    private void Call(SystemCall call, TimeSpec time)
    {
        if (time.CallEndNanos is null)
        {
            CheckCall(call, _calls.Run(call), time);
            return;
        }

        var pending = new PendingCall(call, time);
        _pending = pending;
        _pace.Begin(() => pending.Outcome = _calls.Run(call));
        CheckPending();
    }

    /// <summary>True when the call that waits has gone on.</summary>
    private bool LetCallGoOn()
    {
        if (!_pace.IsDue)
        {
            return false;
        }

        _pace.Continue();
        CheckPending();
        return true;
    }

    private void CheckPending()
    {
        if (_pending is { Outcome: { } outcome } ended)
        {
            _pending = null;
            CheckCall(ended.Call, outcome, ended.Time);
        }
    }

    private void CheckCall(SystemCall call, CallOutcome outcome, TimeSpec time)
    {
        if (SystemCalls.Judge(call, outcome) is { } wrong)
        {
            throw new DrillStop(DrillOutcome.Failed, call.At, wrong);
        }

        TimeSpec end = TimeSpec.Absolute(time.CallEndNanos ?? time.StartNanos);
        if (_tolerance.Check(end, time.StartNanos, ElapsedNanos, $"{call.Name}(...)'s return") is { } off && time.CallEndNanos is not null)
        {
            throw new DrillStop(DrillOutcome.Failed, call.At, off);
        }
    }

    private void FinishPending()
    {
        if (_pending is not { } pending)
        {
            return;
        }

        long end = _startNanos + pending.Time.CallEndNanos!.Value;
        PassTimeUntil(Math.Max(end, _time.NowNanos));
        if (_pending is not null)
        {
            throw new DrillStop(DrillOutcome.Failed, pending.Call.At,
                $"{pending.Call.Name}(...) should have returned at {TimingTolerance.Seconds(end - _startNanos)} s and is still waiting");
        }
    }

    private void RunCode(Code code)
    {
        if (_evaluator.Run(code) is { } failure)
        {
            throw new DrillStop(DrillOutcome.Failed, failure.At, failure.Message);
        }
    }

    private void RunCommand(Command command)
    {
        if (_commands.Run(command.Line) is { } unknown)
        {
            throw new DrillStop(DrillOutcome.Skipped, command.At, unknown);
        }
    }

    /// <summary>Ends what the script has begun: the thread of a call that waits would stay for ever.</summary>
    private void GiveUp()
    {
        try
        {
            EndApplications();
        }
        finally
        {
            try
            {
                _pace.GiveUp();
            }
            finally
            {
                _calls.AbortAll();
            }
        }
    }

    /// <summary>Closes everything, lets time run on, and looks whether the stack has given back all it held. Null when it has.</summary>
    private string? TearDown()
    {
        try
        {
            GiveUp();
            _time.Run(async () => await _stack.DisposeAsync().ConfigureAwait(true), TimeSpan.FromHours(1));
        }
        catch (TimeoutException stuck)
        {
            return $"the stack cannot be closed after the script: {stuck.Message}";
        }

        return _stack.Pool.RentedBuffers != 0 || _stack.Pool.RentedSlabs != 0 || _stack.Tcp.Memory.AllocatedPages != 0
            ? $"after the script the stack still holds {_stack.Pool.RentedBuffers} buffers, {_stack.Pool.RentedSlabs} slabs and "
                + $"{_stack.Tcp.Memory.AllocatedPages} pages"
            : null;
    }

    /// <summary>The call that waits, or has ended and has not been judged.</summary>
    private sealed record PendingCall(SystemCall Call, TimeSpec Time)
    {
        public CallOutcome? Outcome { get; set; }
    }
}
