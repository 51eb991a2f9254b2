using Penstock.Wire;

namespace Penstock.Drill;

/// <summary>
/// One connection as the script and the wire know it: its real ports, and the offsets between the script's numbers and the real ones. The script
/// chooses the peer's numbers, so theirs is a constant; the stack's initial number is learned from its SYN.
/// </summary>
internal sealed class Flow(ushort localPort, ushort remotePort, uint remoteOffset)
{
    private readonly Dictionary<uint, uint> _timestamps = [];
    private uint _localOffset;
    private (uint Script, uint Live)? _lastTimestamp;
    private (uint Script, uint Live)? _firstTimestamp;

    public ushort LocalPort => localPort;

    public ushort RemotePort => remotePort;

    /// <summary>The name the script gives our port, when it writes ports for an active open; else null.</summary>
    public ushort? ScriptLocalPort { get; set; }

    public bool KnowsLocalSequence { get; private set; }

    /// <summary>The stack's SYN was seen: from here on its numbers are the script's.</summary>
    public void LearnLocal(uint live, uint script)
    {
        _localOffset = live - script;
        KnowsLocalSequence = true;
    }

    public uint LocalToScript(uint live) => live - _localOffset;

    public uint LocalToLive(uint script) => script + _localOffset;

    public uint RemoteToScript(uint live) => live - remoteOffset;

    public uint RemoteToLive(uint script) => script + remoteOffset;

    /// <summary>A timestamp of the stack's, as the script would have written it: counted from the first one.</summary>
    public uint TimestampToScript(uint live) => _firstTimestamp is { } first ? live - first.Live + first.Script : live;

    public uint TimestampToLive(uint script) => _firstTimestamp is { } first ? script - first.Script + first.Live : script;

    /// <summary>The stack sent <paramref name="live"/> where the script writes <paramref name="script"/>.</summary>
    public void LearnTimestamp(uint script, uint live)
    {
        _timestamps[script] = live;
        _lastTimestamp = (script, live);
        _firstTimestamp ??= (script, live);
    }

    /// <summary>What a segment has to echo where the script echoes <paramref name="script"/>: the recorded value, or one as far from the latest.</summary>
    public uint EchoToLive(uint script) =>
        script == 0 ? 0
        : _timestamps.TryGetValue(script, out uint live) ? live
        : _lastTimestamp is { } last ? script - last.Script + last.Live
        : script;

    public bool Is(FlowPorts ports) => ports.Local == localPort && ports.Remote == remotePort;
}

/// <summary>The two ports of a flow, seen from the stack.</summary>
internal readonly record struct FlowPorts(ushort Local, ushort Remote);
