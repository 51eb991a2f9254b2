using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Testing.Forwarding;

/// <summary>
/// What a router does (RFC 1812 5.2): takes an IPv4 packet from one link, finds the link that leads to its destination, counts its time to live down and sends it on, or
/// tells its sender why not. It knows no sockets, answers nothing but with errors, and never fragments.
/// </summary>
internal sealed class Forwarder
{
    private const long MemoryLimit = 64L << 20;
    private const int TtlOffset = 8;
    private const int TcpDataOffset = 12;

    // As a host's: Linux's net.ipv4.icmp_msgs_per_sec 1000 and icmp_msgs_burst 50.
    private RateLimit _limit = new(nanosPerToken: 1_000_000, burst: 50);
    private (IpPrefix Network, RouterPort Port)[] _routes = [];
    private RouterPort[] _ports = [];
    private long _forwarded, _dropped;

    public Forwarder(string name)
    {
        Worker = new Worker(new ThreadDriver(name), index: 0);
        Worker.Driver.Start(Worker);
    }

    public PacketPool Pool { get; } = new(MemoryLimit);

    public Worker Worker { get; }

    /// <summary>Packets sent on; a super-segment is one. Counted before it leaves; one that the link refuses is counted for a moment.</summary>
    public long Forwarded => Interlocked.Read(ref _forwarded);

    /// <summary>Packets that ended here.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Adds a link. One caller at a time; packets see the old set or the new one.</summary>
    public RouterPort AddPort(Link link, IpAddress address)
    {
        var port = new RouterPort(this, link, address);
        port.Attach();
        Volatile.Write(ref _ports, [.. _ports, port]);
        return port;
    }

    /// <summary>Replaces the routing table. Its networks do not overlap, so the order says nothing.</summary>
    public void SetRoutes((IpPrefix Network, RouterPort Port)[] routes) => Volatile.Write(ref _routes, routes);

    public void OnDropped() => Interlocked.Increment(ref _dropped);

    /// <summary>Stops, and frees what is held.</summary>
    public void Close()
    {
        Worker.Driver.Stop(Worker);
        foreach (RouterPort port in _ports)
        {
            port.Close();
        }

        Worker.Close();
    }

    /// <summary>Takes over a packet that came in by <paramref name="ingress"/>. Runs on the worker.</summary>
    public void Forward(PacketBuffer packet, RouterPort ingress)
    {
        // Counted before anything leaves: whoever has the packet, or the error, finds it in the count.
        if (!TryRoute(packet, out RouterPort? egress, out IPv4Header ip, out Refusal refusal) || !TryPrepare(packet, ip))
        {
            OnDropped();
            if (refusal.IsTold)
            {
                SendError(packet, ip, ingress, refusal);
            }

            packet.Free();
            return;
        }

        Interlocked.Increment(ref _forwarded);
        if (!egress.Transmit(packet))
        {
            Interlocked.Decrement(ref _forwarded);
            OnDropped();
        }
    }

    /// <summary>Decides where a packet goes. False: nowhere, with what its sender is to be told, if anything.</summary>
    private bool TryRoute(PacketBuffer packet, [NotNullWhen(true)] out RouterPort? egress, out IPv4Header ip, out Refusal refusal)
    {
        egress = null;
        refusal = default;
        bool trusted = packet.Checksum == ChecksumState.Verified;
        if (!IPv4Header.TryParse(packet.FirstSpan, packet.Length, out ip, out _, verifyChecksum: !trusted)
            || IsNobody(ip.Source) || IsNobody(ip.Destination))
        {
            return false;
        }

        if (packet.Length > ip.TotalLength)
        {
            packet.TrimTo(ip.TotalLength);
        }

        foreach (RouterPort port in Volatile.Read(ref _ports))
        {
            if (port.Address == ip.Destination)
            {
                // Nothing listens on a router.
                refusal = new Refusal(IcmpType.DestinationUnreachable, IcmpUnreachable.Port);
                return false;
            }
        }

        // RFC 1812 5.3.1: what would leave with a time to live of zero does not leave.
        if (ip.TimeToLive <= 1)
        {
            refusal = new Refusal(IcmpType.TimeExceeded, IcmpTimeExceeded.InTransit);
            return false;
        }

        egress = Find(ip.Destination);
        if (egress is null)
        {
            refusal = new Refusal(IcmpType.DestinationUnreachable, IcmpUnreachable.Network);
            return false;
        }

        // RFC 1191 4: the sender learns how much fits. Without "do not fragment" it is told too, because nothing is fragmented here.
        if (LargestPiece(packet, ip) > egress.Mtu)
        {
            refusal = new Refusal(IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, (uint)egress.Mtu);
            return false;
        }

        return true;
    }

