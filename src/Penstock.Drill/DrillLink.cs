using Penstock.Buffers;
using Penstock.Links;
using Penstock.Wire;

namespace Penstock.Drill;

/// <summary>An IP packet as it left the stack, with the virtual time at which it did.</summary>
internal sealed record CapturedPacket(byte[] Bytes, long Nanos);

/// <summary>
/// The wire of one script: keeps what the stack sends until the script looks at it, and delivers what the script injects. A plain link
/// without offloads, so that every packet is seen as it would be on Ethernet. It loses and delays nothing.
/// </summary>
internal sealed class DrillLink(int mtu, PcapNgWriter? capture) : Link("drill")
{
    private readonly Queue<CapturedPacket> _sent = new();
    private ILinkClient? _client;

    public override int Mtu => mtu;

    /// <summary>Packets the stack has sent and the script has not looked at.</summary>
    public int Waiting => _sent.Count;

    public CapturedPacket? TryTake() => _sent.TryDequeue(out CapturedPacket? packet) ? packet : null;

    public CapturedPacket[] TakeAll()
    {
        CapturedPacket[] all = [.. _sent];
        _sent.Clear();
        return all;
    }

    /// <summary>Hands the stack a packet. False: it has no memory for it.</summary>
    public bool Inject(ReadOnlySpan<byte> bytes)
    {
        ILinkClient client = _client!;
        if (PacketCopy.TryRent(client.Pool, bytes.Length, out _) is not { } packet)
        {
            return false;
        }

        bytes.CopyTo(packet.FirstSpan);
        packet.ArrivalNanos = client.WorkerOf(0).NowNanos;
        packet.SegmentCount = 1;
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
        packet.Free();
        capture?.Write(bytes, default, now, PacketDirection.Outbound);
        _sent.Enqueue(new CapturedPacket(bytes, now));
        return true;
    }

    private protected override void Dispose(bool disposing)
    {
    }
}
