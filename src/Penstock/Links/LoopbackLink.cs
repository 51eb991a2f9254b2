using Penstock.Buffers;

namespace Penstock.Links;

/// <summary>
/// A stack's way to itself, 127.0.0.0/8 and its own addresses. A transmission is copied and appended to the worker's ready queue, as Linux's loopback
/// queues to softirq: it never calls into a socket. The copy keeps the memory ledgers of sender and receiver apart.
/// </summary>
internal sealed class LoopbackLink : Link
{
    /// <summary>Linux's loopback MTU.</summary>
    private const int LoopbackMtu = 65535;

    /// <summary>Packets that may wait before more are dropped; an endless loop of a stack with itself must not grow without bound.</summary>
    private const int QueueLimit = 4096;

    private ILinkClient? _client;

    public LoopbackLink()
        : base("lo")
    {
    }

    public override int Mtu => LoopbackMtu;

    internal override LinkOffloads Offloads => LinkOffloads.Checksum | LinkOffloads.TcpSegmentation | LinkOffloads.ScatterGather;

    internal override bool LetsGoAtOnce => true;

    internal override void Attach(ILinkClient client) => _client = client;

    internal override bool Transmit(PacketBuffer packet)
    {
        ILinkClient client = _client!;
        if (client.WorkerOf(0).ReadyCount >= QueueLimit)
        {
            client.OnReceiveDropped();
        }
        else if (PacketCopy.TryMake(client.Pool, packet) is { } copy)
        {
            copy.Checksum = ChecksumState.Verified;
            copy.GsoSize = packet.GsoSize;
            copy.SegmentCount = packet.SegmentCount;
            copy.ArrivalNanos = client.WorkerOf(0).NowNanos;
            client.Deliver(copy, 0);
        }
        else
        {
            client.OnReceiveDropped();
        }

        packet.Free();
        return true;
    }

    private protected override void Dispose(bool disposing)
    {
    }
}
