using Penstock.Drill;

namespace Penstock.Tests.Drill;

/// <summary>The judging rules: what must agree, what is left open, and how a difference is told.</summary>
public class PacketMatchTests
{
    private static TcpPattern Pattern(string packet) =>
        Assert.IsType<PacketOut>(Assert.Single(Script.Parse("0 > " + packet).Events)).Packet;

    /// <summary>The packet that a fully written line describes.</summary>
    private static DrillPacket Packet(string packet) => DrillPacket.From(Pattern(packet));

    private static string? Field(string expected, string actual) => PacketMatch.Compare(Pattern(expected), Packet(actual))?.Field;

    [Theory]
    [InlineData(". 1:1(0) ack 1", ". 1:1(0) ack 1 win 77")]
    [InlineData(". 1:1(0) ack 1 win 77", ". 1:1(0) ack 1 win 77")]
    [InlineData(". 1:1(0) ack 1 <...>", ". 1:1(0) ack 1 win 77 <nop,nop,TS val 1 ecr 2>")]
    [InlineData(". 1:1(0) ack 1 <nop,nop,TS val 5 ecr 6>", ". 1:1(0) ack 1 <nop,nop,TS val 1 ecr 2>")]
    [InlineData("S 0:0(0) <mss 1460>", "S 0:0(0) <mss 1460>")]
    [InlineData("[ect0] . 1:1(0) ack 1", "[tos 0xb2] . 1:1(0) ack 1")]
    [InlineData("[ect01] . 1:1(0) ack 1", "[ect1] . 1:1(0) ack 1")]
    [InlineData(". 1:1(0) ack 1", "[ce] 5 > 6 . 1:1(0) ack 1")]
    [InlineData("5 > 6 . 1:1(0) ack 1", "5 > 6 . 1:1(0) ack 1")]
    [InlineData("P.5 1:2(1) ack 1", "PEA. 1:2(1) ack 1")]
    public void What_the_script_does_not_name_is_left_open(string expected, string actual) => Assert.Null(Field(expected, actual));

    [Theory]
    [InlineData("P. 1:2(1) ack 1", ". 1:2(1) ack 1", "flags")]
    [InlineData("F. 1:1(0) ack 1", ". 1:1(0) ack 1", "flags")]
    [InlineData(". 1:1(0) ack 1", "W. 1:1(0) ack 1", "flags")]
    [InlineData("P.5 1:2(1) ack 1", "P.6 1:2(1) ack 1", "the ACE counter")]
    [InlineData("P.5 1:2(1) ack 1", ".5 1:2(1) ack 1", "flags")]
    [InlineData(". 1:1(0) ack 1", ". 2:2(0) ack 1", "the first sequence number")]
    [InlineData("P. 1:2(1) ack 1", "P. 1:3(2) ack 1", "the payload's length")]
    [InlineData(". 1:1(0) ack 1", ". 1:1(0) ack 2", "ack")]
    [InlineData(". 1:1(0) ack 1 win 5", ". 1:1(0) ack 1 win 6", "win")]
    [InlineData(". 1:1(0) ack 1", ". 1:1(0) ack 1 urg 2", "urg")]
    [InlineData(". 1:1(0) ack 1", ". 1:1(0) ack 1 <nop,nop,nop,nop>", "the TCP options")]
    [InlineData("S 0:0(0) <mss 1460,nop,wscale 7>", "S 0:0(0) <mss 1460,wscale 7,nop>", "TCP option 2")]
    [InlineData("S 0:0(0) <mss 1460>", "S 0:0(0) <mss 1459>", "TCP option 1")]
    [InlineData("S 0:0(0) <mss 1460>", "S 0:0(0) <mss 1460,nop,nop,sackOK>", "the TCP options")]
    [InlineData("[tos 0x10] . 1:1(0) ack 1", ". 1:1(0) ack 1", "tos")]
    [InlineData("[noecn] . 1:1(0) ack 1", "[ect0] . 1:1(0) ack 1", "the ECN mark")]
    [InlineData("[ect01] . 1:1(0) ack 1", "[ce] . 1:1(0) ack 1", "the ECN mark")]
    [InlineData("[ttl 3] . 1:1(0) ack 1", ". 1:1(0) ack 1", "ttl")]
    [InlineData("[flowlabel 0x3] . 1:1(0) ack 1", ". 1:1(0) ack 1", "flowlabel")]
    [InlineData("5 > 6 . 1:1(0) ack 1", "5 > 7 . 1:1(0) ack 1", "the destination port")]
    public void The_first_difference_is_named(string expected, string actual, string field) => Assert.Equal(field, Field(expected, actual));

