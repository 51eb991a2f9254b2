using System.Net;
using System.Net.Sockets;
using Penstock.Tcp;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>A segment that the stack sent, its sequence numbers counted from the initial ones: the SYN is 0, the first byte 1.</summary>
internal sealed record Segment(
    long Nanos, TcpFlags Flags, uint Sequence, uint Acknowledgment, int Window, ushort Urgent, TcpOptions Options, byte[] Payload, IPv4Header Ip, byte[] OptionBytes, bool ChecksumHolds)
{
    public int Length => Payload.Length;

    public double Milliseconds => Nanos / 1e6;

    public override string ToString() => $"{Nanos / 1e6:F3} ms {Flags} seq {Sequence} ack {Acknowledgment} win {Window} len {Length}";
}

/// <summary>
/// One stack, and its peer played by hand: the test sends segments one by one and says what must come back. Time is virtual and moves only inside the
/// <c>Expect</c> methods and <see cref="Wait"/>. The stack is 10.0.0.1/24, the peer 10.0.0.2. One connection at a time is followed.
/// </summary>
internal sealed class RawPeer : IDisposable
{
    public const uint PeerIss = 5000;
    public const ushort ListenPort = 80;
    public static readonly IPAddress StackAddress = IPAddress.Parse("10.0.0.1");
    public static readonly IPAddress PeerAddress = IPAddress.Parse("10.0.0.2");

    private readonly Queue<Segment> _seen = new();
    private readonly byte[] _packet = new byte[65535];

    public RawPeer(int mtu = 1500, ulong seed = 1, params (string Name, string Value)[] settings)
        : this(TimeSpan.Zero, mtu, seed, settings)
    {
    }

    /// <summary>A stack that waits so long for its connections when it ends.</summary>
    public RawPeer(TimeSpan closeTimeout, int mtu = 1500, ulong seed = 1, params (string Name, string Value)[] settings)
    {
        Link = new PacketLink(new PacketLinkOptions { Mtu = mtu });
        Stack = new NetworkStack(new NetworkStackOptions { Name = "raw", Driver = Time, Seed = seed, CloseTimeout = closeTimeout });
        Stack.AddInterface(Link, InterfaceAddress.Parse("10.0.0.1/24"), InterfaceAddress.Parse("10.0.0.7/24"));
        foreach ((string name, string value) in settings)
        {
            Stack.Sysctl.Set("net.ipv4." + name, value);
        }
    }

    public VirtualTime Time { get; } = new();

    public NetworkStack Stack { get; }

    public PacketLink Link { get; }

    /// <summary>The stack's initial sequence number, from its SYN or SYN-ACK.</summary>
    public uint StackIss { get; private set; }

    public ushort StackPort { get; set; } = ListenPort;

    public ushort PeerPort { get; set; } = 4000;

    /// <summary>The peer's initial sequence number.</summary>
    public uint Iss { get; set; } = PeerIss;

    /// <summary>Window that <see cref="Send"/> puts in when it is told none; not scaled.</summary>
    public ushort Window { get; set; } = 65535;

    /// <summary>Round-trip time of the handshakes, milliseconds.</summary>
    public double Rtt { get; set; }

    /// <summary>Adds timestamps to what <see cref="Send"/> sends: the peer's clock; null for none.</summary>
    public uint? TimestampValue { get; set; }

    /// <summary>The last timestamp that the stack sent, which the peer echoes.</summary>
    public uint TimestampEcho { get; set; }

    public TcpSocketListener? Listener { get; private set; }

    public TcpSocket Socket { get; set; } = null!;

    public TcpConnection Connection => Socket.Connection;

    public double NowMilliseconds => Time.NowNanos / 1e6;

    // --- Connections.

    public static TcpOptions NoOptions => default;

    public static TcpOptions SynOptions(int mss = 1460, bool sack = false, int scale = -1, uint? timestamp = null)
    {
        var options = default(TcpOptions);
        if (mss > 0)
        {
            options.HasMss = true;
            options.Mss = (ushort)mss;
        }

        options.SackPermitted = sack;
        if (scale >= 0)
        {
            options.HasWindowScale = true;
            options.WindowScale = (byte)scale;
        }

        if (timestamp is { } value)
        {
            options.HasTimestamps = true;
            options.TsVal = value;
        }

        return options;
    }

    public TcpSocketListener Listen(Action<TcpListenOptions>? configure = null)
    {
        var options = new TcpListenOptions(new IPEndPoint(IPAddress.Any, ListenPort));
        configure?.Invoke(options);
        return Listener = Stack.ListenTcp(options);
    }