    /// <summary>Counts the time to live down and brings the packet into the form that links take.</summary>
    private static bool TryPrepare(PacketBuffer packet, in IPv4Header ip)
    {
        Span<byte> bytes = packet.FirstSpan;
        bytes[TtlOffset]--;
        bytes[IPv4Header.ChecksumOffset] = bytes[IPv4Header.ChecksumOffset + 1] = 0;
        BinaryPrimitives.WriteUInt16BigEndian(bytes[IPv4Header.ChecksumOffset..], Checksum.Finish(Checksum.Add(bytes[..ip.HeaderLength])));
        bool trusted = packet.Checksum == ChecksumState.Verified;
        if (ip.Protocol != IpProtocol.Tcp || ip.IsFragment || !(trusted || packet.GsoSize > 0))
        {
            return true;
        }

        // Links split super-segments, and complete checksums that were never computed, by the headers, which they want in the head.
        int head = ip.HeaderLength + TcpHeaderLength(bytes, ip);
        if (head > ip.TotalLength || head < ip.HeaderLength + TcpHeader.MinLength || !packet.TryRentHead())
        {
            return false;
        }

        Span<byte> moved = packet.PushHead(head);
        bytes[..head].CopyTo(moved);
        packet.TrimFront(head);
        if (trusted)
        {
            uint length = (uint)(ip.TotalLength - ip.HeaderLength);
            uint pseudo = Checksum.PseudoHeader(ip.Source, ip.Destination, IpProtocol.Tcp, length);
            BinaryPrimitives.WriteUInt16BigEndian(moved[(ip.HeaderLength + TcpHeader.ChecksumOffset)..], Checksum.ToNetwork(pseudo));
            packet.Checksum = ChecksumState.Partial;
            packet.ChecksumStart = ip.HeaderLength;
        }

        return true;
    }

    /// <summary>Reports to the sender of a packet, within the rate limit.</summary>
    private unsafe void SendError(PacketBuffer about, in IPv4Header ip, RouterPort from, in Refusal refusal)
    {
        // RFC 1812 4.3.2.7: never about an ICMP error, nor about any fragment but the first.
        if (ip.FragmentOffset != 0 || IsIcmpError(about, ip) || !_limit.TryTake(Worker.NowNanos))
        {
            return;
        }

        PacketBuffer? packet = Pool.RentBuffer();
        Slab? slab = packet is null ? null : Pool.RentSlab(IcmpHeader.MaxErrorDatagram);
        if (slab is null || !packet!.TryRentHead())
        {
            slab?.Release();
            packet?.Free();
            return;
        }

        int room = Math.Min(IcmpHeader.MaxErrorDatagram, from.Mtu) - IPv4Header.MinLength;
        int length = IcmpHeader.WriteError(slab.Array.AsSpan(0, room), refusal.Type, refusal.Code, refusal.Rest, about.FirstSpan);
        packet.Append(slab, slab.Address, length);
        new IPv4Header
        {
            Source = from.Address,
            Destination = ip.Source,
            Protocol = IpProtocol.Icmp,
            TimeToLive = 64,
            TotalLength = (ushort)(IPv4Header.MinLength + length),
        }.Write(packet.PushHead(IPv4Header.MinLength));
        packet.ChecksumStart = IPv4Header.MinLength;
        from.Transmit(packet);
    }

    private RouterPort? Find(IpAddress destination)
    {
        foreach ((IpPrefix network, RouterPort port) in Volatile.Read(ref _routes))
        {
            if (network.Contains(destination))
            {
                return port;
            }
        }

        return null;
    }

    /// <summary>Bytes of the largest packet on the wire that this one stands for.</summary>
    private static int LargestPiece(PacketBuffer packet, in IPv4Header ip) =>
        packet.GsoSize == 0 ? packet.Length : Math.Min(packet.Length, ip.HeaderLength + TcpHeaderLength(packet.FirstSpan, ip) + packet.GsoSize);

    private static int TcpHeaderLength(ReadOnlySpan<byte> packet, in IPv4Header ip) =>
        packet.Length < ip.HeaderLength + TcpHeader.MinLength ? 0 : (packet[ip.HeaderLength + TcpDataOffset] >> 4) * 4;

    private static bool IsIcmpError(PacketBuffer packet, in IPv4Header ip) =>
        ip.Protocol == IpProtocol.Icmp
        && (!IcmpHeader.TryParse(packet.FirstSpan[ip.HeaderLength..], out IcmpHeader header, out _, verifyChecksum: false) || header.IsError);

    /// <summary>Addresses that nothing is forwarded from or to (RFC 1812 5.3.7).</summary>
    private static bool IsNobody(IpAddress address) => address.IsAny || address.IsLoopback || address.IsMulticast || address.IsBroadcast || address.IsLinkLocal;

    /// <summary>The error that a packet is answered with (RFC 792); none by default.</summary>
    private readonly record struct Refusal(IcmpType Type, byte Code, uint Rest = 0)
    {
        /// <summary>False: the packet ends in silence. (An echo reply, which is type 0, refuses nothing.)</summary>
        public bool IsTold => Type != IcmpType.EchoReply;
    }
}
