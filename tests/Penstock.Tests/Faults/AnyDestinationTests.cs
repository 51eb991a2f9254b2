using System.Net;
using System.Net.Sockets;
using Penstock.Fuzz;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>Listening on any destination, as tunnels do: the accepted socket knows whom the peer meant; what is not TCP, or not unicast, is not taken.</summary>
public class AnyDestinationTests
{
    private static readonly IpAddress s_far = IpAddress.From(IPAddress.Parse("93.184.216.34"));

    private static RawSegment To(RawPeer peer, IpAddress destination, ushort port, TcpFlags flags)
    {
        peer.HostPort = port;
        RawSegment segment = peer.Segment(flags);
        segment.Destination = destination;
        return segment;
    }

    private static TcpListenOptions AnyOn(int port) => new(new IPEndPoint(IPAddress.Any, port)) { AnyDestination = true };

    [Theory]
    [InlineData(0, 443)]
    [InlineData(0, 1)]
    [InlineData(8080, 8080)]
    public void The_accepted_local_end_point_is_the_original_destination(int listen, int port)
    {
        var peer = new RawPeer();
        TcpSocketListener listener = peer.Stack.ListenTcp(AnyOn(listen));
        peer.Inject(To(peer, s_far, (ushort)port, TcpFlags.Syn));
        peer.Next++;
        RawPeer.Seen answer = Assert.Single(peer.Take());
        Assert.Equal((TcpFlags.SynAck, s_far), (answer.Header.Flags, answer.Source));
        peer.Inject(To(peer, s_far, (ushort)port, TcpFlags.Ack));
        TcpSocket socket = listener.TryAccept() ?? throw new InvalidOperationException("No connection.");
        Assert.Equal(new IPEndPoint(s_far.ToIPAddress(), port), socket.LocalEndPoint);
        Assert.Equal(new IPEndPoint(RawPeer.PeerAddress.ToIPAddress(), peer.PeerPort), socket.RemoteEndPoint);
        RawSegment data = To(peer, s_far, (ushort)port, TcpFlags.Ack);
        data.Payload = [1, 2, 3];
        peer.Inject(data);
        Assert.Equal(3, socket.TryReceive(new byte[10], TcpReceiveFlags.None, out _));
        Assert.Equal(2, socket.TrySend("ab"u8, TcpSendFlags.None, out _));
        Assert.Equal(s_far, peer.Take()[^1].Source);
        socket.Dispose();
        listener.Dispose();
        peer.End();
    }

    [Fact]
    public void A_listener_on_an_own_address_wins_over_one_on_any_destination()
    {
        var peer = new RawPeer();
        TcpSocketListener everything = peer.Stack.ListenTcp(AnyOn(0));
        TcpSocketListener web = peer.Stack.ListenTcp(AnyOn(80));
        TcpSocketListener own = peer.Stack.ListenTcp(new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80));
        Open(RawPeer.HostAddress, 80);
        Assert.Equal((0, 0, 1), (everything.Pending, web.Pending, own.Pending));
        Open(s_far, 80);
        Assert.Equal((0, 1, 1), (everything.Pending, web.Pending, own.Pending));
        Open(s_far, 81);
        Assert.Equal((1, 1, 1), (everything.Pending, web.Pending, own.Pending));
        own.Dispose();
        web.Dispose();
        everything.Dispose();
        peer.End();

        void Open(IpAddress address, ushort port)
        {
            peer.PeerPort++;
            peer.Inject(To(peer, address, port, TcpFlags.Syn));
            peer.Next++;
            peer.Inject(To(peer, address, port, TcpFlags.Ack));
            peer.Take();
        }
    }

    [Fact]
    public void Neither_multicast_nor_broadcast_nor_another_protocol_is_taken()
    {
        var peer = new RawPeer();
        TcpSocketListener listener = peer.Stack.ListenTcp(AnyOn(0));
        foreach (string address in (string[])["224.0.0.1", "239.255.255.255", "255.255.255.255", "127.0.0.1", "0.0.0.0"])
        {
            peer.Inject(To(peer, IpAddress.From(IPAddress.Parse(address)), 80, TcpFlags.Syn));
        }

        foreach (byte protocol in (byte[])[1, 17, 47, 132])
        {
            byte[] packet = To(peer, s_far, 80, TcpFlags.Syn).ToPacket();
            new IPv4Header { Source = RawPeer.PeerAddress, Destination = s_far, Protocol = protocol, TimeToLive = 9, TotalLength = (ushort)packet.Length }.Write(packet);
            peer.Inject(packet);
        }

        Assert.Empty(peer.Take());
        Assert.Equal(0, listener.Socket.Requests);
        Assert.Equal(9, peer.Stack.GetCounter(StackCounter.IpInAddressErrors));
        listener.Dispose();
        peer.End();
    }

    [Fact]
    public void Without_such_a_listener_foreign_packets_are_dropped()
    {
        var peer = new RawPeer();
        TcpSocketListener listener = peer.Stack.ListenTcp(AnyOn(0));
        listener.Dispose();
        peer.Inject(To(peer, s_far, 80, TcpFlags.Syn));
        Assert.Empty(peer.Take());
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.IpInAddressErrors));
        Assert.Throws<SocketException>(() => peer.Stack.ListenTcp(new IPEndPoint(s_far.ToIPAddress(), 80)));
        peer.End();
    }

    [Fact]
    public void A_connection_that_was_accepted_outlives_its_listener()
    {
        var peer = new RawPeer();
        TcpSocketListener listener = peer.Stack.ListenTcp(AnyOn(0));
        peer.Inject(To(peer, s_far, 80, TcpFlags.Syn));
        peer.Next++;
        peer.Inject(To(peer, s_far, 80, TcpFlags.Ack));
        TcpSocket socket = listener.TryAccept() ?? throw new InvalidOperationException("No connection.");
        listener.Dispose();
        RawSegment data = To(peer, s_far, 80, TcpFlags.Ack);
        data.Payload = [1, 2, 3];
        peer.Inject(data);
        Assert.Equal(3, socket.Available);
        socket.Dispose();
        peer.End();
    }
}
