using Penstock.Buffers;
using Penstock.Links;
using Penstock.Wire;

namespace Penstock.Drill;

/// <summary>An IP packet as it left the stack, with the virtual time at which it did.</summary>
internal sealed class CapturedPacket(byte[] bytes, long nanos)
{
    public byte[] Bytes => bytes;

    public long Nanos => nanos;

    /// <summary>The script has compared it with something it expected.</summary>
    public bool WasLookedAt { get; set; }
}

/// <summary>
/// The wire of one script: keeps what the stack sends until the script looks at it, and delivers what the script injects. As a TUN device of Linux's
/// without offloads it takes a packet's payload in pieces but no super-segment, so that every packet is seen as it would be on Ethernet; what was lent to
/// the stack is copied. It loses and delays nothing.
/// </summary>
internal sealed class DrillLink(int mtu, PcapNgWriter? capture) : Link("drill")
{
    private readonly Queue<CapturedPacket> _sent = new();
    private ILinkClient? _client;

    public override int Mtu => mtu;

    internal override LinkOffloads Offloads => LinkOffloads.ScatterGather;

    /// <summary>Called with each packet the stack sends, when it does.</summary>
    public Action<CapturedPacket>? Sent { get; set; }

    /// <summary>Payload of a segment on the wire where an injected packet stands for several that were merged (<c>--mss</c>); 0: it stands for itself.</summary>
    public int MergedSegment { get; init; }

    /// <summary>Packets the stack has sent and the script has not looked at.</summary>
    public int Waiting => _sent.Count;

    public CapturedPacket? TryTake() => _sent.TryDequeue(out CapturedPacket? packet) ? packet : null;

    /// <summary>Hands the stack a packet. False: it has no memory for it.</summary>
    public bool Inject(ReadOnlySpan<byte> bytes)
    {
        ILinkClient client = _client!;
        if (PacketCopy.TryMake(client.Pool, bytes) is not { } packet)
        {
            return false;
        }

        packet.ArrivalNanos = client.WorkerOf(0).NowNanos;
        int payload = PayloadOf(bytes);
        packet.SegmentCount = MergedSegment > 0 && payload > MergedSegment ? (ushort)((payload + MergedSegment - 1) / MergedSegment) : (ushort)1;
        packet.GsoSize = packet.SegmentCount > 1 ? (ushort)MergedSegment : (ushort)0;
        capture?.Write(bytes, default, packet.ArrivalNanos, PacketDirection.Inbound);
        client.Deliver(packet, 0);
        return true;
    }

    internal override void Attach(ILinkClient client) => _client = client;

    internal override bool Transmit(PacketBuffer packet)
    {
        byte[] bytes = new byte[packet.TotalLength];
        packet.Head.CopyTo(bytes);
        packet.CopyPayloadTo(0, bytes.AsSpan(packet.HeadLength));
        long now = _client!.WorkerOf(0).NowNanos;
        packet.NoteCopied();
        packet.Free();
        capture?.Write(bytes, default, now, PacketDirection.Outbound);
        var captured = new CapturedPacket(bytes, now);
        _sent.Enqueue(captured);
        Sent?.Invoke(captured);
        return true;
    }

    private static int PayloadOf(ReadOnlySpan<byte> bytes) =>
        IPv4Header.TryParse(bytes, out IPv4Header ip, out _, verifyChecksum: false) && ip.Protocol == IpProtocol.Tcp
            && TcpHeader.TryParse(ip.Payload(bytes), out TcpSegmentHeader tcp, out _)
            ? ip.PayloadLength - tcp.HeaderLength
            : 0;

    private protected override void Dispose(bool disposing)
    {
    }
}
