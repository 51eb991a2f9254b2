using System.Globalization;

namespace Penstock.Drill;

/// <summary>
/// How timestamps are compared. Their values are only compared when the script gives its clock's tick; echoes, which repeat what the script itself
/// sent, only when the run asks for it.
/// </summary>
/// <param name="TickNanos">Nanoseconds a timestamp unit lasts (<c>--tcp_ts_tick_usecs</c>), 0 when unknown.</param>
/// <param name="ToleranceNanos">How far a timestamp may be off.</param>
internal readonly record struct TimestampRule(long TickNanos, long ToleranceNanos)
{
    public static readonly TimestampRule Ignored;

    /// <summary>True: the echoed value has to be the written one (RFC 7323 4.3 says which one to echo).</summary>
    public bool ComparesEchoes { get; init; }
}

/// <summary>
/// Judges a real packet by the pattern a script expects: flags, sequence, length and acknowledgment always; window, IP marks, ports
/// and code only when the script names them; options in order and number unless it says <c>&lt;...&gt;</c>; payload bytes must be
/// zero; the IP header must be sound. Both are in the script's sequence space. Keeps nothing, knows no time.
/// </summary>
internal static class PacketMatch
{
    /// <summary>Null when the segment is what the script expects, else the first difference.</summary>
    public static PacketMismatch? Compare(TcpPattern expected, DrillPacket actual, TimestampRule timestamps = default)
    {
        var judge = new Judge(expected, actual);
        return judge.Protocol(DrillProtocol.Tcp)
            ?? Flags(judge, expected, actual)
            ?? judge.Number("the first sequence number", expected.Sequence, actual.Sequence)
            ?? judge.Number("the payload's length", expected.Length, actual.Length)
            ?? judge.Number("ack", expected.Ack ?? 0, actual.Ack)
            ?? (expected.Window is { } window ? judge.Number("win", window, actual.Window) : null)
            ?? judge.Number("urg", expected.Urgent ?? 0, actual.Urgent)
            ?? Options(judge, expected, actual, timestamps)
            ?? Ip(judge, expected, actual)
            ?? judge.Payload();
    }

    /// <summary>Null when the datagram is what the script expects, else the first difference.</summary>
    public static PacketMismatch? Compare(UdpPattern expected, DrillPacket actual)
    {
        var judge = new Judge(expected, actual);
        return judge.Protocol(DrillProtocol.Udp)
            ?? judge.Number("the payload's length", expected.Length, actual.Length)
            ?? Ip(judge, expected, actual)
            ?? judge.Payload();
    }

    /// <summary>Null when the message is what the script expects, else the first difference. What an error quotes is not compared.</summary>
    public static PacketMismatch? Compare(IcmpPattern expected, DrillPacket actual)
    {
        var judge = new Judge(expected, actual);
        if (judge.Protocol(DrillProtocol.Icmp) is { } other)
        {
            return other;
        }

        (string actualType, string? actualCode) = IcmpNames.NameOf(actual.IsIpv6, actual.IcmpType, actual.IcmpCode);
        if (!IcmpNames.TryResolve(actual.IsIpv6, expected.Type, expected.CodeName, out byte type, out byte code))
        {
            return judge.Differs("the ICMP type", expected.Type, $"{actualType}, and IPv{(actual.IsIpv6 ? 6 : 4)} has no {expected.Type}");
        }

        return (type == actual.IcmpType ? null : judge.Differs("the ICMP type", expected.Type, actualType))
            ?? (code == actual.IcmpCode ? null : judge.Differs("the ICMP code", expected.CodeName ?? "code_0", actualCode ?? "code_0"))
            ?? (expected.Mtu is { } mtu ? judge.Number("mtu", mtu, actual.IcmpMtu) : null)
            ?? (expected.EchoId is { } id ? judge.Number("id", id, actual.IcmpEchoId) : null)
            ?? Ip(judge, expected, actual);
    }

    private static PacketMismatch? Flags(Judge judge, TcpPattern expected, DrillPacket actual)
    {
        if (expected.Flags == actual.Flags)
        {
            return null;
        }

        if ((expected.Flags & ~DrillFlags.AceBits) == (actual.Flags & ~DrillFlags.AceBits) && expected.Ace is { } ace)
        {
            return judge.Number("the ACE counter", ace, actual.Ace);
        }

        // Shown the way the script writes them: with the ACE digit if it uses it.
        byte? shownAce = expected.Ace is null ? null : actual.Ace;
        return judge.Differs("flags", PacketPrinter.Print(expected.Flags, expected.Ace), PacketPrinter.Print(actual.Flags, shownAce));
    }

