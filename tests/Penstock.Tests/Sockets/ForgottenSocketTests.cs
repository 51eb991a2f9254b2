using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Penstock.Tcp;
using Penstock.Time;

#pragma warning disable xUnit1051 // virtual time ends by itself

namespace Penstock.Tests.Sockets;

/// <summary>A socket that nobody refers to any more is reset when it is collected, whatever it has done before: what the connection keeps for its next receive must not keep the socket.</summary>
public class ForgottenSocketTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_socket_that_has_waited_is_reset_when_it_is_collected(bool canceled)
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1 });
        time.Run(async () =>
        {
            await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
            TcpConnection forgotten = await WaitAndForgetAsync(listener, client, canceled);
            Assert.Equal(TcpConnectionState.Established, forgotten.State);
            await CollectAsync(time, () => forgotten.State == TcpConnectionState.Closed);
            SocketException reset = await Assert.ThrowsAsync<SocketException>(async () => await client.ReceiveAsync(new byte[1]));
            Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
            client.Dispose();
            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(1));
    }

    /// <summary>While it waits its caller may hold nothing but the task.</summary>
    [Fact]
    public void A_socket_that_waits_is_not_collected()
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1 });
        time.Run(async () =>
        {
            await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
            byte[] place = new byte[10];
            Task<int> waiting = await BeginAsync(listener, place);
            await CollectAsync(time, () => false);
            await client.SendAsync(new byte[] { 7 });
            Assert.Equal(1, await waiting);
            Assert.Equal(7, place[0]);
            client.Dispose();
            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(1));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<TcpConnection> WaitAndForgetAsync(TcpSocketListener listener, TcpSocket client, bool canceled)
    {
        TcpSocket socket = await listener.AcceptAsync();
        using var cancel = new CancellationTokenSource();
        Task<int> waiting = socket.ReceiveAsync(new byte[10], cancel.Token).AsTask();
        if (canceled)
        {
            CancelHere(cancel);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        }
        else
        {
            await client.SendAsync(new byte[1]);
            Assert.Equal(1, await waiting);
        }

        return socket.Connection;
    }

    /// <summary>On this thread: virtual time does not wait for others.</summary>
    private static void CancelHere(CancellationTokenSource source) => source.Cancel();

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<Task<int>> BeginAsync(TcpSocketListener listener, byte[] place)
    {
        TcpSocket socket = await listener.AcceptAsync();
        return socket.ReceiveAsync(place).AsTask();
    }

    private static async Task CollectAsync(VirtualTime time, Func<bool> done)
    {
        for (int i = 0; i < 10 && !done(); i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            await time.Delay(TimeSpan.FromMilliseconds(1));
        }
    }
}
