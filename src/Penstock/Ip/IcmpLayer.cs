using Penstock.Buffers;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Ip;

/// <summary>
/// ICMPv4: answers echo requests, sends errors within a rate limit, and passes errors that came back to the transport they are about.
/// </summary>
internal sealed class IcmpLayer
{
    private const long NanosPerSecond = 1_000_000_000;
    private readonly NetworkStack _stack;
    private readonly IpLayer _ip;
    private RateLimit _limit;

    public IcmpLayer(NetworkStack stack, IpLayer ip)
    {
        _stack = stack;
        _ip = ip;

        // Linux: net.ipv4.icmp_msgs_per_sec 1000 and icmp_msgs_burst 50, for all messages of the host together.
        _limit = new RateLimit(NanosPerSecond / 1000, burst: 50);
    }

    /// <summary>Reads a message; the caller frees the packet.</summary>
    public void Input(PacketBuffer packet, in IPv4Header ip, Worker worker)
    {
        _stack.Counters.Add(StackCounter.IcmpInMessages);
        ReadOnlySpan<byte> message = packet.FirstSpan[ip.HeaderLength..];
        if (!IcmpHeader.TryParse(message, out IcmpHeader header, out MalformedReason reason))
        {
            _stack.Counters.Add(StackCounter.IcmpInErrors);
            _stack.Counters.AddMalformed(reason);
            return;
        }

        if (header.Type == IcmpType.EchoRequest)
        {
            // RFC 1122 3.2.2.6: the source of the reply is the address that was asked; broadcasts stay unanswered.
            if (_ip.IsLocal(packet.Destination))
            {
                SendEchoReply(packet, header, message, worker);
            }
        }
        else if (header.Type is IcmpType.DestinationUnreachable or IcmpType.TimeExceeded or IcmpType.ParameterProblem)
        {
            if (!IcmpHeader.TryParseOriginal(message, out IPv4Header original, out ReadOnlySpan<byte> transport, out reason))
            {
                _stack.Counters.Add(StackCounter.IcmpInErrors);
                _stack.Counters.AddMalformed(reason);
                return;
            }

            if (original.Protocol == IpProtocol.Tcp && (_ip.IsLocal(original.Source) || _ip.Tcp!.AcceptsForeign))
            {
                int mtu = 0;
                if (header.Type == IcmpType.DestinationUnreachable && header.Code == IcmpUnreachable.FragmentationNeeded)
                {
                    mtu = header.NextHopMtu != 0 ? header.NextHopMtu : NextPlateau(original.TotalLength);
                }

                _ip.Tcp!.OnIcmpError(original, transport, header.Type, header.Code, mtu, worker);
            }
        }
    }

    /// <summary>Reports an error about a received packet to its sender. The caller keeps the packet, whose IP header is still in front.</summary>
    public void SendError(PacketBuffer about, IcmpType type, byte code, uint rest, Worker worker)
    {
        // RFC 1122 3.2.2: never about a broadcast or multicast, never about an ICMP error (the callers are not ICMP).
        if (!_ip.IsLocal(about.Destination) || about.Source.IsAny)
        {
            return;
        }

        if (!_limit.TryTake(worker.NowNanos))
        {
            _stack.Counters.Add(StackCounter.IcmpOutRateLimited);
            return;
        }

        Span<byte> message = stackalloc byte[IcmpHeader.MaxErrorDatagram - IPv4Header.MinLength];
        int length = IcmpHeader.WriteError(message, type, code, rest, about.FirstSpan);
        Send(message[..length], about.Destination, about.Source);
    }

    private void SendEchoReply(PacketBuffer request, in IcmpHeader header, ReadOnlySpan<byte> message, Worker worker)
    {
        if (!_limit.TryTake(worker.NowNanos))
        {
            _stack.Counters.Add(StackCounter.IcmpOutRateLimited);
            return;
        }

        Slab? slab = _stack.Pool.RentSlab(message.Length);
        if (slab is null)
        {
            return;
        }

        Span<byte> reply = slab.Array.AsSpan(0, message.Length);
        message.CopyTo(reply);
        IcmpHeader.Write(reply, IcmpType.EchoReply, 0, header.Rest);
        Send(reply, request.Destination, request.Source);
        slab.Release();
    }

    private unsafe void Send(ReadOnlySpan<byte> message, IpAddress source, IpAddress destination)
    {
        RouteEntry? route = _ip.Routes.Find(destination);
        if (route is null || message.Length + IPv4Header.MinLength > route.Interface.Mtu)
        {
            _stack.Counters.Add(route is null ? StackCounter.IpOutNoRoutes : StackCounter.IpOutDiscards);
            return;
        }

        PacketBuffer? packet = _stack.Pool.RentBuffer();
        Slab? slab = packet is null ? null : _stack.Pool.RentSlab(message.Length);
        if (slab is null || !packet!.TryRentHead())
        {
            slab?.Release();
            packet?.Free();
            return;
        }

        message.CopyTo(slab.Array);
        packet.Append(slab, slab.Address, message.Length);
        _stack.Counters.Add(StackCounter.IcmpOutMessages);
        if (!_ip.Output(packet, route.Interface, source, destination, IpProtocol.Icmp, ttl: 64, tos: 0, dontFragment: false))
        {
            packet.Free();
        }
    }

    /// <summary>RFC 1191 7.1: a router of old did not say its MTU; take the next lower plateau.</summary>
    private static int NextPlateau(int length)
    {
        ReadOnlySpan<int> plateaus = [32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];
        foreach (int plateau in plateaus)
        {
            if (plateau < length)
            {
                return plateau;
            }
        }

        return 68;
    }
}
