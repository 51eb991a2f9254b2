using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Penstock.Accounting;
using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Ownership;
using Penstock.Telemetry;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// TCP of one stack: the table of connections and of the small entries that stand for them before and after their life, the listeners, the common limits. Finds who a segment is for; what it
/// means is the connection's matter.
/// </summary>
internal sealed partial class TcpLayer : ITransport
{
    private readonly NetworkStack _stack;
    private readonly SipHash _sequenceHash;
    private readonly SipHash _portHash;
    private readonly SipHash _timestampHash;
    private readonly object _linkGate = new();
    private readonly List<(TcpConnection Connection, StackInterface On)> _linkWaiters = [];
    private RateLimit _challengeLimit;
    private RateLimit _resetLimit;
    private int _orphans;
    private int _timeWaits;

    public TcpLayer(NetworkStack stack)
    {
        _stack = stack;
        RandomSource random = stack.Random;
        Flows = new FlowTable(new SipHash(random.NextUInt64(), random.NextUInt64()));
        _sequenceHash = new SipHash(random.NextUInt64(), random.NextUInt64());
        _portHash = new SipHash(random.NextUInt64(), random.NextUInt64());
        _timestampHash = new SipHash(random.NextUInt64(), random.NextUInt64());
        Cookies = new SynCookies(new SipHash(random.NextUInt64(), random.NextUInt64()));
        long pages = stack.Options.MemoryLimit >> ProtocolMemory.PageShift;
        Memory = new ProtocolMemory(pages * 3 / 8, pages / 2, pages * 3 / 4) { PressureEntered = OnMemoryPressure };
        SendSlabs = new SendSlabs(stack.Pool);
        Settings.PinnedMax = stack.Options.PinnedMemoryLimit;
        SetChallengeAckLimit(Settings.ChallengeAckLimit);
        _resetLimit = new RateLimit(Nanos.PerSecond / 10_000, burst: 1000);
    }

    public TcpSettings Settings { get; } = new();

    public ProtocolMemory Memory { get; }

    public SendSlabs SendSlabs { get; }

    public FlowTable Flows { get; }

    public ListenerTable Listeners { get; } = new();

    public SynCookies Cookies { get; }

    public bool AcceptsForeign => Listeners.EverAcceptedForeign;

    public int Orphans => Volatile.Read(ref _orphans);

    public int TimeWaits => Volatile.Read(ref _timeWaits);

    public bool TooManyOrphans =>
        Orphans > Settings.MaxOrphans
        || (Memory.AllocatedPages > Memory.HighPages && Orphans > 0 && (_stack.Omitted & Omission.PressureReclaims) == Omission.None);

    public void Input(PacketBuffer packet, StackInterface ingress, Worker worker)
    {
        if (!TryParse(packet))
        {
            packet.Free();
            return;
        }

        var key = new FlowKey(packet.Destination, packet.DestinationPort, packet.Source, packet.SourcePort);
        switch (Flows.Find(key, ref worker.RecentFlow))
        {
            case TcpConnection connection:
                connection.ReceivePacket(packet, worker);
                break;
            case TimeWaitEntry old:
                OnTimeWaitSegment(old, packet, worker);
                break;
            case SynReceivedEntry request:
                OnRequestSegment(request, packet, worker);
                break;
            default:
                OnUnknown(key, packet, worker);
                break;
        }
    }

