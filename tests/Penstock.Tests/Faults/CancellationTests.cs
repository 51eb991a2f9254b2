#pragma warning disable xUnit1051 // Virtual time runs on this thread: nothing outside could cancel it, and a hang ends by its limit.
using System.Net;
using System.Net.Sockets;
using Penstock.Fuzz;
using Penstock.Tests.Tcp;

namespace Penstock.Tests.Faults;

/// <summary>Cancellation and disposal at any moment: every call ends, with one of the exceptions that it documents, and nothing is left. In virtual time, and for a while on real threads.</summary>
public class CancellationTests
{
    [Fact]
    public void Canceled_calls_lose_no_data_in_virtual_time()
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            var random = new Random(seed);
            var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(3), Loss = 0.02, Seed = (ulong)seed }, (ulong)seed);
            net.Run(async () =>
            {
                (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
                const int Bytes = 400_000;
                await Task.WhenAll(SendAsync(), ReceiveAsync());
                await client.CloseAsync();
                await server.CloseAsync();

                async Task SendAsync()
                {
                    byte[] data = new byte[Bytes];
                    Streams.Fill(data, 0, seed);
                    int sent = 0;
                    while (sent < Bytes)
                    {
                        using CancellationTokenSource cancel = CancelAfter(net, random);
                        try
                        {
                            sent += await client.SendAsync(data.AsMemory(sent, Math.Min(Bytes - sent, random.Next(1, 300_000))), cancel.Token);
                        }
                        catch (OperationCanceledException)
                        {
                        }
                    }

                    await client.ShutdownAsync(SocketShutdown.Send);
                }

                async Task ReceiveAsync()
                {
                    byte[] got = new byte[Bytes + 1];
                    byte[] expected = new byte[Bytes];
                    Streams.Fill(expected, 0, seed);
                    int received = 0;
                    while (true)
                    {
                        using CancellationTokenSource cancel = CancelAfter(net, random);
                        try
                        {
                            int length = await server.ReceiveAsync(got.AsMemory(received), cancel.Token);
                            if (length == 0)
                            {
                                break;
                            }

                            received += length;
                        }
                        catch (OperationCanceledException)
                        {
                        }
                    }

                    Assert.Equal(Bytes, received);
                    Assert.True(got.AsSpan(0, Bytes).SequenceEqual(expected));
                }
            });
        }
    }

    [Fact]
    public void A_canceled_connect_accept_or_close_leaves_nothing()
    {
        for (int seed = 1; seed <= 30; seed++)
        {
            var random = new Random(seed);
            var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(3), Loss = 0.2, Seed = (ulong)seed }, (ulong)seed);
            net.Run(async () =>
            {
                using TcpSocketListener listener = net.Server.ListenTcp(TwoStacks.ServerAddress);
                for (int i = 0; i < 20; i++)
                {
                    using CancellationTokenSource first = CancelAfter(net, random), second = CancelAfter(net, random), third = CancelAfter(net, random);
                    Task<TcpSocket> accepting = listener.AcceptAsync(first.Token).AsTask();
                    Task<TcpSocket> connecting = net.Client.ConnectTcpAsync(TwoStacks.ServerAddress, null, second.Token).AsTask();
                    foreach (Task<TcpSocket> task in (Task<TcpSocket>[])[connecting, accepting])
                    {
                        try
                        {
                            TcpSocket socket = await task;
                            await LinkFailureTests.Quietly(socket.CloseAsync(third.Token).AsTask());
                        }
                        catch (OperationCanceledException)
                        {
                        }
                    }
                }

                while (listener.TryAccept() is { } socket)
                {
                    socket.Dispose();
                }
            });
        }
    }

    [Fact]
    public void Disposing_ends_every_call_that_waits()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            Task receiving = client.ReceiveAsync(new byte[10]).AsTask();
            Task first = client.SendAsync(new byte[20_000_000]).AsTask();
            Task second = client.SendAsync(new byte[20_000_000]).AsTask();
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            Assert.False(receiving.IsCompleted || first.IsCompleted || second.IsCompleted);
            client.Dispose();
            await Assert.ThrowsAsync<ObjectDisposedException>(() => receiving);
            await LinkFailureTests.Quietly(first);
            await LinkFailureTests.Quietly(second);
            await Assert.ThrowsAsync<ObjectDisposedException>(() => client.SendAsync(new byte[1]).AsTask());
            server.Abort();
        });
    }

    [Fact]
    public async Task Threads_that_send_receive_cancel_and_dispose_at_random_leave_nothing()
    {
        var stack = new NetworkStack(new NetworkStackOptions { CloseTimeout = TimeSpan.FromMilliseconds(200) });
        var address = new IPEndPoint(IPAddress.Loopback, 80);
        TcpSocketListener listener = stack.ListenTcp(address);
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(3));
        var served = new List<Task>();
        Task serving = Task.Run(async () =>
        {
            try
            {
                while (true)
                {
                    TcpSocket socket = await listener.AcceptAsync(stop.Token);
                    served.Add(Task.Run(() => AbuseAsync(socket, Random.Shared.Next(), stop.Token)));
                }
            }
            catch (OperationCanceledException)
            {
            }
        });
        Task[] clients = [.. Enumerable.Range(0, 6).Select(i => Task.Run(async () =>
        {
            var random = new Random(i);
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    using var cancel = new CancellationTokenSource(random.Next(1, 20));
                    await AbuseAsync(await stack.ConnectTcpAsync(address, null, cancel.Token), random.Next(), stop.Token);
                }
                catch (Exception error) when (Application.IsExpected(error))
                {
                }
            }
        }))];
        await Task.WhenAll([serving, .. clients]).WaitAsync(TimeSpan.FromSeconds(60));
        await Task.WhenAll(served).WaitAsync(TimeSpan.FromSeconds(60));
        await stack.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60));
        Cleanliness.Check(stack);
    }

    private static async Task AbuseAsync(TcpSocket socket, int seed, CancellationToken stop)
    {
        var random = new Random(seed);
        byte[] buffer = new byte[100_000];
        var tasks = new List<Task>();
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(stop);
        for (int i = random.Next(1, 12); i > 0; i--)
        {
            switch (random.Next(8))
            {
                case 0 or 1 or 2:
                    int length = random.Next(buffer.Length);
                    tasks.Add(Guard(() => socket.SendAsync(buffer.AsMemory(0, length), cancel.Token)));
                    break;
                case 3 or 4:
                    int room = random.Next(1, 50_000);
                    tasks.Add(Guard(() => socket.ReceiveAsync(new byte[room], cancel.Token)));
                    break;
                case 5:
                    await Task.Delay(random.Next(3), CancellationToken.None);
                    break;
                case 6:
                    _ = socket.GetInfo();
                    break;
                default:
                    cancel.CancelAfter(random.Next(5));
                    break;
            }
        }

        switch (random.Next(4))
        {
            case 0:
                socket.Dispose();
                break;
            case 1:
                socket.Abort();
                break;
            case 2:
                cancel.CancelAfter(10);
                tasks.Add(Guard(socket.CloseAsync(cancel.Token)));
                break;
            default:
                await cancel.CancelAsync();
                break;
        }

        await Task.WhenAll(tasks);
        socket.Dispose();
    }

    private static async Task Guard(Func<ValueTask<int>> call)
    {
        try
        {
            await call();
        }
        catch (Exception error) when (Application.IsExpected(error))
        {
        }
    }

    private static async Task Guard(ValueTask call)
    {
        try
        {
            await call;
        }
        catch (Exception error) when (Application.IsExpected(error))
        {
        }
    }

    private static CancellationTokenSource CancelAfter(TwoStacks net, Random random)
    {
        var cancel = new CancellationTokenSource();
        _ = CancelLater();
        return cancel;

        async Task CancelLater()
        {
            await net.Time.Delay(TimeSpan.FromMilliseconds(random.Next(1, 30)));
            try
            {
                // Not CancelAsync: that runs what waits on a thread of the pool, beside virtual time.
                cancel.Cancel();
            }
            catch (ObjectDisposedException)
            {
            }
        }
    }
}
