using Penstock.Drill;

namespace Penstock.Tests.Drill;

/// <summary>Every construct of the script language, as trees. The scripts are this project's own.</summary>
public class ScriptParserTests
{
    private static ScriptEvent One(string line) => Assert.Single(Script.Parse(line).Events);

    private static TcpPattern Out(string packet) => Assert.IsType<PacketOut>(One("+0 > " + packet)).Packet;

    private static SystemCall Call(string call) => Assert.IsType<SystemCall>(One("+0 " + call));

    [Fact]
    public void A_whole_script_has_options_init_events_and_cleanup()
    {
        Script script = Script.Parse(
            """
            // A listener that takes one connection.
            --ip_version=ipv4 --mss=1000
            --local_ip=192.0.2.1
            --tolerance_usecs=1500
            --strict_segments
            `sysctl -q net.ipv4.tcp_ecn=0`

            0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3 /* the
               listener */
            +0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0 > S. 0:0(0) ack 1 <...>
            * > . 1:1(0) ack 1
            +.1 `echo hello`
            +0 %{ assert tcpi_snd_cwnd == 10 }%
            `sysctl -q net.ipv4.tcp_ecn=2`
            """,
            "listener.pkt");

        Assert.Equal("listener.pkt", script.Path);
        Assert.Equal(6, script.EventCount);
        Assert.Equal("ipv4", script.Options.GetText("ip_version"));
        Assert.Equal(1000, script.Options.GetLong("mss"));
        Assert.True(script.Options.Has("strict_segments"));
        Assert.Null(script.Options.GetText("remote_ip"));
        Assert.Equal("sysctl -q net.ipv4.tcp_ecn=0", script.InitCommand!.Line);
        Assert.Equal("sysctl -q net.ipv4.tcp_ecn=2", script.CleanupCommand!.Line);
        Assert.Equal(
            ["SystemCall", "PacketIn", "PacketOut", "PacketOut", "Command", "Code"],
            script.Events.Select(e => e.GetType().Name));
        Assert.Equal(new SourcePosition(8, 1), script.Events[0].At);
        Assert.Equal(new SourcePosition(10, 4), Assert.IsType<PacketIn>(script.Events[1]).Packet.At);
    }

    [Theory]
    [InlineData("0 > . 1:1(0)", TimeKind.Absolute, 0, 0)]
    [InlineData("1.5 > . 1:1(0)", TimeKind.Absolute, 1_500_000_000, 1_500_000_000)]
    [InlineData("+.1 > . 1:1(0)", TimeKind.Relative, 100_000_000, 100_000_000)]
    [InlineData("+ 0.000000001 > . 1:1(0)", TimeKind.Relative, 1, 1)]
    [InlineData("* > . 1:1(0)", TimeKind.Any, 0, 0)]
    [InlineData("1~1.25 > . 1:1(0)", TimeKind.AbsoluteRange, 1_000_000_000, 1_250_000_000)]
    [InlineData("+.1~+.2 > . 1:1(0)", TimeKind.RelativeRange, 100_000_000, 200_000_000)]
    public void Times_are_exact_nanoseconds(string line, object kind, long start, long end) =>
        Assert.Equal(new TimeSpec((TimeKind)kind, start, end), One(line).Time);

    [Theory]
    [InlineData("0...0.25 accept(3, ..., ...) = 4", TimeKind.Absolute, 0, 250_000_000)]
    [InlineData("0.1...0.25 accept(3, ..., ...) = 4", TimeKind.Absolute, 100_000_000, 250_000_000)]
    [InlineData("+.1....5 accept(3, ..., ...) = 4", TimeKind.Relative, 100_000_000, 500_000_000)]
    public void A_blocking_call_has_a_second_time(string line, object kind, long start, long callEnd) =>
        Assert.Equal(new TimeSpec((TimeKind)kind, start, start, callEnd), One(line).Time);

