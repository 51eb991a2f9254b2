using Penstock.Buffers;
using Penstock.Links;
using Penstock.Wire;

namespace Penstock.Tool.Demo.Lab;

/// <summary>A device without a far end: it is done with a packet as soon as it has it, unless told to hold it. Nothing is copied.</summary>
internal sealed class ScriptedLink(bool scatterGather) : Link("scripted")
{
    private readonly List<PacketBuffer> _held = [];

    public override int Mtu => 1500;

    /// <summary>Whether it sends from memory that lies scattered; without, a zero-copy send's bytes are copied.</summary>
    public bool ScatterGather { get; set; } = scatterGather;

    /// <summary>True: packets stay in the device.</summary>
    public bool Holds { get; set; }

    /// <summary>The end of the furthest segment of data that was sent, and of the SYN.</summary>
    public SequenceNumber SentEnd { get; private set; }

    public bool HasSent { get; private set; }

    internal override LinkOffloads Offloads =>
        LinkOffloads.Checksum | LinkOffloads.TcpSegmentation | (ScatterGather ? LinkOffloads.ScatterGather : LinkOffloads.None);

    public void LetGo()
    {
        foreach (PacketBuffer packet in _held)
        {
            packet.Free();
        }

        _held.Clear();
    }

    internal override void Attach(ILinkClient client)
    {
    }

    internal override bool Transmit(PacketBuffer packet)
    {
        ReadOnlySpan<byte> head = packet.Head;
        if (head[9] == (byte)IpProtocol.Tcp && TcpHeader.TryParse(head[IPv4Header.MinLength..], out TcpSegmentHeader header, out _))
        {
            SequenceNumber end = header.End(packet.Length);
            if (!HasSent || end.After(SentEnd))
            {
                HasSent = true;
                SentEnd = end;
            }
        }

        if (Holds)
        {
            _held.Add(packet);
        }
        else
        {
            packet.Free();
        }

        return true;
    }

    private protected override void Dispose(bool disposing) => LetGo();
}
