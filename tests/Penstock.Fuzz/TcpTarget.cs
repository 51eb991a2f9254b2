using System.Net;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Fuzz;

/// <summary>
/// TCP against a peer that lies. One stack under virtual time; the other end of its link is the input: handshakes, segments near the windows with any flags, options that are garbage, SACK blocks that
/// lie, ICMP errors, packets with wrong checksums, between calls of the application and the passing of time. After each step the invariants hold, and in the end nothing is left.
/// </summary>
internal static class TcpTarget
{
    public static void Run(byte[] input)
    {
        using var run = new TcpRun(new ChoiceReader(input));
        run.Go();
    }
}

/// <summary>What the lying peer knows of one connection.</summary>
internal sealed class Flow
{
    public ushort PeerPort;
    public ushort HostPort;
    public uint Iss;
    public uint Next;
    public uint HostIss;
    public uint HostNext;
    public uint HostAcked;
    public uint HostWindow = 65535;
    public uint HostTimestamp;
    public int Scale;
    public int HostScale;
    public bool Timestamps;
    public bool Sack;
    public bool Offered;
    public uint RightEdge;
}

internal sealed class TcpRun : IDisposable
{
    private const int MostSteps = 400;
    private static readonly IpAddress Host = IpAddress.From(IPAddress.Parse("10.1.0.2"));
    private static readonly IpAddress Peer = IpAddress.From(IPAddress.Parse("10.1.0.1"));
    private static readonly byte[] Payload = Enumerable.Range(0, 1460).Select(i => (byte)i).ToArray();
    private readonly ChoiceReader _choices;
    private readonly VirtualTime _time = new();
    private readonly NetworkStack _stack;
    private readonly PacketLink _link;
    private readonly Application _application;
    private readonly CancellationTokenSource _accepting = new();
    private readonly List<Flow> _flows = [];
    private readonly byte[] _packet = new byte[65535];
    private TcpSocketListener? _listener;

    public TcpRun(ChoiceReader choices)
    {
        _choices = choices;
        byte kind = choices.Byte();
        byte settings = choices.Byte();
        _stack = new NetworkStack(new NetworkStackOptions
        {
            Driver = _time,
            Seed = kind,
            MemoryLimit = (kind & 0x40) != 0 ? 1 << 20 : 1 << 26,
            CloseTimeout = (kind & 0x80) != 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(5),
        });
        Tcp.TcpSettings tcp = _stack.Tcp.Settings;
        tcp.Sack = (settings & 1) == 0;
        tcp.Timestamps = (settings & 2) == 0;
        tcp.WindowScaling = (settings & 4) == 0;
        tcp.SynCookies = (settings & 8) == 0 ? 1 : 2;
        tcp.CongestionControl = (settings & 16) == 0 ? "cubic" : "reno";
        tcp.BacklogFlushBuffers = (settings & 32) == 0 ? 16 : 1;
        tcp.TimeWaitReuse = 1;
        if ((settings & 64) != 0)
        {
            tcp.MaxSynBacklog = 2;
            tcp.MaxTimeWaitBuckets = 1;
            tcp.MaxOrphans = 1;
            tcp.AbortOnOverflow = true;
        }

        if ((settings & 128) != 0)
        {
            tcp.ReceiveBufferDefault = 4096;
            tcp.ReceiveBufferMax = 8192;
            tcp.SendBufferMax = 16384;
        }

        _link = new PacketLink(new PacketLinkOptions { MergeReceived = (kind & 0x20) == 0 });
        _stack.AddInterface(_link, new InterfaceAddress(IPAddress.Parse("10.1.0.2"), 24));
        _application = new Application(_stack);
    }

    public void Dispose()
    {
        _accepting.Dispose();
        _application.Dispose();
    }