    [Fact]
    public void Relative_times_resolve_against_the_event_before()
    {
        Assert.Equal(TimeSpec.Absolute(130), TimeSpec.Relative(30).Resolve(100));
        Assert.Equal(TimeSpec.Absolute(30), TimeSpec.Absolute(30).Resolve(100));
        Assert.Equal(
            new TimeSpec(TimeKind.AbsoluteRange, 110, 120),
            new TimeSpec(TimeKind.RelativeRange, 10, 20).Resolve(100));
        Assert.Equal(107, new TimeSpec(TimeKind.Relative, 0, 0, 7).Resolve(100).CallEndNanos);
    }

    [Fact]
    public void A_segment_has_all_its_fields()
    {
        TcpPattern packet = Out("[ect0] 1234 > 80 FPU. 1:1001(1000) ack 17 win 500 urg 3 <nop,nop,TS val 100 ecr 4294967295>");
        Assert.Equal(new IpMark(TosCheck.Ecn, 2), packet.Ip);
        Assert.Equal(new PortPair(1234, 80), packet.Ports);
        Assert.Equal(DrillFlags.Fin | DrillFlags.Psh | DrillFlags.Urg | DrillFlags.Ack, packet.Flags);
        Assert.Null(packet.Ace);
        Assert.Equal((1u, 1000, 1001u), (packet.Sequence, packet.Length, packet.End));
        Assert.Equal((17u, (ushort)500, (ushort)3), (packet.Ack!.Value, packet.Window!.Value, packet.Urgent!.Value));
        Assert.Equal<DrillOption>([new NopOption(), new NopOption(), new TimestampOption(100, uint.MaxValue)], packet.Options!);
    }

    [Fact]
    public void What_a_segment_leaves_out_stays_open()
    {
        TcpPattern packet = Out("P. 1:11(10) ack 1");
        Assert.Null(packet.Window);
        Assert.Null(packet.Urgent);
        Assert.Null(packet.Ports);
        Assert.Empty(packet.Options!);
        Assert.Equal(TosCheck.Unchecked, packet.Ip.Check);
        Assert.Null(Out(". 1:1(0) ack 1 <...>").Options);
        Assert.Null(Out("S 0:0(0)").Ack);
    }

    [Fact]
    public void Sequence_numbers_may_wrap() => Assert.Equal(3u, Out(". 4294967294:3(5) ack 1").End);

    [Theory]
    [InlineData("S", (int)DrillFlags.Syn, null)]
    [InlineData("-", 0, null)]
    [InlineData(".", (int)DrillFlags.Ack, null)]
    [InlineData("R.", (int)(DrillFlags.Rst | DrillFlags.Ack), null)]
    [InlineData("SEW", (int)(DrillFlags.Syn | DrillFlags.Ece | DrillFlags.Cwr), null)]
    [InlineData("SEWA", (int)(DrillFlags.Syn | DrillFlags.Ece | DrillFlags.Cwr | DrillFlags.Ae), null)]
    [InlineData("P.5", (int)(DrillFlags.Psh | DrillFlags.Ack | DrillFlags.Ae | DrillFlags.Ece), 5)]
    [InlineData(".2", (int)(DrillFlags.Ack | DrillFlags.Cwr), 2)]
    [InlineData("P.0", (int)(DrillFlags.Psh | DrillFlags.Ack), 0)]
    [InlineData("6", (int)(DrillFlags.Ae | DrillFlags.Cwr), 6)]
    public void Flags_are_letters_a_dot_and_an_ace_digit(string flags, int expected, int? ace)
    {
        TcpPattern packet = Out($"{flags} 0:0(0)");
        Assert.Equal((DrillFlags)expected, packet.Flags);
        Assert.Equal(ace, packet.Ace);
    }

