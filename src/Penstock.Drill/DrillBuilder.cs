using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Penstock.Drill;

/// <summary>
/// A packet script written in C#, for unit tests: each call adds a step, <see cref="Run"/> runs them against a fresh stack in virtual time. Packets, calls and
/// assertions are written as in script files (docs/drill.md); what files cannot have is payload, checks in C#, and an application of yours as the stack's user.
/// </summary>
/// <example>
/// <code>
/// new DrillBuilder()
///     .Listen()
///     .After(0.1).Inject("S 0:0(0) win 65535 &lt;mss 1460&gt;")
///     .Expect("S. 0:0(0) ack 1 &lt;...&gt;")
///     .After(0.1).Inject(". 1:1(0) ack 1 win 65535")
///     .Accept()
///     .Write(1000)
///     .Expect("P. 1:1001(1000) ack 1")
///     .Run().EnsurePassed();
/// </code>
/// </example>
/// <remarks>A step that cannot be understood throws <see cref="ScriptException"/> where it is added. Not thread-safe; a finished builder may be run any number of times.</remarks>
public sealed class DrillBuilder
{
    private const int ListenerNumber = 3;

    private readonly List<HeadOption> _options = [];
    private readonly List<KeyValuePair<string, string>> _sysctls = [];
    private readonly List<ScriptEvent> _events = [];
    private readonly List<string> _lines = [];
    private readonly string _name;
    private string _time = "+0";
    private long _lastNumber = ListenerNumber - 1;
    private long _connection = ListenerNumber;

