using System.Net.Sockets;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 5961 (blind attacks) and RFC 7323 (timestamps, PAWS, window scale).</summary>
public class HardeningTests
{
    [Fact]
    public void Only_a_reset_at_the_exact_number_is_believed()
    {
        // RFC 5961 3.2.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Rst, 2);
        peer.Expect(TcpFlags.Ack, 1, 1);
        peer.Send(TcpFlags.Rst, 1_000_000);
        peer.ExpectNothing();
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.Send(TcpFlags.Rst, 1);
        Assert.Equal(TcpConnectionState.Closed, peer.Socket.State);
        peer.ExpectNothing(1000);
    }

    [Fact]
    public void A_SYN_never_ends_a_connection()
    {
        // RFC 5961 4.2: inside and outside of the window.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Syn, 1);
        peer.Expect(TcpFlags.Ack, 1, 1);
        peer.Wait(1000);
        peer.Send(TcpFlags.Syn, 3_000_000);
        peer.Expect(TcpFlags.Ack, 1, 1);
        peer.Wait(1000);
        peer.Send(TcpFlags.SynAck, 0, 1);
        peer.Expect(TcpFlags.Ack, 1, 1);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
    }

    [Fact]
    public void Data_with_an_impossible_ACK_is_not_taken()
    {
        // RFC 5961 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 1, 2, length: 10);
        peer.Expect(TcpFlags.Ack, 1, 1);
        peer.Wait(1000);
        peer.Send(TcpFlags.Ack, 1, unchecked(0u - 70_000u), length: 10);
        peer.Expect(TcpFlags.Ack, 1, 1);
        Assert.True(peer.Read() < 0);

        // Nor from before what was ever acknowledged (Linux).
        peer.Wait(1000);
        peer.Send(TcpFlags.Ack, 1, unchecked(0u - 60_000u), length: 10);
        peer.Expect(TcpFlags.Ack, 1, 1);
        Assert.True(peer.Read() < 0);
        peer.Write(100);
        peer.Expect(TcpFlags.Ack | TcpFlags.Psh, 1, 1, 100);
        peer.Send(TcpFlags.Ack, 1, 101);
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        Assert.Equal(10, peer.Read());
    }

    [Fact]
    public void Challenge_ACKs_are_limited_for_a_connection_and_for_the_stack()
    {
        // RFC 5961 7.
        using var peer = new RawPeer();
        peer.Accepted();
        for (int i = 0; i < 100; i++)
        {
            peer.Send(TcpFlags.Rst, 2);
        }

        Assert.Single(peer.All());

        using var none = new RawPeer(settings: [("tcp_challenge_ack_limit", "3"), ("tcp_invalid_ratelimit", "0")]);
        none.Accepted();
        for (int i = 0; i < 100; i++)
        {
            none.Send(TcpFlags.Rst, 2);
        }

        Assert.InRange(none.All().Count, 2, 3);
    }

