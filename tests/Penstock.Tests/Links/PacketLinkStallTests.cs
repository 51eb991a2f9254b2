using System.Net;
using Penstock.Time;

namespace Penstock.Tests.Links;

/// <summary>A tunnel that stands still for a time: its application reads no packets, and TCP must neither flood it nor give up.</summary>
public sealed class PacketLinkStallTests : IDisposable
{
    private readonly VirtualTime _time = new();
    private readonly NetworkStack _client, _server;
    private readonly PacketLink _near, _far;
    private bool _stalled, _losing;

    public PacketLinkStallTests()
    {
        _client = new NetworkStack(new NetworkStackOptions { Name = "client", Driver = _time, Seed = 1 });
        _server = new NetworkStack(new NetworkStackOptions { Name = "server", Driver = _time, Seed = 2 });
        _near = new PacketLink(new PacketLinkOptions { QueueLimit = 8 });
        _far = new PacketLink();
        _client.AddInterface(_near, InterfaceAddress.Parse("10.1.0.1/24"));
        _server.AddInterface(_far, InterfaceAddress.Parse("10.1.0.2/24"));
    }

    public void Dispose()
    {
        foreach (NetworkStack stack in (NetworkStack[])[_client, _server])
        {
            _time.Run(async () => await stack.DisposeAsync(), TimeSpan.FromMinutes(1));
            Assert.Equal(0, stack.Pool.RentedBuffers);
            Assert.Equal(0, stack.Pool.RentedSlabs);
        }

        _near.Dispose();
        _far.Dispose();
    }

    [Theory]
    [InlineData(100, 10)]
    [InlineData(100, 120)]
    [InlineData(30_000, 10)]
    [InlineData(30_000, 120)]
    public void What_waits_in_the_link_is_not_sent_again_and_the_connection_outlives_the_stall(int bytes, int seconds)
    {
        _time.Run(
            async () =>
            {
                Task there = CarryAsync(_near, _far);
                Task back = CarryAsync(_far, _near);
                await using TcpSocketListener listener = _server.ListenTcp(new IPEndPoint(IPAddress.Any, 80));
                ValueTask<TcpSocket> connecting = _client.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80));
                TcpSocket accepted = await listener.AcceptAsync();
                TcpSocket connected = await connecting;

                _stalled = true;
                await connected.SendAsync(new byte[bytes]);
                await _time.Delay(TimeSpan.FromSeconds(seconds));
                Assert.Equal(TcpConnectionState.Established, connected.State);
                Assert.Equal(0, _client.GetCounter(StackCounter.TcpRetransSegs));
                Assert.NotEqual(0, _client.GetCounter(StackCounter.TcpSpuriousRtxHostQueues));

                _stalled = false;
                await ReadAsync(accepted, bytes);
                Assert.NotEqual(0, _client.GetCounter(StackCounter.TcpPureAcks));
                await connected.CloseAsync();
                await accepted.CloseAsync();
                await _client.DisposeAsync();
                await _server.DisposeAsync();
                await Task.WhenAll(there, back);
            },
            TimeSpan.FromHours(1));
    }

    [Fact]
    public void A_link_that_others_have_filled_for_a_minute_ends_no_connection()
    {
        _time.Run(
            async () =>
            {
                Task there = CarryAsync(_near, _far);
                Task back = CarryAsync(_far, _near);
                await using TcpSocketListener listener = _server.ListenTcp(new IPEndPoint(IPAddress.Any, 80));
                ValueTask<TcpSocket> connecting = _client.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80));
                TcpSocket first = await connecting;
                TcpSocket firstAccepted = await listener.AcceptAsync();
                connecting = _client.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80));
                TcpSocket second = await connecting;
                TcpSocket secondAccepted = await listener.AcceptAsync();

                // Lost on the way, so that it has to be sent again when there is no room for it.
                _losing = true;
                await second.SendAsync(new byte[100]);
                await _time.Delay(TimeSpan.FromMilliseconds(1));
                _losing = false;
                _stalled = true;
                await first.SendAsync(new byte[30_000]);
                await _time.Delay(TimeSpan.FromSeconds(60));
                Assert.NotEqual(0, _client.GetCounter(StackCounter.TcpRetransFail));
                Assert.Equal(TcpConnectionState.Established, second.State);

                _stalled = false;
                await ReadAsync(secondAccepted, 100);
                await ReadAsync(firstAccepted, 30_000);
                foreach (TcpSocket socket in (TcpSocket[])[first, second, firstAccepted, secondAccepted])
                {
                    await socket.DisposeAsync();
                }

                await _client.DisposeAsync();
                await _server.DisposeAsync();
                await Task.WhenAll(there, back);
            },
            TimeSpan.FromHours(1));
    }

    private async Task CarryAsync(PacketLink from, PacketLink to)
    {
        byte[] packet = new byte[65535];
        while (await from.WaitToReadAsync())
        {
            while (_stalled && from == _near)
            {
                await _time.Delay(TimeSpan.FromMilliseconds(100));
            }

            while (!(_stalled && from == _near) && from.TryRead(packet, out int length))
            {
                if (!(_losing && from == _near))
                {
                    to.Inject(packet.AsSpan(0, length));
                }

                await Task.Yield();
            }
        }
    }

    private static async Task ReadAsync(TcpSocket socket, int bytes)
    {
        byte[] buffer = new byte[65536];
        for (int read = 0; read < bytes;)
        {
            int now = await socket.ReceiveAsync(buffer);
            Assert.NotEqual(0, now);
            read += now;
        }
    }
}
