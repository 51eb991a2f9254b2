using System.Net.Sockets;
using Penstock.Ip;
using Penstock.Tcp;
using Penstock.Tcp.Congestion;
using Penstock.Tests.Time;

namespace Penstock.Tests.Tcp.Congestion;

/// <summary>A sender on a busy machine: ACKs arrive in time and are looked at late.</summary>
public class LateWorkerTests
{
    private const int RttMilliseconds = 200, StallMilliseconds = 30;

    /// <summary>The ACKs of a round wait here for longer than HyStart allows a queue to last (16 ms), which says nothing of the path.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Time_that_an_ACK_waits_here_does_not_end_slow_start(bool fromArrival)
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(RttMilliseconds / 2), Rate = 100_000_000 });
        net.Run(async () =>
        {
            net.Client.Sysctl.Set("penstock.tcp_rtt_from_arrival", fromArrival ? "1" : "0");
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            TcpConnection sender = net.Client.Tcp.Flows.Snapshot().OfType<TcpConnection>().Single();
            Task sending = SendAsync(client);
            Task receiving = ReceiveAsync(server);

            // The first round shows the path as it is; the second one's first ACKs come while the worker stands still.
            await net.Time.Delay(TimeSpan.FromMilliseconds((2 * RttMilliseconds) - 10));
            Assert.Equal(2 * CongestionWindow.Initial, sender.Cwnd.Window);
            net.Client.OwnWorker.Post(new Stall(net.Time, TimeSpan.FromMilliseconds(StallMilliseconds)));
            await net.Time.Delay(TimeSpan.FromMilliseconds(RttMilliseconds));
            Assert.Equal(4 * CongestionWindow.Initial, sender.Cwnd.Window);
            Assert.Equal(CongestionWindow.InfiniteThreshold, sender.Cwnd.Threshold);

            // Linux's timeout waits for late looks too; from the arrival on it is the path's time alone.
            Assert.Equal(fromArrival, sender.Rtt.SmoothedNanos <= (RttMilliseconds + 2) * 1_000_000L);
            client.Abort();
            await TwoStacks.AllAsync(sending, receiving);
        });
    }

    private static async Task SendAsync(TcpSocket socket)
    {
        byte[] data = new byte[64 * 1024];
        try
        {
            while (true)
            {
                await socket.SendAsync(data);
            }
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
        }
    }

    private static async Task ReceiveAsync(TcpSocket socket)
    {
        byte[] data = new byte[64 * 1024];
        try
        {
            while (await socket.ReceiveAsync(data) > 0)
            {
            }
        }
        catch (SocketException)
        {
        }

        await socket.DisposeAsync();
    }
}
