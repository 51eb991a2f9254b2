using System.Diagnostics.Metrics;
using Penstock.Accounting;
using Penstock.Ip;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Telemetry;

/// <summary>
/// The instruments of one stack. All but one are observable: the packet path adds to plain counters whether or not anybody listens, and they are read only when a
/// listener asks. The one is the histogram of waits in backlogs, off by default, which cannot be read afterwards. Never counts anything itself.
/// </summary>
internal sealed class StackMeter : IDisposable
{
    public const string Name = "Penstock";

    private static readonly string[] StateNames =
        Array.ConvertAll(Enum.GetValues<TcpConnectionState>(), s => SnakeCase(s.ToString()));

    private static readonly string[] ReasonNames =
        Array.ConvertAll(Enum.GetValues<MalformedReason>(), r => SnakeCase(r.ToString()));

    /// <summary>Seconds: from a microsecond, as waits are in a send from warm memory, to the seconds of a send that is never interrupted.</summary>
    private static readonly double[] WaitBoundaries =
        [1e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

    private readonly Meter _meter;
    private readonly Histogram<double> _backlogWait;

    /// <summary>Null once disposed: a factory keeps its meters, and the instruments on them must neither speak nor keep the stack alive.</summary>
    private NetworkStack? _stack;

    public StackMeter(NetworkStack stack, IMeterFactory? factory)
    {
        _stack = stack;
        var options = new MeterOptions(Name) { Tags = [new KeyValuePair<string, object?>("penstock.stack", stack.Name)] };
        _meter = factory is null ? new Meter(options) : factory.Create(options);
        foreach (CounterInstrument row in CounterInstruments.All)
        {
            Func<IEnumerable<Measurement<long>>> read = One(s => s.Counters[row.Counter]);
            if (row.Counter == StackCounter.TcpCurrEstab)
            {
                _meter.CreateObservableUpDownCounter(row.Name, read, row.Unit, row.Description);
            }
            else
            {
                _meter.CreateObservableCounter(row.Name, read, row.Unit, row.Description);
            }
        }

        _backlogWait = _meter.CreateHistogram(
            "penstock.tcp.backlog.wait", "s", "Time that packets waited in a socket's backlog.", tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = WaitBoundaries });
        _meter.CreateObservableUpDownCounter("penstock.tcp.connections", States, "{connection}", "Connections, listeners and TIME-WAIT entries by state.");
        _meter.CreateObservableUpDownCounter("penstock.tcp.orphans", One(s => s.Tcp.Orphans), "{connection}", "Closed connections that still have something to send.");
        _meter.CreateObservableUpDownCounter(
            "penstock.tcp.memory", One(s => s.Tcp.Memory.AllocatedPages << ProtocolMemory.PageShift), "By", "Memory granted to TCP sockets.");
        _meter.CreateObservableUpDownCounter(
            "penstock.tcp.memory.limit", One(s => s.Tcp.Memory.HighPages << ProtocolMemory.PageShift), "By", "Limit of the memory granted to TCP sockets (tcp_mem).");
        _meter.CreateObservableUpDownCounter("penstock.memory.held", One(s => s.Pool.HeldBytes), "By", "Memory that exists for packets, in use or kept for reuse.");
        _meter.CreateObservableUpDownCounter("penstock.memory.limit", One(s => s.Pool.Limit), "By", "Hard limit of the memory for packets.");
        _meter.CreateObservableCounter("penstock.memory.refusals", One(s => s.Pool.Refusals), "{request}", "Requests for memory refused because of the hard limit.");
        _meter.CreateObservableUpDownCounter("penstock.group.memory", () => Groups(g => g.SocketBytes), "By", "Memory granted to the sockets of a group and of those below.");
        _meter.CreateObservableUpDownCounter("penstock.group.memory.limit", () => Groups(g => g.Limit), "By", "Limit of a group's memory.");
        _meter.CreateObservableCounter("penstock.group.memory.limit_hits", () => Groups(g => g.LimitHits), "{request}", "Requests for memory that a group's limit, or one below, refused.");
        _meter.CreateObservableCounter("penstock.link.io", () => Links(i => i.BytesIn, i => i.BytesOut), "By", "Bytes that links carried.");
        _meter.CreateObservableCounter("penstock.link.packets", () => Links(i => i.PacketsIn, i => i.PacketsOut), "{packet}", "Packets that links carried; a super-segment is one.");
        _meter.CreateObservableCounter("penstock.malformed", Malformed, "{packet}", "Malformed packets and options by reason.");
    }

    /// <summary>A packet has waited. The caller owns a socket, so listeners must not call one; allocates nothing.</summary>
    public void OnBacklogWait(long nanos) => _backlogWait.Record(nanos / 1e9);

    public void Dispose()
    {
        _stack = null;
        _meter.Dispose();
    }

    /// <summary>PascalCase to snake_case, for attribute values.</summary>
    internal static string SnakeCase(string name)
    {
        var text = new System.Text.StringBuilder(name.Length + 4);
        for (int i = 0; i < name.Length; i++)
        {
            if (i > 0 && char.IsUpper(name[i]) && !char.IsUpper(name[i - 1]))
            {
                text.Append('_');
            }

            text.Append(char.ToLowerInvariant(name[i]));
        }

        return text.ToString();
    }

    private Func<IEnumerable<Measurement<long>>> One(Func<NetworkStack, long> read) =>
        () => _stack is { } stack ? [new Measurement<long>(read(stack))] : [];

    private Measurement<long>[] States()
    {
        if (_stack is not { } stack)
        {
            return [];
        }

        long[] counts = new long[StateNames.Length];
        counts[(int)TcpConnectionState.Listen] = stack.Tcp.Listeners.All.Length;
        foreach (FlowEntry entry in stack.Tcp.Flows.Snapshot())
        {
            counts[(int)(entry is TcpConnection connection ? connection.State
                : entry is TimeWaitEntry old ? old.State
                : TcpConnectionState.SynReceived)]++;
        }

        return Tagged("network.connection.state", StateNames, i => counts[i]);
    }

    private List<Measurement<long>> Links(Func<StackInterface, long> received, Func<StackInterface, long> sent)
    {
        var all = new List<Measurement<long>>();
        foreach (StackInterface on in _stack?.Interfaces ?? [])
        {
            var link = new KeyValuePair<string, object?>("penstock.link", on.Link.Name);
            all.Add(new Measurement<long>(received(on), link, new("network.io.direction", "receive")));
            all.Add(new Measurement<long>(sent(on), link, new("network.io.direction", "transmit")));
        }

        return all;
    }

    private List<Measurement<long>> Groups(Func<MemoryGroup, long> read)
    {
        var all = new List<Measurement<long>>();
        foreach (MemoryGroup group in _stack?.MemoryGroups ?? [])
        {
            all.Add(new Measurement<long>(read(group), new KeyValuePair<string, object?>("penstock.group", group.Name)));
        }

        return all;
    }

    private Measurement<long>[] Malformed() => _stack is { } stack
        ? Tagged("error.type", ReasonNames, i => stack.Counters.Malformed((MalformedReason)i))[1..]
        : [];

    private static Measurement<long>[] Tagged(string attribute, string[] values, Func<int, long> read)
    {
        var all = new Measurement<long>[values.Length];
        for (int i = 0; i < all.Length; i++)
        {
            all[i] = new Measurement<long>(read(i), new KeyValuePair<string, object?>(attribute, values[i]));
        }

        return all;
    }
}
