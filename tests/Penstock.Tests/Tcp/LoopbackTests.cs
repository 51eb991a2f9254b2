using System.Net;
using Penstock.Time;

namespace Penstock.Tests.Tcp;

public class LoopbackTests
{
    [Fact]
    public void A_stack_talks_to_itself_in_virtual_time()
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1 });
        time.Run(async () =>
        {
            await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket server = await listener.AcceptAsync();
            byte[] data = new byte[3_000_000];
            new Random(1).NextBytes(data);
            async Task Send()
            {
                Assert.Equal(data.Length, await client.SendAsync(data));
                await client.ShutdownAsync(System.Net.Sockets.SocketShutdown.Send);
            }

            Task sending = Send();
            byte[] got = new byte[data.Length];
            int at = 0;
            while (true)
            {
                int n = await server.ReceiveAsync(got.AsMemory(at));
                if (n == 0)
                {
                    break;
                }

                at += n;
                Assert.Null(client.Connection.VerifyInvariants());
                Assert.Null(server.Connection.VerifyInvariants());
            }

            await sending;
            Assert.Equal(data.Length, at);
            Assert.True(data.AsSpan().SequenceEqual(got));
            await server.CloseAsync();
            await client.CloseAsync();
            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(5));
        Assert.Equal(0, stack.Pool.RentedBuffers);
        Assert.Equal(0, stack.Pool.RentedSlabs);
        Assert.Equal(0, stack.Tcp.Memory.AllocatedPages);
    }
}