    public void Go()
    {
        Begin();
        for (int step = 0; step < MostSteps && !_choices.IsAtEnd; step++)
        {
            Step();
            Settle();
        }

        _application.CloseAll(_choices);
        Settle();
        if (_choices.OneIn(2))
        {
            _listener?.Dispose();
        }

        _time.Run(() => _stack.DisposeAsync().AsTask(), TimeSpan.FromMinutes(10));
        _accepting.Cancel();
        _time.RunReady();
        _application.CheckNothingWaits();
        _time.RunReady();
        Cleanliness.Check(_stack);
    }

    private void Begin()
    {
        if (_choices.Below(4) != 3)
        {
            _listener = _stack.ListenTcp(new TcpListenOptions(new IPEndPoint(IPAddress.Any, 80)) { Backlog = 1 + _choices.Below(4) });
            _application.Expect(_application.Accept(_listener, _accepting.Token), "accept");
        }

        for (int i = 1 + _choices.Below(3); i > 0; i--)
        {
            if (_choices.Below(3) == 0)
            {
                OpenFromHost();
            }
            else
            {
                OpenFromPeer(complete: !_choices.OneIn(6));
            }
        }
    }

    private void Step()
    {
        switch (_choices.Below(16))
        {
            case 0 or 1 or 2:
                SendSane();
                break;
            case 3 or 4 or 5 or 6 or 7:
                SendOdd();
                break;
            case 8 or 9 or 10:
                _application.Act(_choices);
                break;
            case 11 or 12:
                Wait();
                break;
            case 13:
                SendIcmp();
                break;
            case 14:
                SendMangled();
                break;
            default:
                if (_choices.OneIn(3))
                {
                    OpenFromHost();
                }
                else
                {
                    OpenFromPeer(complete: !_choices.OneIn(4));
                }

                break;
        }
    }

    private void Wait()
    {
        ReadOnlySpan<long> milliseconds = [1, 5, 40, 200, 210, 1000, 3000, 10_000, 61_000, 130_000, 3_600_000, 8_000_000];
        _time.RunUntil(_time.NowNanos + (_choices.Pick(milliseconds) * Nanos.PerMillisecond));
    }

    private Flow? PickFlow() => _flows.Count == 0 ? null : _flows[_choices.Below(_flows.Count)];

    private void OpenFromPeer(bool complete)
    {
        byte bits = _choices.Byte();
        var flow = new Flow
        {
            PeerPort = (ushort)(1000 + (bits & 3)),
            HostPort = 80,
            Iss = (bits & 4) != 0 ? uint.MaxValue - _choices.Byte() : _choices.UInt32(),
            Timestamps = (bits & 8) == 0,
            Sack = (bits & 16) == 0,
            Scale = (bits & 32) == 0 ? _choices.Below(15) : 0,
        };
        flow.Next = flow.Iss;
        _flows.RemoveAll(f => f.PeerPort == flow.PeerPort && f.HostPort == 80);
        _flows.Add(flow);
        Send(flow, Segment(flow, TcpFlags.Syn, synOptions: true));
        Settle();
        if (complete && flow.HostIss != 0)
        {
            flow.Offered = true;
            Send(flow, Segment(flow, TcpFlags.Ack));
            Settle();
        }
    }

    private void OpenFromHost()
    {
        byte bits = _choices.Byte();
        ushort port = (ushort)(2000 + (bits & 3));
        try
        {
            _application.Add(_stack.BeginConnectTcp(new IPEndPoint(Peer.ToIPAddress(), port), new TcpConnectOptions()));
        }
        catch (System.Net.Sockets.SocketException)
        {
            return;
        }

        int before = _flows.Count;
        Settle();
        if (_flows.Count == before || (bits & 0xC0) == 0xC0)
        {
            return;
        }

        Flow flow = _flows[^1];
        flow.Timestamps = (bits & 8) == 0;
        flow.Sack = (bits & 16) == 0;
        flow.Scale = (bits & 32) == 0 ? _choices.Below(15) : 0;
        flow.Iss = flow.Next = _choices.UInt32();

        // A SYN-ACK, or a SYN that crosses theirs.
        Send(flow, Segment(flow, (bits & 0xC0) == 0x80 ? TcpFlags.Syn : TcpFlags.SynAck, synOptions: true));
        Settle();
    }

