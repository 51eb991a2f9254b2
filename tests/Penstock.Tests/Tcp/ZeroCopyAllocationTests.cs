namespace Penstock.Tests.Tcp;

/// <summary>Zero-copy sends allocate nothing in steady state either: calls, tokens and what waits for them are used again.</summary>
public class ZeroCopyAllocationTests
{
    [Theory]
    [InlineData(4096, 5_000, true)]
    [InlineData(4096, 5_000, false)]
    [InlineData(300_000, 500, true)]
    public void A_zero_copy_send_allocates_nothing(int size, int rounds, bool awaitReleased)
    {
        var net = new TwoStacks();
        long allocated = 0;
        int sent = 0;
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            byte[] page = GC.AllocateArray<byte>(size, pinned: true);
            Task<long> sink = DrainAsync(server);

            // Until the windows have grown as far as they do, and the pools have all that then is on its way, in super-segments as small as the rate makes them.
            for (int i = 0; i < 40; i++)
            {
                await Round();
            }

            allocated = await Allocations.LeastAsync(Round);
            await client.CloseAsync();
            Assert.Equal((long)size * sent, await sink);
            await server.CloseAsync();

            async Task Round()
            {
                await SendAsync(client, page, rounds, awaitReleased);
                sent += rounds;
            }
        });
        Assert.True(allocated < Allocations.OnceOnly, $"{allocated} bytes for {rounds} sends of {size} bytes");
    }

    private static async Task SendAsync(TcpSocket socket, byte[] page, int rounds, bool awaitReleased)
    {
        for (int i = 0; i < rounds; i++)
        {
            ZeroCopySend sent = await socket.SendZeroCopyAsync(page).ConfigureAwait(false);
            if (awaitReleased)
            {
                await sent.Released.ConfigureAwait(false);
            }
        }
    }

    private static async Task<long> DrainAsync(TcpSocket socket)
    {
        byte[] buffer = new byte[65536];
        long total = 0;
        int n;
        while ((n = await socket.ReceiveAsync(buffer).ConfigureAwait(false)) > 0)
        {
            total += n;
        }

        return total;
    }
}
