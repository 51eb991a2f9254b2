using System.Buffers;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Penstock.Tcp.ZeroCopy;

namespace Penstock.Tests.Seeds;

/// <summary>Zero-copy sends under real threads; bounded counts, no clocks.</summary>
public class ZeroCopyStressTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    [Trait("Requirement", "R2.11")]
    public async Task With_many_threads_aborts_and_cancellations_each_memory_is_given_back_once()
    {
        const int Sockets = 16, Senders = 2, Sends = 60;
        int seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        using var cable = new VirtualCable(new CableOptions { Loss = 0.01, Seed = (ulong)seed });
        var near = Proof.Apply(new NetworkStack(new NetworkStackOptions { Name = "near", CloseTimeout = TimeSpan.Zero }));
        var far = new NetworkStack(new NetworkStackOptions { Name = "far", CloseTimeout = TimeSpan.Zero });
        near.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
        far.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24"));
        var at = new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80);
        await using TcpSocketListener listener = far.ListenTcp(at);
        var lent = new ConcurrentBag<LentMemory>();
        List<Task> senders = [], readers = [];
        var sockets = new List<TcpSocket>();
        for (int i = 0; i < Sockets; i++)
        {
            TcpSocket client = await near.ConnectTcpAsync(at, new TcpConnectOptions { SendBufferSize = 100_000 }, Stop);
            TcpSocket server = await listener.AcceptAsync(Stop);
            client.ZeroCopyNotifications = i % 2 == 0;
            sockets.Add(client);
            readers.Add(DrainAsync(server));
            for (int s = 0; s < Senders; s++)
            {
                int mine = seed + (i * Senders) + s;
                senders.Add(Task.Run(() => SendAsync(client, new Random(mine), lent, Sends), Stop));
            }
        }

        await Task.WhenAll(senders);
        foreach (TcpSocket client in sockets)
        {
            client.Dispose();
        }

        // Waits until everybody has been told.
        await near.DisposeAsync();

        // A reset that the cable lost comes only once: whoever missed it is ended by the stack it reads from.
        await far.DisposeAsync();
        await Task.WhenAll(readers);
        Assert.True(lent.Count > Sockets * Senders);
        Assert.All(lent, l => Assert.Equal((1, 0), (l.Disposals, l.Pinned)));
        Assert.Equal(0, near.Tcp.PinnedBytes);
        Assert.Equal((0L, 0L, 0L), (near.Pool.RentedBuffers, near.Pool.RentedSlabs, near.Tcp.Memory.AllocatedPages));
        foreach (TcpSocket client in sockets)
        {
            var seen = new HashSet<uint>();
            while (client.TryReadZeroCopyNotification(out ZeroCopyNotification read))
            {
                for (uint id = read.First; id != read.Last + 1; id++)
                {
                    Assert.True(seen.Add(id));
                }
            }

            ZeroCopySends? sends = client.Connection.ZeroCopyOrNull;
            Assert.Equal(client.ZeroCopyNotifications ? sends?.NextId ?? 0 : 0u, (uint)seen.Count);
            Assert.Equal((0, false), (sends?.OptionalBytes ?? 0, sends?.HoldsMemory ?? false));
        }
    }

    [Fact]
    [Trait("Requirement", "R2.11")]
    public async Task Whoever_asks_while_a_call_is_released_gets_an_answer_and_never_another_call_s()
    {
        await using HandPeer peer = new HandPeer().Open();
        ZeroCopySends sends = peer.Connection.ZeroCopy;
        var data = new ReadOnlySequence<byte>(new byte[1]);
        const int Rounds = 30_000;
        using var barrier = new Barrier(2);
        ZeroCopyCall? current = null;
        var releaser = new Thread(() =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                barrier.SignalAndWait(Stop);
                current!.Release();
                barrier.SignalAndWait(Stop);
            }
        });
        releaser.Start();
        Exception? failure = null;
        int told = 0;
        for (int i = 0; i < Rounds; i++)
        {
            current = sends.RentCall(data, null);
            ZeroCopySend handle = current.HandOut(1);
            bool waits = i % 2 == 1;
            Task? waiting = null;
            barrier.SignalAndWait(Stop);
            try
            {
                if (waits)
                {
                    waiting = handle.Released.AsTask();
                }
                else
                {
                    while (!handle.Released.IsCompleted)
                    {
                        Thread.SpinWait(1);
                    }
                }
            }
            catch (Exception error)
            {
                failure ??= error;
            }

            barrier.SignalAndWait(Stop);
            if (waiting is not null)
            {
                await waiting;
            }

            told += handle.Released.IsCompletedSuccessfully ? 1 : 0;
        }

        releaser.Join();
        Assert.Null(failure);
        Assert.Equal(Rounds, told);
    }

    private static async Task SendAsync(TcpSocket socket, Random random, ConcurrentBag<LentMemory> all, int sends)
    {
        int end = random.Next(3) == 0 ? random.Next(sends) : int.MaxValue;
        for (int i = 0; i < sends; i++)
        {
            var memory = new LentMemory(random.Next(1, 40_000));
            all.Add(memory);
            using var cancel = new CancellationTokenSource();
            try
            {
                ValueTask<ZeroCopySend> sending = socket.SendZeroCopyAsync(memory, memory.Array.Length, (TcpSendFlags)(random.Next(2) * 2), cancel.Token);
                if (random.Next(4) == 0)
                {
                    await cancel.CancelAsync();
                }

                if (i == end)
                {
                    (random.Next(2) == 0 ? socket.Abort : (Action)socket.Dispose)();
                }

                ZeroCopySend sent = await sending;
                switch (random.Next(4))
                {
                    case 0:
                        await sent.Released;
                        Assert.True(sent.BytesQueued == 0 || memory.Disposals == 1);
                        break;
                    case 1:
                        _ = sent.Released.IsCompleted;
                        break;
                    default:
                        break;
                }
            }
            catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                Assert.Equal((1, 0), (memory.Disposals, memory.Pinned));
            }
        }
    }

    private static async Task DrainAsync(TcpSocket socket)
    {
        byte[] buffer = new byte[65536];
        try
        {
            while (await socket.ReceiveAsync(buffer) > 0)
            {
                // What was spoiled after its release never arrives.
                Assert.False(buffer.AsSpan().Contains(LentMemory.Spoiled));
            }
        }
        catch (SocketException)
        {
            // Aborted.
        }

        socket.Dispose();
    }
}
