using CsCheck;
using Penstock.Drill;

namespace Penstock.Tests.Drill;

/// <summary>What is printed parses to what was printed.</summary>
public class PrinterTests
{
    private static readonly Gen<DrillOption> Options = Gen.OneOf<DrillOption>(
        Gen.Const<DrillOption>(new NopOption()),
        Gen.Const<DrillOption>(new EolOption()),
        Gen.Const<DrillOption>(new SackPermittedOption()),
        Gen.UShort.Select(mss => (DrillOption)new MssOption(mss)),
        Gen.Byte.Select(shift => (DrillOption)new WindowScaleOption(shift)),
        Gen.Select(Gen.UInt, Gen.UInt, (value, echo) => (DrillOption)new TimestampOption(value, echo)),
        Gen.Select(Gen.UInt, Gen.UInt, (start, end) => new SackRange(start, end)).Array[1, 3]
            .Select(blocks => (DrillOption)new SackOption([.. blocks])),
        Gen.Select(Gen.Byte.Array[0, 8], Gen.Bool, (cookie, isExperimental) =>
            (DrillOption)new FastOpenOption(Convert.ToHexStringLower(cookie), isExperimental)),
        Gen.Byte.Array[16].Select(digest => (DrillOption)new Md5Option(Convert.ToHexStringLower(digest))),
        Gen.Select(Gen.Bool, Gen.UInt[0, 0xffffff].Array[0, 3], (ect1First, counters) =>
            (DrillOption)new AccEcnOption(ect1First && counters.Length > 0, [.. counters])),
        Gen.Select(Gen.Byte[2, 255], Gen.Byte.Array[0, 5], (kind, data) => (DrillOption)new UnknownOption(kind, Convert.ToHexStringLower(data))));

    /// <summary>As many as fit 40 bytes, filled up with nop.</summary>
    private static readonly Gen<NodeList<DrillOption>> OptionLists = Options.Array[0, 5].Select(options =>
    {
        var list = new List<DrillOption>();
        int length = 0;
        foreach (DrillOption option in options)
        {
            if (length + option.WireLength <= 40)
            {
                list.Add(option);
                length += option.WireLength;
            }
        }

        for (; length % 4 != 0; length++)
        {
            list.Add(new NopOption());
        }

        return (NodeList<DrillOption>)[.. list];
    });

    private static readonly Gen<IpMark> Marks =
        from tos in Gen.OneOf(
            Gen.Const(new IpMark(TosCheck.Unchecked)),
            Gen.Byte[0, 3].Select(ecn => new IpMark(TosCheck.Ecn, ecn)),
            Gen.Const(new IpMark(TosCheck.Ect01)),
            Gen.Byte.Select(value => new IpMark(TosCheck.WholeByte, value)))
        from limit in Gen.Byte.Nullable()
        from label in Gen.UInt[0, 0xfffff].Nullable()
        select tos with { HopLimit = limit, FlowLabel = label };

    private static readonly Gen<TcpPattern> Patterns =
        from ip in Marks
        from ports in Gen.Select(Gen.UShort, Gen.UShort, (source, destination) => new PortPair(source, destination)).Nullable()
        from flags in Gen.Int[0, 511]
        from hasAce in Gen.Bool
        from sequence in Gen.UInt
        from length in Gen.Int[0, 60_000]
        from ack in Gen.UInt.Nullable()
        from window in Gen.UShort.Nullable()
        from urgent in Gen.UShort.Nullable()
        from options in OptionLists
        from isAny in Gen.Bool
        select new TcpPattern((DrillFlags)flags, sequence, length)
        {
            Ip = ip,
            Ports = ports,
            Ace = hasAce ? (byte)(flags >> 6) : null,
            Ack = ack,
            Window = window,
            Urgent = urgent,
            Options = isAny ? null : options,
        };

    [Fact]
    public void Any_segment_pattern_survives_print_and_parse() => Patterns.Sample(pattern =>
    {
        string line = "0 " + PacketPrinter.Print(pattern, isInbound: false);
        return Assert.IsType<PacketOut>(Assert.Single(Script.Parse(line).Events)).Packet == pattern;
    });

    [Fact]
    public void Any_real_segment_is_shown_as_a_line_that_matches_it() => Patterns.Sample(pattern =>
    {
        DrillPacket packet = DrillPacket.From(pattern);
        string line = "0 " + PacketPrinter.Print(packet, isInbound: false, withPorts: true);
        TcpPattern shown = Assert.IsType<PacketOut>(Assert.Single(Script.Parse(line).Events)).Packet;
        return PacketMatch.Compare(shown, packet) is null && DrillPacket.From(shown) == packet;
    });

    [Theory]
    [InlineData("+0.1 < [ce] S 0:0(0) win 1 <mss 1460,nop,nop,sackOK>")]
    [InlineData("0~0.5 > . 1:1(0) ack 1 <...>")]
    [InlineData("* > - 0:0(0)")]
    [InlineData("0 < icmp unreachable frag_needed mtu 800 [1:1001(1000)]")]
    [InlineData("0 > icmp echo_reply id 7 [raw (3)]")]
    [InlineData("0 < [tos 0x10,ttl 4] udp 1 > 2 (3)")]
    [InlineData("0...1.5 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"192.0.2.1\")}, ...) = 0")]
    [InlineData("0 sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 10}, {..., 20}], msg_flags=0}, MSG_MORE|0xff) = 30")]
    [InlineData("0 write(4, \"a\\n\\x00\\\\\"..., -9223372036854775808) = -1 EPIPE (Broken pipe)")]
    [InlineData("0 poll([{fd=4, events=POLLIN, revents=0}], 1, 0) = ?")]
    [InlineData("0 f({TCP_NLA_BUSY=1, TCP_NLA_SRTT=0xffffffffffffffff}, [], {}) = ...")]
    [InlineData("+0 `sysctl -q net.ipv4.tcp_ecn=1 \\` still`")]
    [InlineData("+0 %{ assert (a & 3) != 0, 'a\\'s %d' % (a,); print(a, (1, 2)); a += -b // (c << 1); b = not (x or y) and 1 < 2 <= min(3, 4) }%")]
    public void Any_event_survives_print_and_parse(string line)
    {
        ScriptEvent first = Assert.Single(Script.Parse(line).Events);
        string printed = ScriptPrinter.Print(first);
        ScriptEvent second = Assert.Single(Script.Parse(printed).Events);
        Assert.Equal(first, second);
        Assert.Equal(printed, ScriptPrinter.Print(second));
        Assert.NotEqual(first, second with { Time = TimeSpec.Absolute(99) });
    }

    [Fact]
    public void A_whole_script_survives_print_and_parse()
    {
        Script first = Script.Parse(
            """
            --ip_version=ipv6 --mss=1000
            --so_flags="two words"
            --define=CC="reno"
            `first`
            0 setsockopt(3, SOL_TCP, TCP_CONGESTION, CC, 4) = 0
            +0 > S 0:0(0)
            `last`
            """);
        Script second = Script.Parse(ScriptPrinter.Print(first));
        Assert.Equal(first.Options, second.Options);
        Assert.Equal(first.InitCommand, second.InitCommand);
        Assert.Equal(first.Events, second.Events);
        Assert.Equal(first.CleanupCommand, second.CleanupCommand);
    }
}
