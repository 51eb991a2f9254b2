using System.Net.Sockets;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>ICMP errors that lie: a sender that cannot see the flow cannot harm it (RFC 5927), and one that can, not much.</summary>
public class LyingIcmpTests
{
    private static (RawPeer Peer, TcpSocket Socket, uint First) WithDataInFlight()
    {
        var peer = new RawPeer();
        peer.SynOptions.HasMss = true;
        peer.SynOptions.Mss = 1460;
        TcpSocket socket = peer.OpenFromPeer();
        uint first = peer.HostNext;
        Assert.Equal(4000, socket.TrySend(new byte[4000], TcpSendFlags.None, out _));
        Assert.Equal([1460, 1460, 1080], peer.Take().Select(s => s.Payload.Length));
        return (peer, socket, first);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(20)]
    [InlineData(67)]
    [InlineData(68)]
    [InlineData(551)]
    public void A_path_mtu_below_the_minimum_does_not_shrink_segments_further(int mtu)
    {
        (RawPeer peer, TcpSocket socket, uint first) = WithDataInFlight();
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, (uint)mtu, first);
        RawPeer.Seen[] again = peer.Take();

        // Linux: net.ipv4.route.min_pmtu, 552. A router of old that says 0 is answered with the plateau below the packet's length.
        Assert.All(again.Where(s => s.End.Since(new SequenceNumber(first)) < 3000), s => Assert.True(s.Payload.Length >= 512 || s.End.Value == first + 1460, s.ToString()));
        peer.CheckInvariants();
        peer.HostNext = first + 4000;
        peer.Send(TcpFlags.Ack);
        MalformedPacketTests.AssertWorks(peer, socket);
    }

    [Fact]
    public void A_path_mtu_in_flight_is_believed_and_nothing_is_lost()
    {
        (RawPeer peer, TcpSocket socket, uint first) = WithDataInFlight();
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, 1000, first);
        RawPeer.Seen[] again = peer.Take();
        Assert.NotEmpty(again);
        Assert.All(again, s => Assert.True(s.Payload.Length <= 960));
        Assert.Equal(first, again[0].Header.Sequence.Value);
        peer.Send(TcpFlags.Ack);
        peer.CheckInvariants();
        MalformedPacketTests.AssertWorks(peer, socket);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(5000)]
    [InlineData(1_000_000_000)]
    public void A_quoted_number_that_is_not_in_flight_is_counted_and_ignored(int offset)
    {
        (RawPeer peer, TcpSocket socket, uint first) = WithDataInFlight();
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, 600, first + (uint)offset);
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.Port, 0, first + (uint)offset);
        Assert.Empty(peer.Take());
        Assert.Equal(2, peer.Stack.GetCounter(StackCounter.OutOfWindowIcmps));
        peer.Send(TcpFlags.Ack);
        MalformedPacketTests.AssertWorks(peer, socket);
    }

    [Fact]
    public void An_unreachable_port_does_not_end_an_established_connection()
    {
        (RawPeer peer, TcpSocket socket, uint first) = WithDataInFlight();
        foreach (byte code in (byte[])[0, 1, 2, 3, 9, 10, 13])
        {
            peer.SendIcmp(IcmpType.DestinationUnreachable, code, 0, first);
        }

        peer.SendIcmp(IcmpType.TimeExceeded, 0, 0, first);
        peer.SendIcmp(IcmpType.ParameterProblem, 0, 0, first);
        Assert.Equal(TcpConnectionState.Established, socket.State);
        peer.Send(TcpFlags.Ack);
        MalformedPacketTests.AssertWorks(peer, socket);
    }

    [Fact]
    public void An_error_about_an_unknown_flow_is_ignored()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        ushort port = peer.PeerPort;
        peer.PeerPort = 999;
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.Port, 0, peer.HostNext);
        peer.SendIcmp(IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, 100, peer.HostNext);
        peer.PeerPort = port;
        MalformedPacketTests.AssertWorks(peer, socket);
    }

    [Theory]
    [InlineData(3, SocketError.ConnectionRefused)]
    [InlineData(1, SocketError.HostUnreachable)]
    [InlineData(0, SocketError.NetworkUnreachable)]
    public void A_connection_that_is_being_opened_learns_the_reason(int code, SocketError expected)
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.BeginFromHost();
        peer.SendIcmp(IcmpType.DestinationUnreachable, (byte)code, 0, peer.HostIss + 77);
        Assert.Equal(TcpConnectionState.SynSent, socket.State);
        peer.SendIcmp(IcmpType.DestinationUnreachable, (byte)code, 0, peer.HostIss);
        Assert.Equal(TcpConnectionState.Closed, socket.State);
        Assert.Equal(TcpConnection_Failed, socket.TryReceive(new byte[1], TcpReceiveFlags.None, out SocketError error));
        Assert.Equal(expected, error);
        socket.Dispose();
        peer.End();
    }

    private const int TcpConnection_Failed = Penstock.Tcp.TcpConnection.Failed;
}
