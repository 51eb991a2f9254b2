using System.Net;
using Penstock.Fuzz;
using Penstock.Ip;
using Penstock.Tcp;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>
/// One stack under virtual time, and the test as the other end of its link, packet by packet. Keeps the numbers of one connection that a right answer needs; everything can be sent wrong. Ends with
/// the leak check.
/// </summary>
internal sealed class RawPeer
{
    public static readonly IpAddress HostAddress = IpAddress.From(IPAddress.Parse("10.1.0.2"));
    public static readonly IpAddress PeerAddress = IpAddress.From(IPAddress.Parse("10.1.0.1"));
    private readonly byte[] _packet = new byte[65535];
    private readonly List<Seen> _seen = [];
    private bool _ended;

    public RawPeer(NetworkStackOptions? options = null, PacketLinkOptions? link = null)
    {
        options ??= new NetworkStackOptions { CloseTimeout = TimeSpan.Zero };
        options.Driver = Time;
        options.Seed ??= 1;
        Stack = new NetworkStack(options);
        Link = new PacketLink(link);
        Stack.AddInterface(Link, InterfaceAddress.Parse("10.1.0.2/24"));
    }

    public VirtualTime Time { get; } = new();

    public NetworkStack Stack { get; }

    public PacketLink Link { get; }

    public ushort PeerPort { get; set; } = 5000;

    public ushort HostPort { get; set; } = 80;

    /// <summary>The next number that the peer sends.</summary>
    public uint Next { get; set; } = 1000;

    /// <summary>The number behind everything that the host has sent.</summary>
    public uint HostNext { get; set; }

    public uint HostIss { get; private set; }

    public ushort Window { get; set; } = 65535;

    public TcpOptions SynOptions;

    /// <summary>Segments that the stack has sent since the last call.</summary>
    public Seen[] Take()
    {
        Settle();
        Seen[] all = [.. _seen];
        _seen.Clear();
        return all;
    }

    public void Settle()
    {
        do
        {
            Time.RunReady();
            while (Link.TryRead(_packet, out int length))
            {
                Read(_packet.AsSpan(0, length));
            }
        }
        while (Time.HasWork || Link.QueuedPackets > 0);
    }

    public void Wait(TimeSpan time)
    {
        long end = Time.NowNanos + Nanos.From(time);
        while (Time.NowNanos < end)
        {
            Settle();
            Time.RunUntil(Math.Min(end, Math.Max(Time.NextEventNanos, Time.NowNanos)));
        }

        Settle();
    }

    public RawSegment Segment(TcpFlags flags, int length = 0) => new()
    {
        Source = PeerAddress,
        Destination = HostAddress,
        SourcePort = PeerPort,
        DestinationPort = HostPort,
        Sequence = Next,
        Acknowledgment = (flags & TcpFlags.Ack) != 0 ? HostNext : 0,
        Flags = flags,
        Window = Window,
        Payload = new byte[length],
    };

    /// <summary>Sends what continues the peer's stream.</summary>
    public void Send(TcpFlags flags, int length = 0, byte fill = 0)
    {
        RawSegment segment = Segment(flags, length);
        segment.Payload.AsSpan().Fill(fill);
        Next += segment.Span;
        Inject(segment);
    }

    public void Inject(RawSegment segment) => Inject(segment.ToPacket());

    public void Inject(ReadOnlySpan<byte> packet)
    {
        Assert.True(Link.Inject(packet));
        Settle();
    }

    public void SendSyn()
    {
        RawSegment syn = Segment(TcpFlags.Syn);
        syn.SetOptions(SynOptions);
        Next++;
        Inject(syn);
    }

    /// <summary>Opens a connection to a listener of the stack.</summary>
    public TcpSocket OpenFromPeer(TcpListenOptions? options = null)
    {
        using TcpSocketListener listener = Stack.ListenTcp(options ?? new TcpListenOptions(new IPEndPoint(IPAddress.Any, HostPort)));
        SendSyn();
        Assert.Equal(TcpFlags.SynAck, Assert.Single(Take()).Header.Flags);
        Send(TcpFlags.Ack);
        return listener.TryAccept() ?? throw new InvalidOperationException("No connection.");
    }