    [Fact]
    public void Every_tcp_option_is_read()
    {
        Assert.Equal<DrillOption>(
            [new MssOption(1460), new SackPermittedOption(), new TimestampOption(1, 0), new NopOption(), new WindowScaleOption(7)],
            Out("S 0:0(0) <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>").Options!);
        Assert.Equal<DrillOption>(
            [new NopOption(), new NopOption(), new SackOption([new(1, 1001), new(2001, 3001)])],
            Out(". 1:1(0) ack 1 <nop, nop, sack 1:1001 2001:3001>").Options!);
        Assert.Equal<DrillOption>(
            [new FastOpenOption("00aaBB".ToLowerInvariant(), false), new NopOption(), new EolOption(), new EolOption()],
            Out("S 0:0(0) <FO 00aaBB,nop,eol,eol>").Options!);
        Assert.Equal<DrillOption>(
            [new FastOpenOption("", false), new NopOption(), new NopOption(), new FastOpenOption("12345678", true)],
            Out("S 0:0(0) <FO,nop,nop,FOEXP 12345678>").Options!);
        Assert.Equal<DrillOption>(
            [new Md5Option("00112233445566778899aabbccddeeff"), new NopOption(), new NopOption()],
            Out("S 0:0(0) <md5 00112233445566778899aabbccddeeff,nop,nop>").Options!);
        Assert.Equal<DrillOption>(
            [new AccEcnOption(false, [1, 2, 16777215]), new NopOption()],
            Out(". 1:1(0) ack 1 <ECN e0b 1 ceb 2 e1b 16777215,nop>").Options!);
        Assert.Equal<DrillOption>(
            [new AccEcnOption(true, [1]), new NopOption(), new NopOption(), new NopOption(), new UnknownOption(99, "0a0b")],
            Out(". 1:1(0) ack 1 <ECN e1b 1,nop,nop,nop,kind 99 0a0b>").Options!);
    }

    [Theory]
    [InlineData("[noecn]", (int)TosCheck.Ecn, 0, null, null)]
    [InlineData("[ect1]", (int)TosCheck.Ecn, 1, null, null)]
    [InlineData("[ect0]", (int)TosCheck.Ecn, 2, null, null)]
    [InlineData("[ce]", (int)TosCheck.Ecn, 3, null, null)]
    [InlineData("[ect01]", (int)TosCheck.Ect01, 0, null, null)]
    [InlineData("(tos 0x2e)", (int)TosCheck.WholeByte, 0x2e, null, null)]
    [InlineData("(ttl 5)", (int)TosCheck.Unchecked, 0, 5, null)]
    [InlineData("[flowlabel 0xabcde]", (int)TosCheck.Unchecked, 0, null, 0xabcde)]
    [InlineData("[ce, flowlabel 0x1]", (int)TosCheck.Ecn, 3, null, 1)]
    public void Marks_speak_of_the_ip_header(string mark, int check, int tos, int? ttl, int? label) => Assert.Equal(
        new IpMark((TosCheck)check, (byte)tos, (byte?)ttl, (uint?)label),
        Out($"{mark} . 1:1(0) ack 1").Ip);

    [Fact]
    public void Icmp_and_udp_lines_are_read()
    {
        IcmpPattern needed = Assert.IsType<IcmpIn>(One("+0 < icmp unreachable frag_needed mtu 800 [1:1001(1000)]")).Packet;
        Assert.Equal(("unreachable", "frag_needed", 800), (needed.Type, needed.CodeName, needed.Mtu));
        Assert.Equal(new EchoedPacket(EchoedProtocol.Tcp, 1, 1000), needed.Echoed);
        IcmpPattern echo = Assert.IsType<IcmpOut>(One("+0 > [tos 0x1] icmp echo_reply id 7")).Packet;
        Assert.Equal(((ushort)7, (byte)1), (echo.EchoId, echo.Ip.Tos));
        Assert.Equal(
            new EchoedPacket(EchoedProtocol.Udp, 0, 12),
            Assert.IsType<IcmpIn>(One("+0 < icmp type_3 code_3 [udp (12)]")).Packet.Echoed);
        Assert.Equal(EchoedProtocol.Raw, Assert.IsType<IcmpIn>(One("+0 < icmp packet_too_big mtu 1400 [raw (12)]")).Packet.Echoed!.Value.Protocol);
        Assert.Equal(new UdpPattern(100), Assert.IsType<UdpOut>(One("+0 > udp (100)")).Packet);
        Assert.Equal(new PortPair(9, 10), Assert.IsType<UdpIn>(One("+0 < udp 9 > 10 (0)")).Packet.Ports);
    }

