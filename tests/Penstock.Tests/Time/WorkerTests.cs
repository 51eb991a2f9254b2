using Penstock.Tests.Tcp;
using Penstock.Time;

namespace Penstock.Tests.Time;

/// <summary>In which order a worker does what it finds.</summary>
public sealed class WorkerTests
{
    /// <summary>A busy machine: the worker gets no processor while ACKs arrive and the time of a probe comes. The ACKs came first, so there is nothing to probe (RFC 8985 7.2).</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(10)]
    public void A_worker_that_comes_late_looks_at_what_has_arrived_before_it_runs_a_timer(int delayMilliseconds)
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(delayMilliseconds) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            byte[] data = new byte[64 * 1024];
            for (int i = 0; i < 20; i++)
            {
                Task receiving = ReceiveAsync(server, data.Length);
                await client.SendAsync(data);
                net.Client.OwnWorker.Post(new Stall(net.Time, TimeSpan.FromMilliseconds(100)));
                await receiving;
            }

            await client.CloseAsync();
            await server.CloseAsync();
        });
        Assert.Equal(0, net.Client.GetCounter(StackCounter.TcpLossProbes));
        Assert.Equal(0, net.Client.GetCounter(StackCounter.TcpRetransSegs));
    }

    private static async Task ReceiveAsync(TcpSocket socket, int bytes)
    {
        byte[] data = new byte[bytes];
        while (bytes > 0)
        {
            bytes -= await socket.ReceiveAsync(data);
        }
    }
}
