namespace Penstock.Drill;

/// <content>Packet lines: direction, IP marks, ports, then TCP, UDP or ICMP.</content>
internal sealed partial class Parser
{
    private ScriptEvent ParsePacket(TimeSpec time, int start)
    {
        SourcePosition at = _lexer.PositionOf(start);
        bool isInbound = _token.Is('<');
        int packetAt = _token.Offset;
        Advance();
        RefuseTunnels();
        IpMark ip = ParseIpMark(isInbound);
        RefuseTunnels();
        if (TryTakeWord("icmp"))
        {
            IcmpPattern icmp = ParseIcmp() with { Ip = ip, At = _lexer.PositionOf(packetAt) };
            return isInbound ? new IcmpIn(icmp) { Time = time, At = at } : new IcmpOut(icmp) { Time = time, At = at };
        }

        if (TryTakeWord("udp"))
        {
            PortPair? ports = ParsePorts();
            Take('(', "before the payload's length, as in udp (100)");
            int length = (int)TakeNumber(65_507, "a UDP payload's length");
            Take(')', "after the payload's length");
            var udp = new UdpPattern(length) { Ip = ip, Ports = ports, At = _lexer.PositionOf(packetAt) };
            return isInbound ? new UdpIn(udp) { Time = time, At = at } : new UdpOut(udp) { Time = time, At = at };
        }

        TcpPattern tcp = ParseTcp(isInbound) with { Ip = ip, At = _lexer.PositionOf(packetAt) };
        return isInbound ? new PacketIn(tcp) { Time = time, At = at } : new PacketOut(tcp) { Time = time, At = at };
    }

    private void RefuseTunnels()
    {
        if (_token.Kind == TokenKind.Word && _token.Text is "ipv4" or "ipv6" or "gre" or "GREv0" or "mpls" or "encap")
        {
            throw _lexer.ErrorAt(_token.Offset, $"packets inside another header ({_token.Text}) are not spoken here");
        }
    }

    private IpMark ParseIpMark(bool isInbound)
    {
        bool isParenthesis = _token.Is('(');
        if (!isParenthesis && !_token.Is('['))
        {
            return default;
        }

        Advance();
        IpMark mark = default;
        do
        {
            mark = ParseIpField(mark, isInbound);
        }
        while (TryTake(','));
        Take(isParenthesis ? ')' : ']', "after the IP fields");
        return mark;
    }

    private IpMark ParseIpField(IpMark mark, bool isInbound)
    {
        int at = _token.Offset;
        string field = TakeWord("noecn, ect0, ect1, ect01, ce, tos 0x.., ttl N or flowlabel 0x..");
        bool isTos = field is "noecn" or "ect0" or "ect1" or "ect01" or "ce" or "tos";
        if ((isTos && mark.Check != TosCheck.Unchecked)
            || (field == "ttl" && mark.HopLimit is not null)
            || (field == "flowlabel" && mark.FlowLabel is not null))
        {
            throw _lexer.ErrorAt(at, "this part of the IP header is said twice");
        }

        return field switch
        {
            "noecn" => mark with { Check = TosCheck.Ecn, Tos = 0 },
            "ect1" => mark with { Check = TosCheck.Ecn, Tos = 1 },
            "ect0" => mark with { Check = TosCheck.Ecn, Tos = 2 },
            "ce" => mark with { Check = TosCheck.Ecn, Tos = 3 },
            "ect01" when isInbound => throw _lexer.ErrorAt(at, "[ect01] means either of two: it only fits an expected packet (>)"),
            "ect01" => mark with { Check = TosCheck.Ect01, Tos = 0 },
            "tos" => mark with { Check = TosCheck.WholeByte, Tos = (byte)TakeHex(255, "the traffic class") },
            "ttl" => mark with { HopLimit = (byte)TakeNumber(255, "the time to live") },
            "flowlabel" => mark with { FlowLabel = (uint)TakeHex(0xfffff, "the flow label") },
            _ => throw _lexer.ErrorAt(at, $"'{field}' is no part of the IP header that scripts know: "
                + "noecn, ect0, ect1, ect01, ce, tos 0x.., ttl N, flowlabel 0x.."),
        };
    }

    private PortPair? ParsePorts()
    {
        if (_token.Kind != TokenKind.Number)
        {
            return null;
        }

        ushort source = (ushort)TakeNumber(65_535, "a source port");
        Take('>', "between the two ports, as in 1234 > 80");
        return new(source, (ushort)TakeNumber(65_535, "a destination port"));
    }

    /// <summary>Tells <c>1234 &gt; 80</c> from flags that are nothing but an ACE digit.</summary>
    private bool IsNextPorts()
    {
        if (_token.Kind != TokenKind.Number)
        {
            return false;
        }

        Token next = _lexer.Next();
        _lexer.MoveTo(_token.EndOffset);
        return next.Is('>');
    }