    [Fact]
    public void Icmp_names_have_numbers_in_each_version()
    {
        Assert.True(IcmpNames.TryResolve(false, "unreachable", "frag_needed", out byte type, out byte code));
        Assert.Equal((3, 4), (type, code));
        Assert.True(IcmpNames.TryResolve(true, "packet_too_big", null, out type, out code));
        Assert.Equal((2, 0), (type, code));
        Assert.True(IcmpNames.TryResolve(true, "unreachable", "port_unreachable", out type, out code));
        Assert.Equal((1, 4), (type, code));
        Assert.False(IcmpNames.TryResolve(false, "packet_too_big", null, out _, out _));
        Assert.Equal(("type_77", "code_9"), IcmpNames.NameOf(false, 77, 9));
        Assert.Equal(("unreachable", "port_unreachable"), IcmpNames.NameOf(false, 3, 3));
    }

    [Fact]
    public void Calls_take_every_shape_of_argument()
    {
        SystemCall call = Call("""sendto(3, "a\n\x00\"" "b"..., -7, MSG_MORE|MSG_DONTWAIT|0x8, [1], ...) = ?""");
        Assert.Equal("sendto", call.Name);
        Assert.Equal(
            [
                new NumberExpression(3),
                new StringExpression("a\n\0\"b", IsPrefix: true),
                new NumberExpression(-7),
                new OrExpression(new OrExpression(new NameExpression("MSG_MORE"), new NameExpression("MSG_DONTWAIT")), new NumberExpression(8, true)),
                new ArrayExpression([new NumberExpression(1)]),
                new EllipsisExpression(),
            ],
            call.Arguments);
        Assert.IsType<AnyResult>(call.Result);
        Assert.Empty(Call("getpid() = 1").Arguments);
        Assert.IsType<EllipsisExpression>(Call("getpid() = ...").Result);
        Assert.Equal(new StringExpression("\u00c3\u00a9\u0007"), Call("""write(3, "é\a", 3) = 3""").Arguments[1]);
    }

    [Fact]
    public void Results_have_an_errno_and_a_note()
    {
        SystemCall failed = Call("connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)");
        Assert.Equal(new NumberExpression(-1), failed.Result);
        Assert.Equal(("EINPROGRESS", "Operation now in progress"), (failed.ErrorName, failed.Note));
        SystemCall flags = Call("fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)");
        Assert.Equal(new NumberExpression(2, IsHex: true), flags.Result);
        Assert.Null(flags.ErrorName);
        Assert.Equal("flags O_RDWR", flags.Note);
        Assert.Null(Call("read(3, ..., 1) = -1 EAGAIN").Note);
    }

    [Fact]
    public void Structures_are_told_by_their_first_field()
    {
        var address = Assert.IsType<StructExpression>(
            Call("""bind(3, {sa_family = AF_INET, sin_port = htons(8080), sin_addr = inet_addr("192.168.0.1")}, ...) = 0""").Arguments[1]);
        Assert.Equal(StructKind.SocketAddress, address.Kind);
        Assert.Equal(new FunctionExpression("htons", [new NumberExpression(8080)]), address.Get("sin_port"));
        Assert.Equal(new FunctionExpression("inet_addr", [new StringExpression("192.168.0.1")]), address.Get("sin_addr"));

        var message = Assert.IsType<StructExpression>(Call(
            """
            recvmsg(3, {msg_name(...)=..., msg_iov(1)=[{..., 1000}], msg_flags=MSG_ERRQUEUE,
                        msg_control=[{cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data={ee_errno=0, ee_origin=5, ee_type=0,
                                      ee_code=1, ee_info=0, ee_data=2}},
                                     {cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING, cmsg_data={scm_sec=0, scm_nsec=10000000}}]},
                    MSG_ERRQUEUE) = 0
            """).Arguments[1]);
        Assert.Equal(StructKind.MessageHeader, message.Kind);
        Assert.Equal(new NumberExpression(1), message.Fields[1].Argument);
        var vectors = Assert.IsType<ArrayExpression>(message.Get("msg_iov"));
        Assert.Equal(StructKind.IoVector, Assert.IsType<StructExpression>(vectors.Items[0]).Kind);
        var controls = Assert.IsType<ArrayExpression>(message.Get("msg_control"));
        Assert.Equal(
            [StructKind.ExtendedError, StructKind.Timestamping],
            controls.Items.Select(item => Assert.IsType<StructExpression>(Assert.IsType<StructExpression>(item).Get("cmsg_data")).Kind));

        Assert.Equal(
            [StructKind.Poll],
            Assert.IsType<ArrayExpression>(Call("poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1").Arguments[0])
                .Items.Select(item => ((StructExpression)item).Kind));
        Assert.Equal(StructKind.EpollEvent, Assert.IsType<StructExpression>(Call("epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0").Arguments[3]).Kind);
        Assert.Equal(StructKind.Linger, Assert.IsType<StructExpression>(Call("setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0").Arguments[3]).Kind);
        Assert.Equal(StructKind.List, Assert.IsType<StructExpression>(Call("f({TCP_NLA_BUSY=3, TCP_NLA_SRTT=1}) = 0").Arguments[0]).Kind);
        Assert.Equal(StructKind.List, Assert.IsType<StructExpression>(Call("f({}) = 0").Arguments[0]).Kind);
    }

