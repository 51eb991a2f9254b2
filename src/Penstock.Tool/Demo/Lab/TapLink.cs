using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tool.Demo.Lab;

/// <summary>A TCP segment as it crossed.</summary>
internal readonly record struct TappedSegment(TcpSegmentHeader Header, int Payload, int Bytes);

/// <summary>
/// A link around another one that shows what crosses and may lose some of it: the experiments measure here, outside of the stacks. Nobody's packet is changed.
/// </summary>
internal sealed class TapLink(Link inner) : Link(inner.Name)
{
    private ILinkClient? _client;

    public override int Mtu => inner.Mtu;

    /// <summary>Called for each segment that the stack sends; a super-segment is one.</summary>
    public Action<TappedSegment>? OnSent { get; set; }

    /// <summary>Called for each segment that arrives, before the stack has it; false loses it.</summary>
    public Func<TappedSegment, bool>? OnArrived { get; set; }

    /// <summary>A copy of the first packet with payload that arrived, to be sent again.</summary>
    public byte[]? FirstData { get; private set; }

    internal override LinkOffloads Offloads => inner.Offloads;

    internal override bool MergesReceived => inner.MergesReceived;

    internal override int QueueCount => inner.QueueCount;

    internal override Driver? CreateDriver(int queue) => inner.CreateDriver(queue);

    /// <summary>Hands a packet to the stack as if it had arrived.</summary>
    public void Inject(PacketBuffer packet) => _client!.Deliver(packet, 0);

    public PacketPool Pool => _client!.Pool;

    internal override void Attach(ILinkClient client)
    {
        _client = client;
        inner.Attach(new Tap(this, client));
    }

    internal override bool Transmit(PacketBuffer packet)
    {
        ReadOnlySpan<byte> head = packet.Head;
        if (OnSent is { } sent && head.Length >= IPv4Header.MinLength && head[9] == (byte)IpProtocol.Tcp
            && TcpHeader.TryParse(head[((head[0] & 15) * 4)..], out TcpSegmentHeader header, out _))
        {
            sent(new TappedSegment(header, packet.Length, packet.TotalLength));
        }

        return inner.Transmit(packet);
    }

    private protected override void Dispose(bool disposing) => inner.Dispose();

    private bool Passes(PacketBuffer packet)
    {
        if (!IPv4Header.TryParse(packet.FirstSpan, out IPv4Header ip, out _, verifyChecksum: false) || ip.Protocol != IpProtocol.Tcp
            || !TcpHeader.TryParse(packet.FirstSpan[ip.HeaderLength..ip.TotalLength], out TcpSegmentHeader header, out _))
        {
            return true;
        }

        int payload = ip.PayloadLength - header.HeaderLength;
        if (payload > 0 && FirstData is null)
        {
            FirstData = packet.FirstSpan[..ip.TotalLength].ToArray();
        }

        return OnArrived?.Invoke(new TappedSegment(header, payload, ip.TotalLength)) ?? true;
    }

    private sealed class Tap(TapLink link, ILinkClient client) : ILinkClient
    {
        public PacketPool Pool => client.Pool;

        public Worker WorkerOf(int queue) => client.WorkerOf(queue);

        public void Deliver(PacketBuffer packet, int queue)
        {
            if (link.Passes(packet))
            {
                client.Deliver(packet, queue);
            }
            else
            {
                packet.Free();
            }
        }

        public void OnSpace() => client.OnSpace();

        public void OnFailed(Exception reason) => client.OnFailed(reason);

        public void OnReceiveDropped() => client.OnReceiveDropped();
    }
}