    [Fact]
    public void Timestamps_are_on_every_segment_once_agreed_and_echo_the_peers()
    {
        // RFC 7323 3.2, 4.3.
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: 700));
        peer.Write(3000);
        List<Segment> all = peer.All();
        Assert.All(all, segment => Assert.True(segment.Options.HasTimestamps));
        Assert.All(all, segment => Assert.Equal(700u, segment.Options.TsEcr));
        peer.Wait(100);
        peer.TimestampValue = 800;
        peer.Send(TcpFlags.Ack, 1, 3001, length: 10);
        Segment ack = peer.Next(300);
        Assert.Equal(800u, ack.Options.TsEcr);
        Assert.InRange(ack.Options.TsVal - all[0].Options.TsVal, 99u, 400u);
    }

    [Fact]
    public void Without_the_peers_agreement_there_are_no_timestamps_and_no_scale()
    {
        using var peer = new RawPeer();
        peer.Connected(RawPeer.SynOptions());
        peer.Write(10);
        Assert.Empty(peer.Next().OptionBytes);
        Assert.Equal((-1, -1), peer.Socket.GetInfo().WindowScale);
    }

    [Fact]
    public void An_old_timestamp_is_rejected_with_an_ACK()
    {
        // RFC 7323 5.3 (PAWS).
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: 10_000));
        peer.TimestampValue = 9_000;
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        peer.Expect(TcpFlags.Ack, 1, 1);
        Assert.True(peer.Read() < 0);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.PawsEstab));
        peer.TimestampValue = 10_000;
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        Assert.Equal(10, peer.Read());
    }

    [Fact]
    public void A_reset_passes_PAWS()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: 10_000));
        peer.TimestampValue = 9_000;
        peer.Send(TcpFlags.Rst, 1);
        Assert.Equal(SocketError.ConnectionReset, peer.ReadError());
    }

    [Fact]
    public void After_24_days_of_silence_any_timestamp_is_believed_and_remembered()
    {
        // RFC 7323 5.5.
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: 10_000));
        peer.Wait(24.5 * 24 * 3600 * 1000);
        peer.TimestampValue = 9_000;
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        Assert.Equal(10, peer.Read());
        Assert.Equal(9_000u, peer.Next(500).Options.TsEcr);
        peer.TimestampValue = 8_000;
        peer.Send(TcpFlags.Ack, 11, 1, length: 10);
        Assert.True(peer.Read() < 0);
    }

    [Fact]
    public void The_echo_follows_the_segment_that_the_ACK_is_for()
    {
        // RFC 7323 4.3: a segment beyond a gap does not move it.
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: 100));
        peer.TimestampValue = 200;
        peer.Send(TcpFlags.Ack, 11, 1, length: 10);
        Assert.Equal(100u, peer.Next().Options.TsEcr);
        peer.TimestampValue = 150;
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        Assert.Equal(150u, peer.Next().Options.TsEcr);
    }

    [Fact]
    public void A_segment_that_lost_its_timestamp_does_not_end_the_connection()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(timestamp: 100));
        peer.Send(TcpFlags.Ack, 1, 1, length: 10, options: RawPeer.NoOptions);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        Assert.Equal(10, peer.Read());
    }

    [Fact]
    public void Timestamps_tell_nothing_about_the_host()
    {
        // RFC 7323 5.4: offsets differ by peer.
        using var one = new RawPeer();
        using var other = new RawPeer(seed: 2);
        one.Connect();
        other.Connect();
        Assert.NotEqual(one.Expect(TcpFlags.Syn).Options.TsVal, other.Expect(TcpFlags.Syn).Options.TsVal);
    }

    [Fact]
    public void The_scale_is_at_most_fourteen_and_never_applied_to_a_SYN()
    {
        // RFC 7323 2.2, 2.3.
        using var peer = new RawPeer();
        peer.Listen();
        peer.Window = 1000;
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions(scale: 14));
        Segment answer = peer.Expect(TcpFlags.SynAck, 0, 1);
        Assert.True(answer.Options.HasWindowScale);
        Assert.InRange(answer.Options.WindowScale, (byte)0, (byte)14);
        Assert.True(answer.Window > 1000);

        byte[] tooMuch = [3, 3, 200, 0];
        using var other = new RawPeer();
        other.Listen();
        other.Inject(other.Build(TcpFlags.Syn, RawPeer.PeerIss, 0, 65535, tooMuch, []));
        other.Expect(TcpFlags.SynAck, 0, 1);
        other.Send(TcpFlags.Ack, 1, 1);
        other.Socket = other.Done(other.Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
        Assert.Equal(14, other.Socket.GetInfo().WindowScale.Send);
    }

    [Fact]
    public void A_window_without_scaling_stays_below_64_KiB()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        uint next = 1;
        for (int i = 0; i < 200; i++)
        {
            peer.Send(TcpFlags.Ack, next, 1, length: 1460);
            next += 1460;
            peer.Read();
        }

        Assert.InRange(peer.Socket.GetInfo().ReceiveWindow, 1460, 65535);
        peer.All(300);
    }
}
