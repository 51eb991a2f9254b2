using Penstock.Buffers;
using Penstock.Links;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>A segment as it left the stack; a super-segment is one of these.</summary>
internal sealed record SentSegment(long AtNanos, uint Sequence, uint Acknowledgment, TcpFlags Flags, int Window, int Length, int GsoSize, byte[] Payload)
{
    public uint End => Sequence + (uint)Length + ((Flags & (TcpFlags.Syn | TcpFlags.Fin)) != 0 ? 1u : 0u);
}

/// <summary>A link without a far end: notes what the stack sends. A test delivers by hand.</summary>
internal sealed class WireLink(int mtu, Func<long> now) : Link("wire")
{
    private readonly List<PacketBuffer> _held = [];

    public override int Mtu => mtu;

    public ILinkClient? Client { get; private set; }

    public List<SentSegment> Sent { get; } = [];

    /// <summary>Called for each segment, from inside the connection's owner: may deliver, must not send.</summary>
    public Action<SentSegment>? OnSent { get; set; }

    /// <summary>True: the device does not finish with packets.</summary>
    public bool Holds { get; set; }

    /// <summary>Asked for each packet: true, and the device is full.</summary>
    public Func<bool>? Refuses { get; set; }

    public bool KeepsPayload { get; set; } = true;

    /// <summary>False: the device wants each packet in one piece.</summary>
    public bool ScatterGather { get; set; } = !Proof.NoScatterGather;

    internal override LinkOffloads Offloads =>
        LinkOffloads.Checksum | LinkOffloads.TcpSegmentation | (ScatterGather ? LinkOffloads.ScatterGather : LinkOffloads.None);

    internal override void Attach(ILinkClient client) => Client = client;

    internal override bool Transmit(PacketBuffer packet)
    {
        if (Refuses is not null && Refuses())
        {
            return false;
        }

        ReadOnlySpan<byte> head = packet.Head;
        if (head[9] == (byte)IpProtocol.Tcp)
        {
            // The packet's total length may not fit its head alone, so the header is read without its IP check.
            Assert.True(TcpHeader.TryParse(head[IPv4Header.MinLength..], out TcpSegmentHeader header, out _));
            byte[] payload = KeepsPayload ? new byte[packet.Length] : [];
            packet.CopyPayloadTo(0, payload);
            var sent = new SentSegment(
                now(), header.Sequence.Value, header.Acknowledgment.Value, header.Flags, header.Window, packet.Length, packet.GsoSize, payload);
            Sent.Add(sent);
            Done(packet);
            OnSent?.Invoke(sent);
            return true;
        }

        packet.Free();
        return true;
    }

    /// <summary>What the device has not finished with.</summary>
    public IReadOnlyList<PacketBuffer> Held => _held;

    public void LetGo()
    {
        foreach (PacketBuffer packet in _held)
        {
            packet.Free();
        }

        _held.Clear();
    }

    private void Done(PacketBuffer packet)
    {
        if (Holds)
        {
            _held.Add(packet);
        }
        else
        {
            packet.Free();
        }
    }

    private protected override void Dispose(bool disposing) => LetGo();
}