    [Fact]
    public void Payload_bytes_ip_header_and_protocol_are_judged()
    {
        TcpPattern expected = Pattern("P. 1:11(10) ack 1");
        DrillPacket good = Packet("P. 1:11(10) ack 1");
        Assert.Null(PacketMatch.Compare(expected, good));
        Assert.Equal("the payload", PacketMatch.Compare(expected, good with { IsPayloadZero = false })!.Field);
        Assert.Equal("the IP header", PacketMatch.Compare(expected, good with { IsIpHeaderGood = false })!.Field);
        Assert.Equal("the protocol", PacketMatch.Compare(expected, good with { Protocol = DrillProtocol.Udp })!.Field);
    }

    [Fact]
    public void A_mismatch_shows_both_packets_and_the_difference()
    {
        PacketMismatch mismatch = PacketMatch.Compare(Pattern("P. 1:1001(1000) ack 1001"), Packet("P. 1:1001(1000) ack 501 win 9"))!;
        Assert.Equal(
            """
            expected: > P. 1:1001(1000) ack 1001
            actual:   > P. 1:1001(1000) ack 501  win 9
                                        ^^^^^^^
            first difference: ack should be 1001 but is 501 (500 less)
            """.ReplaceLineEndings("\n"),
            mismatch.ToString());
    }

    [Fact]
    public void Timestamps_are_compared_when_the_tick_is_known()
    {
        TcpPattern expected = Pattern(". 1:1(0) ack 1 <nop,nop,TS val 100 ecr 6>");
        DrillPacket late = Packet(". 1:1(0) ack 1 <nop,nop,TS val 104 ecr 9>");
        Assert.Null(PacketMatch.Compare(expected, late, new TimestampRule(1_000_000, 4_000_000)));
        Assert.Equal("TCP option 3", PacketMatch.Compare(expected, late, new TimestampRule(1_000_000, 3_999_999))!.Field);
    }

    [Fact]
    public void Udp_and_icmp_are_judged()
    {
        var udp = new DrillPacket { Protocol = DrillProtocol.Udp, Length = 5 };
        Assert.Null(PacketMatch.Compare(new UdpPattern(5), udp));
        Assert.Equal("the payload's length", PacketMatch.Compare(new UdpPattern(6), udp)!.Field);

        var icmp = new DrillPacket { Protocol = DrillProtocol.Icmp, IcmpType = 3, IcmpCode = 4, IcmpMtu = 800 };
        var pattern = new IcmpPattern("unreachable", "frag_needed");
        Assert.Null(PacketMatch.Compare(pattern, icmp));
        Assert.Null(PacketMatch.Compare(pattern with { Mtu = 800 }, icmp));
        Assert.Equal("mtu", PacketMatch.Compare(pattern with { Mtu = 801 }, icmp)!.Field);
        Assert.Equal("the ICMP code", PacketMatch.Compare(new IcmpPattern("unreachable", null), icmp)!.Field);
        Assert.Equal("the ICMP type", PacketMatch.Compare(new IcmpPattern("echo_reply", null), icmp)!.Field);
        Assert.Contains("> icmp unreachable frag_needed mtu 800", PacketMatch.Compare(pattern with { Mtu = 801 }, icmp)!.ActualLine, StringComparison.Ordinal);
    }

    [Fact]
    public void Segments_in_a_row_stand_for_one_super_segment()
    {
        var gatherer = new SegmentGatherer(Pattern("P. 1:2501(2500) ack 1 win 9"), isStrict: false);
        Assert.Equal(GatherState.NeedsMore, gatherer.Offer(Packet(". 1:1001(1000) ack 1 win 9")));
        Assert.Equal(GatherState.NeedsMore, gatherer.Offer(Packet(". 1001:2001(1000) ack 1 win 9")));
        Assert.Equal(GatherState.Matched, gatherer.Offer(Packet("P. 2001:2501(500) ack 1 win 9")));
    }

