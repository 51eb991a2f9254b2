using System.Net.Sockets;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 9293 3.9.2.2 and RFC 5927: what ICMP may do to a connection.</summary>
public class IcmpTests
{
    [Theory]
    [InlineData(3, 0)]
    [InlineData(3, 1)]
    [InlineData(3, 5)]
    [InlineData(11, 0)]
    [InlineData(12, 0)]
    [InlineData(3, 2)]
    [InlineData(3, 3)]
    public void An_open_connection_survives_errors_and_tells_the_application_when_asked(int type, int code)
    {
        using var peer = new RawPeer(settings: ("tcp_retries2", "2"));
        peer.Accepted();
        peer.Write(100);
        peer.Next();
        peer.SendIcmp((IcmpType)type, (byte)code, 1);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
        SocketError told = peer.Socket.GetInfo().SoftError;
        Assert.NotEqual(SocketError.Success, told);

        // When the connection dies in the end, that is why.
        peer.Wait(60_000);
        Assert.Equal(told, peer.ReadError());
    }

    [Fact]
    public void What_a_router_said_is_forgotten_when_the_peer_answers()
    {
        using var peer = new RawPeer(settings: ("tcp_retries2", "2"));
        peer.Accepted();
        peer.Write(100);
        peer.Next();
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.Host, 1);
        Assert.Equal(SocketError.HostUnreachable, peer.Socket.GetInfo().SoftError);
        peer.Send(TcpFlags.Ack, 1, 101);
        Assert.Equal(SocketError.Success, peer.Socket.GetInfo().SoftError);
        peer.Write(100);
        peer.Wait(60_000);
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
    }

    [Fact]
    public void Source_quench_is_ignored()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(100);
        peer.Next();
        peer.SendIcmp(IcmpType.SourceQuench, 0, 1);
        Assert.Equal(SocketError.Success, peer.Socket.GetInfo().SoftError);
        Assert.Equal(10, peer.Socket.GetInfo().CongestionWindow);
        peer.Send(TcpFlags.Ack, 1, 101);
    }

    [Fact]
    public void An_open_under_way_fails_with_the_error()
    {
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Connect();
        peer.Expect(TcpFlags.Syn, 0);
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.Port, 0);
        Assert.Equal(SocketError.ConnectionRefused, peer.Failure(connecting));
    }

    [Fact]
    public void An_error_that_quotes_what_is_not_in_flight_is_ignored()
    {
        // RFC 5927 4.1.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(1460);
        peer.Next();
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.Host, 50_000);
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, 50_000, rest: 600);
        Assert.Equal(SocketError.Success, peer.Socket.GetInfo().SoftError);
        Assert.Equal(1500, peer.Socket.GetInfo().PathMtu);
        Assert.Equal(2, peer.Stack.GetCounter(StackCounter.OutOfWindowIcmps));
        Assert.Empty(peer.All());
    }

    [Fact]
    public void A_wrong_quote_does_not_end_an_open_under_way()
    {
        using var peer = new RawPeer();
        Task<TcpSocket> connecting = peer.Connect();
        peer.Expect(TcpFlags.Syn, 0);
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.Port, 12345);
        Assert.False(connecting.IsCompleted);
    }

    [Fact]
    public void No_report_makes_segments_smaller_than_a_floor()
    {
        // RFC 5927 7: a forged report of 68 bytes must not make a connection crawl.
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(1460);
        peer.Next();
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, 1, rest: 68);
        Assert.Equal(552 - 40, peer.Next().Length);
    }
}