    private RawSegment Segment(Flow flow, TcpFlags flags, bool synOptions = false, int payload = 0)
    {
        var segment = new RawSegment
        {
            Source = Peer,
            Destination = Host,
            SourcePort = flow.PeerPort,
            DestinationPort = flow.HostPort,
            Sequence = flow.Next,
            Acknowledgment = (flags & TcpFlags.Ack) != 0 ? flow.HostNext : 0,
            Flags = flags,
            Payload = Payload[..payload],
        };
        var options = default(TcpOptions);
        if (synOptions)
        {
            options.HasMss = true;
            options.Mss = _choices.Pick<ushort>([1460, 536, 48, 1, 8960]);
            options.SackPermitted = flow.Sack;
            options.HasWindowScale = flow.Scale > 0;
            options.WindowScale = (byte)flow.Scale;
        }

        if (flow.Timestamps)
        {
            options.HasTimestamps = true;
            options.TsVal = (uint)(_time.NowNanos / Nanos.PerMillisecond);
            options.TsEcr = flow.HostTimestamp;
        }

        segment.SetOptions(options);
        flow.Next += segment.Span;
        return segment;
    }

    private void SendSane()
    {
        if (PickFlow() is not { } flow)
        {
            return;
        }

        int length = _choices.Pick<int>([0, 0, 0, 1, 100, 536, 1448]);
        RawSegment segment = Segment(flow, _choices.OneIn(12) ? TcpFlags.FinAck : TcpFlags.Ack, payload: length);
        segment.Window = _choices.Pick<ushort>([65535, 65535, 8192, 536, 1, 0]);
        Send(flow, segment);
    }

    private uint Delta() => _choices.Below(14) switch
    {
        0 or 1 or 2 => 0,
        3 => 1,
        4 => uint.MaxValue,
        5 => 10,
        6 => unchecked((uint)-10),
        7 => 1448,
        8 => unchecked((uint)-1448),
        9 => 65535,
        10 => 0x7FFF_FFFF,
        11 => 0x8000_0000,
        12 => _choices.UInt16(),
        _ => _choices.UInt32(),
    };

    private void SendOdd()
    {
        if (PickFlow() is not { } flow)
        {
            return;
        }

        uint nextBefore = flow.Next;
        var segment = new RawSegment
        {
            Source = Peer,
            Destination = Host,
            SourcePort = flow.PeerPort,
            DestinationPort = flow.HostPort,
            Sequence = _choices.Pick<uint>([flow.Next, flow.HostAcked, flow.HostAcked + flow.HostWindow, flow.Iss]) + Delta(),
            Acknowledgment = _choices.Pick<uint>([flow.HostNext, flow.HostNext, flow.HostIss, flow.HostNext - 1000]) + Delta(),
            Window = _choices.Pick<ushort>([65535, 0, 1, 536, 8192, _choices.UInt16()]),
            Payload = Payload[.._choices.Pick<int>([0, 0, 1, 8, 100, 536, 1448, 1400])],
            Flags = _choices.Below(14) switch
            {
                0 or 1 or 2 or 3 or 4 => TcpFlags.Ack,
                5 => TcpFlags.Rst,
                6 => TcpFlags.RstAck,
                7 => TcpFlags.Syn,
                8 => TcpFlags.SynAck,
                9 => TcpFlags.FinAck,
                10 => TcpFlags.Syn | TcpFlags.Fin,
                11 => TcpFlags.Ack | TcpFlags.Urg,
                12 => TcpFlags.None,
                _ => (TcpFlags)(_choices.UInt16() & 0x1FF),
            },
        };
        if ((segment.Flags & TcpFlags.Urg) != 0)
        {
            segment.Urgent = _choices.Pick<ushort>([0, 1, 2, 100, 1448, 65535, _choices.UInt16()]);
        }

        segment.Options = OddOptions(flow);
        if (segment.Options.Length + segment.Payload.Length > 1460)
        {
            segment.Payload = Payload[..1400];
        }

        switch (_choices.Below(20))
        {
            case 1:
                segment.ChecksumError = (ushort)(1 + _choices.Byte());
                break;
            case 2:
                segment.Fragment = (ushort)(_choices.UInt16() | IPv4Header.MoreFragmentsBit);
                break;
            case 3:
                segment.TypeOfService = _choices.Byte();
                break;
        }

        if (segment.Sequence == nextBefore && (segment.Flags & TcpFlags.Ack) != 0)
        {
            flow.Next = nextBefore + segment.Span;
        }

        Send(flow, segment);
    }

