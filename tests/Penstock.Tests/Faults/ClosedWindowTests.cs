using System.Net;
using System.Net.Sockets;
using Penstock.Tests.Tcp;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>Readers that do not read, windows that shrink: memory stays bounded, the sender waits, and goes on when it may.</summary>
public class ClosedWindowTests
{
    [Fact]
    public void A_peer_that_never_reads_makes_the_sender_wait_and_memory_stays_bounded()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(10) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            const int Bytes = 30_000_000;
            Task sending = Streams.SendAsync(client, 1, Bytes);
            await net.Time.Delay(TimeSpan.FromHours(2));
            Assert.False(sending.IsCompleted, sending.Exception?.ToString());
            Assert.InRange(server.Connection.Memory.ReceiveAlloc, 1, server.Connection.Memory.ReceiveBuffer + 70_000);
            Assert.InRange(client.Connection.Memory.WriteQueueBytes, 1, client.Connection.Memory.SendBuffer + 70_000);
            Assert.True(net.Client.Pool.HeldBytes < 16 << 20);
            Assert.True(net.Server.Pool.HeldBytes < 32 << 20);

            // Two hours of probes, or of trying the head that the window closed on; the longest pause is two minutes.
            Assert.InRange(net.Client.GetCounter(StackCounter.TcpWinProbe) + net.Client.GetCounter(StackCounter.TcpRetransSegs), 60, 90);
            net.CheckInvariants();
            Task reading = Streams.ReceiveAsync(server, 1, Bytes);
            await sending;
            await reading;
            await client.CloseAsync();
            await server.CloseAsync();
        });
    }

    [Fact]
    public void A_window_that_shrinks_below_what_is_in_flight_loses_nothing()
    {
        var peer = new RawPeer();
        peer.SynOptions.HasMss = true;
        peer.SynOptions.Mss = 1460;
        TcpSocket socket = peer.OpenFromPeer();
        uint first = peer.HostNext;
        byte[] data = new byte[10_000];
        Streams.Fill(data, 0, 3);
        Assert.Equal(data.Length, socket.TrySend(data, TcpSendFlags.None, out _));
        peer.Take();

        // RFC 9293 3.8.6: a receiver should not, but a sender must survive it. First half a segment's window, then none, then all.
        foreach (ushort window in (ushort[])[700, 0, 1, 65535])
        {
            RawSegment(peer, first, window);
            peer.Wait(TimeSpan.FromSeconds(3));
            peer.CheckInvariants();
        }

        byte[] got = new byte[data.Length];
        uint acknowledged = first;
        for (int i = 0; i < 60 && acknowledged != first + (uint)data.Length; i++)
        {
            foreach (RawPeer.Seen seen in peer.Take())
            {
                int at = (int)(seen.Header.Sequence.Value - first);
                seen.Payload.CopyTo(got.AsSpan(at));
                if (seen.Header.Sequence.Value == acknowledged)
                {
                    acknowledged += (uint)seen.Payload.Length;
                }
            }

            RawSegment(peer, acknowledged, 65535);
            peer.Wait(TimeSpan.FromMilliseconds(300));
        }

        Assert.Equal(first + (uint)data.Length, acknowledged);
        Assert.Equal(data, got);
        socket.Dispose();
        peer.End();

        static void RawSegment(RawPeer peer, uint acknowledged, ushort window)
        {
            Penstock.Fuzz.RawSegment ack = peer.Segment(TcpFlags.Ack);
            ack.Acknowledgment = acknowledged;
            ack.Window = window;
            peer.Inject(ack);
        }
    }

    [Fact]
    public void Data_into_a_closed_window_is_refused_with_an_ack_and_memory_stays_bounded()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer(new TcpListenOptions(new IPEndPoint(IPAddress.Any, 80)) { ReceiveBufferSize = 4096 });
        for (int i = 0; i < 2000; i++)
        {
            peer.Send(TcpFlags.Ack, 1000);
            RawPeer.Seen[] seen = peer.Take();
            if (seen.Length > 0)
            {
                peer.Next = seen[^1].Header.Acknowledgment.Value;
            }
        }

        Assert.InRange(socket.Connection.Memory.ReceiveAlloc, 1, 16_384);
        Assert.True(peer.Stack.Pool.HeldBytes < 2 << 20);
        peer.CheckInvariants();
        int readable = socket.Available;
        Assert.Equal(readable, socket.TryReceive(new byte[100_000], TcpReceiveFlags.None, out _));
        RawPeer.Seen update = peer.Take()[^1];
        Assert.True(update.Header.Window > 0);
        peer.Next = update.Header.Acknowledgment.Value;
        peer.Send(TcpFlags.Ack, 100);
        Assert.Equal(100, socket.Available);
        socket.Dispose();
        peer.End();
    }

    [Fact]
    public void A_window_of_one_byte_moves_data_slowly_but_surely()
    {
        var peer = new RawPeer { Window = 1 };
        TcpSocket socket = peer.OpenFromPeer();
        uint first = peer.HostNext;
        Assert.Equal(10, socket.TrySend(new byte[10], TcpSendFlags.None, out _));
        uint acknowledged = first;
        for (int i = 0; i < 100; i++)
        {
            peer.Wait(TimeSpan.FromMilliseconds(150));
            Assert.All(peer.Take(), s => Assert.True(s.Payload.Length <= 1));
            if (peer.HostNext != acknowledged)
            {
                acknowledged = peer.HostNext;
                peer.Send(TcpFlags.Ack);
            }
        }

        Assert.Equal(first + 10, acknowledged);
        socket.Dispose();
        peer.End();
    }
}
