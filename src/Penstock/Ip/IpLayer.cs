using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Ip;

/// <summary>
/// IP input and output. Input believes nothing: every length is checked, what is malformed is counted by reason and dropped. Output puts the IP
/// header in front and hands the packet to the interface of the route.
/// </summary>
internal sealed class IpLayer
{
    private readonly NetworkStack _stack;
    private readonly Dictionary<IpAddress, StackInterface> _none = [];
    private Dictionary<IpAddress, StackInterface> _local;
    private ITransport? _tcp;
    private int _identification;
    private int _fragmentableIdentification;

    public IpLayer(NetworkStack stack)
    {
        _stack = stack;
        _local = _none;
        _identification = (int)stack.Random.NextUInt32();
        _fragmentableIdentification = _identification;
        Icmp = new IcmpLayer(stack, this);
    }

    public RouteTable Routes { get; } = new();

    public PathMtuCache PathMtus { get; } = new();

    public IcmpLayer Icmp { get; }

    public ITransport? Tcp => _tcp;

    public void Register(ITransport tcp) => _tcp = tcp;

    /// <summary>Adds addresses to the set of what is for us. Interfaces are added rarely; readers see a new table or the old one.</summary>
    public void AddLocal(IpAddress address, StackInterface on)
    {
        var next = new Dictionary<IpAddress, StackInterface>(_local) { [address] = on };
        Volatile.Write(ref _local, next);
    }

    /// <summary>The addresses of an interface are no longer ours, unless one of those that are <paramref name="left"/> has them too.</summary>
    public void RemoveLocal(StackInterface gone, List<StackInterface> left)
    {
        var next = new Dictionary<IpAddress, StackInterface>(_local);
        foreach ((IpAddress address, IpPrefix _) in gone.Addresses)
        {
            if (next.TryGetValue(address, out StackInterface? on) && on == gone)
            {
                next.Remove(address);
                if (left.Find(i => Array.Exists(i.Addresses, a => a.Address == address)) is { } other)
                {
                    next.Add(address, other);
                }
            }
        }

        Volatile.Write(ref _local, next);
    }

    public bool IsLocal(IpAddress address) => Volatile.Read(ref _local).ContainsKey(address) || address.IsLoopback;

