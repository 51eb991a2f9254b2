using System.Globalization;
using Penstock.Ip;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Drill;

/// <summary>The packets of a run: which connection a line is about, injecting, expecting, and the list of what went over the wire.</summary>
internal sealed partial class ScriptRun
{
    private readonly List<Flow> _flows = [];
    private readonly ushort _bindPort;
    private Flow? _flow;
    private ushort _nextRemotePort = 40000;

    private int _listensAtSyn;

    /// <summary>An active open has begun: lines without ports are about it from here on.</summary>
    private void OnConnecting(ushort localPort, ushort remotePort)
    {
        _listensAtSyn = _calls.Listens;
        _flow = AddFlow(localPort, remotePort);
    }

    private Flow AddFlow(ushort localPort, ushort remotePort)
    {
        // Any offset serves; one shortly before the wrap makes every script cross it.
        var flow = new Flow(localPort, remotePort, remoteOffset: 0xFFFF_F000);
        _flows.Add(flow);
        return flow;
    }

    private Flow FlowOf(PacketPattern pattern, bool isInboundSyn)
    {
        if (pattern.Ports is { } ports)
        {
            _listensAtSyn = isInboundSyn ? _calls.Listens : _listensAtSyn;
            return FlowWith(ports.Source, ports.Destination);
        }

        // As packetdrill has it: the first SYN after a listen(...) is a new peer's, a later one belongs to the connection that the lines are about.
        if (_flow is null || (isInboundSyn && _calls.Listens > _listensAtSyn))
        {
            _listensAtSyn = _calls.Listens;
            _flow = AddFlow(_calls.LastListenPort ?? _bindPort, _nextRemotePort++);
        }

        return _flow;
    }

    /// <summary>The flow whose peer has port <paramref name="remote"/>; ours may be one that the script only thinks up.</summary>
    private Flow FlowWith(ushort remote, ushort local)
    {
        Flow? found = _flows.Find(f => f.RemotePort == remote && (f.ScriptLocalPort ?? f.LocalPort) == local);
        if (found is null && _flows.Find(f => f.RemotePort == remote && f.ScriptLocalPort is null && !_calls.IsListening(f.LocalPort)) is { } active)
        {
            active.ScriptLocalPort = local;
            found = active;
        }

        found ??= AddFlow(local, remote);
        _flow ??= found;
        return found;
    }

    private void Inject(TcpPattern pattern, byte[]? payload)
    {
        Flow flow = FlowOf(pattern, (pattern.Flags & (DrillFlags.Syn | DrillFlags.Ack)) == DrillFlags.Syn);
        _wire.AddIn(PacketPrinter.Print(pattern, isInbound: true), _time.NowNanos);
        Deliver(WireCodec.EncodeTcp(DrillPacket.From(pattern), payload, flow, _local, _remote));
    }

    private void Inject(IcmpPattern pattern)
    {
        Flow flow = FlowOf(pattern, isInboundSyn: false);
        if (!IcmpNames.TryResolve(false, pattern.Type, pattern.CodeName, out byte type, out byte code))
        {
            throw DrillStop.Failed($"IPv4 has no ICMP message {pattern.Type} {pattern.CodeName}");
        }

        _wire.AddIn(PacketPrinter.Print(pattern, isInbound: true), _time.NowNanos);
        Deliver(WireCodec.EncodeIcmp(pattern, type, code, flow, _local, _remote));
    }

    private void Deliver(byte[] bytes)
    {
        if (!_link.Inject(bytes))
        {
            throw DrillStop.Failed("the stack has no memory for this packet");
        }
    }

    private void Expect(TcpPattern pattern, byte[]? payload, TimeSpec time)
    {
        if (pattern.Ports is { } ports)
        {
            FlowWith(remote: ports.Destination, local: ports.Source);
        }

        var gatherer = new SegmentGatherer(pattern, _script.Options.Has("strict_segments"), TimestampRule());
        var bytes = new List<byte>();
        while (true)
        {
            CapturedPacket packet = NextPacket(pattern, time);
            Flow? flow = FindFlow(packet) ?? AdoptFlow(packet, pattern);
            if (flow is null || (pattern.Ports is null && flow != _flow))
            {
                // A connection that the script knows nothing of, or is not speaking of: a line without ports is about that of the last connect or SYN.
                continue;
            }

            LearnSyn(packet, flow, pattern);
            DrillPacket segment = WireCodec.Decode(packet.Bytes, flow);
            LearnTimestamp(pattern, segment, flow);
            segment = WireCodec.Decode(packet.Bytes, flow);
            packet.WasLookedAt = true;
            if (payload is not null)
            {
                // Compared here, byte by byte, when all of it is there.
                bytes.AddRange(WireCodec.PayloadOf(packet.Bytes));
                segment = segment with { IsPayloadZero = true };
            }

            switch (gatherer.Offer(segment))
            {
                case GatherState.Differs:
                    throw DrillStop.Failed($"this packet is not the one the stack sent\n{gatherer.Mismatch}");
                case GatherState.Matched:
                    if (_tolerance.Check(time, _previousNanos, At(packet), "the packet") is { } off)
                    {
                        throw DrillStop.Failed(off);
                    }

                    if (payload is not null && PayloadText.Compare(payload, bytes.ToArray()) is { } different)
                    {
                        throw DrillStop.Failed(different);
                    }

                    return;
            }
        }
    }

