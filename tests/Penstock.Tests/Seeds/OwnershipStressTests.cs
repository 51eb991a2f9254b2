using System.Net;
using Penstock.Ownership;
using Penstock.Tcp;
using Penstock.Time;

namespace Penstock.Tests.Seeds;

/// <summary>The socket lock under real threads; bounded counts, no clocks.</summary>
public class OwnershipStressTests
{
    [Fact]
    [Trait("Requirement", "R1.1")]
    [Trait("Requirement", "R1.7")]
    [Trait("Requirement", "R1.8")]
    [Trait("Requirement", "T2")]
    [Trait("Requirement", "T6")]
    public void Under_threads_no_packet_is_lost_each_source_stays_in_order_and_flushed_records_stay_whole()
    {
        const int Producers = 2, Packets = 15_000, Owners = 2, Records = 1500, Pieces = 6;
        var socket = new TestSocket(new PoolDriver());
        var log = new List<int>();
        int inside = 0;
        bool shared = false;
        using var start = new Barrier(Producers + Owners + 1);
        var threads = new List<Thread>();
        for (int p = 0; p < Producers; p++)
        {
            uint source = (uint)p << 24;
            threads.Add(new Thread(() =>
            {
                start.SignalAndWait();
                for (uint i = 0; i < Packets; i++)
                {
                    socket.Arrive(source | i);
                }
            }));
        }

        for (int o = 0; o < Owners; o++)
        {
            int tag = o + 1;
            threads.Add(new Thread(() =>
            {
                start.SignalAndWait();
                for (int r = 0; r < Records; r++)
                {
                    socket.Own();
                    shared |= Interlocked.CompareExchange(ref inside, tag, 0) != 0;
                    for (int piece = 0; piece < Pieces; piece++)
                    {
                        log.Add(tag);

                        // One of its own, so that there is always something to flush.
                        socket.Arrive(((uint)(Producers + tag - 1) << 24) | (uint)((r * Pieces) + piece));
                        socket.FlushBacklog(runDeferred: true);
                    }

                    Volatile.Write(ref inside, 0);
                    socket.Release();
                }
            }));
        }

        int async = 0;
        threads.Add(new Thread(() =>
        {
            start.SignalAndWait();
            for (int i = 0; i < Records; i++)
            {
                ValueTask owned = socket.OwnAsync();
                owned.AsTask().GetAwaiter().GetResult();
                async++;
                socket.Release();
            }
        }));
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());

        Assert.False(socket.IsOwned);
        Assert.False(socket.Collided, "two contexts processed packets at once");
        Assert.False(shared, "two owners at once");
        Assert.Equal(Records, async);
        Assert.Equal((Producers * Packets) + (Owners * Records * Pieces), socket.Processed.Count);
        Assert.Equal(0, socket.Rented);
        Assert.Equal(0, socket.BacklogBytes);
        uint[] next = new uint[Producers + Owners];
        foreach (uint number in socket.Processed)
        {
            Assert.Equal(next[number >> 24]++, number & 0xFFFFFF);
        }