    /// <summary>Begins a script without steps.</summary>
    /// <param name="name">What messages call it.</param>
    public DrillBuilder(string name = "drill")
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        _name = name;
    }

    /// <summary>An option of the script's head, without its dashes: <c>Option("mtu", "1000")</c>.</summary>
    public DrillBuilder Option(string name, string? value = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (HeadOptions.Check(name, value) is { } complaint)
        {
            throw new ArgumentException(char.ToUpperInvariant(complaint[0]) + complaint[1..] + ".", nameof(name));
        }

        _options.Add(new HeadOption(name, value));
        return this;
    }

    /// <summary>A setting of the stack by Linux's name, made before the first step: <c>Sysctl("net.ipv4.tcp_sack", "0")</c>.</summary>
    public DrillBuilder Sysctl(string key, string value)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        ArgumentNullException.ThrowIfNull(value);
        _sysctls.Add(new(key, value));
        return this;
    }

    /// <summary>The next step comes this long after the one before. Without a time it comes at once.</summary>
    /// <param name="seconds">Virtual seconds, at most nine decimals.</param>
    public DrillBuilder After(double seconds) => SetTime("+" + Seconds(seconds, nameof(seconds)));

    /// <summary>The next step comes this long after the first.</summary>
    /// <param name="seconds">Virtual seconds, at most nine decimals.</param>
    public DrillBuilder At(double seconds) => SetTime(Seconds(seconds, nameof(seconds)));

    /// <summary>The next step expects a packet between these times after the one before.</summary>
    public DrillBuilder Between(double from, double to) => SetTime($"+{Seconds(from, nameof(from))}~+{Seconds(to, nameof(to))}");

    /// <summary>The next step expects a packet at any time.</summary>
    public DrillBuilder Anytime() => SetTime("*");

    /// <summary>The peer sends a packet: <c>Inject("S 0:0(0) win 65535 &lt;mss 1460&gt;")</c>.</summary>
    /// <param name="packet">The packet as scripts write it, without the <c>&lt;</c> in front.</param>
    /// <param name="payload">Its bytes; as many as the packet says. Zeros without it.</param>
    public DrillBuilder Inject(string packet, ReadOnlyMemory<byte> payload = default) => AddPacket("<", packet, payload);

    /// <inheritdoc cref="Inject(string, ReadOnlyMemory{byte})"/>
    /// <param name="packet">The packet as scripts write it, without the <c>&lt;</c> in front.</param>
    /// <param name="payload">Its bytes, in UTF-8; as many as the packet says.</param>
    public DrillBuilder Inject(string packet, string payload)
    {
        ArgumentNullException.ThrowIfNull(payload);
        return Inject(packet, Encoding.UTF8.GetBytes(payload));
    }

    /// <summary>The stack must send a packet: <c>Expect("S. 0:0(0) ack 1 &lt;...&gt;")</c>.</summary>
    /// <param name="packet">The packet as scripts write it, without the <c>&gt;</c> in front.</param>
    /// <param name="payload">Its bytes; as many as the packet says. Without it they are what the script's own calls write: zeros.</param>
    public DrillBuilder Expect(string packet, ReadOnlyMemory<byte> payload = default) => AddPacket(">", packet, payload);

    /// <inheritdoc cref="Expect(string, ReadOnlyMemory{byte})"/>
    /// <param name="packet">The packet as scripts write it, without the <c>&gt;</c> in front.</param>
    /// <param name="payload">Its bytes, in UTF-8; as many as the packet says.</param>
    public DrillBuilder Expect(string packet, string payload)
    {
        ArgumentNullException.ThrowIfNull(payload);
        return Expect(packet, Encoding.UTF8.GetBytes(payload));
    }

    /// <summary>A socket call with its result, as scripts write it: <c>Call("read(4, ..., 1000) = -1 EAGAIN")</c>.</summary>
    public DrillBuilder Call(string call)
    {
        ArgumentException.ThrowIfNullOrEmpty(call);
        Add(call);
        return this;
    }

    /// <summary>A call that waits, and the seconds after its beginning at which it returns: <c>CallUntil(0.2, "read(4, ..., 1000) = 1000")</c>.</summary>
    public DrillBuilder CallUntil(double seconds, string call)
    {
        ArgumentException.ThrowIfNullOrEmpty(call);
        if (!decimal.TryParse(_time, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal begin))
        {
            throw new InvalidOperationException("A call begins at one time. Say After or At before it, not Between or Anytime.");
        }

        // Both times count from the same moment.
        Add($"...{Seconds((double)begin + seconds, nameof(seconds))} {call}", joined: true);
        return this;
    }

    /// <summary>A socket that listens on port 8080, which is where packets without ports go. It has number 3.</summary>
    public DrillBuilder Listen(int backlog = 128)
    {
        long number = NewNumber();
        Add(Inv($"socket(..., SOCK_STREAM, IPPROTO_TCP) = {number}"));
        Add(Inv($"bind({number}, ..., ...) = 0"));
        Add(Inv($"listen({number}, {backlog}) = 0"));
        return this;
    }

    /// <summary>Takes the next connection from the listener of <see cref="Listen"/>; the calls below are about it from here on. The first has number 4.</summary>
    public DrillBuilder Accept()
    {
        long number = NewNumber();
        Add(Inv($"accept({ListenerNumber}, ..., ...) = {number}"));
        _connection = number;
        return this;
    }

    /// <summary>A socket that begins to connect to the peer, without waiting; the calls below are about it from here on. The first has number 3.</summary>
    public DrillBuilder Connect()
    {
        long number = NewNumber();
        Add(Inv($"socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = {number}"));
        Add(Inv($"connect({number}, ..., ...) = -1 EINPROGRESS"));
        _connection = number;
        return this;
    }

    /// <summary>Sends zeros on the connection; all of them must be taken.</summary>
    public DrillBuilder Write(int bytes) => AddCall(Inv($"write({_connection}, ..., {bytes}) = {bytes}"));

    /// <summary>Receives; there must be that many bytes, and they must be zeros.</summary>
    public DrillBuilder Read(int bytes) => AddCall(Inv($"read({_connection}, ..., {bytes}) = {bytes}"));

    /// <summary>Receives the end of the stream.</summary>
    public DrillBuilder ReadEnd() => AddCall(Inv($"read({_connection}, ..., 1) = 0"));

    /// <summary>Shuts one or both halves of the connection down.</summary>
    public DrillBuilder Shutdown(SocketShutdown how) => AddCall(Inv($"shutdown({_connection}, {(int)how}) = 0"));

    /// <summary>Closes the connection's socket.</summary>
    public DrillBuilder Close() => AddCall(Inv($"close({_connection}) = 0"));

    /// <summary>An assertion about the connection, as scripts write it: <c>Assert("tcpi_snd_cwnd == 10")</c>.</summary>
    public DrillBuilder Assert(string condition)
    {
        ArgumentException.ThrowIfNullOrEmpty(condition);
        Add($"%{{ assert {condition} }}%");
        return this;
    }

    /// <summary>Looks at the connection in C#: the one that was last opened or accepted. What <paramref name="check"/> throws fails the run, with this place.</summary>
    public DrillBuilder Check(Action<TcpInfo> check)
    {
        ArgumentNullException.ThrowIfNull(check);
        return AddStep("check", at => new Check(check) { Time = at.Time, At = at.At });
    }

    /// <summary>
    /// Starts code of yours as the stack's user, in virtual time, beside the steps that follow; the script plays its peer, packet by packet. It may await the stack's sockets and
    /// <see cref="DrillApplication.Delay"/>, and nothing else that waits: no time passes outside. What it throws fails the run, unless the run is over.
    /// </summary>
    public DrillBuilder Application(Func<DrillApplication, Task> body)
    {
        ArgumentNullException.ThrowIfNull(body);
        return AddStep("application", at => new ApplicationStart(body) { Time = at.Time, At = at.At });
    }

    /// <summary>The steps as the text of a script file. Payloads, checks and applications have no form there and become comments.</summary>
    public string ToScript()
    {
        var text = new StringBuilder();
        foreach (HeadOption option in _options)
        {
            text.Append("--").Append(option.Name).Append(option.Value is null ? "" : "=" + option.Value).Append('\n');
        }

        if (_sysctls.Count > 0)
        {
            text.Append('`').AppendJoin("; ", _sysctls.Select(s => $"sysctl -q {s.Key}=\"{s.Value}\"")).Append("`\n");
        }

        foreach (string line in _lines)
        {
            text.Append(line).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>Runs the steps against a fresh stack.</summary>
    /// <param name="options">Null for the defaults: virtual time is exact, and a packet that no step expects fails the run.</param>
    public DrillResult Run(DrillRunOptions? options = null)
    {
        options ??= new DrillRunOptions { FailOnUnreadPackets = true };
        var script = new Script(_name, new HeadOptions([.. _options]), null, [.. _events], null, [.. _lines]);
        return new ScriptRun(script, options, _sysctls).Run();
    }

    private DrillBuilder SetTime(string time)
    {
        _time = time;
        return this;
    }

    private DrillBuilder AddCall(string call)
    {
        Add(call);
        return this;
    }

    private DrillBuilder AddPacket(string direction, string packet, ReadOnlyMemory<byte> payload)
    {
        ArgumentException.ThrowIfNullOrEmpty(packet);
        ScriptEvent step = Add($"{direction} {packet}");
        if (payload.IsEmpty)
        {
            return this;
        }

        int wanted = step is PacketIn { Packet.Length: var inbound } ? inbound : step is PacketOut { Packet.Length: var outbound } ? outbound : 0;
        if (wanted != payload.Length)
        {
            throw new ArgumentException($"The packet carries {wanted} bytes, but the payload has {payload.Length}.", nameof(payload));
        }

        byte[] bytes = payload.ToArray();
        _events[^1] = step switch
        {
            PacketIn into => into with { Payload = bytes },
            PacketOut expected => expected with { Payload = bytes },
            _ => step,
        };
        return this;
    }

    /// <summary>Parses one step as a script of its own, so that a mistake is told where it is made; on the line that it has among the steps.</summary>
    private ScriptEvent Add(string step, bool joined = false)
    {
        string line = joined ? _time + step : $"{_time} {step}";
        ScriptEvent parsed = Script.Parse(new string('\n', _lines.Count) + line, _name).Events[0];
        _lines.Add(line);
        _events.Add(parsed);
        _time = "+0";
        return parsed;
    }

    private DrillBuilder AddStep(string what, Func<(TimeSpec Time, SourcePosition At), ScriptEvent> make)
    {
        // The time is parsed as that of a command, which has no form of its own in the list.
        ScriptEvent timed = Script.Parse(new string('\n', _lines.Count) + $"{_time} `true`", _name).Events[0];
        _events.Add(make((timed.Time, timed.At)));
        _lines.Add($"{_time} `true` // {what}");
        _time = "+0";
        return this;
    }

    private long NewNumber() => ++_lastNumber;

    private static string Seconds(double seconds, string name)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(seconds, name);
        return ((decimal)seconds).ToString("0.#########", CultureInfo.InvariantCulture);
    }

    private static string Inv(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
