using System.Net;
using System.Net.Sockets;
using Penstock.Time;

namespace Penstock.Tests.Links;

/// <summary>TCP over packet links with an application in between that carries the packets, as a tunnel does.</summary>
public sealed class PacketLinkTcpTests
{
    private const int Total = 4 << 20;

    [Theory]
    [InlineData(4, false)]
    [InlineData(64, false)]
    [InlineData(1024, true)]
    public void A_stream_crosses_a_tunnel_whose_queue_is_often_full(int queueLimit, bool superSegments)
    {
        var time = new VirtualTime();
        var client = new NetworkStack(new NetworkStackOptions { Name = "client", Driver = time, Seed = 1 });
        var server = new NetworkStack(new NetworkStackOptions { Name = "server", Driver = time, Seed = 2 });
        var near = new PacketLink(new PacketLinkOptions { QueueLimit = queueLimit, SuperSegments = superSegments });
        var far = new PacketLink(new PacketLinkOptions { QueueLimit = queueLimit, SuperSegments = superSegments });
        client.AddInterface(near, InterfaceAddress.Parse("10.1.0.1/24"));
        server.AddInterface(far, InterfaceAddress.Parse("10.1.0.2/24"));
        time.Run(
            async () =>
            {
                Task there = CarryAsync(near, far);
                Task back = CarryAsync(far, near);
                await using TcpSocketListener listener = server.ListenTcp(new TcpListenOptions(new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80)));
                ValueTask<TcpSocket> connecting = client.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80));
                TcpSocket accepted = await listener.AcceptAsync();
                TcpSocket connected = await connecting;
                await Task.WhenAll(SendAsync(connected), ReceiveAsync(accepted));
                await connected.CloseAsync();
                await accepted.CloseAsync();
                await client.DisposeAsync();
                await server.DisposeAsync();
                await Task.WhenAll(there, back);
            },
            TimeSpan.FromHours(1));
        Assert.Equal(0, client.GetCounter(StackCounter.TcpRetransSegs));
        Assert.Equal(0, near.DroppedPackets + far.DroppedPackets);
        foreach (NetworkStack stack in (NetworkStack[])[client, server])
        {
            Assert.Equal(0, stack.Pool.RentedBuffers);
            Assert.Equal(0, stack.Pool.RentedSlabs);
        }
    }

    private static async Task CarryAsync(PacketLink from, PacketLink to)
    {
        byte[] packet = new byte[65535];
        while (await from.WaitToReadAsync())
        {
            while (from.TryRead(packet, out int length))
            {
                to.Inject(packet.AsSpan(0, length));
                await Task.Yield();
            }
        }
    }

    private static async Task SendAsync(TcpSocket socket)
    {
        byte[] chunk = new byte[100_000];
        for (int sent = 0; sent < Total;)
        {
            int size = Math.Min(chunk.Length, Total - sent);
            for (int i = 0; i < size; i++)
            {
                chunk[i] = TestPackets.PayloadByte((uint)(sent + i));
            }

            sent += await socket.SendAsync(chunk.AsMemory(0, size));
        }

        await socket.ShutdownAsync(SocketShutdown.Send);
    }

    private static async Task ReceiveAsync(TcpSocket socket)
    {
        byte[] chunk = new byte[100_000];
        int received = 0;
        while (await socket.ReceiveAsync(chunk) is var count and > 0)
        {
            for (int i = 0; i < count; i++)
            {
                if (chunk[i] != TestPackets.PayloadByte((uint)(received + i)))
                {
                    Assert.Fail($"wrong byte at {received + i}");
                }
            }

            received += count;
        }

        Assert.Equal(Total, received);
    }
}
