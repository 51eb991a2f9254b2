using System.Net.Sockets;
using Penstock.Fuzz;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>Truncated, oversized, overlapping, wrongly checksummed and random packets: counted, dropped, and the connection beside them unharmed.</summary>
public class MalformedPacketTests
{
    [Fact]
    public void Every_truncation_of_a_segment_is_dropped_and_counted()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        peer.Take();
        byte[] whole = peer.Segment(TcpFlags.Ack, 50).ToPacket();
        for (int length = 1; length < whole.Length; length++)
        {
            peer.Inject(whole.AsSpan(0, length));
        }

        Assert.Empty(peer.Take());
        Assert.Equal(0, socket.Available);
        Assert.Equal(whole.Length - 1, peer.Stack.GetCounter(StackCounter.IpInHeaderErrors));
        AssertWorks(peer, socket);
    }

    [Fact]
    public void A_segment_cut_inside_its_tcp_header_is_an_error_of_tcp()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        peer.Take();
        byte[] whole = peer.Segment(TcpFlags.Ack).ToPacket();
        for (int length = 20; length < 40; length++)
        {
            byte[] cut = whole[..length];
            cut[3] = (byte)length;
            cut[10] = cut[11] = 0;
            ushort sum = Checksum.Finish(Checksum.Add(cut.AsSpan(0, 20)));
            (cut[10], cut[11]) = ((byte)(sum >> 8), (byte)sum);
            peer.Inject(cut);
        }

        Assert.Equal(20, peer.Stack.GetCounter(StackCounter.TcpInErrs));
        Assert.Empty(peer.Take());
        AssertWorks(peer, socket);
    }

    [Fact]
    public void A_wrong_checksum_is_dropped_and_counted_without_an_answer()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        peer.Take();
        RawSegment segment = peer.Segment(TcpFlags.Ack, 100);
        segment.ChecksumError = 1;
        peer.Inject(segment);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpInCsumErrors));
        Assert.Empty(peer.Take());
        Assert.Equal(0, socket.Available);
        byte[] packet = peer.Segment(TcpFlags.Ack, 100).ToPacket();
        packet[8] ^= 1;
        peer.Inject(packet);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.IpInHeaderErrors));
        AssertWorks(peer, socket);
    }

    [Fact]
    public void A_packet_longer_than_the_mtu_is_refused_by_the_link()
    {
        var peer = new RawPeer();
        Assert.Throws<ArgumentException>(() => peer.Link.Inject(new byte[1501]));
        Assert.Throws<ArgumentException>(() => peer.Link.Inject([]));
        peer.End();
    }

    [Fact]
    public void Fragments_are_dropped_and_counted()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        peer.Take();
        RawSegment segment = peer.Segment(TcpFlags.Ack, 64);
        foreach (ushort field in (ushort[])[0x2000, 0x0001, 0x1FFF, 0x3FFF])
        {
            segment.Fragment = field;
            peer.Inject(segment);
        }

        Assert.Equal(4, peer.Stack.GetCounter(StackCounter.IpInFragmentsDropped));
        AssertWorks(peer, socket);
    }

    [Fact]
    public void Overlapping_segments_keep_what_came_first_in_order()
    {
        var peer = new RawPeer();
        peer.SynOptions.SackPermitted = true;
        TcpSocket socket = peer.OpenFromPeer();
        uint start = peer.Next;
        var random = new Random(5);
        for (int i = 0; i < 400; i++)
        {
            int offset = random.Next(0, 900);
            RawSegment segment = peer.Segment(TcpFlags.Ack, random.Next(1, 1000 - offset + 1));
            segment.Sequence = start + (uint)offset;
            for (int at = 0; at < segment.Payload.Length; at++)
            {
                segment.Payload[at] = (byte)(offset + at);
            }

            peer.Inject(segment);
            peer.CheckInvariants();
        }

        RawSegment rest = peer.Segment(TcpFlags.Ack, 1000);
        for (int at = 0; at < 1000; at++)
        {
            rest.Payload[at] = (byte)at;
        }

        peer.Inject(rest);
        peer.Next += 1000;
        byte[] read = new byte[2000];
        Assert.Equal(1000, socket.TryReceive(read, TcpReceiveFlags.None, out _));
        Assert.All(Enumerable.Range(0, 1000), at => Assert.Equal((byte)at, read[at]));
        AssertWorks(peer, socket);
    }

    [Fact]
    public void Random_packets_never_reach_an_application()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        var random = new Random(3);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] packet = new byte[random.Next(1, 200)];
            random.NextBytes(packet);
            if (packet.Length >= 20 && random.Next(2) == 0)
            {
                new IPv4Header
                {
                    Source = RawPeer.PeerAddress, Destination = RawPeer.HostAddress, Protocol = (byte)random.Next(20), TimeToLive = 9, TotalLength = (ushort)packet.Length,
                }.Write(packet);
            }

            peer.Inject(packet);
        }

        Assert.Equal(0, socket.Available);
        Assert.Equal(20_000 + 2, peer.Stack.GetCounter(StackCounter.IpInReceives));
        peer.Take();
        AssertWorks(peer, socket);
    }

    [Fact]
    public void A_segment_with_every_bad_option_is_still_a_segment()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        byte[][] options = [[8, 0], [5, 255, 0, 0], [3, 1], [2, 4, 0, 0], [254, 2, 253, 40], [1, 1, 1, 8], [5, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 77, 78, 79]];
        byte[] read = new byte[10];
        foreach (byte[] bytes in options)
        {
            RawSegment segment = peer.Segment(TcpFlags.Ack, 1);
            segment.Options = bytes;
            peer.Next++;
            peer.Inject(segment);
            Assert.Equal(1, socket.TryReceive(read, TcpReceiveFlags.None, out _));
        }

        AssertWorks(peer, socket);
    }

    /// <summary>Data goes both ways, and the end is orderly.</summary>
    internal static void AssertWorks(RawPeer peer, TcpSocket socket)
    {
        byte[] read = new byte[100];
        peer.Send(TcpFlags.Ack | TcpFlags.Psh, 10, fill: 9);
        Assert.Equal(10, socket.TryReceive(read, TcpReceiveFlags.None, out _));
        Assert.Equal(9, read[9]);
        peer.Take();
        Assert.Equal(5, socket.TrySend("hello"u8, TcpSendFlags.None, out _));
        Assert.Equal("hello"u8.ToArray(), Assert.Single(peer.Take()).Payload);
        peer.Send(TcpFlags.Ack);
        socket.Shutdown(SocketShutdown.Send);
        peer.Settle();
        peer.Send(TcpFlags.FinAck);
        Assert.Equal(TcpConnectionState.TimeWait, peer.StateOfFlow());
        socket.Dispose();
        peer.End();
    }
}
