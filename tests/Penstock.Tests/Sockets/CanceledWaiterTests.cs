using System.Net;
using Penstock.Ownership;
using Penstock.Time;

#pragma warning disable xUnit1051 // virtual time ends by itself

namespace Penstock.Tests.Sockets;

/// <summary>A wait that is canceled at the very moment at which its event fires.</summary>
public class CanceledWaiterTests
{
    [Fact]
    public void A_canceled_wait_does_not_come_back_while_an_event_still_holds_it()
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1 });
        time.Run(async () =>
        {
            await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket server = await listener.AcceptAsync();
            using var cancel = new CancellationTokenSource();
            Task<int>? second = null;
            var later = new Watcher(() => { });
            var first = new Watcher(() =>
            {
                // The canceled receive is fired next, by the worker that fires this.
                cancel.Cancel();
                time.RunReady();
                Assert.Equal(1, server.TryReceive(new byte[10], TcpReceiveFlags.None, out _));
                Add(server, later);
                second = server.ReceiveAsync(new byte[10]).AsTask();
            });
            Add(server, first);
            Task<int> canceled = server.ReceiveAsync(new byte[10], cancel.Token).AsTask();
            await client.SendAsync(new byte[1]);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => canceled);
            await time.Delay(TimeSpan.FromSeconds(1));
            Assert.Equal(1, first.Fired);
            Assert.Equal(0, later.Fired);
            Assert.False(second!.IsCompleted);
            await client.SendAsync(new byte[2]);
            Assert.Equal(2, await second);
            Assert.Equal(1, later.Fired);
            client.Dispose();
            server.Dispose();
            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(1));
    }

    [Fact]
    public void A_cancellation_that_comes_while_a_receive_is_about_to_look_in_vain_is_made_up_for()
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1 });
        time.Run(async () =>
        {
            await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket server = await listener.AcceptAsync();
            TcpSocket otherClient = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket otherServer = await listener.AcceptAsync();
            using var cancel = new CancellationTokenSource();
            Task<int> canceled = server.ReceiveAsync(new byte[10], cancel.Token).AsTask();
            bool watched = false;
            Add(otherServer, new Watcher(() =>
            {
                // The receive was fired just before, with all that the same batch brought, and will look when this is over.
                watched = true;
                Assert.Equal(3000, server.TryReceive(new byte[4000], TcpReceiveFlags.None, out _));
                cancel.Cancel();
                Assert.False(canceled.IsCompleted);
            }));

            // Too much to be put into its memory at once.
            await client.SendAsync(new byte[3000]);
            await otherClient.SendAsync(new byte[1]);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => canceled);
            Assert.True(watched);
            ValueTask<int> next = server.ReceiveAsync(new byte[10]);
            await client.SendAsync(new byte[3]);
            Assert.Equal(3, await next);
            client.Dispose();
            server.Dispose();
            otherClient.Dispose();
            otherServer.Dispose();
            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(1));
    }

    private static void Add(TcpSocket socket, Watcher watcher)
    {
        socket.Connection.Own();
        socket.Connection.AddWaiter(watcher);
        socket.Connection.Release();
    }

    private sealed class Watcher : SocketWaiter
    {
        private readonly Action _action;

        public Watcher(Action action)
        {
            _action = action;
            Interest = SocketEvents.Readable;
        }

        public int Fired { get; private set; }

        public override void Fire(SocketEvents events)
        {
            Fired++;
            _action();
        }
    }
}
