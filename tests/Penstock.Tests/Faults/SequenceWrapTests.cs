using System.Net.Sockets;
using Penstock.Fuzz;
using Penstock.Tests.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>Sequence numbers at the wrap-around: every comparison is made modulo 2^32 (RFC 9293 3.4).</summary>
public class SequenceWrapTests
{
    [Theory]
    [InlineData(0xFFFF_FFFFu)]
    [InlineData(0xFFFF_FFFEu)]
    [InlineData(0xFFFF_0000u)]
    [InlineData(0x7FFF_FFF0u)]
    [InlineData(0xFFF8_0000u)]
    public void More_than_a_window_crosses_the_wrap_both_ways(uint initial)
    {
        for (ulong seed = 1; seed <= 3; seed++)
        {
            var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5), Loss = 0.02, Reorder = 0.05, Seed = seed }, seed);
            net.Client.Tcp.ForcedInitialSequence = initial;
            net.Server.Tcp.ForcedInitialSequence = initial - 3000;
            net.Run(async () =>
            {
                (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
                await Task.WhenAll(
                    Streams.SendAsync(client, 1, 2_000_000), Streams.SendAsync(server, 2, 2_000_000),
                    Streams.ReceiveAsync(server, 1, 2_000_000), Streams.ReceiveAsync(client, 2, 2_000_000));
                await client.CloseAsync();
                await server.CloseAsync();
            });
        }
    }

    [Fact]
    public void Out_of_order_data_around_the_wrap_is_put_together()
    {
        var peer = new RawPeer { Next = uint.MaxValue - 150 };
        peer.SynOptions.SackPermitted = true;
        TcpSocket socket = peer.OpenFromPeer();
        uint start = peer.Next;
        foreach (int piece in (int[])[3, 1, 2, 0, 4])
        {
            RawSegment segment = peer.Segment(TcpFlags.Ack, 100);
            segment.Sequence = start + (uint)(piece * 100);
            segment.Payload.AsSpan().Fill((byte)piece);
            peer.Inject(segment);
        }

        byte[] read = new byte[1000];
        Assert.Equal(500, socket.TryReceive(read, TcpReceiveFlags.None, out _));
        Assert.All(Enumerable.Range(0, 500), i => Assert.Equal(i / 100, read[i]));
        Assert.Equal(start + 500, peer.Take()[^1].Header.Acknowledgment.Value);
        socket.Dispose();
        peer.End();
    }

    [Fact]
    public void The_urgent_mark_may_lie_behind_the_wrap()
    {
        var peer = new RawPeer { Next = uint.MaxValue - 3 };
        TcpSocket socket = peer.OpenFromPeer();
        RawSegment segment = peer.Segment(TcpFlags.Ack | TcpFlags.Urg, 8);
        segment.Urgent = 8;
        segment.Payload[7] = 0x55;
        peer.Inject(segment);
        byte[] read = new byte[10];
        Assert.Equal(1, socket.TryReceive(read, TcpReceiveFlags.OutOfBand, out _));
        Assert.Equal(0x55, read[0]);
        Assert.Equal(7, socket.TryReceive(read, TcpReceiveFlags.None, out SocketError error));
        Assert.Equal(SocketError.Success, error);
        Assert.True(socket.IsAtMark);
        socket.Dispose();
        peer.End();
    }
}
