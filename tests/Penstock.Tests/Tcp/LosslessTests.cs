namespace Penstock.Tests.Tcp;

/// <summary>Where nothing is lost nothing is sent twice: no timeout and no fast retransmission on links that only take time.</summary>
public class LosslessTests
{
    private const int Bytes = 32 * 1024 * 1024;

    [Theory]
    [InlineData("cubic", 5, 0)]
    [InlineData("cubic", 20, 100_000_000)]
    [InlineData("reno", 20, 100_000_000)]
    [InlineData("cubic", 100, 20_000_000)]
    [InlineData("cubic", 1, 1_000_000_000)]
    public void Nothing_is_sent_again_where_nothing_is_lost(string control, int milliseconds, long rate)
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(milliseconds), Rate = rate == 0 ? null : rate, QueueLimit = 1_000_000 });
        net.Client.Sysctl.Set("net.ipv4.tcp_congestion_control", control);
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            await TwoStacks.AllAsync(Send(client), Receive(server));
            await client.CloseAsync();
            await server.CloseAsync();
        });
        foreach (NetworkStack stack in (NetworkStack[])[net.Client, net.Server])
        {
            Assert.Equal(0, stack.GetCounter(StackCounter.TcpTimeouts));
            Assert.Equal(0, stack.GetCounter(StackCounter.TcpFastRetrans));
            Assert.Equal(stack.GetCounter(StackCounter.TcpLossProbes), stack.GetCounter(StackCounter.TcpRetransSegs));
        }
    }

    private static async Task Send(TcpSocket socket)
    {
        byte[] data = new byte[64 * 1024];
        for (int sent = 0; sent < Bytes; sent += data.Length)
        {
            await socket.SendAsync(data);
        }
    }

    private static async Task Receive(TcpSocket socket)
    {
        byte[] data = new byte[64 * 1024];
        for (int received = 0; received < Bytes;)
        {
            received += await socket.ReceiveAsync(data);
        }
    }
}