    private static PacketMismatch? Options(Judge judge, TcpPattern expected, DrillPacket actual, TimestampRule timestamps)
    {
        if (expected.Options is not { } wanted)
        {
            return null;
        }

        NodeList<DrillOption> found = actual.Options ?? [];
        for (int i = 0; i < Math.Min(wanted.Count, found.Count); i++)
        {
            if (!Matches(wanted[i], found[i], timestamps))
            {
                return judge.Differs(
                    string.Create(CultureInfo.InvariantCulture, $"TCP option {i + 1}"),
                    PacketPrinter.Print(wanted[i]),
                    PacketPrinter.Print(found[i]));
            }
        }

        if (wanted.Count == found.Count)
        {
            return null;
        }

        return judge.Differs(
            "the TCP options",
            wanted.Count == 0 ? "none" : PacketPrinter.Print(wanted),
            found.Count == 0 ? "none" : PacketPrinter.Print(found));
    }

    private static bool Matches(DrillOption expected, DrillOption actual, TimestampRule timestamps)
    {
        if (expected is not TimestampOption wanted || actual is not TimestampOption found)
        {
            return expected.Equals(actual);
        }

        if (timestamps.ComparesEchoes && wanted.EchoReply != found.EchoReply)
        {
            return false;
        }

        return timestamps.TickNanos == 0
            || Math.Abs((long)(int)(found.Value - wanted.Value)) * timestamps.TickNanos <= timestamps.ToleranceNanos;
    }

    private static PacketMismatch? Ip(Judge judge, PacketPattern expected, DrillPacket actual)
    {
        IpMark ip = expected.Ip;
        PacketMismatch? tos = ip.Check switch
        {
            TosCheck.WholeByte when ip.Tos != actual.Tos => judge.Differs("tos", Hex(ip.Tos), Hex(actual.Tos)),
            TosCheck.Ecn when ip.Tos != (actual.Tos & 3) =>
                judge.Differs("the ECN mark", PacketPrinter.EcnName(ip.Tos), PacketPrinter.EcnName(actual.Tos)),
            TosCheck.Ect01 when (actual.Tos & 3) is 0 or 3 =>
                judge.Differs("the ECN mark", "ect0 or ect1", PacketPrinter.EcnName(actual.Tos)),
            _ => null,
        };
        if (tos is not null)
        {
            return tos;
        }

        if (ip.HopLimit is { } limit && limit != actual.HopLimit)
        {
            return judge.Number("ttl", limit, actual.HopLimit);
        }

        if (ip.FlowLabel is { } label && label != actual.FlowLabel)
        {
            return judge.Differs("flowlabel", Hex(label), Hex(actual.FlowLabel));
        }

        if (expected.Ports is { } ports)
        {
            PacketMismatch? port = judge.Number("the source port", ports.Source, actual.SourcePort)
                ?? judge.Number("the destination port", ports.Destination, actual.DestinationPort);
            if (port is not null)
            {
                return port;
            }
        }

        return actual.IsIpHeaderGood ? null : judge.Differs("the IP header", "sound", "wrong in its checksum or length");
    }

    private static string Hex(uint value) => "0x" + value.ToString("x", CultureInfo.InvariantCulture);

    /// <summary>Words the mismatches; made once a comparison, prints only when there is a difference.</summary>
    private readonly struct Judge(PacketPattern expected, DrillPacket actual)
    {
        public PacketMismatch Differs(string field, string wanted, string found) => new(
            field,
            wanted,
            found,
            PacketPrinter.Print(expected, isInbound: false),
            PacketPrinter.Print(actual, isInbound: false, withPorts: expected.Ports is not null));

        public PacketMismatch? Number(string field, long wanted, long found) => wanted == found
            ? null
            : Differs(field, wanted.ToString(CultureInfo.InvariantCulture), found.ToString(CultureInfo.InvariantCulture));

        public PacketMismatch? Protocol(DrillProtocol wanted) =>
            wanted == actual.Protocol ? null : Differs("the protocol", Name(wanted), Name(actual.Protocol));

        public PacketMismatch? Payload() =>
            actual.IsPayloadZero ? null : Differs("the payload", "all zero bytes", "something else: the bytes were mixed up or changed");

        private static string Name(DrillProtocol protocol) => protocol switch
        {
            DrillProtocol.Tcp => "TCP",
            DrillProtocol.Udp => "UDP",
            _ => "ICMP",
        };
    }
}