    [Fact]
    public void Defined_words_are_replaced()
    {
        var outside = new Dictionary<string, string> { ["COOKIE"] = "1234567890abcdef", ["PORTS"] = "9", ["SIZE"] = "1" };
        Script script = Script.Parse(
            """
            --define=SIZE=1000
            --define=CC="reno"
            0 setsockopt(3, SOL_TCP, TCP_CONGESTION, CC, SIZE) = 0
            +0 > S 0:0(0) <mss SIZE,FO COOKIE,nop,nop>
            """,
            defines: outside);
        SystemCall call = Assert.IsType<SystemCall>(script.Events[0]);
        Assert.Equal(new StringExpression("reno"), call.Arguments[3]);
        Assert.Equal(new NumberExpression(1000), call.Arguments[4]);
        Assert.Equal(
            new FastOpenOption("1234567890abcdef", false),
            Assert.IsType<PacketOut>(script.Events[1]).Packet.Options![1]);
    }

    [Fact]
    public void Code_becomes_statements()
    {
        Code code = Assert.IsType<Code>(One(
            """
            +0 %{ print(tcpi_snd_cwnd); cwnd += 2  # grows
            assert 10 <= tcpi_snd_cwnd < 0x20, 'cwnd=%d' % tcpi_snd_cwnd
            assert (tcpi_options & TCPI_OPT_SACK) != 0 and not (a or
                b) }%
            """));
        Assert.Equal(4, code.Statements.Count);
        Assert.Equal(new PrintStatement([new CodeName("tcpi_snd_cwnd")]), code.Statements[0]);
        Assert.Equal(new AssignStatement("cwnd", "+", new CodeNumber(2)), code.Statements[1]);
        Assert.Equal(
            new AssertStatement(
                new CodeComparison([new CodeNumber(10), new CodeName("tcpi_snd_cwnd"), new CodeNumber(32)], ["<=", "<"]),
                new CodeBinary("%", new CodeText("cwnd=%d"), new CodeName("tcpi_snd_cwnd"))),
            code.Statements[2]);
        Assert.Equal(new SourcePosition(2, 1), code.Statements[2].At);
        var both = Assert.IsType<CodeBinary>(Assert.IsType<AssertStatement>(code.Statements[3]).Condition);
        Assert.Equal("and", both.Operator);
        Assert.IsType<CodeUnary>(both.Right);
    }

    [Fact]
    public void Carriage_returns_are_blanks()
    {
        Script script = Script.Parse("--mss=1000\r\n0 close(3) = 0\r\n+0 %{ assert 1\r\nassert 2 }%\r\n");
        Assert.Equal(1000, script.Options.GetLong("mss"));
        Assert.Equal(2, script.EventCount);
    }
}