    /// <summary>Reads header and options into the packet's fields and leaves the payload in it. R1.2: a wrong checksum is found here, before any queue.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryParse(PacketBuffer packet)
    {
        Span<byte> bytes = packet.FirstSpan;
        if (!TcpHeader.TryParse(bytes, out TcpSegmentHeader header, out MalformedReason reason))
        {
            _stack.Counters.Add(StackCounter.TcpInErrs);
            _stack.Counters.AddMalformed(reason);
            return false;
        }

        if (packet.Checksum != ChecksumState.Verified && !IsChecksumRight(packet))
        {
            _stack.Counters.Add(StackCounter.TcpInErrs);
            _stack.Counters.Add(StackCounter.TcpInCsumErrors);
            _stack.Counters.AddMalformed(MalformedReason.TcpBadChecksum);
            return false;
        }

        reason = TcpOptions.Parse(header.Options(bytes), (header.Flags & TcpFlags.Syn) != 0, out packet.Options);
        if (reason != MalformedReason.None)
        {
            // What could be read counts; the segment itself is good.
            _stack.Counters.AddMalformed(reason);
        }

        packet.SourcePort = header.SourcePort;
        packet.DestinationPort = header.DestinationPort;
        packet.Sequence = header.Sequence;
        packet.Acknowledgment = header.Acknowledgment;
        packet.TcpFlags = header.Flags;
        packet.Window = header.Window;
        packet.UrgentPointer = header.UrgentPointer;
        packet.EndSequence = header.End(packet.Length - header.HeaderLength);
        packet.SegmentCount = Math.Max(1, packet.SegmentCount);
        packet.TrimFront(header.HeaderLength);
        return true;
    }

    private static bool IsChecksumRight(PacketBuffer packet)
    {
        uint sum = Checksum.PseudoHeader(packet.Source, packet.Destination, IpProtocol.Tcp, (uint)packet.Length);
        int length = 0;
        for (int i = 0; i < packet.FragmentCount; i++)
        {
            ref Fragment fragment = ref packet.FragmentAt(i);
            sum = Checksum.Combine(sum, Checksum.Add(fragment.Span), length);
            length += fragment.Length;
        }

        return Checksum.IsValid(sum);
    }

    private void OnUnknown(in FlowKey key, PacketBuffer packet, Worker worker)
    {
        if (Listeners.Find(key.Local, key.LocalPort, _stack.Ip.IsLocal(key.Local)) is { } listener)
        {
            OnListenSegment(listener, key, packet, worker);
        }
        else if (!Listeners.AcceptsForeign && !_stack.Ip.IsLocal(key.Local))
        {
            // Let in for the connections that an any-destination listener left behind, and it belongs to none of them.
            _stack.Counters.Add(StackCounter.IpInAddressErrors);
            packet.Free();
        }
        else
        {
            ReplyToUnknown(packet, worker);
            packet.Free();
        }
    }

    /// <summary>RFC 9293 3.10.7.1: a segment for nobody is answered with a reset. The packet stays the caller's.</summary>
    public void ReplyToUnknown(PacketBuffer packet, Worker worker)
    {
        if ((packet.TcpFlags & TcpFlags.Rst) != 0
            || (packet.Ingress is StackInterface from && !_stack.Ip.MayBePeer(packet.Source, from.Link))
            || !_resetLimit.TryTake(worker.NowNanos))
        {
            return;
        }

        _stack.Counters.Add(StackCounter.TcpOutRsts);
        var key = new FlowKey(packet.Destination, packet.DestinationPort, packet.Source, packet.SourcePort);
        if ((packet.TcpFlags & TcpFlags.Ack) != 0)
        {
            SendBare(new BareSegment { Key = key, Flags = TcpFlags.Rst, Sequence = packet.Acknowledgment });
        }
        else
        {
            SendBare(new BareSegment { Key = key, Flags = TcpFlags.RstAck, Acknowledgment = packet.EndSequence });
        }
    }

