using System.Buffers.Binary;
using Penstock.Wire;

namespace Penstock.Drill;

/// <summary>
/// Between bytes and <see cref="DrillPacket"/>: writes what a script injects, with right checksums, and reads what the stack sent, trusting
/// nothing. Numbers are mapped by the flow; IPv4 only.
/// </summary>
internal static class WireCodec
{
    /// <summary>The IP packet for a segment of the script's peer.</summary>
    /// <param name="packet">The segment in the script's numbers.</param>
    /// <param name="payload">Its bytes; empty for zeros.</param>
    /// <param name="flow">The connection.</param>
    /// <param name="local">The stack's address.</param>
    /// <param name="remote">The peer's.</param>
    public static byte[] EncodeTcp(in DrillPacket packet, ReadOnlySpan<byte> payload, Flow flow, IpAddress local, IpAddress remote)
    {
        Span<byte> options = stackalloc byte[256];
        int optionsLength = WriteOptions(options, packet.Options, flow);
        int headerLength = TcpHeader.MinLength + ((optionsLength + 3) & ~3);
        int length = IPv4Header.MinLength + headerLength + packet.Length;
        byte[] bytes = new byte[length];
        WriteIp(bytes, packet.Tos, packet.HopLimit, IpProtocol.Tcp, remote, local);
        Span<byte> tcp = bytes.AsSpan(IPv4Header.MinLength);
        bool acknowledges = (packet.Flags & DrillFlags.Ack) != 0;
        TcpHeader.Write(tcp, new TcpSegmentHeader
        {
            SourcePort = flow.RemotePort,
            DestinationPort = flow.LocalPort,
            Sequence = new SequenceNumber(flow.RemoteToLive(packet.Sequence)),
            Acknowledgment = new SequenceNumber(acknowledges ? flow.LocalToLive(packet.Ack) : packet.Ack),
            Flags = (TcpFlags)(int)packet.Flags,
            Window = packet.Window,
            UrgentPointer = packet.Urgent,
            HeaderLength = (byte)headerLength,
        });
        options[..optionsLength].CopyTo(tcp[TcpHeader.MinLength..]);
        payload.CopyTo(tcp[headerLength..]);
        TcpHeader.WriteChecksum(tcp, Checksum.Finish(
            Checksum.Add(tcp, Checksum.PseudoHeader(remote, local, IpProtocol.Tcp, (uint)tcp.Length))));
        return bytes;
    }

    /// <summary>The IP packet for an ICMP error about a segment that the stack sent on <paramref name="flow"/>.</summary>
    public static byte[] EncodeIcmp(IcmpPattern pattern, byte type, byte code, Flow flow, IpAddress local, IpAddress remote)
    {
        // RFC 792: the quoted IP header and the first eight bytes behind it.
        EchoedPacket echoed = pattern.Echoed ?? default;
        byte[] original = new byte[IPv4Header.MinLength + 8];
        new IPv4Header
        {
            HeaderLength = IPv4Header.MinLength,
            TotalLength = (ushort)(IPv4Header.MinLength + TcpHeader.MinLength + echoed.Length),
            FragmentField = IPv4Header.DontFragmentBit,
            TimeToLive = 63,
            Protocol = IpProtocol.Tcp,
            Source = local,
            Destination = remote,
        }.Write(original);
        Span<byte> quoted = original.AsSpan(IPv4Header.MinLength);
        BinaryPrimitives.WriteUInt16BigEndian(quoted, flow.LocalPort);
        BinaryPrimitives.WriteUInt16BigEndian(quoted[2..], flow.RemotePort);
        BinaryPrimitives.WriteUInt32BigEndian(quoted[4..], flow.LocalToLive(echoed.Sequence));

        byte[] bytes = new byte[IPv4Header.MinLength + IcmpHeader.WireLength + original.Length];
        WriteIp(bytes, pattern.Ip.Tos, pattern.Ip.HopLimit ?? 64, IpProtocol.Icmp, remote, local);
        IcmpHeader.WriteError(bytes.AsSpan(IPv4Header.MinLength), (IcmpType)type, code, (uint)(pattern.Mtu ?? 0), original);
        return bytes;
    }

    /// <summary>The two ports of a TCP packet that the stack sent; null for anything else.</summary>
    public static FlowPorts? PortsOf(ReadOnlySpan<byte> bytes) =>
        IPv4Header.TryParse(bytes, out IPv4Header ip, out _, verifyChecksum: false) && ip.Protocol == IpProtocol.Tcp && ip.PayloadLength >= 4
            ? new(BinaryPrimitives.ReadUInt16BigEndian(ip.Payload(bytes)), BinaryPrimitives.ReadUInt16BigEndian(ip.Payload(bytes)[2..]))
            : null;