    private TcpPattern ParseTcp(bool isInbound)
    {
        PortPair? ports = IsNextPorts() ? ParsePorts() : null;
        int flagsAt = _token.Offset;
        DrillFlags flags = ParseFlags(out byte? ace);
        int sequenceAt = _token.Offset;
        (uint sequence, int length) = ParseSequence();
        uint? ack = TryTakeWord("ack") ? (uint)TakeNumber(uint.MaxValue, "an acknowledgment number") : null;
        ushort? window = TryTakeWord("win") ? (ushort)TakeNumber(65_535, "the header's window (not yet scaled)") : null;
        ushort? urgent = TryTakeWord("urg") ? (ushort)TakeNumber(65_535, "the urgent pointer") : null;
        if (isInbound && window is null)
        {
            throw _lexer.ErrorAt(flagsAt, "an injected segment (<) must say its window, as in win 1000");
        }

        if (_token.Kind == TokenKind.Word && _token.Text is "ack" or "win" or "urg")
        {
            throw _lexer.ErrorAt(_token.Offset, "the fields stand in the order ack, win, urg, each once");
        }

        int optionsAt = _token.Offset;
        NodeList<DrillOption>? options = ParseOptions(isInbound, sequenceAt);
        int headerLength = 20 + OptionsLength(options, optionsAt);
        if (headerLength + length > 65_535 - 20)
        {
            throw _lexer.ErrorAt(sequenceAt, "this segment does not fit an IP packet of 65535 bytes");
        }

        return new(flags, sequence, length)
        {
            Ports = ports,
            Ace = ace,
            Ack = ack,
            Window = window,
            Urgent = urgent,
            Options = options,
        };
    }

    private DrillFlags ParseFlags(out byte? ace)
    {
        ace = null;
        _lexer.MoveTo(_token.Offset);
        string text = _lexer.ReadFlags(out int at);
        if (text.Length == 0)
        {
            throw Wrong("TCP flags: letters of S F R P U E W A, a dot for ACK, or - for none");
        }

        DrillFlags flags = DrillFlags.None;
        if (text != "-")
        {
            for (int i = 0; i < text.Length; i++)
            {
                flags = AddFlag(flags, text[i], at + i, ref ace);
            }
        }

        Advance();
        return flags;
    }

    private DrillFlags AddFlag(DrillFlags flags, char letter, int at, ref byte? ace)
    {
        DrillFlags flag = letter switch
        {
            'F' => DrillFlags.Fin,
            'S' => DrillFlags.Syn,
            'R' => DrillFlags.Rst,
            'P' => DrillFlags.Psh,
            '.' => DrillFlags.Ack,
            'U' => DrillFlags.Urg,
            'E' => DrillFlags.Ece,
            'W' => DrillFlags.Cwr,
            'A' => DrillFlags.Ae,
            >= '0' and <= '7' => (DrillFlags)((letter - '0') << 6),
            _ => throw _lexer.ErrorAt(at, $"'{letter}' is no TCP flag: F FIN, S SYN, R RST, P PSH, . ACK, U URG, E ECE, W CWR, A AE, "
                + "a digit for the ACE counter, or - alone for no flags"),
        };
        bool isAce = char.IsAsciiDigit(letter);
        if (isAce ? ace is not null || (flags & DrillFlags.AceBits) != 0 : ace is not null && (flag & DrillFlags.AceBits) != 0)
        {
            throw _lexer.ErrorAt(at, "an ACE digit stands for the bits E, W and A together: write either the digit or the letters");
        }

        if (!isAce && flags.HasFlag(flag))
        {
            throw _lexer.ErrorAt(at, $"the flag '{letter}' stands twice");
        }

        if (isAce)
        {
            ace = (byte)(letter - '0');
        }

        return flags | flag;
    }

    /// <summary>Reads <c>start:end(length)</c>; the three must agree, modulo 2^32.</summary>
    private (uint Sequence, int Length) ParseSequence()
    {
        int at = _token.Offset;
        uint start = (uint)TakeNumber(uint.MaxValue, "the first sequence number, as in 1:1001(1000)");
        Take(':', "between the sequence numbers, as in 1:1001(1000)");
        uint end = (uint)TakeNumber(uint.MaxValue, "the end sequence number");
        Take('(', "before the payload's length, as in 1:1001(1000)");
        int length = (int)TakeNumber(65_535, "the payload's length");
        Take(')', "after the payload's length");
        if (start + (uint)length != end)
        {
            throw _lexer.ErrorAt(at, $"these numbers do not agree: {start} + {length} is {start + (uint)length}, not {end}"
                + " (SYN and FIN are not counted here)");
        }

        return (start, length);
    }

    private IcmpPattern ParseIcmp()
    {
        int at = _token.Offset;
        string type = TakeWord("an ICMP type such as unreachable");
        string? code = _token.Kind == TokenKind.Word && _token.Text is not ("mtu" or "id") ? TakeWord("a code") : null;
        if (IcmpNames.Check(type, code) is { } complaint)
        {
            throw _lexer.ErrorAt(at, complaint);
        }

        int mtuAt = _token.Offset;
        int? mtu = TryTakeWord("mtu") ? (int)TakeNumber(int.MaxValue, "the MTU") : null;
        if (mtu is not null && code != "frag_needed" && type != "packet_too_big")
        {
            throw _lexer.ErrorAt(mtuAt, "only unreachable frag_needed (IPv4) and packet_too_big (IPv6) carry an MTU");
        }

        ushort? id = TryTakeWord("id") ? (ushort)TakeNumber(65_535, "the echo identifier") : null;
        EchoedPacket? echoed = null;
        if (TryTake('['))
        {
            echoed = ParseEchoed();
            Take(']', "after the quoted packet");
        }

        return new(type, code) { Mtu = mtu, EchoId = id, Echoed = echoed };
    }

    private EchoedPacket ParseEchoed()
    {
        if (_token.Kind == TokenKind.Word && _token.Text is "udp" or "raw")
        {
            EchoedProtocol protocol = _token.Text == "udp" ? EchoedProtocol.Udp : EchoedProtocol.Raw;
            Advance();
            Take('(', "before the quoted payload's length");
            int length = (int)TakeNumber(65_535, "the quoted payload's length");
            Take(')', "after the quoted payload's length");
            return new(protocol, 0, length);
        }

        (uint sequence, int payload) = ParseSequence();
        return new(EchoedProtocol.Tcp, sequence, payload);
    }
}