    /// <summary>Sends a segment that no connection stands behind: resets, SYN-ACKs of requests, ACKs of TIME-WAIT. False when memory or link refuse.</summary>
    public bool SendBare(in BareSegment segment)
    {
        RouteEntry? route = _stack.Ip.Routes.Find(segment.Key.Remote);
        if (route is null)
        {
            _stack.Counters.Add(StackCounter.IpOutNoRoutes);
            return false;
        }

        PacketBuffer? packet = _stack.Pool.RentBufferWithHead(forced: true);
        if (packet is null)
        {
            return false;
        }

        int optionsLength = TcpOptionsWriter.LengthOf(segment.Options);
        TcpOptionsWriter.Write(packet.PushHead(optionsLength), segment.Options);
        Span<byte> head = packet.PushHead(TcpHeader.MinLength);
        TcpHeader.Write(head, new TcpSegmentHeader
        {
            SourcePort = segment.Key.LocalPort,
            DestinationPort = segment.Key.RemotePort,
            Sequence = segment.Sequence,
            Acknowledgment = segment.Acknowledgment,
            Flags = segment.Flags,
            Window = segment.Window,
            HeaderLength = (byte)(TcpHeader.MinLength + optionsLength),
        });
        TcpHeader.WriteChecksum(head, Checksum.ToNetwork(
            Checksum.PseudoHeader(segment.Key.Local, segment.Key.Remote, IpProtocol.Tcp, (uint)packet.TotalLength)));
        packet.Checksum = ChecksumState.Partial;
        packet.SegmentCount = 1;
        _stack.Counters.Add(StackCounter.TcpOutSegs);
        if (!_stack.Ip.Output(packet, route.Interface, segment.Key.Local, segment.Key.Remote, IpProtocol.Tcp,
            segment.TimeToLive > 0 ? segment.TimeToLive : Settings.TimeToLive, segment.Tos, dontFragment: true))
        {
            packet.Free();
            return false;
        }

        return true;
    }

    public void OnIcmpError(in IPv4Header original, ReadOnlySpan<byte> transport, IcmpType type, byte code, int nextHopMtu, Worker worker)
    {
        ushort localPort = System.Buffers.Binary.BinaryPrimitives.ReadUInt16BigEndian(transport);
        ushort remotePort = System.Buffers.Binary.BinaryPrimitives.ReadUInt16BigEndian(transport[2..]);
        var quoted = new SequenceNumber(System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(transport[4..]));
        FlowEntry? found = Flows.Find(new FlowKey(original.Source, localPort, original.Destination, remotePort));
        if (found is SynReceivedEntry request)
        {
            OnRequestError(request, quoted, type, code);
            return;
        }

        if (found is not TcpConnection connection)
        {
            return;
        }

        if (type == IcmpType.DestinationUnreachable && code == IcmpUnreachable.FragmentationNeeded)
        {
            connection.OnPathMtuReport(quoted, nextHopMtu, worker);
            return;
        }

        // R1.10a: other errors never enter the backlog.
        bool mine = connection.TryOwn();
        if (!mine && (connection.Omitted & Omission.IcmpDropped) == Omission.None)
        {
            _stack.Counters.Add(StackCounter.LockDroppedIcmps);
            return;
        }

        if (ErrorOf(type, code) is var error and not SocketError.Success)
        {
            connection.OnIcmpError(quoted, error, IsPathDown(type, code));
        }

        if (mine)
        {
            connection.Release(worker);
        }
    }

    /// <summary>A request that waits for its ACK is dropped when the peer cannot be reached or understood at all; what may be the matter of one port or firewall is not believed (Linux: tcp_req_err).</summary>
    private void OnRequestError(SynReceivedEntry request, SequenceNumber quoted, IcmpType type, byte code)
    {
        if (quoted != request.Iss)
        {
            _stack.Counters.Add(StackCounter.OutOfWindowIcmps);
        }
        else if (request.Held is not { IsAnswered: false } && (type != IcmpType.DestinationUnreachable || IsPathDown(type, code)))
        {
            _stack.Counters.Add(StackCounter.ListenDrops);
            DropRequest(request, ErrorOf(type, code));
        }
    }

    /// <summary>Nothing reaches the peer for now (RFC 6069 2).</summary>
    private static bool IsPathDown(IcmpType type, byte code) =>
        type == IcmpType.DestinationUnreachable && code is IcmpUnreachable.Network or IcmpUnreachable.Host;