    private byte[] OddOptions(Flow flow)
    {
        var options = default(TcpOptions);
        if (flow.Timestamps)
        {
            options.HasTimestamps = true;
            options.TsVal = (uint)(_time.NowNanos / Nanos.PerMillisecond) + (_choices.OneIn(6) ? Delta() : 0);
            options.TsEcr = flow.HostTimestamp + (_choices.OneIn(6) ? Delta() : 0);
        }

        switch (_choices.Below(8))
        {
            case 0 or 1 or 2:
                break;
            case 3 or 4 or 5:
                for (int i = 1 + _choices.Below(4); i > 0; i--)
                {
                    uint start = _choices.Pick<uint>([flow.HostNext, flow.HostNext - 1448, flow.HostNext - 14480, flow.HostIss]) + Delta();
                    options.AddSackBlock(new SackBlock(new SequenceNumber(start), new SequenceNumber(start + _choices.Pick<uint>([1448, 100, 1, 0, 14480, uint.MaxValue, 0x8000_0000]))));
                }

                break;
            case 6:
                options.HasTimestamps = !options.HasTimestamps;
                break;
            default:
                byte[] garbage = new byte[_choices.Below(41)];
                for (int i = 0; i < garbage.Length; i++)
                {
                    garbage[i] = _choices.Byte();
                }

                return garbage;
        }

        byte[] written = new byte[TcpOptionsWriter.LengthOf(options)];
        TcpOptionsWriter.Write(written, options);
        return written;
    }

    private void SendIcmp()
    {
        if (PickFlow() is not { } flow)
        {
            return;
        }

        byte[] quoted = new RawSegment
        {
            Source = Host,
            Destination = Peer,
            SourcePort = flow.HostPort,
            DestinationPort = flow.PeerPort,
            Sequence = _choices.Pick<uint>([flow.HostNext - 1, flow.HostNext, flow.HostIss, flow.HostNext - 1448]) + (_choices.OneIn(3) ? Delta() : 0),
        }.ToPacket();
        IcmpType type = _choices.Pick([IcmpType.DestinationUnreachable, IcmpType.DestinationUnreachable, IcmpType.TimeExceeded, IcmpType.ParameterProblem]);
        byte code = _choices.Pick<byte>([4, 4, 3, 1, 0, 13, 200]);
        uint mtu = _choices.Pick<uint>([1400, 576, 552, 68, 20, 0, 1, 65535, _choices.UInt16()]);
        _link.Inject(RawSegment.IcmpError(Peer, Host, type, code, mtu, quoted.AsSpan(0, _choices.OneIn(8) ? 24 : 28)));
    }

    private void SendMangled()
    {
        if (PickFlow() is not { } flow)
        {
            return;
        }

        uint next = flow.Next;
        byte[] packet = Segment(flow, TcpFlags.Ack, payload: _choices.Pick<int>([0, 10, 1000])).ToPacket();
        flow.Next = next;
        for (int i = 1 + _choices.Below(3); i > 0; i--)
        {
            packet[_choices.Below(Math.Min(packet.Length, 60))] = _choices.Byte();
        }

        if (_choices.OneIn(2))
        {
            RawSegment.Repair(packet);
            NoteOffer(flow, packet);
        }

        int length = _choices.OneIn(4) ? 1 + _choices.Below(packet.Length > 255 ? 255 : packet.Length) : packet.Length;
        _link.Inject(packet.AsSpan(0, length));
    }