    /// <summary>The broadcast address of a network that one of our interfaces is on (RFC 1122 3.3.6). Not for the packet path.</summary>
    public bool IsDirectedBroadcast(IpAddress address)
    {
        foreach (StackInterface on in _stack.Interfaces)
        {
            foreach ((IpAddress _, IpPrefix network) in on.Addresses)
            {
                if (network.IsIPv4 && network.FamilyLength <= 30 && network.Last == address && on.Link is not LoopbackLink)
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>
    /// False for a source that cannot be a peer (RFC 1122 3.2.1.3, RFC 9293 MUST-63): no address, a broadcast, or one of our own from outside. Those that
    /// cost nothing to see were dropped on arrival. Not for the packet path.
    /// </summary>
    public bool MayBePeer(IpAddress source, Link from) =>
        !source.IsAny && !IsDirectedBroadcast(source) && (from is LoopbackLink || !Volatile.Read(ref _local).ContainsKey(source));

    /// <summary>Takes over a packet that came in by <paramref name="ingress"/>.</summary>
    public void Input(PacketBuffer packet, StackInterface ingress, Worker worker)
    {
        Span<byte> bytes = packet.FirstSpan;
        bool trusted = packet.Checksum == ChecksumState.Verified;
        if (!IPv4Header.TryParse(bytes, packet.Length, out IPv4Header header, out MalformedReason reason, verifyChecksum: !trusted))
        {
            _stack.Counters.Add(StackCounter.IpInReceives, 1, StackCounter.IpInHeaderErrors, 1);
            _stack.Counters.AddMalformed(reason);
            packet.Free();
            return;
        }

        // A source that can not be answered is a forgery or a mistake (RFC 1122 3.2.1.3).
        if (header.IsFromGroup || (header.IsFromLoopback && ingress.Link is not LoopbackLink))
        {
            _stack.Counters.Add(StackCounter.IpInReceives, 1, StackCounter.IpInAddressErrors, 1);
            packet.Free();
            return;
        }

        // 127/8 never comes from outside (RFC 1122 3.2.1.3), although 127.0.0.1 is one of our addresses.
        bool local = header.IsToLoopback
            ? ingress.Link is LoopbackLink
            : ingress.HasFirst(header.Destination) || Volatile.Read(ref _local).ContainsKey(header.Destination);
        if (!local && !(header.Protocol == IpProtocol.Tcp && _tcp!.AcceptsForeign && !header.Destination.IsMulticast && !header.Destination.IsBroadcast
            && !header.Destination.IsLoopback && !header.Destination.IsAny))
        {
            _stack.Counters.Add(StackCounter.IpInReceives, 1, StackCounter.IpInAddressErrors, 1);
            packet.Free();
            return;
        }

        if (header.IsFragment)
        {
            _stack.Counters.Add(StackCounter.IpInReceives, 1, StackCounter.IpInFragmentsDropped, 1);
            packet.Free();
            return;
        }

        // Links may pad short packets (RFC 1122 3.2.1.1): what is behind the total length is not ours.
        if (packet.Length > header.TotalLength)
        {
            packet.TrimTo(header.TotalLength);
        }

        packet.Source = header.Source;
        packet.Destination = header.Destination;
        packet.Tos = header.TypeOfService;
        packet.Ttl = header.TimeToLive;
        switch (header.Protocol)
        {
            case IpProtocol.Tcp:
                _stack.Counters.AddOneTo(StackCounter.IpInReceives, StackCounter.IpInDelivers, StackCounter.TcpInSegs);
                packet.TrimFront(header.HeaderLength);
                _tcp!.Input(packet, ingress, worker);
                break;
            case IpProtocol.Icmp:
                _stack.Counters.Add(StackCounter.IpInReceives, 1, StackCounter.IpInDelivers, 1);
                Icmp.Input(packet, header, worker);
                packet.Free();
                break;
            case IpProtocol.Udp:
                _stack.Counters.Add(StackCounter.IpInReceives);

                // No UDP sockets yet, so every port is unreachable (RFC 1122 4.1.3.1).
                Icmp.SendError(packet, IcmpType.DestinationUnreachable, IcmpUnreachable.Port, 0, worker);
                packet.Free();
                break;
            default:
                _stack.Counters.Add(StackCounter.IpInReceives, 1, StackCounter.IpInUnknownProtocols, 1);
                Icmp.SendError(packet, IcmpType.DestinationUnreachable, IcmpUnreachable.Protocol, 0, worker);
                packet.Free();
                break;
        }
    }

    /// <summary>
    /// RFC 6864: atomic datagrams need no unique id, but middleboxes like one that moves; two processors that count at once may take the same. What may be fragmented has numbers of its own: a plain
    /// addition that comes late would have the others' repeated.
    /// </summary>
    private ushort TakeIdentifications(int count, bool atomic) =>
        (ushort)(atomic ? _identification += count : Interlocked.Add(ref _fragmentableIdentification, count));

    /// <summary>
    /// Sends a packet whose head begins with the transport header. True: it was taken over, sent or lost. False: the link is full, the
    /// caller keeps the packet, its IP header removed again.
    /// </summary>
    public bool Output(PacketBuffer packet, StackInterface egress, IpAddress source, IpAddress destination, byte protocol, byte ttl, byte tos, bool dontFragment)
    {
        _stack.Counters.Add(StackCounter.IpOutRequests);
        var header = new IPv4Header
        {
            Source = source,
            Destination = destination,
            Protocol = protocol,
            TimeToLive = ttl,
            TypeOfService = tos,
            TotalLength = (ushort)(packet.TotalLength + IPv4Header.MinLength),
            FragmentField = dontFragment ? IPv4Header.DontFragmentBit : (ushort)0,

            Identification = TakeIdentifications(Math.Max(1, packet.SegmentCount), dontFragment),
        };
        header.Write(packet.PushHead(IPv4Header.MinLength));
        packet.ChecksumStart = IPv4Header.MinLength;
        if (egress.Transmit(packet))
        {
            return true;
        }

        packet.PopHead(IPv4Header.MinLength);
        _stack.Counters.Add(StackCounter.IpOutDiscards);
        return false;
    }
}
