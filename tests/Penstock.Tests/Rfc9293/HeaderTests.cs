using System.Buffers.Binary;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 9293 3.1, 3.7.1: header, checksum, options and segment sizes as they are on the wire.</summary>
public class HeaderTests
{
    [Fact]
    public void Every_segment_sent_has_the_right_checksum_and_a_wrong_one_is_dropped()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(3000);
        Assert.All(peer.All(), segment => Assert.True(segment.ChecksumHolds));
        byte[] packet = peer.Build(TcpFlags.Ack, RawPeer.PeerIss + 1, peer.StackIss + 1, 1000, [], [1, 2, 3]);
        packet[^1] ^= 1;
        peer.Inject(packet);
        Assert.True(peer.Read() < 0);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpInCsumErrors));
    }

    [Theory]
    [InlineData("", 536)]
    [InlineData("020405b4", 1460)]
    [InlineData("01020404b001010101010100", 1200)]
    [InlineData("fd06aabbccdd020404b0", 1200)]
    [InlineData("020404b0fd00", 1200)]
    [InlineData("0201020404b0", 536)]
    [InlineData("020404b003ff", 1200)]
    public void Options_of_a_SYN_are_read_at_any_alignment_and_bad_ones_do_no_harm(string hex, int mss)
    {
        using var peer = new RawPeer();
        peer.Listen();
        byte[] options = Convert.FromHexString(hex);
        Array.Resize(ref options, (options.Length + 3) / 4 * 4);
        peer.Inject(peer.Build(TcpFlags.Syn, RawPeer.PeerIss, 0, 65535, options, []));
        peer.Expect(TcpFlags.SynAck, 0, 1);
        peer.Send(TcpFlags.Ack, 1, 1);
        peer.Socket = peer.Done(peer.Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
        peer.Write(5000);
        Assert.Equal(mss, peer.Next().Length);
    }

    [Fact]
    public void Options_may_come_in_any_segment()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        byte[] options = [253, 6, 1, 2, 3, 4, 1, 0];
        peer.Inject(peer.Build(TcpFlags.Ack, RawPeer.PeerIss + 1, peer.StackIss + 1, 65535, options, [1, 2, 3]));
        Assert.Equal(3, peer.Read());
    }

    [Fact]
    public void An_MSS_after_the_handshake_changes_nothing()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Inject(peer.Build(TcpFlags.Ack, RawPeer.PeerIss + 1, peer.StackIss + 1, 65535, [2, 4, 1, 0], []));
        peer.Write(3000);
        Assert.Equal(1460, peer.Next().Length);
    }

    [Fact]
    public void The_MSS_is_sent_in_every_SYN_and_nowhere_else_and_tells_what_can_be_received()
    {
        using var peer = new RawPeer(mtu: 1300);
        peer.Connect();
        Segment syn = peer.Expect(TcpFlags.Syn, 0);
        Assert.Equal(1260, syn.Options.Mss);
        peer.Send(TcpFlags.SynAck, 0, 1, options: RawPeer.SynOptions());
        Assert.Equal(-1, peer.Expect(TcpFlags.Ack, 1, 1).OptionBytes.AsSpan().IndexOf((byte)TcpOptions.KindMss));

        using var other = new RawPeer(mtu: 576);
        other.Listen();
        other.Send(TcpFlags.Syn, 0);
        Assert.Equal(536, other.Expect(TcpFlags.SynAck, 0, 1).Options.Mss);
    }

    [Fact]
    public void A_lower_path_MTU_does_not_lower_the_MSS_that_is_offered()
    {
        // MUST-67: what is offered is what can be received here, whatever the path to the peer lets through (RFC 2923 2.3).
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(1460);
        peer.Expect(TcpFlags.Ack, 1, length: 1460);
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, 1, rest: 1000);
        Assert.Equal(960, peer.Next().Length);
        peer.All();
        peer.PeerPort = 4001;
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        Assert.Equal(1460, peer.Expect(TcpFlags.SynAck, 0, 1).Options.Mss);
    }

    [Fact]
    public void An_application_can_lower_the_MSS_on_both_sides()
    {
        using var peer = new RawPeer();
        peer.Connect(new TcpConnectOptions { MaximumSegmentSize = 1000 });
        Assert.Equal(1000, peer.Expect(TcpFlags.Syn, 0).Options.Mss);

        using var other = new RawPeer();
        other.Listen(options => options.MaximumSegmentSize = 1000);
        other.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        Assert.Equal(1000, other.Expect(TcpFlags.SynAck, 0, 1).Options.Mss);
        other.Send(TcpFlags.Ack, 1, 1);
        other.Socket = other.Done(other.Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
        other.Write(3000);
        Assert.Equal(1000, other.Next().Length);
    }

    [Fact]
    public void Segments_are_as_large_as_path_peer_and_options_allow()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(mss: 1400, timestamp: 1));
        peer.Write(5000);
        Segment first = peer.Next();
        Assert.Equal(1388, first.Length);
        Assert.Equal(1388, peer.Next().Length);

        using var narrow = new RawPeer(mtu: 1000);
        narrow.Accepted(RawPeer.SynOptions(mss: 1460));
        narrow.Write(5000);
        Segment segment = narrow.Next();
        Assert.Equal(960, segment.Length);
        Assert.Equal(1000, segment.Ip.TotalLength);
    }

    [Fact]
    public void A_path_MTU_report_makes_what_is_in_flight_smaller()
    {
        // RFC 1191 6.5, RFC 9293 SHLD-6.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(2920);
        Assert.Equal(2, peer.All().Count);
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, 1, rest: 1200);
        List<Segment> again = peer.All();
        Assert.NotEmpty(again);
        Assert.Equal(1u, again[0].Sequence);
        Assert.All(again, segment => Assert.InRange(segment.Length, 1, 1160));
        Assert.True(again[0].Ip.DontFragment);
        Assert.Equal(10, peer.Socket.GetInfo().CongestionWindow);
    }

    [Fact]
    public void A_router_that_does_not_tell_its_MTU_gets_the_next_plateau()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(1460);
        peer.Next();
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, 1, rest: 0);
        Assert.Equal(1492 - 40, peer.Next().Length);
    }

    [Fact]
    public void Options_end_at_a_word_and_padding_is_known_bytes()
    {
        using var peer = new RawPeer();
        peer.Listen();
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions(sack: true, scale: 7, timestamp: 5));
        byte[] options = peer.Expect(TcpFlags.SynAck, 0, 1).OptionBytes;
        Assert.Equal(0, options.Length % 4);
        for (int i = 0; i < options.Length; i += options[i] is 0 or 1 ? 1 : options[i + 1])
        {
            // Every option but the two one-byte ones has a length that leads to the next.
            Assert.True(options[i] <= 1 || options[i + 1] >= 2);
        }
    }

    [Fact]
    public void A_window_of_the_top_bit_is_large_not_negative()
    {
        using var peer = new RawPeer();
        peer.Window = 0x8000;
        peer.Accepted();
        peer.Write(14000);
        Assert.Equal(14000, peer.All().Sum(segment => segment.Length));
    }

    [Fact]
    public void A_scaled_window_has_thirty_two_bits_of_room()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(scale: 14));
        Assert.Equal(65535L << 14, peer.Socket.GetInfo().SendWindow);
    }

    [Fact]
    public void IP_options_are_stepped_over()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        byte[] recordRoute = [7, 7, 4, 0, 0, 0, 0, 0];
        byte[] timestamp = [68, 8, 5, 0, 0, 0, 0, 0];
        byte[] unknown = [0x9E, 4, 1, 2];
        uint seq = 1;
        foreach (byte[] option in (byte[][])[recordRoute, timestamp, unknown])
        {
            peer.Inject(peer.Build(TcpFlags.Ack, RawPeer.PeerIss + seq, peer.StackIss + 1, 65535, [], [1], ipOptions: option));
            Assert.Equal(1, peer.Read());
            seq++;
        }
    }

    [Fact]
    public void Segments_carry_the_configured_time_to_live_and_Diffserv_field()
    {
        using var peer = new RawPeer(settings: ("ip_default_ttl", "77"));
        peer.Listen(options =>
        {
            options.TypeOfService = 0x48;
            options.TimeToLive = 9;
        });
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        Segment answer = peer.Expect(TcpFlags.SynAck, 0, 1);
        Assert.Equal((0x48, 9), (answer.Ip.TypeOfService, answer.Ip.TimeToLive));
        peer.Send(TcpFlags.Ack, 1, 1);
        peer.Socket = peer.Done(peer.Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
        peer.Write(10);
        Segment data = peer.Next();
        Assert.Equal((0x48, 9), (data.Ip.TypeOfService, data.Ip.TimeToLive));
        peer.Socket.NoDelay = true;
        peer.Socket.TypeOfService = 0x10;
        peer.Socket.TimeToLive = 33;
        peer.Write(10);
        data = peer.Next();
        Assert.Equal((0x10, 33), (data.Ip.TypeOfService, data.Ip.TimeToLive));

        using var other = new RawPeer(settings: ("ip_default_ttl", "77"));
        other.Connect(new TcpConnectOptions { TypeOfService = 0xB8 });
        Segment syn = other.Expect(TcpFlags.Syn, 0);
        Assert.Equal((0xB8, 77), (syn.Ip.TypeOfService, syn.Ip.TimeToLive));
    }

    [Fact]
    public void Retransmissions_have_an_IP_identification_of_their_own()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(100);
        ushort first = peer.Next().Ip.Identification;
        Assert.NotEqual(first, peer.Next(1000).Ip.Identification);
    }
}