    /// <summary>An active open of an application, which no call of the script announced: the connection that the script is about from here on.</summary>
    private Flow? AdoptFlow(CapturedPacket packet, TcpPattern pattern)
    {
        if (_applications.Count == 0 || (pattern.Flags & (DrillFlags.Syn | DrillFlags.Ack)) != DrillFlags.Syn || !WireCodec.IsSyn(packet.Bytes, out _)
            || WireCodec.PortsOf(packet.Bytes) is not { } ports)
        {
            return null;
        }

        return _flow = AddFlow(ports.Local, ports.Remote);
    }

    private void Expect(IcmpPattern pattern, TimeSpec time)
    {
        CapturedPacket packet = NextPacket(pattern, time);
        DrillPacket message = WireCodec.Decode(packet.Bytes, FindFlow(packet));
        packet.WasLookedAt = true;
        if (PacketMatch.Compare(pattern, message) is { } mismatch)
        {
            throw DrillStop.Failed($"this message is not the one the stack sent\n{mismatch}");
        }

        if (_tolerance.Check(time, _previousNanos, At(packet), "the message") is { } off)
        {
            throw DrillStop.Failed(off);
        }
    }

    private CapturedPacket NextPacket(PacketPattern pattern, TimeSpec time)
    {
        long due = time.Kind == Penstock.Drill.TimeKind.Any ? ElapsedNanos + (4 * Patience) : time.EndNanos;
        long limit = _startNanos + Math.Max(due, ElapsedNanos) + Patience;
        Settle();
        while (_link.Waiting == 0)
        {
            long next = NextNanos();
            if (next > limit)
            {
                string when = next == long.MaxValue ? "and nothing is left to happen" : "and sends nothing for a long while";
                throw DrillStop.Failed(
                    $"the stack never sends this packet: it has sent everything above, {when}\nexpected: {PacketPrinter.Print(pattern, isInbound: false)}");
            }

            if (next > _time.NowNanos)
            {
                _time.RunUntil(next);
            }

            Settle();
        }

        return _link.TryTake()!;
    }

    private Flow? FindFlow(CapturedPacket packet)
    {
        if (WireCodec.PortsOf(packet.Bytes) is not { } ports)
        {
            return null;
        }

        return _flows.Find(f => f.Is(ports));
    }

    private static void LearnSyn(CapturedPacket packet, Flow flow, TcpPattern? pattern)
    {
        if (WireCodec.IsSyn(packet.Bytes, out uint live))
        {
            flow.LearnLocal(live, pattern is not null && (pattern.Flags & DrillFlags.Syn) != 0 ? pattern.Sequence : 0);
        }
    }

    /// <summary>Notes which of our clock's values stands where the script writes one, so that the script's echo can be translated.</summary>
    private void LearnTimestamp(TcpPattern pattern, DrillPacket segment, Flow flow)
    {
        TimestampOption? written = null;
        TimestampOption? real = null;
        foreach (DrillOption option in pattern.Options ?? [])
        {
            written ??= option as TimestampOption;
        }

        foreach (DrillOption option in segment.Options)
        {
            real ??= option as TimestampOption;
        }

        if (written is not null && real is not null)
        {
            flow.LearnTimestamp(written.Value, flow.TimestampToLive(real.Value));
        }
    }

    private long At(CapturedPacket packet) => packet.Nanos - _startNanos;

    /// <summary>A packet of the stack as a script line, for the list of all packets.</summary>
    private string Describe(CapturedPacket packet)
    {
        Flow? flow = FindFlow(packet);
        if (flow is null && WireCodec.PortsOf(packet.Bytes) is not null)
        {
            return PacketPrinter.Print(WireCodec.Decode(packet.Bytes, null), isInbound: false, withPorts: true) + "    (unknown connection)";
        }

        if (flow is { KnowsLocalSequence: false })
        {
            LearnSyn(packet, flow, null);
        }

        // What the script has not looked at often is the answer to why it failed.
        return PacketPrinter.Print(WireCodec.Decode(packet.Bytes, flow), isInbound: false) + (packet.WasLookedAt ? "" : "    (not looked at)");
    }
}