    /// <summary>The payload of a TCP packet that the stack sent.</summary>
    public static ReadOnlySpan<byte> PayloadOf(ReadOnlySpan<byte> bytes) =>
        IPv4Header.TryParse(bytes, out IPv4Header ip, out _, verifyChecksum: false) && TcpHeader.TryParse(ip.Payload(bytes), out TcpSegmentHeader tcp, out _)
            ? ip.Payload(bytes)[tcp.HeaderLength..]
            : default;

    public static bool IsSyn(ReadOnlySpan<byte> bytes, out uint sequence)
    {
        sequence = 0;
        if (!IPv4Header.TryParse(bytes, out IPv4Header ip, out _, verifyChecksum: false)
            || !TcpHeader.TryParse(ip.Payload(bytes), out TcpSegmentHeader tcp, out _))
        {
            return false;
        }

        sequence = tcp.Sequence.Value;
        return tcp.Has(TcpFlags.Syn);
    }

    /// <summary>Reads a packet that the stack sent. Without a flow the numbers stay as they are on the wire.</summary>
    public static DrillPacket Decode(ReadOnlySpan<byte> bytes, Flow? flow)
    {
        bool good = IPv4Header.TryParse(bytes, out IPv4Header ip, out _, verifyChecksum: true)
            && ip.TotalLength == bytes.Length;
        if (!good && !IPv4Header.TryParse(bytes, out ip, out _, verifyChecksum: false))
        {
            return new DrillPacket { Protocol = DrillProtocol.Icmp, IsIpHeaderGood = false };
        }

        ReadOnlySpan<byte> payload = ip.Payload(bytes);
        var packet = new DrillPacket { Tos = ip.TypeOfService, HopLimit = ip.TimeToLive, IsIpHeaderGood = good };
        if (ip.Protocol == IpProtocol.Icmp && payload.Length >= IcmpHeader.WireLength)
        {
            return packet with
            {
                Protocol = DrillProtocol.Icmp,
                IcmpType = payload[0],
                IcmpCode = payload[1],
                IcmpMtu = payload[0] == 3 && payload[1] == 4 ? BinaryPrimitives.ReadUInt16BigEndian(payload[6..]) : 0,
            };
        }

        if (ip.Protocol != IpProtocol.Tcp || !TcpHeader.TryParse(payload, out TcpSegmentHeader tcp, out _))
        {
            return packet with { Protocol = DrillProtocol.Udp, Length = payload.Length };
        }

        // The judge has no field of its own for a wrong TCP checksum; a wrong header is what it amounts to.
        good &= TcpHeader.ChecksumHolds(payload, ip.Source, ip.Destination);
        ReadOnlySpan<byte> data = payload[tcp.HeaderLength..];
        bool acknowledges = tcp.Has(TcpFlags.Ack);
        return packet with
        {
            IsIpHeaderGood = good,
            SourcePort = flow?.ScriptLocalPort ?? tcp.SourcePort,
            DestinationPort = tcp.DestinationPort,
            Flags = (DrillFlags)(int)tcp.Flags,

            // A reset that acknowledges has the number 0 when its sender knows of no other (RFC 9293 3.10.7.1).
            Sequence = flow is null || (tcp.Has(TcpFlags.Rst) && tcp.Sequence.Value == 0) ? tcp.Sequence.Value : flow.LocalToScript(tcp.Sequence.Value),
            Ack = acknowledges && flow is not null ? flow.RemoteToScript(tcp.Acknowledgment.Value) : tcp.Acknowledgment.Value,
            Window = tcp.Window,
            Urgent = tcp.UrgentPointer,
            Options = [.. ReadOptions(tcp.Options(payload), flow)],
            Length = data.Length,
            IsPayloadZero = data.IndexOfAnyExcept((byte)0) < 0,
        };
    }

    private static void WriteIp(Span<byte> bytes, byte tos, byte ttl, byte protocol, IpAddress source, IpAddress destination) =>
        new IPv4Header
        {
            HeaderLength = IPv4Header.MinLength,
            TotalLength = (ushort)bytes.Length,
            FragmentField = IPv4Header.DontFragmentBit,
            TimeToLive = ttl,
            TypeOfService = tos,
            Protocol = protocol,
            Source = source,
            Destination = destination,
        }.Write(bytes);