    private void Send(Flow flow, RawSegment segment)
    {
        byte[] packet = segment.ToPacket();
        NoteOffer(flow, packet);
        _link.Inject(packet);
    }

    /// <summary>The highest number that we ever let the host send, believed or not.</summary>
    private static void NoteOffer(Flow flow, byte[] packet)
    {
        if (!IPv4Header.TryParse(packet, out IPv4Header ip, out _, verifyChecksum: false) || ip.Protocol != IpProtocol.Tcp
            || !TcpHeader.TryParse(ip.Payload(packet), out TcpSegmentHeader tcp, out _))
        {
            return;
        }

        uint right = tcp.Acknowledgment.Value + ((uint)tcp.Window << flow.Scale);
        if (tcp.Has(TcpFlags.Ack) && new SequenceNumber(right).After(new SequenceNumber(flow.RightEdge)))
        {
            flow.RightEdge = right;
        }
    }

    private void Settle()
    {
        _time.RunReady();
        int read = 0;
        while (_link.TryRead(_packet, out int length))
        {
            Read(_packet.AsSpan(0, length));
            FuzzFailureException.Unless(++read < 20_000, "the stack sends without end");
            if (_link.QueuedPackets == 0)
            {
                _time.RunReady();
            }
        }

        _application.CheckInvariants();
    }

    /// <summary>What the stack sends is always right, whatever it was sent.</summary>
    private void Read(ReadOnlySpan<byte> packet)
    {
        FuzzFailureException.Unless(IPv4Header.TryParse(packet, out IPv4Header ip, out MalformedReason reason), $"the stack sent a malformed IP packet: {reason}");
        FuzzFailureException.Unless(packet.Length <= _link.Mtu && packet.Length == ip.TotalLength, "the stack sent a packet of a wrong length");
        if (ip.Protocol != IpProtocol.Tcp || ip.Destination != Peer)
        {
            return;
        }

        ReadOnlySpan<byte> bytes = ip.Payload(packet);
        FuzzFailureException.Unless(TcpHeader.TryParse(bytes, out TcpSegmentHeader tcp, out reason), $"the stack sent a malformed segment: {reason}");
        FuzzFailureException.Unless(TcpHeader.ChecksumHolds(bytes, ip.Source, ip.Destination), "the stack sent a wrong checksum");
        reason = TcpOptions.Parse(tcp.Options(bytes), tcp.Has(TcpFlags.Syn), out TcpOptions options);
        FuzzFailureException.Unless(reason == MalformedReason.None, "the stack sent malformed options");
        Flow? flow = _flows.Find(f => f.PeerPort == tcp.DestinationPort && f.HostPort == tcp.SourcePort);
        if (tcp.Has(TcpFlags.Syn))
        {
            if (flow is null || !tcp.Has(TcpFlags.Ack))
            {
                _flows.Remove(flow!);
                flow = new Flow { PeerPort = tcp.DestinationPort, HostPort = tcp.SourcePort };
                _flows.Add(flow);
            }

            flow.HostIss = tcp.Sequence.Value;
            flow.HostNext = flow.HostIss + 1;
            flow.RightEdge = flow.HostNext;
            flow.HostScale = options.HasWindowScale ? options.WindowScale : 0;
        }

        if (flow is null)
        {
            return;
        }

        flow.HostTimestamp = options.HasTimestamps ? options.TsVal : flow.HostTimestamp;
        if (tcp.Has(TcpFlags.Ack))
        {
            flow.HostAcked = tcp.Acknowledgment.Value;
            flow.HostWindow = (uint)tcp.Window << (tcp.Has(TcpFlags.Syn) ? 0 : flow.HostScale);
        }

        SequenceNumber end = tcp.End(bytes.Length - tcp.HeaderLength);
        if (end.After(new SequenceNumber(flow.HostNext)))
        {
            flow.HostNext = end.Value;
        }
    }
}
