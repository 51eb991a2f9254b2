#pragma warning disable xUnit1051 // Virtual time runs on this thread: nothing outside could cancel it, and a hang ends by its limit.
using System.Net;
using System.Net.Sockets;
using Penstock.Fuzz;
using Penstock.Tests.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>The ways to begin and to end that are not the usual one: linger of zero, half-close, both sides at once, shutdown of the receiving half; and urgent data.</summary>
public class EndingTests
{
    [Fact]
    public void A_linger_of_zero_resets()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            await client.SendAsync(new byte[100]);
            client.LingerState = new LingerOption(true, 0);
            client.Dispose();
            SocketException error = await Assert.ThrowsAsync<SocketException>(async () =>
            {
                while (await server.ReceiveAsync(new byte[10]) > 0)
                {
                }
            });
            Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
            Assert.Equal(1, net.Client.GetCounter(StackCounter.TcpAbortOnLinger));
            server.Dispose();
        });
    }

    [Fact]
    public void Unread_data_makes_a_close_a_reset()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            await client.SendAsync(new byte[100]);
            await net.Time.Delay(TimeSpan.FromMilliseconds(1));
            server.Dispose();
            Assert.Equal(1, net.Server.GetCounter(StackCounter.TcpAbortOnClose));
            SocketException error = await Assert.ThrowsAsync<SocketException>(() => client.ReceiveAsync(new byte[10]).AsTask());
            Assert.Equal(SocketError.ConnectionReset, error.SocketErrorCode);
            client.Dispose();
        });
    }

    [Fact]
    public void After_a_half_close_the_other_direction_goes_on()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5), Loss = 0.05, Seed = 3 });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            await client.ShutdownAsync(SocketShutdown.Send);
            Assert.Equal(0, await server.ReceiveAsync(new byte[10]));
            await net.Time.Delay(TimeSpan.FromMinutes(10));
            Assert.Equal(TcpConnectionState.FinWait2, client.State);
            Assert.Equal(TcpConnectionState.CloseWait, server.State);
            await Task.WhenAll(Streams.SendAsync(server, 5, 1_000_000), Streams.ReceiveAsync(client, 5, 1_000_000));
            await Assert.ThrowsAsync<SocketException>(() => client.SendAsync(new byte[1]).AsTask());
            await client.CloseAsync();
            await server.CloseAsync();
        });
    }

    [Fact]
    public void Both_ends_close_at_once()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            await Task.WhenAll(client.CloseAsync().AsTask(), server.CloseAsync().AsTask());
            await net.Time.Delay(TimeSpan.FromMilliseconds(50));
            Assert.Equal((1, 1), (net.Client.Tcp.TimeWaits, net.Server.Tcp.TimeWaits));
            await net.Time.Delay(TimeSpan.FromSeconds(61));
            Assert.Equal((0, 0), (net.Client.Tcp.Flows.Count, net.Server.Tcp.Flows.Count));
        });
    }

    [Fact]
    public void Two_syns_that_cross_make_one_connection()
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        net.Run(async () =>
        {
            var left = new IPEndPoint(IPAddress.Parse("10.1.0.1"), 7001);
            var right = new IPEndPoint(IPAddress.Parse("10.1.0.2"), 7002);
            Task<TcpSocket> a = net.Client.ConnectTcpAsync(right, new TcpConnectOptions { LocalEndPoint = left }).AsTask();
            Task<TcpSocket> b = net.Server.ConnectTcpAsync(left, new TcpConnectOptions { LocalEndPoint = right }).AsTask();
            TcpSocket one = await a, other = await b;
            await Task.WhenAll(
                Streams.SendAsync(one, 1, 100_000), Streams.ReceiveAsync(other, 1, 100_000),
                Streams.SendAsync(other, 2, 100_000), Streams.ReceiveAsync(one, 2, 100_000));
            await one.CloseAsync();
            await other.CloseAsync();
        });
    }

    [Fact]
    public void After_shutting_both_ways_new_data_resets_and_before_that_it_is_queued()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        socket.Shutdown(SocketShutdown.Receive);
        Assert.Equal(0, socket.TryReceive(new byte[1], TcpReceiveFlags.None, out _));
        peer.Send(TcpFlags.Ack, 10);
        Assert.Equal(10, socket.TryReceive(new byte[20], TcpReceiveFlags.None, out _));
        socket.Shutdown(SocketShutdown.Send);
        peer.Take();
        peer.Send(TcpFlags.Ack, 10);
        Assert.Contains(peer.Take(), s => s.Header.Has(TcpFlags.Rst));
        Assert.Null(peer.StateOfFlow());
        socket.Dispose();
        peer.End();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Urgent_data_arrives_in_line_or_beside_the_stream(bool inline)
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            server.OutOfBandInline = inline;
            await client.SendAsync("abc"u8.ToArray());
            await client.SendAsync("!"u8.ToArray(), TcpSendFlags.OutOfBand);
            await client.SendAsync("def"u8.ToArray());
            await net.Time.Delay(TimeSpan.FromMilliseconds(500));
            byte[] read = new byte[20];
            Assert.Equal(3, await server.ReceiveAsync(read));
            Assert.True(server.IsAtMark);
            if (inline)
            {
                Assert.Equal(4, await server.ReceiveAsync(read));
                Assert.Equal("!def"u8.ToArray(), read[..4]);
                await Assert.ThrowsAsync<SocketException>(() => server.ReceiveAsync(read, TcpReceiveFlags.OutOfBand).AsTask());
            }
            else
            {
                Assert.Equal(1, await server.ReceiveAsync(read, TcpReceiveFlags.OutOfBand));
                Assert.Equal((byte)'!', read[0]);
                Assert.Equal(3, await server.ReceiveAsync(read));
                Assert.Equal("def"u8.ToArray(), read[..3]);
            }

            Assert.False(server.IsAtMark);
            await client.CloseAsync();
            await server.CloseAsync();
        });
    }

    [Fact]
    public void A_second_urgent_byte_takes_the_place_of_the_first()
    {
        var peer = new RawPeer();
        TcpSocket socket = peer.OpenFromPeer();
        for (byte i = 1; i <= 2; i++)
        {
            RawSegment segment = peer.Segment(TcpFlags.Ack | TcpFlags.Urg, 4);
            segment.Urgent = 4;
            segment.Payload.AsSpan().Fill(i);
            peer.Next += 4;
            peer.Inject(segment);
        }

        byte[] read = new byte[20];
        Assert.Equal(1, socket.TryReceive(read, TcpReceiveFlags.OutOfBand, out _));
        Assert.Equal(2, read[0]);

        // The first one, forgotten as a mark, is data now.
        Assert.Equal(7, socket.TryReceive(read, TcpReceiveFlags.None, out _));
        Assert.Equal([1, 1, 1, 1, 2, 2, 2], read[..7]);
        socket.Dispose();
        peer.End();
    }
}
