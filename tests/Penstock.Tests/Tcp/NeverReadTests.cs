namespace Penstock.Tests.Tcp;

/// <summary>A receiver that runs out of room says so, instead of repeating a promise it can not keep.</summary>
public class NeverReadTests
{
    [Fact]
    public void A_reader_that_never_reads_closes_the_window_and_costs_no_timeout()
    {
        var net = new TwoStacks(new CableOptions { Mtu = 65535, Delay = TimeSpan.FromMilliseconds(1) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            byte[] data = new byte[20_000_000];
            new Random(3).NextBytes(data);
            ValueTask<int> sending = client.SendAsync(data);
            await net.Time.Delay(TimeSpan.FromHours(2));
            Assert.Equal(0, net.Client.GetCounter(StackCounter.TcpTimeouts));
            Assert.Equal(0, client.GetInfo().SendWindow);

            byte[] got = new byte[data.Length];
            int at = 0;
            while (at < got.Length)
            {
                at += await server.ReceiveAsync(got.AsMemory(at));
            }

            Assert.Equal(data.Length, await sending);
            Assert.True(data.AsSpan().SequenceEqual(got));
            await client.CloseAsync();
            await server.CloseAsync();
        });
    }
}