    /// <summary>Linux: icmp_err_convert and tcp_v4_err. Success for a code that is none.</summary>
    private static SocketError ErrorOf(IcmpType type, byte code) => type switch
    {
        IcmpType.DestinationUnreachable => code switch
        {
            IcmpUnreachable.Network or 6 or IcmpUnreachable.NetworkProhibited or 11 => SocketError.NetworkUnreachable,
            IcmpUnreachable.Protocol => SocketError.ProtocolOption,
            IcmpUnreachable.Port => SocketError.ConnectionRefused,
            IcmpUnreachable.SourceRouteFailed => SocketError.OperationNotSupported,
            7 => SocketError.HostDown,
            8 => SocketError.SystemNotReady,
            > 15 => SocketError.Success,
            _ => SocketError.HostUnreachable,
        },
        IcmpType.ParameterProblem => SocketError.NoRecovery,
        _ => SocketError.HostUnreachable,
    };

    // --- Numbers that must not be guessed.

    /// <summary>Takes the place of every initial sequence number, for tests at the wrap-around.</summary>
    internal uint? ForcedInitialSequence { get; set; }

    /// <summary>RFC 6528: a clock of 64 ns steps plus a keyed hash of the 4-tuple.</summary>
    public SequenceNumber InitialSequence(in FlowKey key, long now) =>
        ForcedInitialSequence is { } forced ? new SequenceNumber(forced) : new((uint)Hash(_sequenceHash, key) + (uint)(now >> 6));

    /// <summary>RFC 7323 5.4, per pair of hosts, so that TIME-WAIT comparisons hold across the connections of a pair.</summary>
    public uint TimestampOffset(in FlowKey key) =>
        (uint)_timestampHash.Of(key.Local.High, key.Local.Low, key.Remote.High, key.Remote.Low, 0);

    private static ulong Hash(in SipHash hash, in FlowKey key) =>
        hash.Of(key.Local.High, key.Local.Low, key.Remote.High, key.Remote.Low, ((ulong)key.LocalPort << 16) | key.RemotePort);

    public bool TakeChallengeToken(long now) => _challengeLimit.TryTake(now);

    /// <summary>RFC 5961 section 7: so many challenge ACKs a second; 0 sends none.</summary>
    public void SetChallengeAckLimit(int perSecond)
    {
        Settings.ChallengeAckLimit = perSecond;
        _challengeLimit = perSecond == 0 ? new RateLimit(long.MaxValue / 4, burst: 1) : new RateLimit(Nanos.PerSecond / perSecond, burst: perSecond);
    }

    private void OnMemoryPressure()
    {
        _stack.Counters.Add(StackCounter.TcpMemoryPressures);
        PenstockEventSource.Log.OnMemoryPressure(
            _stack, Memory.AllocatedPages << ProtocolMemory.PageShift, Memory.HighPages << ProtocolMemory.PageShift);
    }

    // --- Lives.

    public void Forget(TcpConnection connection)
    {
        if (Flows.Remove(connection))
        {
            CheckDrained();
        }
    }

    public void AddOrphan() => Interlocked.Increment(ref _orphans);

    public void RemoveOrphan() => Interlocked.Decrement(ref _orphans);

    /// <summary>Has a connection resumed when its link has room: at once, if the link has said so, or has gone, since <paramref name="spaceSignals"/> was read, which was before it refused.</summary>
    public void AddLinkWaiter(TcpConnection connection, StackInterface on, long spaceSignals)
    {
        lock (_linkGate)
        {
            if (on.SpaceSignals == spaceSignals)
            {
                _linkWaiters.Add((connection, on));
                return;
            }
        }

        connection.PostResume();
    }

    public void OnLinkSpace(StackInterface on)
    {
        lock (_linkGate)
        {
            on.SpaceSignals++;
            for (int i = _linkWaiters.Count - 1; i >= 0; i--)
            {
                if (_linkWaiters[i].On == on)
                {
                    _linkWaiters[i].Connection.PostResume();
                    _linkWaiters.RemoveAt(i);
                }
            }
        }
    }
}

/// <summary>A segment without a connection.</summary>
internal readonly struct BareSegment
{
    public required FlowKey Key { get; init; }

    public required TcpFlags Flags { get; init; }

    public SequenceNumber Sequence { get; init; }

    public SequenceNumber Acknowledgment { get; init; }

    public ushort Window { get; init; }

    public TcpOptions Options { get; init; }

    public byte TimeToLive { get; init; }

    public byte Tos { get; init; }
}
