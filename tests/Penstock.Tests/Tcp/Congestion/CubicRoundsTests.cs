using Penstock.Tests.Rfc9293;
using Penstock.Wire;

namespace Penstock.Tests.Tcp.Congestion;

/// <summary>CUBIC through the whole stack beside what Linux 6.18 did with the same segments at the same times.</summary>
public class CubicRoundsTests
{
    /// <summary>tcpi_snd_cwnd of Linux after each round of 100 ms from the end of the recovery on: up to the plateau of 20 at which the loss came, and beyond it with Reno's pace.</summary>
    private static readonly int[] Linux =
    [
        15, 16, 17, 17, 18, 18, 19, 19, 19, 19, 20, 20, 20, 20, 20, 20, 20, 21, 21, 21,
        22, 22, 23, 23, 23, 23, 24, 24, 24, 25, 25, 25, 26, 26, 26, 27, 27, 27, 27, 28,
    ];

    [Fact]
    public void After_a_loss_the_window_grows_round_by_round_as_Linux_s()
    {
        using var peer = new RawPeer(settings: [("tcp_wmem", "4096 4000000 8000000"), ("tcp_congestion_control", "cubic")]) { Rtt = 100, Window = 2000 };
        peer.Accepted(RawPeer.SynOptions(mss: 1000, sack: true, scale: 10));
        peer.Write(1_000_000);
        peer.Wait(100);
        peer.Send(TcpFlags.Ack, 1, 10_001);
        peer.Wait(100);
        peer.SendSack(10_001, (11_001, 30_001));
        peer.Wait(100);
        peer.Send(TcpFlags.Ack, 1, 30_001);
        Assert.Equal((14, 14), (peer.Socket.GetInfo().CongestionWindow, peer.Socket.GetInfo().SlowStartThreshold));
        uint acked = 30_001;
        foreach (int expected in Linux)
        {
            for (int half = 0; half < 2; half++)
            {
                peer.Wait(50);
                acked += 7000;
                peer.Send(TcpFlags.Ack, 1, acked);
            }

            // Linux's clock ticks every 4 ms, and its ACKs came some tenths of a millisecond late: a segment may come a round earlier or later.
            Assert.InRange(peer.Socket.GetInfo().CongestionWindow, expected - 1, expected + 1);
        }
    }
}