        Assert.Equal(Owners * Records * Pieces, log.Count);
        for (int i = 0; i < log.Count; i += Pieces)
        {
            for (int piece = 1; piece < Pieces; piece++)
            {
                Assert.Equal(log[i], log[i + piece]);
            }
        }
    }

    [Fact]
    [Trait("Requirement", "R1.5")]
    [Trait("Requirement", "T4")]
    public void A_release_ends_while_threads_flood_the_socket()
    {
        var socket = new TestSocket(new PoolDriver()) { Limit = 100 * TestSocket.PacketSize, AckAfterDrain = true };
        bool stop = false;
        int taken = 0;
        socket.OnPacket = _ =>
        {
            Thread.SpinWait(200);
            if (++taken > 20_000)
            {
                // A release that does not end on its own is ended here, and found out.
                Volatile.Write(ref stop, true);
            }
        };
        socket.Own();
        var flood = new Thread(() =>
        {
            for (uint i = 0; !Volatile.Read(ref stop); i++)
            {
                socket.Arrive(i);
            }
        });
        flood.Start();
        int most = 0;
        for (int round = 0; round < 20; round++)
        {
            // Owned: nothing but this thread touches the count until the release has ended.
            taken = 0;
            var spin = default(SpinWait);
            while (socket.BacklogPackets < 50 && !Volatile.Read(ref stop))
            {
                spin.SpinOnce();
            }

            socket.FlushBacklog(runDeferred: true);
            most = Math.Max(most, taken);
            taken = 0;
            socket.Release();
            socket.Own();
        }

        Assert.False(Volatile.Read(ref stop), "a release went on for as long as packets came");
        Assert.InRange(most, 50, 102);
        Volatile.Write(ref stop, true);
        socket.Release();
        flood.Join();
    }

    [Fact]
    [Trait("Requirement", "R1.8")]
    [Trait("Requirement", "T6")]
    public async Task Records_of_two_threads_never_interleave_also_when_the_send_buffer_is_full()
    {
        const int Records = 40, Length = 48 * 1024;
        await using var stack = Proof.Apply(new NetworkStack(new NetworkStackOptions { Name = "records", CloseTimeout = TimeSpan.Zero }));
        stack.Tcp.Settings.SizeGoal = 1;
        stack.Tcp.Settings.BacklogFlushBuffers = 1;
        await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 4000));
        TcpSocket client = await stack.ConnectTcpAsync(
            new IPEndPoint(IPAddress.Loopback, 4000), new TcpConnectOptions { SendBufferSize = 8192 }, TestContext.Current.CancellationToken);
        TcpSocket server = await listener.AcceptAsync(TestContext.Current.CancellationToken);
        var threads = new Thread[3];
        for (int t = 0; t < threads.Length; t++)
        {
            byte tag = (byte)(t + 1);
            bool blocking = t < 2;
            threads[t] = new Thread(() =>
            {
                byte[] record = new byte[Length];
                record.AsSpan().Fill(tag);
                for (int i = 0; i < Records; i++)
                {
                    int sent = blocking ? client.Send(record) : client.SendAsync(record).AsTask().GetAwaiter().GetResult();
                    Assert.Equal(Length, sent);
                }
            });
            threads[t].Start();
        }

        int total = threads.Length * Records * Length;
        byte[] got = new byte[total];
        int at = 0;
        while (at < total)
        {
            int n = await server.ReceiveAsync(got.AsMemory(at), TestContext.Current.CancellationToken);
            Assert.NotEqual(0, n);
            at += n;
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        for (int record = 0; record < total; record += Length)
        {
            byte tag = got[record];
            Assert.InRange(tag, 1, 3);
            Assert.Equal(Length, got.AsSpan(record, Length).Count(tag));
        }

        client.Abort();
        server.Abort();
    }

    [Fact]
    [Trait("Requirement", "R1.8")]
    public void Sends_that_wait_for_their_turn_can_be_canceled_and_leave_the_order_of_the_others()
    {
        var time = new VirtualTime();
        var socket = new TestSocket(time);
        var waiters = new List<AsyncLockWaiter>();
        Assert.True(socket.TryTakeTurn());
        for (int i = 0; i < 4; i++)
        {
            var waiter = new AsyncLockWaiter(time);
            waiter.Reset();
            Assert.False(socket.TakeTurnOrQueue(waiter));
            waiters.Add(waiter);
        }

        Assert.True(socket.TryLeaveTurn(waiters[1]));
        Assert.True(socket.TryLeaveTurn(waiters[3]));
        Assert.False(socket.TryLeaveTurn(waiters[1]));
        socket.GiveTurn();
        time.RunReady();
        Assert.True(waiters[0].Task.IsCompleted);
        Assert.False(waiters[2].Task.IsCompleted);
        Assert.False(socket.TryTakeTurn());
        socket.GiveTurn();
        time.RunReady();
        Assert.True(waiters[2].Task.IsCompleted);
        socket.GiveTurn();
        Assert.True(socket.TryTakeTurn());
    }

    [Fact]
    [Trait("Requirement", "R1.8")]
    public void A_canceled_send_that_waits_for_its_turn_queues_nothing()
    {
        var time = new VirtualTime();
        var stack = Proof.Apply(new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 3, CloseTimeout = TimeSpan.Zero }));
        time.Run(async () =>
        {
            await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 80));
            TcpSocket server = await listener.AcceptAsync();
            byte[] first = new byte[20_000_000];
            first.AsSpan().Fill(1);
            Task<int> sending = client.SendAsync(first).AsTask();
            Assert.False(sending.IsCompleted);
            using var cancel = new CancellationTokenSource();
            Task<int> second = client.SendAsync(new byte[100], cancel.Token).AsTask();
            Task<int> third = client.SendAsync(new byte[] { 3, 3, 3 }).AsTask();
            await time.Delay(TimeSpan.FromSeconds(1));
            Assert.False(second.IsCompleted);
            cancel.Cancel();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);
            byte[] got = new byte[first.Length + 3];
            int at = 0;
            while (at < got.Length)
            {
                at += await server.ReceiveAsync(got.AsMemory(at));
            }

            Assert.Equal(first.Length, await sending);
            Assert.Equal(3, await third);
            Assert.True(got.AsSpan(first.Length).SequenceEqual(new byte[] { 3, 3, 3 }));
            Assert.Equal(0, server.Available);
            client.Abort();
            server.Abort();
            await stack.DisposeAsync();
        }, TimeSpan.FromMinutes(5));
    }

    [Fact]
    [Trait("Requirement", "R1.15")]
    public async Task Canceled_waits_race_with_wake_ups_and_no_waiter_is_used_twice()
    {
        await using var stack = Proof.Apply(new NetworkStack(new NetworkStackOptions { Name = "cancel", CloseTimeout = TimeSpan.Zero }));
        CancellationToken end = TestContext.Current.CancellationToken;
        await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Loopback, 4001));
        TcpSocket client = await stack.ConnectTcpAsync(new IPEndPoint(IPAddress.Loopback, 4001), cancellationToken: end);
        TcpSocket server = await listener.AcceptAsync(end);
        byte[] one = new byte[1];
        int sent = 0, received = 0;
        for (int i = 0; i < 1500; i++)
        {
            using var cancel = new CancellationTokenSource();
            Task<int> reading = server.ReceiveAsync(new byte[16], cancel.Token).AsTask();
            sent += await client.SendAsync(one, end);
            await cancel.CancelAsync();
            try
            {
                received += await reading;
            }
            catch (OperationCanceledException)
            {
            }
        }

        while (received < sent)
        {
            received += await server.ReceiveAsync(new byte[64], end);
        }

        Assert.Equal(sent, received);
        client.Abort();
        server.Abort();
    }

    /// <summary>Continuations on the pool, no time: enough for a socket without a protocol.</summary>
    private sealed class PoolDriver : Driver
    {
        public override long NowNanos => 0;

        public override void Wake(Worker worker)
        {
        }

        public override void Start(Worker worker)
        {
        }

        public override void Stop(Worker worker)
        {
        }
    }
}