    /// <summary>The peer connects to a listener of the stack; the accepted socket is <see cref="Socket"/>.</summary>
    public RawPeer Accepted(TcpOptions options, Action<TcpListenOptions>? configure = null)
    {
        if (Listener is null)
        {
            Listen(configure);
        }

        if (options.HasTimestamps)
        {
            TimestampValue = options.TsVal;
        }

        Send(TcpFlags.Syn, 0, options: options);
        Expect(TcpFlags.SynAck, ack: 1);
        Wait(Rtt);
        Send(TcpFlags.Ack, 1, 1);
        Socket = Done(Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
        return this;
    }

    public RawPeer Accepted() => Accepted(SynOptions());

    public Task<TcpSocket> Connect(TcpConnectOptions? options = null)
    {
        Task<TcpSocket> connecting = Stack.ConnectTcpAsync(new IPEndPoint(PeerAddress, PeerPort), options, TestContext.Current.CancellationToken).AsTask();
        Time.RunReady();
        return connecting;
    }

    /// <summary>The stack connects to the peer; the socket is <see cref="Socket"/>.</summary>
    public RawPeer Connected(TcpOptions options, TcpConnectOptions? connect = null)
    {
        Task<TcpSocket> connecting = Connect(connect);
        Expect(TcpFlags.Syn, 0);
        if (options.HasTimestamps)
        {
            TimestampValue = options.TsVal;
        }

        Send(TcpFlags.SynAck, 0, 1, options: options);
        Expect(TcpFlags.Ack, 1, 1);
        Socket = Done(connecting);
        return this;
    }

    public T Done<T>(Task<T> task)
    {
        Time.RunReady();
        Assert.True(task.IsCompleted, "the call still waits");
        return task.GetAwaiter().GetResult();
    }

    /// <summary>How a call failed.</summary>
    public SocketError Failure(Task task)
    {
        Time.RunReady();
        Assert.True(task.IsCompleted, "the call still waits");
        return Assert.IsType<SocketException>(task.Exception?.InnerException).SocketErrorCode;
    }

    // --- The application on the stack.

    public void Write(int bytes, TcpSendFlags flags = TcpSendFlags.None)
    {
        byte[] data = new byte[bytes];
        for (int i = 0; i < bytes; i++)
        {
            data[i] = (byte)i;
        }

        Assert.Equal(bytes, Socket.TrySend(data, flags, out SocketError error));
        Assert.Equal(SocketError.Success, error);
        Time.RunReady();
    }

    /// <summary>What the application can read now: a count, 0 at the end, negative when nothing is there or the connection failed.</summary>
    public int Read(int bytes = 65536) => Read(new byte[bytes], out _);

    public int Read(byte[] buffer, out SocketError error, TcpReceiveFlags flags = TcpReceiveFlags.None)
    {
        int count = Socket.TryReceive(buffer, flags, out error);
        Time.RunReady();
        return count;
    }

    public SocketError ReadError()
    {
        Assert.Equal(TcpConnection.Failed, Read(new byte[10], out SocketError error));
        return error;
    }

    public void ShutdownSend()
    {
        Socket.Shutdown(SocketShutdown.Send);
        Time.RunReady();
    }

    public void Close()
    {
        Socket.Dispose();
        Time.RunReady();
    }

    public void Abort()
    {
        Socket.Abort();
        Time.RunReady();
    }

    // --- The peer sends.

    /// <summary>Sends a segment; numbers count from the initial ones. With a connection that has timestamps they are added.</summary>
    public void Send(
        TcpFlags flags, uint seq, uint? ack = null, int length = 0, int? window = null, TcpOptions? options = null, ushort urgent = 0, byte[]? payload = null)
    {
        TcpOptions all = options ?? default;
        if (TimestampValue is { } value && options is null)
        {
            all.HasTimestamps = true;
            all.TsVal = value;
            all.TsEcr = ack is null ? 0 : TimestampEcho;
        }

        byte[] optionBytes = new byte[TcpOptionsWriter.LengthOf(all)];
        TcpOptionsWriter.Write(optionBytes, all);
        payload ??= Pattern(seq, length);
        Inject(Build(flags, Iss + seq, ack is { } number ? StackIss + number : 0, window ?? Window, optionBytes, payload, urgent));
    }

    /// <summary>The bytes of the peer's stream from a sequence number on.</summary>
    public static byte[] Pattern(uint seq, int length)
    {
        byte[] payload = new byte[length];
        for (int i = 0; i < length; i++)
        {
            payload[i] = (byte)(seq + i);
        }

        return payload;
    }

    /// <summary>An acknowledgment with SACK blocks.</summary>
    public void SendSack(uint ack, params (uint Start, uint End)[] blocks)
    {
        var options = default(TcpOptions);
        if (TimestampValue is { } value)
        {
            options.HasTimestamps = true;
            options.TsVal = value;
            options.TsEcr = TimestampEcho;
        }

        foreach ((uint start, uint end) in blocks)
        {
            options.AddSackBlock(new SackBlock(new SequenceNumber(StackIss + start), new SequenceNumber(StackIss + end)));
        }

        Send(TcpFlags.Ack, 1, ack, options: options);
    }

    public byte[] Build(
        TcpFlags flags, uint seq, uint ack, int window, byte[] options, byte[] payload, ushort urgent = 0, IPAddress? from = null, IPAddress? to = null, byte[]? ipOptions = null,
        byte tos = 0)
    {
        IpAddress source = IpAddress.From(from ?? PeerAddress);
        IpAddress destination = IpAddress.From(to ?? StackAddress);
        byte[] segment = new byte[TcpHeader.MinLength + options.Length + payload.Length];
        TcpHeader.Write(segment, new TcpSegmentHeader
        {
            SourcePort = PeerPort,
            DestinationPort = StackPort,
            Sequence = new SequenceNumber(seq),
            Acknowledgment = new SequenceNumber(ack),
            Flags = flags,
            Window = (ushort)window,
            UrgentPointer = urgent,
            HeaderLength = (byte)(TcpHeader.MinLength + options.Length),
        });
        options.CopyTo(segment, TcpHeader.MinLength);
        payload.CopyTo(segment, TcpHeader.MinLength + options.Length);
        TcpHeader.WriteChecksum(
            segment, Checksum.Finish(Checksum.Add(segment, Checksum.PseudoHeader(source, destination, IpProtocol.Tcp, (uint)segment.Length))));
        return Ip(source, destination, IpProtocol.Tcp, segment, ipOptions ?? [], tos);
    }

    private static byte[] Ip(IpAddress source, IpAddress destination, byte protocol, byte[] content, byte[] ipOptions, byte tos = 0)
    {
        byte[] packet = new byte[IPv4Header.MinLength + ipOptions.Length + content.Length];
        new IPv4Header
        {
            Source = source,
            Destination = destination,
            Protocol = protocol,
            TimeToLive = 64,
            TypeOfService = tos,
            TotalLength = (ushort)packet.Length,
        }.Write(packet);
        if (ipOptions.Length > 0)
        {
            ipOptions.CopyTo(packet, IPv4Header.MinLength);
            packet[0] = (byte)(0x40 | ((IPv4Header.MinLength + ipOptions.Length) / 4));
            packet[10] = packet[11] = 0;
            System.Buffers.Binary.BinaryPrimitives.WriteUInt16BigEndian(
                packet.AsSpan(10), Checksum.Finish(Checksum.Add(packet.AsSpan(0, IPv4Header.MinLength + ipOptions.Length))));
        }

        content.CopyTo(packet, IPv4Header.MinLength + ipOptions.Length);
        return packet;
    }

    public void Inject(byte[] packet)
    {
        Assert.True(Link.Inject(packet));
        Time.RunReady();
    }

    /// <summary>A router or the peer reports an ICMP error about a segment of the stack's.</summary>
    public void SendIcmp(IcmpType type, byte code, uint quotedSequence, uint rest = 0)
    {
        byte[] quoted = new byte[IPv4Header.MinLength + 8];
        new IPv4Header
        {
            Source = IpAddress.From(StackAddress),
            Destination = IpAddress.From(PeerAddress),
            Protocol = IpProtocol.Tcp,
            TimeToLive = 60,
            TotalLength = 1500,
        }.Write(quoted);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt16BigEndian(quoted.AsSpan(20), StackPort);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt16BigEndian(quoted.AsSpan(22), PeerPort);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(quoted.AsSpan(24), StackIss + quotedSequence);
        byte[] message = new byte[IcmpHeader.WireLength + quoted.Length];
        IcmpHeader.WriteError(message, type, code, rest, quoted);
        Inject(Ip(IpAddress.From(IPAddress.Parse("10.0.0.9")), IpAddress.From(StackAddress), IpProtocol.Icmp, message, []));
    }

    // --- The peer listens.

    /// <summary>The next segment of the stack, whatever it is; lets time pass until it comes.</summary>
    public Segment Next(double withinMilliseconds = 10) =>
        TryNext(withinMilliseconds) ?? throw new Xunit.Sdk.XunitException($"Nothing was sent within {withinMilliseconds} ms, now is {NowMilliseconds:F3} ms.");

    public Segment? TryNext(double withinMilliseconds)
    {
        long end = Time.NowNanos + (long)(withinMilliseconds * 1e6);
        while (true)
        {
            Time.RunReady();
            Drain();
            if (_seen.TryDequeue(out Segment? segment))
            {
                return segment;
            }

            if (Time.NextEventNanos > end)
            {
                Time.RunUntil(end);
                return null;
            }

            Time.RunUntil(Time.NextEventNanos);
        }
    }

    /// <summary>The next segment must come within the time and look like this; what is not given is not looked at.</summary>
    public Segment Expect(TcpFlags flags, uint? seq = null, uint? ack = null, int? length = null, int? window = null, double within = 10)
    {
        Segment? got = TryNext(within);
        Assert.True(got is not null, $"Expected {flags} seq {seq} ack {ack} len {length} within {within} ms; nothing came until {NowMilliseconds:F3} ms.");

        // PSH is asked about where it matters only.
        TcpFlags mask = (flags & TcpFlags.Psh) == 0 ? ~TcpFlags.Psh : (TcpFlags)0xFFFF;
        bool right = (got.Flags & mask) == flags
            && (seq is null || got.Sequence == seq) && (ack is null || got.Acknowledgment == ack)
            && (length is null || got.Length == length) && (window is null || got.Window == window);
        Assert.True(right, $"Expected {flags} seq {seq} ack {ack} len {length} win {window}; got {got}.");
        return got;
    }

    public void ExpectNothing(double milliseconds = 10)
    {
        Segment? got = TryNext(milliseconds);
        Assert.True(got is null, $"Nothing should have been sent; got {got}.");
    }

    /// <summary>Takes all that the stack has sent until now.</summary>
    public List<Segment> All(double withinMilliseconds = 0)
    {
        var all = new List<Segment>();
        while (TryNext(withinMilliseconds) is { } segment)
        {
            all.Add(segment);
        }

        return all;
    }

    /// <summary>Lets time pass; what the stack sends meanwhile waits to be looked at.</summary>
    public void Wait(double milliseconds)
    {
        Time.RunUntil(Time.NowNanos + (long)(milliseconds * 1e6));
        Drain();
    }

    public void Dispose()
    {
        // After the checks of the test itself: whatever it left open is given back, and nothing leaks.
        if (Socket is not null)
        {
            Assert.Null(Connection.VerifyInvariants());
            Close();
        }

        Time.Run(async () => await Stack.DisposeAsync(), TimeSpan.FromMinutes(10));
        Drain();
        Assert.Equal(0, Stack.Pool.RentedBuffers);
        Assert.Equal(0, Stack.Pool.RentedSlabs);
        Assert.Equal(0, Stack.Tcp.Memory.AllocatedPages);
    }

    private void Drain()
    {
        while (Link.TryRead(_packet, out int length))
        {
            byte[] bytes = _packet[..length];
            Assert.True(IPv4Header.TryParse(bytes, out IPv4Header ip, out _));
            if (ip.Protocol != IpProtocol.Tcp)
            {
                continue;
            }

            byte[] tcp = ip.Payload(bytes).ToArray();
            Assert.True(TcpHeader.TryParse(tcp, out TcpSegmentHeader header, out _));
            if (header.DestinationPort != PeerPort)
            {
                continue;
            }

            TcpOptions.Parse(header.Options(tcp), header.Has(TcpFlags.Syn), out TcpOptions options);
            if (header.Has(TcpFlags.Syn))
            {
                StackIss = header.Sequence.Value;
                StackPort = header.SourcePort;
            }

            if (options.HasTimestamps)
            {
                TimestampEcho = options.TsVal;
            }

            _seen.Enqueue(new Segment(
                Time.NowNanos, header.Flags, header.Sequence.Value - StackIss, header.Has(TcpFlags.Ack) ? header.Acknowledgment.Value - Iss : 0, header.Window, header.UrgentPointer,
                options, tcp[header.HeaderLength..], ip, tcp[TcpHeader.MinLength..header.HeaderLength],
                TcpHeader.ChecksumHolds(tcp, ip.Source, ip.Destination)));
        }
    }
}