    [Theory]
    [InlineData("P. 1001:2001(1000) ack 2", "ack of piece 2")]
    [InlineData("P. 1002:2002(1000) ack 1", "the first sequence number of piece 2")]
    [InlineData(". 1001:1501(500) ack 1", "the payload's length of piece 2")]
    [InlineData("R. 1001:2001(1000) ack 1", "flags of piece 2")]
    [InlineData(". 1001:2001(1000) ack 1", "flags")]
    [InlineData("P. 1001:2501(1500) ack 1", "the payload's length")]
    public void A_piece_that_does_not_follow_is_told(string second, string field)
    {
        var gatherer = new SegmentGatherer(Pattern("P. 1:2001(2000) ack 1"), isStrict: false);
        Assert.Equal(GatherState.NeedsMore, gatherer.Offer(Packet(". 1:1001(1000) ack 1")));
        Assert.Equal(GatherState.Differs, gatherer.Offer(Packet(second)));
        Assert.Equal(field, gatherer.Mismatch!.Field);
    }

    [Fact]
    public void Strict_segments_must_match_alone()
    {
        var gatherer = new SegmentGatherer(Pattern("P. 1:2001(2000) ack 1"), isStrict: true);
        Assert.Equal(GatherState.Differs, gatherer.Offer(Packet("P. 1:1001(1000) ack 1")));
        Assert.Equal("the payload's length", gatherer.Mismatch!.Field);
    }

    [Fact]
    public void A_segment_that_cannot_begin_the_expected_one_is_told_at_once()
    {
        var gatherer = new SegmentGatherer(Pattern("P. 1:2001(2000) ack 1"), isStrict: false);
        Assert.Equal(GatherState.Differs, gatherer.Offer(Packet("P. 5:1005(1000) ack 1")));
        gatherer = new SegmentGatherer(Pattern("P. 1:2001(2000) ack 1"), isStrict: false);
        Assert.Equal(GatherState.Differs, gatherer.Offer(Packet(". 1:1(0) ack 1")));
    }

    [Fact]
    public void Events_may_be_off_by_the_larger_tolerance()
    {
        TimingTolerance tolerance = TimingTolerance.Default;
        TimeSpec at = TimeSpec.Absolute(1_000_000_000);
        Assert.Null(tolerance.Check(at, 999_000_000, 1_004_000_000, "the packet"));
        Assert.Null(tolerance.Check(at, 999_000_000, 996_000_000, "the packet"));
        Assert.Equal(
            "the packet was expected at 1 s but came at 1.004000001 s, 0.004000001 s too late (tolerance 0.004 s)",
            tolerance.Check(at, 999_000_000, 1_004_000_001, "the packet"));
        Assert.Null(tolerance.Check(at, 0, 1_125_000_000, "the packet"));
        Assert.Contains("too early", tolerance.Check(at, 0, 874_999_999, "the packet")!, StringComparison.Ordinal);
        Assert.NotNull(TimingTolerance.Exact.Check(at, 0, 1_000_000_001, "the packet"));
        Assert.Null(TimingTolerance.Exact.Check(TimeSpec.Any, 0, 5, "the packet"));
        var range = new TimeSpec(TimeKind.AbsoluteRange, 10, 20);
        Assert.Null(TimingTolerance.Exact.Check(range, 0, 20, "the packet"));
        Assert.Contains("between", TimingTolerance.Exact.Check(range, 0, 21, "the packet")!, StringComparison.Ordinal);
    }

    [Fact]
    public void The_head_sets_the_tolerance()
    {
        HeadOptions options = Script.Parse("--tolerance_usecs=7 --tolerance_percent=2.5\n0 close(3) = 0").Options;
        Assert.Equal(new TimingTolerance(7_000, 2.5), TimingTolerance.From(options, TimingTolerance.Default));
        Assert.Equal(TimingTolerance.Exact, TimingTolerance.From(new HeadOptions([]), TimingTolerance.Exact));
    }
}
