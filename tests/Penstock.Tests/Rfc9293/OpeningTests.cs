using System.Net;
using System.Net.Sockets;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 9293 3.5, 3.9.1.1: opening a connection, from both sides and with everything that may go wrong.</summary>
public class OpeningTests
{
    [Fact]
    public void A_passive_open_takes_three_segments()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.ExpectNothing(1000);
    }

    [Fact]
    public void An_active_open_takes_three_segments()
    {
        using var peer = new RawPeer();
        peer.Connected(RawPeer.SynOptions());
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.ExpectNothing(500);
    }

    [Fact]
    public void Two_SYNs_that_cross_make_one_connection()
    {
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Connect();
        peer.Expect(TcpFlags.Syn, 0);
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.SynAck, 0, 1);
        Assert.False(connecting.IsCompleted);
        peer.Send(TcpFlags.SynAck, 0, 1, options: RawPeer.SynOptions());
        peer.Socket = peer.Done(connecting);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        peer.All();
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        Assert.Equal(10, peer.Read());
    }

    [Fact]
    public void A_reset_sends_a_passive_SYN_RECEIVED_back_to_listening_and_nobody_hears_of_it()
    {
        using var peer = new RawPeer();
        peer.Listen();
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.SynAck, 0, 1);
        peer.Send(TcpFlags.Rst, 1);
        peer.ExpectNothing(20_000);
        peer.PeerPort = 4001;
        peer.Accepted();
    }

    [Fact]
    public void A_reset_ends_an_active_SYN_RECEIVED_and_the_caller_hears_of_it()
    {
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Connect();
        peer.Expect(TcpFlags.Syn, 0);
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.SynAck, 0, 1);
        peer.Send(TcpFlags.Rst, 1);
        Assert.Equal(SocketError.ConnectionReset, peer.Failure(connecting));
    }

    [Fact]
    public void A_reset_with_the_right_ACK_refuses_an_active_open()
    {
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Connect();
        peer.Expect(TcpFlags.Syn, 0);
        peer.Send(TcpFlags.RstAck, 0, 7);
        Assert.False(connecting.IsCompleted);
        peer.Send(TcpFlags.Rst, 0);
        Assert.False(connecting.IsCompleted);
        peer.Send(TcpFlags.RstAck, 0, 1);
        Assert.Equal(SocketError.ConnectionRefused, peer.Failure(connecting));
    }

    [Fact]
    public void A_wrong_ACK_in_SYN_SENT_is_reset_and_the_open_goes_on()
    {
        // RFC 9293 3.5.1, figure 9: an old duplicate from a half-open connection.
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Connect();
        peer.Expect(TcpFlags.Syn, 0);
        peer.Send(TcpFlags.Ack, 300, 100);
        peer.Expect(TcpFlags.Rst, 100);
        peer.Send(TcpFlags.SynAck, 0, 1, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.Ack, 1, 1);
        peer.Socket = peer.Done(connecting);
    }

    [Fact]
    public void A_wrong_ACK_in_SYN_RECEIVED_is_reset()
    {
        using var peer = new RawPeer();
        peer.Listen();
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.SynAck, 0, 1);
        peer.Send(TcpFlags.Ack, 1, 999);
        peer.Expect(TcpFlags.Rst, 999);
        peer.Send(TcpFlags.Ack, 1, 1);
        peer.Socket = peer.Done(peer.Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
    }

    [Fact]
    public void A_segment_for_nobody_is_reset_with_numbers_the_sender_believes()
    {
        using var peer = new RawPeer();
        peer.Send(TcpFlags.Ack, 1, 100);
        peer.Expect(TcpFlags.Rst, 100);
        peer.Send(TcpFlags.Syn, 0);
        peer.Expect(TcpFlags.RstAck, ack: 1);
        peer.Send(TcpFlags.Fin, 10, length: 5);
        peer.Expect(TcpFlags.RstAck, ack: 16);
        peer.Send(TcpFlags.Rst, 10);
        peer.ExpectNothing();
    }

    [Fact]
    public void Data_on_the_third_segment_is_taken_and_on_a_SYN_ACK_left_to_come_again()
    {
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Connect();
        peer.Expect(TcpFlags.Syn, 0);
        peer.Send(TcpFlags.SynAck, 0, 1, length: 3, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.Ack, 1, 1);
        peer.Socket = peer.Done(connecting);
        Assert.True(peer.Read() < 0);
        peer.Send(TcpFlags.Ack, 1, 1, length: 3);
        Assert.Equal(3, peer.Read());

        using var other = new RawPeer();
        other.Listen();
        other.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        other.Expect(TcpFlags.SynAck, 0, 1);
        other.Send(TcpFlags.Ack, 1, 1, length: 5);
        other.Socket = other.Done(other.Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
        Assert.Equal(5, other.Read());
    }

    [Fact]
    public void A_listener_does_not_disturb_the_connections_of_its_port()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        TcpSocket first = peer.Socket;
        peer.Listener!.Dispose();
        peer.Listen();
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        Assert.Equal(10, peer.Read());
        peer.PeerPort = 4001;
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.SynAck, ack: 1);
        Assert.Equal(TcpConnectionState.Established, first.State);
    }

    [Fact]
    public void A_port_can_be_listened_on_while_a_connection_from_it_is_being_opened()
    {
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Connect(new TcpConnectOptions { LocalEndPoint = IPEndPoint.Parse("10.0.0.1:80") });
        peer.Expect(TcpFlags.Syn, 0);
        peer.Listen();
        peer.PeerPort = 4001;
        peer.Accepted();
        peer.PeerPort = 4002;
        peer.Send(TcpFlags.Syn, 0);
        peer.Expect(TcpFlags.SynAck, ack: 1);
        using TcpSocketListener other = peer.Stack.ListenTcp(new TcpListenOptions(IPEndPoint.Parse("10.0.0.7:81")));
        Assert.False(connecting.IsCompleted);
    }

    [Fact]
    public void Two_listeners_share_a_port_on_two_addresses()
    {
        using var peer = new RawPeer();
        using TcpSocketListener one = peer.Stack.ListenTcp(new TcpListenOptions(new IPEndPoint(RawPeer.StackAddress, 80)));
        using TcpSocketListener other = peer.Stack.ListenTcp(new TcpListenOptions(IPEndPoint.Parse("10.0.0.7:80")));
        Task<TcpSocket> accepting = one.AcceptAsync(TestContext.Current.CancellationToken).AsTask();
        Task<TcpSocket> otherAccepting = other.AcceptAsync(TestContext.Current.CancellationToken).AsTask();
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        Segment answer = peer.Expect(TcpFlags.SynAck, 0, 1);
        Assert.Equal(IpAddress.From(RawPeer.StackAddress), answer.Ip.Source);
        peer.Send(TcpFlags.Ack, 1, 1);
        peer.Socket = peer.Done(accepting);
        Assert.False(otherAccepting.IsCompleted);
    }

    [Fact]
    public void The_source_address_comes_from_the_route_or_from_the_caller_and_stays()
    {
        using var peer = new RawPeer();
        peer.Connect();
        Assert.Equal(IpAddress.From(RawPeer.StackAddress), peer.Expect(TcpFlags.Syn, 0).Ip.Source);

        using var other = new RawPeer();
        other.Connect(new TcpConnectOptions { LocalEndPoint = IPEndPoint.Parse("10.0.0.7:1234") });
        Segment syn = other.Expect(TcpFlags.Syn, 0);
        Assert.Equal(IpAddress.From(IPAddress.Parse("10.0.0.7")), syn.Ip.Source);
        Assert.Equal(1234, other.StackPort);
        Assert.Equal(syn.Ip.Source, other.Expect(TcpFlags.Syn, 0, within: 1100).Ip.Source);
    }

    [Theory]
    [InlineData("224.0.0.1")]
    [InlineData("255.255.255.255")]
    [InlineData("10.0.0.255")]
    public void Connecting_to_a_group_of_hosts_is_refused(string address)
    {
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse(address), 80), cancellationToken: TestContext.Current.CancellationToken).AsTask();
        Assert.Equal(SocketError.NetworkUnreachable, peer.Failure(connecting));
        peer.ExpectNothing();
    }

    [Theory]
    [InlineData("224.0.0.1", "10.0.0.1")]
    [InlineData("255.255.255.255", "10.0.0.1")]
    [InlineData("10.0.0.255", "10.0.0.1")]
    [InlineData("0.0.0.0", "10.0.0.1")]
    [InlineData("127.0.0.1", "10.0.0.1")]
    [InlineData("10.0.0.1", "10.0.0.1")]
    [InlineData("10.0.0.2", "10.0.0.255")]
    [InlineData("10.0.0.2", "255.255.255.255")]
    [InlineData("10.0.0.2", "224.0.0.1")]
    public void A_SYN_from_or_to_an_address_that_is_no_hosts_is_dropped_silently(string from, string to)
    {
        using var peer = new RawPeer();
        peer.Listen();
        peer.Inject(peer.Build(TcpFlags.Syn, 1000, 0, 65535, [], [], from: IPAddress.Parse(from), to: IPAddress.Parse(to)));
        peer.ExpectNothing(2000);
        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpOutSegs));
    }

    [Fact]
    public void Initial_numbers_follow_a_clock_and_a_secret()
    {
        // The same connection again a second later: 2^32 * 64 ns are 275 s, so a second is 15625000.
        using var peer = new RawPeer();
        peer.Listen();
        uint First(ushort port)
        {
            peer.PeerPort = port;
            peer.Send(TcpFlags.Syn, 0);
            Segment answer = peer.Expect(TcpFlags.SynAck, ack: 1);
            Assert.Equal(0u, answer.Sequence);
            peer.Send(TcpFlags.Rst, 1);
            return peer.StackIss;
        }

        uint a = First(4000);
        peer.Wait(1000);
        uint b = First(4000);
        Assert.Equal(15_625_000u, b - a);
        uint c = First(4001);
        Assert.True(Math.Abs((int)(c - b)) > 1000, "another port has another offset");

        using var other = new RawPeer(seed: 2);
        other.Listen();
        other.Send(TcpFlags.Syn, 0);
        other.Expect(TcpFlags.SynAck, ack: 1);
        Assert.NotEqual(a, other.StackIss);
    }

    [Fact]
    public void Local_ports_lie_in_the_range_and_differ_by_destination()
    {
        using var peer = new RawPeer();
        var ports = new List<int>();
        for (ushort remote = 1; remote <= 30; remote++)
        {
            peer.PeerPort = remote;
            peer.Connect();
            peer.Expect(TcpFlags.Syn, 0);
            ports.Add(peer.StackPort);
        }

        Assert.All(ports, port => Assert.InRange(port, 32768, 60999));
        Assert.True(ports.Distinct().Count() > 25);
        Assert.True(ports.Zip(ports.Skip(1)).Count(pair => pair.Second == pair.First + 1) < 5, "they do not follow each other");
    }

    [Fact]
    public void A_SYN_is_sent_again_with_backoff_and_given_up_by_the_same_rules_as_data()
    {
        using var peer = new RawPeer(settings: ("tcp_syn_linear_timeouts", "0"));
        Task<TcpSocket> connecting = peer.Connect();
        double last = peer.Expect(TcpFlags.Syn, 0).Milliseconds;
        double first = last;
        for (int i = 0; i < 6; i++)
        {
            double now = peer.Expect(TcpFlags.Syn, 0, within: 70_000).Milliseconds;
            Assert.Equal(1000 << i, now - last, 1.0);
            last = now;
        }

        peer.ExpectNothing(63_000);
        peer.Wait(2000);
        Assert.Equal(SocketError.TimedOut, peer.Failure(connecting));
        Assert.Equal(127_000, peer.NowMilliseconds - first, 3000.0);
    }

    [Fact]
    public void By_default_the_first_SYNs_are_a_second_apart_and_connecting_fails_after_131_seconds()
    {
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Connect();
        double first = peer.Expect(TcpFlags.Syn, 0).Milliseconds;
        double last = first;
        foreach (int seconds in (int[])[1, 1, 1, 1, 1, 2, 4, 8, 16, 32])
        {
            double now = peer.Expect(TcpFlags.Syn, 0, within: 70_000).Milliseconds;
            Assert.Equal(seconds * 1000, now - last, 1.0);
            last = now;
        }

        peer.ExpectNothing(63_000);
        peer.Wait(2000);
        Assert.Equal(SocketError.TimedOut, peer.Failure(connecting));
        Assert.Equal(131_000, peer.NowMilliseconds - first, 3000.0);
    }

    [Fact]
    public void With_more_SYN_retries_three_minutes_are_kept()
    {
        using var peer = new RawPeer(settings: ("tcp_syn_retries", "7"));
        Task<TcpSocket> connecting = peer.Connect();
        peer.Wait(180_000);
        Assert.False(connecting.IsCompleted);
    }

    [Fact]
    public void A_SYN_ACK_is_sent_again_with_backoff()
    {
        using var peer = new RawPeer();
        peer.Listen();
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        double last = peer.Expect(TcpFlags.SynAck, 0, 1).Milliseconds;
        for (int i = 0; i < 5; i++)
        {
            double now = peer.Expect(TcpFlags.SynAck, 0, 1, within: 40_000).Milliseconds;
            Assert.Equal(1000 << i, now - last, 1.0);
            last = now;
        }

        peer.ExpectNothing(120_000);
    }

    [Fact]
    public void After_a_lost_SYN_data_begins_with_three_seconds_unless_a_timestamp_measured_the_path()
    {
        // RFC 6298 5.7.
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Connect();
        peer.Expect(TcpFlags.Syn, 0);
        peer.Expect(TcpFlags.Syn, 0, within: 1100);
        peer.Wait(50);
        peer.Send(TcpFlags.SynAck, 0, 1, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.Ack, 1, 1);
        peer.Socket = peer.Done(connecting);
        peer.Write(100);
        double sent = peer.Expect(TcpFlags.Ack, 1, 1, 100).Milliseconds;
        Assert.Equal(3000, peer.Expect(TcpFlags.Ack, 1, 1, 100, within: 4000).Milliseconds - sent, 1.0);
    }

    [Theory]
    [InlineData(0, 10)]
    [InlineData(1, 10)]
    [InlineData(2, 1)]
    public void Two_lost_SYNs_leave_one_segment_to_begin_with_and_one_lost_SYN_all_ten(int lost, int window)
    {
        using var active = new RawPeer();
        Task<TcpSocket> connecting = active.Connect();
        active.Expect(TcpFlags.Syn, 0);
        for (int i = 0; i < lost; i++)
        {
            active.Expect(TcpFlags.Syn, 0, within: 2100);
        }

        active.Send(TcpFlags.SynAck, 0, 1, options: RawPeer.SynOptions());
        active.Socket = active.Done(connecting);
        Assert.Equal(window, active.Socket.GetInfo().CongestionWindow);

        using var passive = new RawPeer();
        passive.Listen();
        passive.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        passive.Expect(TcpFlags.SynAck, 0, 1);
        for (int i = 0; i < lost; i++)
        {
            passive.Expect(TcpFlags.SynAck, 0, 1, within: 2100);
        }

        passive.Send(TcpFlags.Ack, 1, 1);
        passive.Socket = passive.Done(passive.Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
        Assert.Equal(window, passive.Socket.GetInfo().CongestionWindow);
    }

    [Fact]
    public void After_a_lost_SYN_ACK_too_data_begins_with_three_seconds_or_with_what_the_timestamp_says()
    {
        using var peer = new RawPeer();
        peer.Listen();
        peer.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions());
        peer.Expect(TcpFlags.SynAck, 0, 1);
        peer.Expect(TcpFlags.SynAck, 0, 1, within: 1100);
        peer.Wait(50);
        peer.Send(TcpFlags.Ack, 1, 1);
        peer.Socket = peer.Done(peer.Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
        Assert.Equal(3000, peer.Socket.GetInfo().RetransmissionTimeout.TotalMilliseconds);

        using var other = new RawPeer();
        other.Listen();
        other.TimestampValue = 100;
        other.Send(TcpFlags.Syn, 0, options: RawPeer.SynOptions(timestamp: 100));
        other.Expect(TcpFlags.SynAck, 0, 1);
        other.Expect(TcpFlags.SynAck, 0, 1, within: 1100);
        other.Wait(50);
        other.Send(TcpFlags.Ack, 1, 1);
        other.Socket = other.Done(other.Listener!.AcceptAsync(TestContext.Current.CancellationToken).AsTask());
        Assert.Equal(250, other.Socket.GetInfo().RetransmissionTimeout.TotalMilliseconds, 5.0);
    }
}
