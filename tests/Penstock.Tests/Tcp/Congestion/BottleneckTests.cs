using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Penstock.Tests.Tcp.Congestion;

/// <summary>
/// Many long flows through one bottleneck, in virtual time: how much of it they use, how evenly they share it, and what that costs. The tables are snapshots: a change of them is a change of how the
/// stack shares networks, and is reviewed as one. The bounds hold whatever the table says.
/// </summary>
public class BottleneckTests
{
    private const long BitsPerSecond = 10_000_000;
    private const int RttMilliseconds = 40;

    /// <summary>1.8 times what is on the way at full rate.</summary>
    private const int QueuePackets = 60;

    private const int WarmUpSeconds = 5, MeasuredSeconds = 20;
    private static readonly int[] FlowCounts = [1, 2, 4, 8, 16, 32, 64];

    // flows, share of the rate that arrives as payload, Jain's index of the flows' shares (1: all equal, 1/n: one has all), share of segments that went again, timeouts.
    private const string CubicTable = """
         1 flows: utilization 0.97, Jain 1.00, retransmitted 0.000, timeouts 0
         2 flows: utilization 0.97, Jain 1.00, retransmitted 0.001, timeouts 0
         4 flows: utilization 0.97, Jain 0.96, retransmitted 0.004, timeouts 0
         8 flows: utilization 0.97, Jain 0.97, retransmitted 0.013, timeouts 0
        16 flows: utilization 0.97, Jain 0.96, retransmitted 0.035, timeouts 0
        32 flows: utilization 0.96, Jain 0.97, retransmitted 0.087, timeouts 20
        64 flows: utilization 0.96, Jain 0.96, retransmitted 0.180, timeouts 251
        """;

    private const string RenoTable = """
         1 flows: utilization 0.97, Jain 1.00, retransmitted 0.000, timeouts 0
         2 flows: utilization 0.97, Jain 1.00, retransmitted 0.002, timeouts 0
         4 flows: utilization 0.97, Jain 1.00, retransmitted 0.006, timeouts 0
         8 flows: utilization 0.97, Jain 0.98, retransmitted 0.019, timeouts 0
        16 flows: utilization 0.97, Jain 0.97, retransmitted 0.048, timeouts 0
        32 flows: utilization 0.96, Jain 0.98, retransmitted 0.101, timeouts 19
        64 flows: utilization 0.97, Jain 0.96, retransmitted 0.199, timeouts 243
        """;

    [Theory]
    [InlineData("cubic", CubicTable)]
    [InlineData("reno", RenoTable)]
    public void Flows_fill_a_bottleneck_and_share_it(string control, string expected)
    {
        var table = new StringBuilder();
        var worst = new Shares(1, 1, 0, 0);
        foreach (int flows in FlowCounts)
        {
            Shares shares = Run(control, flows);
            table.AppendLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{flows,2} flows: utilization {shares.Utilization:F2}, Jain {shares.Jain:F2}, retransmitted {shares.Retransmitted:F3}, timeouts {shares.Timeouts}"));
            worst = new Shares(Math.Min(worst.Utilization, shares.Utilization), Math.Min(worst.Jain, shares.Jain), 0, 0);
        }

        string actual = table.ToString().Trim().ReplaceLineEndings("\n");
        Assert.True(actual == expected.Trim().ReplaceLineEndings("\n"), $"The table of {control} is now\n{actual}");
        Assert.True(worst is { Utilization: >= 0.9, Jain: >= 0.7 }, $"The worst are {worst}.");
    }

    private readonly record struct Shares(double Utilization, double Jain, double Retransmitted, long Timeouts);

    private static Shares Run(string control, int flows)
    {
        var net = new TwoStacks(new CableOptions
        {
            Rate = BitsPerSecond,
            Delay = TimeSpan.FromMilliseconds(RttMilliseconds / 2.0),
            QueueLimit = QueuePackets,
            SuperSegments = false,
        });
        net.Client.Sysctl.Set("net.ipv4.tcp_congestion_control", control);
        var shares = default(Shares);
        net.Run(
            async () =>
            {
                TcpSocketListener listener = net.Server.ListenTcp(new TcpListenOptions(TwoStacks.ServerAddress));
                var senders = new TcpSocket[flows];
                var receivers = new TcpSocket[flows];
                var work = new List<Task>();
                for (int i = 0; i < flows; i++)
                {
                    ValueTask<TcpSocket> connecting = net.Client.ConnectTcpAsync(TwoStacks.ServerAddress);
                    receivers[i] = await listener.AcceptAsync();
                    senders[i] = await connecting;
                    work.Add(Send(senders[i]));
                    work.Add(Receive(receivers[i]));
                    await net.Time.Delay(TimeSpan.FromMilliseconds(17));
                }

                await net.Time.Delay(TimeSpan.FromSeconds(WarmUpSeconds));
                long[] before = Array.ConvertAll(receivers, r => r.GetInfo().BytesReceived);
                long timeouts = net.Client.GetCounter(StackCounter.TcpTimeouts);
                long again = net.Client.GetCounter(StackCounter.TcpRetransSegs);
                long sent = net.Client.GetCounter(StackCounter.TcpOrigDataSent);
                await net.Time.Delay(TimeSpan.FromSeconds(MeasuredSeconds));
                double sum = 0, squares = 0;
                for (int i = 0; i < flows; i++)
                {
                    double bytes = receivers[i].GetInfo().BytesReceived - before[i];
                    sum += bytes;
                    squares += bytes * bytes;
                }

                again = net.Client.GetCounter(StackCounter.TcpRetransSegs) - again;
                sent = net.Client.GetCounter(StackCounter.TcpOrigDataSent) - sent;
                shares = new Shares(
                    sum * 8 / ((double)BitsPerSecond * MeasuredSeconds), sum * sum / (flows * squares), (double)again / (again + sent),
                    net.Client.GetCounter(StackCounter.TcpTimeouts) - timeouts);
                net.CheckInvariants();

                // Both ends, for the bottleneck may drop a reset.
                for (int i = 0; i < flows; i++)
                {
                    senders[i].Abort();
                    receivers[i].Abort();
                }

                await TwoStacks.AllAsync([.. work]);
                await listener.DisposeAsync();
            },
            TimeSpan.FromMinutes(5));
        return shares;
    }

    private static async Task Send(TcpSocket socket)
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

    private static async Task Receive(TcpSocket socket)
    {
        byte[] data = new byte[64 * 1024];
        try
        {
            while (await socket.ReceiveAsync(data) > 0)
            {
            }
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
        }

        await socket.DisposeAsync();
    }
}
