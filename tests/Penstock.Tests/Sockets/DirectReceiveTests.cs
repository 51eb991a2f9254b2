using System.Net;
using Penstock.Ownership;
using Penstock.Tests.Seeds;
using Penstock.Time;

#pragma warning disable xUnit1051 // virtual time ends by itself

namespace Penstock.Tests.Sockets;

/// <summary>A receive that the worker completes by itself, on real threads, against cancellations at any moment; and who else hears of what came.</summary>
public class DirectReceiveTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task No_byte_is_lost_or_doubled_when_receives_are_canceled_at_any_moment(bool inline)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(2));
        const int Total = 60_000;
        await using var stack = new NetworkStack(new NetworkStackOptions { CloseTimeout = TimeSpan.Zero });
        await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
        using TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80), cancellationToken: limit.Token);
        using TcpSocket server = await listener.AcceptAsync(limit.Token);
        client.NoDelay = true;
        server.UnsafeInlineContinuations = inline;
        Task sending = Task.Run(async () =>
        {
            byte[] bytes = new byte[16];
            var random = new Random(1);
            for (int sent = 0; sent < Total;)
            {
                int count = Math.Min(random.Next(1, 17), Total - sent);
                for (int i = 0; i < count; i++)
                {
                    bytes[i] = (byte)((sent + i) * 7);
                }

                Assert.Equal(count, await client.SendAsync(bytes.AsMemory(0, count), limit.Token));
                sent += count;
                Thread.SpinWait(random.Next(2000));
            }
        }, limit.Token);

        CancellationTokenSource? next = null;
        bool over = false;
        var canceler = new Thread(() =>
        {
            var random = new Random(2);
            while (!Volatile.Read(ref over))
            {
                if (Interlocked.Exchange(ref next, null) is { } source)
                {
                    Thread.SpinWait(random.Next(1500));
                    source.Cancel();
                }
            }
        });
        canceler.Start();
        int canceled = await Task.Run(async () =>
        {
            int count = 0;
            byte[] buffer = new byte[64];
            for (int received = 0, call = 0; received < Total; call++)
            {
                int n;
                try
                {
                    // Every third receive cannot be canceled: what was left over of the one before must not reach it.
                    var source = call % 3 == 0 ? null : CancellationTokenSource.CreateLinkedTokenSource(limit.Token);
                    Volatile.Write(ref next, source);
                    n = await server.ReceiveAsync(buffer, source?.Token ?? CancellationToken.None).AsTask().WaitAsync(limit.Token);
                }
                catch (OperationCanceledException)
                {
                    limit.Token.ThrowIfCancellationRequested();
                    Assert.NotEqual(0, call % 3);
                    count++;
                    continue;
                }

                for (int i = 0; i < n; i++)
                {
                    Assert.Equal((byte)((received + i) * 7), buffer[i]);
                }

                received += n;
            }

            return count;
        }, limit.Token);
        Volatile.Write(ref over, true);
        canceler.Join();
        await sending;
        Assert.True(canceled > 0, "nothing was ever canceled");
    }

    [Fact]
    public void Whoever_watches_a_socket_hears_of_data_when_nobody_waits_for_it_and_when_somebody_does()
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1 });
        time.Run(
            async () =>
            {
                await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
                using TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
                using TcpSocket server = await listener.AcceptAsync();
                var watcher = new Watcher();
                server.Connection.Observe(watcher);
                await client.SendAsync(new byte[1]);
                await time.Delay(TimeSpan.FromMilliseconds(1));
                Assert.Equal(1, watcher.Fired);
                Assert.Equal(1, await server.ReceiveAsync(new byte[10]));
                ValueTask<int> waiting = server.ReceiveAsync(new byte[10]);
                await client.SendAsync(new byte[2]);
                Assert.Equal(2, await waiting);
                Assert.Equal(2, watcher.Fired);
            },
            TimeSpan.FromMinutes(1));
        time.Run(async () => await stack.DisposeAsync(), TimeSpan.FromMinutes(1));
    }

    [Fact]
    public void A_short_message_reaches_a_receive_that_waits_without_another_turn_at_the_socket()
    {
        var time = new VirtualTime();
        NetworkStack stack = Proof.Apply(new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1 }));
        time.Run(
            async () =>
            {
                await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
                using TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
                using TcpSocket server = await listener.AcceptAsync();
                ValueTask<int> waiting = server.ReceiveAsync(new byte[10]);
                int before = server.Connection.InnerEntries;
                await client.SendAsync(new byte[2]);
                Assert.Equal(2, await waiting);

                // The packet's turn: to own, and to release.
                Assert.Equal(2, server.Connection.InnerEntries - before);
                await time.Delay(TimeSpan.FromSeconds(1));
            },
            TimeSpan.FromMinutes(1));
        time.Run(async () => await stack.DisposeAsync(), TimeSpan.FromMinutes(1));
    }

    private sealed class Watcher : SocketWaiter
    {
        public Watcher() => Interest = SocketEvents.Readable;

        public int Fired { get; private set; }

        public override void Fire(SocketEvents events) => Fired++;
    }
}
