using System.Runtime.CompilerServices;
using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Ip;

/// <summary>One link as the stack sees it: its addresses, its workers and its counters. Outgoing packets leave by <see cref="Transmit"/>.</summary>
internal sealed class StackInterface : ILinkClient, IReceiver
{
    private readonly NetworkStack _stack;
    private readonly Worker[] _workers;
    private readonly CountRows _counts = new(4);
    private const int PacketsInColumn = 0, PacketsOutColumn = 1, BytesInColumn = 2, BytesOutColumn = 3;
    private int _failed;

    /// <summary>How often the link has said that there is room again, or has gone. The TCP layer counts, under its gate.</summary>
    public long SpaceSignals;

    internal StackInterface(NetworkStack stack, Link link, int index, Worker[] workers, (IpAddress Address, IpPrefix Network)[] addresses)
    {
        _stack = stack;
        Link = link;
        Index = index;
        _workers = workers;
        Addresses = addresses;
        MergesReceived = link.MergesReceived;
        LetsGoAtOnce = link.LetsGoAtOnce;
    }

    public Link Link { get; }

    public int Index { get; }

    /// <inheritdoc cref="Link.LetsGoAtOnce"/>
    public bool LetsGoAtOnce { get; }

    /// <summary>The stack's addresses on this link.</summary>
    public (IpAddress Address, IpPrefix Network)[] Addresses { get; }

    /// <summary>True for the first of them, which most packets are sent to, while the interface is in use.</summary>
    public bool HasFirst(IpAddress address) => Addresses.Length > 0 && Addresses[0].Address == address && !HasFailed;

    public PacketPool Pool => _stack.Pool;

    public int Mtu => Link.Mtu;

    /// <summary>Segments that arrive together are merged before IP (Linux: <c>ethtool -K gro</c>). The link's choice until it is changed.</summary>
    public bool MergesReceived { get; set; }

    public bool HasFailed => Volatile.Read(ref _failed) != 0;

    public long PacketsIn => _counts[PacketsInColumn];

    public long PacketsOut => _counts[PacketsOutColumn];

    public long BytesIn => _counts[BytesInColumn];

    public long BytesOut => _counts[BytesOutColumn];

    public ReadOnlySpan<Worker> Workers => _workers;

    public Worker WorkerOf(int queue) => _workers[queue < _workers.Length ? queue : 0];

    public void Deliver(PacketBuffer packet, int queue)
    {
        packet.Ingress = this;
        WorkerOf(queue).Post(packet);
    }

    public void DeliverBurst(PacketBuffer first, PacketBuffer last, int count, int queue)
    {
        for (PacketBuffer? packet = first; packet is not null; packet = packet.Next)
        {
            packet.Ingress = this;
        }

        WorkerOf(queue).Post(first, last, count);
    }

    public void Receive(PacketBuffer packet, Worker worker)
    {
        _counts.Add(PacketsInColumn, 1, BytesInColumn, packet.Length);
        if (MergesReceived && worker.BatchEnd is ReceiveMerge merge)
        {
            merge.Add(packet, this, worker);
        }
        else
        {
            _stack.Ip.Input(packet, this, worker);
        }
    }

    /// <summary>Sends a packet with its IP header. False: the link is full and the caller keeps the packet.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Transmit(PacketBuffer packet)
    {
        if (HasFailed)
        {
            // As on a device that is gone: the packet is lost, and timers find out.
            _stack.Counters.Add(StackCounter.IpOutDiscards);
            packet.Free();
            return true;
        }

        int bytes = packet.TotalLength;
        if (!LinkOutput.Transmit(Link, packet, out int lost))
        {
            return false;
        }

        if (lost > 0)
        {
            _stack.Counters.Add(StackCounter.IpOutDiscards, lost);
        }

        _counts.Add(PacketsOutColumn, 1, BytesOutColumn, bytes);
        return true;
    }

    public void OnSpace() => _stack.OnLinkSpace(this);

    /// <summary>Nothing is sent from here on, and a failure is no news any more.</summary>
    public void Retire() => Interlocked.Exchange(ref _failed, 1);

    public void OnFailed(Exception reason)
    {
        if (Interlocked.Exchange(ref _failed, 1) == 0)
        {
            _stack.OnLinkFailed(this, reason);
        }
    }

    /// <summary>So many segments reached IP inside of another.</summary>
    public void OnMerged(int segments) => _stack.Counters.Add(StackCounter.TcpGroMerged, segments);

    public void OnReceiveDropped() => _stack.Counters.Add(StackCounter.LinkReceiveDropped);
}