    /// <summary>Begins a connection from the stack; the SYN has been seen then.</summary>
    public TcpSocket BeginFromHost(TcpConnectOptions? options = null)
    {
        TcpSocket socket = Stack.BeginConnectTcp(new IPEndPoint(PeerAddress.ToIPAddress(), PeerPort), options ?? new TcpConnectOptions());
        HostPort = (ushort)socket.LocalEndPoint.Port;
        Seen syn = Assert.Single(Take());
        Assert.Equal(TcpFlags.Syn, syn.Header.Flags);
        return socket;
    }

    public TcpSocket OpenFromHost(TcpConnectOptions? options = null)
    {
        TcpSocket socket = BeginFromHost(options);
        RawSegment answer = Segment(TcpFlags.SynAck);
        answer.SetOptions(SynOptions);
        Next++;
        Inject(answer);
        Assert.Equal(TcpFlags.Ack, Assert.Single(Take()).Header.Flags);
        Assert.Equal(TcpConnectionState.Established, socket.State);
        return socket;
    }

    public TcpConnectionState? StateOfFlow()
    {
        FlowEntry? entry = Stack.Tcp.Flows.Find(new FlowKey(HostAddress, HostPort, PeerAddress, PeerPort));
        return entry switch
        {
            null => null,
            TcpConnection connection => connection.State,
            TimeWaitEntry old => old.State,
            _ => TcpConnectionState.SynReceived,
        };
    }

    public void SendIcmp(IcmpType type, byte code, uint rest, uint quotedSequence)
    {
        byte[] quoted = new RawSegment
        {
            Source = HostAddress, Destination = PeerAddress, SourcePort = HostPort, DestinationPort = PeerPort, Sequence = quotedSequence,
        }.ToPacket();
        Inject(RawSegment.IcmpError(PeerAddress, HostAddress, type, code, rest, quoted));
    }

    public void CheckInvariants()
    {
        foreach (FlowEntry entry in Stack.Tcp.Flows.Snapshot())
        {
            Assert.Null((entry as TcpConnection)?.VerifyInvariants());
        }
    }

    /// <summary>Disposes the stack and checks that nothing is left of it.</summary>
    public void End()
    {
        if (!_ended)
        {
            _ended = true;
            Settle();
            CheckInvariants();
            Time.Run(() => Stack.DisposeAsync().AsTask(), TimeSpan.FromMinutes(1));
            Time.RunReady();
            Cleanliness.Check(Stack);
        }
    }

    private void Read(ReadOnlySpan<byte> packet)
    {
        Assert.True(IPv4Header.TryParse(packet, out IPv4Header ip, out _));
        if (ip.Protocol != IpProtocol.Tcp)
        {
            return;
        }

        ReadOnlySpan<byte> bytes = ip.Payload(packet);
        Assert.True(TcpHeader.TryParse(bytes, out TcpSegmentHeader header, out _));
        Assert.True(TcpHeader.ChecksumHolds(bytes, ip.Source, ip.Destination));
        Assert.Equal(MalformedReason.None, TcpOptions.Parse(header.Options(bytes), header.Has(TcpFlags.Syn), out TcpOptions options));
        var seen = new Seen(header, options, bytes[header.HeaderLength..].ToArray(), ip.Source, ip.Destination, Time.NowNanos);
        _seen.Add(seen);
        if (header.DestinationPort != PeerPort || header.SourcePort != HostPort || header.Has(TcpFlags.Rst))
        {
            return;
        }

        if (header.Has(TcpFlags.Syn))
        {
            HostIss = header.Sequence.Value;
            HostNext = HostIss + 1;
        }
        else if (seen.End.After(new SequenceNumber(HostNext)))
        {
            HostNext = seen.End.Value;
        }
    }

    internal sealed record Seen(TcpSegmentHeader Header, TcpOptions Options, byte[] Payload, IpAddress Source, IpAddress Destination, long Nanos)
    {
        public SequenceNumber End => Header.End(Payload.Length);

        public override string ToString() => $"{Header.Flags} {Header.Sequence.Value}({Payload.Length}) ack {Header.Acknowledgment.Value} win {Header.Window}";
    }
}
