using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 9293 3.8.5 and 3.9.1.2: urgent data and the PSH flag.</summary>
public class UrgentAndPushTests
{
    [Fact]
    public void The_urgent_pointer_names_the_byte_behind_the_urgent_data()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(5, TcpSendFlags.OutOfBand);
        Segment segment = peer.Next();
        Assert.True((segment.Flags & TcpFlags.Urg) != 0);
        Assert.Equal(1u, segment.Sequence);
        Assert.Equal(5, segment.Urgent);
        Assert.Equal(5, segment.Length);
    }

    /// <summary>As Linux 6.18 does, measured: a probe that the peer accepts and one that it has to answer.</summary>
    [Fact]
    public void A_closed_window_does_not_keep_the_peer_from_learning_of_urgent_data()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 1, 1, length: 1, window: 0);
        peer.All(100);
        peer.Write(10, TcpSendFlags.OutOfBand);
        Segment urgent = peer.Expect(TcpFlags.Ack | TcpFlags.Urg, 1, 2, 0, within: 1000);
        Assert.Equal(10, urgent.Urgent);
        peer.Expect(TcpFlags.Ack | TcpFlags.Urg, 0, 2, 0);
    }

    [Fact]
    public void Urgent_data_may_be_longer_than_a_segment()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(4000, TcpSendFlags.OutOfBand);
        List<Segment> all = peer.All();
        Assert.All(all, segment => Assert.True((segment.Flags & TcpFlags.Urg) != 0));
        Assert.All(all, segment => Assert.Equal(4001u, segment.Sequence + segment.Urgent));
        Assert.Equal(4000, all.Sum(segment => segment.Length));
    }

    [Fact]
    public void The_application_learns_of_urgent_data_and_where_it_ends()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(), options => options.OutOfBandInline = true);
        peer.Send(TcpFlags.Ack | TcpFlags.Urg, 1, 1, length: 10, urgent: 8);
        Assert.False(peer.Socket.IsAtMark);
        byte[] buffer = new byte[100];
        Assert.Equal(7, peer.Read(buffer, out _));
        Assert.True(peer.Socket.IsAtMark);
        Assert.Equal(3, peer.Read(buffer, out _));
        Assert.False(peer.Socket.IsAtMark);
    }

    [Fact]
    public void The_urgent_byte_can_be_read_apart()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        byte[] buffer = new byte[100];
        Task<int> waiting = peer.Socket.ReceiveAsync(buffer, TcpReceiveFlags.OutOfBand, TestContext.Current.CancellationToken).AsTask();
        Assert.True(waiting.IsFaulted || !waiting.IsCompleted);
        peer.Send(TcpFlags.Ack | TcpFlags.Urg, 1, 1, length: 3, urgent: 3);
        Assert.Equal(1, peer.Read(buffer, out _, TcpReceiveFlags.OutOfBand));
        Assert.Equal(3, buffer[0]);
        Assert.Equal(2, peer.Read(buffer, out _));
    }

    [Fact]
    public void The_last_segment_of_a_send_pushes_and_earlier_pushes_collapse()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(3000);
        List<Segment> all = peer.All();
        Assert.Equal(3, all.Count);
        Assert.Equal([false, false, true], all.Select(segment => (segment.Flags & TcpFlags.Psh) != 0));
        for (int i = 0; i < 3; i++)
        {
            // Held by Nagle: the three sends leave as one segment with one PSH.
            peer.Write(10);
        }

        peer.Send(TcpFlags.Ack, 1, 3001);
        Segment merged = peer.Next();
        Assert.Equal(30, merged.Length);
        Assert.True((merged.Flags & TcpFlags.Psh) != 0);
    }

    [Fact]
    public void Data_that_is_not_pushed_waits_but_not_for_ever()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Write(100, TcpSendFlags.More);
        peer.ExpectNothing(150);
        Assert.Equal(100, peer.Next(1500).Length);
    }

    [Fact]
    public void Received_data_is_readable_whether_or_not_it_was_pushed()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 1, 1, length: 10);
        Assert.Equal(10, peer.Read());
        peer.Send(TcpFlags.Ack | TcpFlags.Psh, 11, 1, length: 10);
        Assert.Equal(10, peer.Read());
    }
}