    /// <summary>Writes options in their order; the caller pads with zeros, which are ends of the list (RFC 9293 3.1).</summary>
    private static int WriteOptions(Span<byte> to, NodeList<DrillOption> options, Flow flow)
    {
        int at = 0;
        foreach (DrillOption option in options)
        {
            Span<byte> bytes = to.Slice(at, option.WireLength);
            bytes[0] = (byte)option.Kind;
            if (option.WireLength > 1)
            {
                bytes[1] = (byte)option.WireLength;
            }

            switch (option)
            {
                case MssOption mss:
                    BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], mss.Value);
                    break;
                case WindowScaleOption scale:
                    bytes[2] = scale.Shift;
                    break;
                case TimestampOption stamp:
                    BinaryPrimitives.WriteUInt32BigEndian(bytes[2..], stamp.Value);
                    BinaryPrimitives.WriteUInt32BigEndian(bytes[6..], flow.EchoToLive(stamp.EchoReply));
                    break;
                case SackOption sack:
                    for (int i = 0; i < sack.Blocks.Count; i++)
                    {
                        BinaryPrimitives.WriteUInt32BigEndian(bytes[(2 + (8 * i))..], flow.LocalToLive(sack.Blocks[i].Start));
                        BinaryPrimitives.WriteUInt32BigEndian(bytes[(6 + (8 * i))..], flow.LocalToLive(sack.Blocks[i].End));
                    }

                    break;
                case FastOpenOption { IsExperimental: false } cookie:
                    Convert.FromHexString(cookie.CookieHex, bytes[2..], out _, out _);
                    break;
                case FastOpenOption cookie:
                    BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], 0xF989);
                    Convert.FromHexString(cookie.CookieHex, bytes[4..], out _, out _);
                    break;
                case Md5Option digest:
                    Convert.FromHexString(digest.DigestHex, bytes[2..], out _, out _);
                    break;
                case UnknownOption unknown:
                    Convert.FromHexString(unknown.DataHex, bytes[2..], out _, out _);
                    break;
                case AccEcnOption counts:
                    for (int i = 0; i < counts.Counters.Count; i++)
                    {
                        bytes[2 + (3 * i)] = (byte)(counts.Counters[i] >> 16);
                        BinaryPrimitives.WriteUInt16BigEndian(bytes[(3 + (3 * i))..], (ushort)counts.Counters[i]);
                    }

                    break;
            }

            at += option.WireLength;
        }

        return at;
    }

    private static List<DrillOption> ReadOptions(ReadOnlySpan<byte> bytes, Flow? flow)
    {
        var options = new List<DrillOption>();
        for (int at = 0; at < bytes.Length;)
        {
            byte kind = bytes[at];
            if (kind < 2)
            {
                options.Add(kind == 0 ? new EolOption() : new NopOption());
                at++;
                continue;
            }

            int length = at + 1 < bytes.Length ? bytes[at + 1] : 0;
            if (length < 2 || at + length > bytes.Length)
            {
                options.Add(new UnknownOption(kind, Convert.ToHexStringLower(bytes[(at + 1)..])));
                break;
            }

            options.Add(ReadOption(kind, bytes.Slice(at + 2, length - 2), flow));
            at += length;
        }

        return options;
    }

    private static DrillOption ReadOption(byte kind, ReadOnlySpan<byte> data, Flow? flow)
    {
        switch (kind, data.Length)
        {
            case (2, 2):
                return new MssOption(BinaryPrimitives.ReadUInt16BigEndian(data));
            case (3, 1):
                return new WindowScaleOption(data[0]);
            case (4, 0):
                return new SackPermittedOption();
            case (8, 8):
                uint value = BinaryPrimitives.ReadUInt32BigEndian(data);
                return new TimestampOption(
                    flow?.TimestampToScript(value) ?? value, BinaryPrimitives.ReadUInt32BigEndian(data[4..]));
            case (19, 16):
                return new Md5Option(Convert.ToHexStringLower(data));
            case (34, _):
                return new FastOpenOption(Convert.ToHexStringLower(data), false);
            case (254, >= 2) when BinaryPrimitives.ReadUInt16BigEndian(data) == 0xF989:
                return new FastOpenOption(Convert.ToHexStringLower(data[2..]), true);
            case (5, _) when data.Length % 8 == 0:
                var blocks = new SackRange[data.Length / 8];
                for (int i = 0; i < blocks.Length; i++)
                {
                    uint start = BinaryPrimitives.ReadUInt32BigEndian(data[(8 * i)..]);
                    uint end = BinaryPrimitives.ReadUInt32BigEndian(data[((8 * i) + 4)..]);
                    blocks[i] = flow is null ? new(start, end) : new(flow.RemoteToScript(start), flow.RemoteToScript(end));
                }

                return new SackOption([.. blocks]);
            case (172 or 174, _) when data.Length % 3 == 0:
                var counters = new uint[data.Length / 3];
                for (int i = 0; i < counters.Length; i++)
                {
                    counters[i] = (uint)((data[3 * i] << 16) | BinaryPrimitives.ReadUInt16BigEndian(data[((3 * i) + 1)..]));
                }

                return new AccEcnOption(kind == 174, [.. counters]);
            default:
                return new UnknownOption(kind, Convert.ToHexStringLower(data));
        }
    }
}
