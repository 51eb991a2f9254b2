using System.Globalization;
using System.Text;

namespace Penstock.Drill;

/// <summary>Writes packets and TCP options the way scripts do, so that what is shown can be pasted into a script and parses again.</summary>
internal static class PacketPrinter
{
    /// <summary>A pattern with its direction sign.</summary>
    public static string Print(PacketPattern packet, bool isInbound)
    {
        var text = new StringBuilder(isInbound ? "<" : ">");
        AppendIp(text, packet.Ip);
        switch (packet)
        {
            case TcpPattern tcp:
                AppendPorts(text, packet.Ports);
                AppendTcp(text, tcp);
                break;
            case UdpPattern udp:
                text.Append(" udp");
                AppendPorts(text, packet.Ports);
                text.Append(Inv($" ({udp.Length})"));
                break;
            case IcmpPattern icmp:
                AppendIcmp(text, icmp);
                break;
        }

        return text.ToString();
    }

    /// <summary>A real packet as the script line that would describe it fully.</summary>
    public static string Print(DrillPacket packet, bool isInbound, bool withPorts = false)
    {
        TcpPattern tcp = packet.ToTcpPattern(withPorts);
        switch (packet.Protocol)
        {
            case DrillProtocol.Tcp:
                return Print(tcp, isInbound);
            case DrillProtocol.Udp:
                return Print(new UdpPattern(packet.Length) { Ip = tcp.Ip, Ports = tcp.Ports }, isInbound);
            default:
                (string type, string? code) = IcmpNames.NameOf(packet.IsIpv6, packet.IcmpType, packet.IcmpCode);
                return Print(
                    new IcmpPattern(type, code)
                    {
                        Ip = tcp.Ip,
                        Mtu = packet.IcmpMtu == 0 ? null : packet.IcmpMtu,
                        EchoId = packet.IcmpEchoId == 0 ? null : packet.IcmpEchoId,
                    },
                    isInbound);
        }
    }

    /// <summary>Flags as scripts write them: letters, the dot for ACK, then the ACE digit; a dash for none.</summary>
    public static string Print(DrillFlags flags, byte? ace = null)
    {
        var text = new StringBuilder(9);
        foreach ((DrillFlags flag, char letter) in (ReadOnlySpan<(DrillFlags, char)>)
            [
                (DrillFlags.Syn, 'S'), (DrillFlags.Fin, 'F'), (DrillFlags.Rst, 'R'), (DrillFlags.Psh, 'P'), (DrillFlags.Urg, 'U'),
                (DrillFlags.Ece, 'E'), (DrillFlags.Cwr, 'W'), (DrillFlags.Ae, 'A'), (DrillFlags.Ack, '.'),
            ])
        {
            if (flags.HasFlag(flag) && (ace is null || (flag & DrillFlags.AceBits) == 0))
            {
                text.Append(letter);
            }
        }

        if (ace is not null)
        {
            text.Append((char)('0' + ace));
        }

        return text.Length == 0 ? "-" : text.ToString();
    }

    /// <summary>Options between angle brackets; null gives <c>&lt;...&gt;</c>, none gives nothing.</summary>
    public static string Print(NodeList<DrillOption>? options)
    {
        if (options is null)
        {
            return "<...>";
        }

        return options.Count == 0 ? "" : "<" + string.Join(",", options.Select(Print)) + ">";
    }

    /// <summary>One option.</summary>
    public static string Print(DrillOption option) => option switch
    {
        NopOption => "nop",
        EolOption => "eol",
        MssOption mss => Inv($"mss {mss.Value}"),
        WindowScaleOption scale => Inv($"wscale {scale.Shift}"),
        SackPermittedOption => "sackOK",
        SackOption sack => "sack " + string.Join(" ", sack.Blocks.Select(block => Inv($"{block.Start}:{block.End}"))),
        TimestampOption stamp => Inv($"TS val {stamp.Value} ecr {stamp.EchoReply}"),
        Md5Option md5 => "md5 " + md5.DigestHex,
        FastOpenOption open => ((open.IsExperimental ? "FOEXP " : "FO ") + open.CookieHex).TrimEnd(),
        AccEcnOption ecn => Print(ecn),
        UnknownOption unknown => Inv($"kind {unknown.RawKind} {unknown.DataHex}").TrimEnd(),
        _ => Inv($"kind {option.Kind}"),
    };

    private static string Print(AccEcnOption option)
    {
        string[] names = option.Ect1First ? ["e1b", "ceb", "e0b"] : ["e0b", "ceb", "e1b"];
        var text = new StringBuilder("ECN");
        for (int i = 0; i < option.Counters.Count; i++)
        {
            text.Append(Inv($" {names[i]} {option.Counters[i]}"));
        }

        return text.ToString();
    }

    private static void AppendTcp(StringBuilder text, TcpPattern tcp)
    {
        text.Append(' ').Append(Print(tcp.Flags, tcp.Ace)).Append(Inv($" {tcp.Sequence}:{tcp.End}({tcp.Length})"));
        if (tcp.Ack is { } ack)
        {
            text.Append(Inv($" ack {ack}"));
        }

        if (tcp.Window is { } window)
        {
            text.Append(Inv($" win {window}"));
        }

        if (tcp.Urgent is { } urgent)
        {
            text.Append(Inv($" urg {urgent}"));
        }

        if (tcp.Options is not { Count: 0 })
        {
            text.Append(' ').Append(Print(tcp.Options));
        }
    }

    private static void AppendIcmp(StringBuilder text, IcmpPattern icmp)
    {
        text.Append(" icmp ").Append(icmp.Type);
        if (icmp.CodeName is not null)
        {
            text.Append(' ').Append(icmp.CodeName);
        }

        if (icmp.Mtu is { } mtu)
        {
            text.Append(Inv($" mtu {mtu}"));
        }

        if (icmp.EchoId is { } id)
        {
            text.Append(Inv($" id {id}"));
        }

        if (icmp.Echoed is { } echoed)
        {
            text.Append(echoed.Protocol switch
            {
                EchoedProtocol.Tcp => Inv($" [{echoed.Sequence}:{echoed.Sequence + (uint)echoed.Length}({echoed.Length})]"),
                EchoedProtocol.Udp => Inv($" [udp ({echoed.Length})]"),
                _ => Inv($" [raw ({echoed.Length})]"),
            });
        }
    }

    private static void AppendPorts(StringBuilder text, PortPair? ports)
    {
        if (ports is { } pair)
        {
            text.Append(Inv($" {pair.Source} > {pair.Destination}"));
        }
    }

    private static void AppendIp(StringBuilder text, IpMark ip)
    {
        var parts = new List<string>(3);
        switch (ip.Check)
        {
            case TosCheck.Ecn:
                parts.Add(EcnName(ip.Tos));
                break;
            case TosCheck.Ect01:
                parts.Add("ect01");
                break;
            case TosCheck.WholeByte:
                parts.Add(Inv($"tos 0x{ip.Tos:x}"));
                break;
        }

        if (ip.HopLimit is { } limit)
        {
            parts.Add(Inv($"ttl {limit}"));
        }

        if (ip.FlowLabel is { } label)
        {
            parts.Add(Inv($"flowlabel 0x{label:x}"));
        }

        if (parts.Count > 0)
        {
            text.Append(" [").AppendJoin(',', parts).Append(']');
        }
    }

    internal static string EcnName(byte tos) => (tos & 3) switch { 0 => "noecn", 1 => "ect1", 2 => "ect0", _ => "ce" };

    private static string Inv(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
