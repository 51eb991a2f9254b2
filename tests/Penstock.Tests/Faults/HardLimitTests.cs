#pragma warning disable xUnit1051 // Virtual time runs on this thread: nothing outside could cancel it, and a hang ends by its limit.
using System.Net;
using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Fuzz;
using Penstock.Tests.Tcp;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Faults;

/// <summary>The hard limit of memory: never passed, whatever comes, and when the load goes everything goes on and everything is given back.</summary>
public class HardLimitTests
{
    private const int Limit = 2 << 20;

    [Fact]
    public void What_is_kept_for_reuse_makes_way_for_every_other_kind_and_the_reserve_is_there_again()
    {
        var pool = new PacketPool(1 << 20);

        // Buffers first: as many as there may be, kept, must not keep slabs out.
        foreach (int size in (int[])[0, PacketPool.TinySlab, PacketPool.LargeSlab, PacketPool.SmallSlab, 0, PacketPool.SendSlab, PacketPool.MediumSlab])
        {
            for (int round = 0; round < 2; round++)
            {
                var slabs = new List<Slab>();
                var buffers = new List<PacketBuffer>();
                Fill(forced: false);
                Assert.InRange(pool.RentedBytes, pool.Limit - (pool.Limit / 8) - (70 * 1024), pool.Limit - (pool.Limit / 8));
                long ordinary = pool.RentedBytes;
                Fill(forced: true);
                Assert.True(pool.RentedBytes > ordinary + (pool.Limit / 8) - (70 * 1024), "the reserve is whole again");
                Assert.True(pool.HeldBytes <= pool.Limit);
                slabs.ForEach(s => s.Release());
                buffers.ForEach(b => b.Free());
                Assert.Equal((0, 0, 0), (pool.RentedSlabs, pool.RentedBuffers, pool.RentedBytes));

                void Fill(bool forced)
                {
                    while (size == 0 ? pool.RentBuffer(forced) is { } b && Add(buffers, b) : pool.RentSlab(size, forced) is { } s && Add(slabs, s))
                    {
                    }
                }
            }
        }

        Assert.True(pool.HeldMaximumBytes <= pool.Limit);

        static bool Add<T>(List<T> list, T item)
        {
            list.Add(item);
            return true;
        }
    }

    [Fact]
    public void What_is_queued_leaves_room_for_what_passes()
    {
        var pool = new PacketPool(1 << 20);
        var queued = new List<Slab>();
        while (pool.RentQueueSlab(PacketPool.SendSlab) is { } slab)
        {
            queued.Add(slab);
        }

        Assert.NotNull(pool.RentSlab(PacketPool.LargeSlab));
        Assert.True(pool.IsCrowded);
        Assert.Null(pool.RentQueueSlab(1));
    }

    [Fact]
    public async Task Threads_that_rent_and_return_every_kind_never_pass_the_limit()
    {
        var pool = new PacketPool(1 << 20);
        int[] sizes = [PacketPool.TinySlab, PacketPool.SmallSlab, PacketPool.PairSlab, PacketPool.FourSlab, PacketPool.MediumSlab, PacketPool.SendSlab, PacketPool.LargeSlab];
        await Task.WhenAll(Enumerable.Range(0, 4).Select(seed => Task.Run(() =>
        {
            var random = new Random(seed);
            var slabs = new Queue<Slab>();
            var buffers = new Queue<PacketBuffer>();
            for (int i = 0; i < 40_000; i++)
            {
                bool forced = random.Next(4) == 0;
                if (random.Next(3) == 0 && pool.RentBuffer(forced) is { } buffer)
                {
                    buffers.Enqueue(buffer);
                }

                if (pool.RentSlab(sizes[random.Next(sizes.Length)], forced) is { } slab)
                {
                    slabs.Enqueue(slab);
                }

                while (slabs.Count > 0 && (random.Next(3) == 0 || slabs.Count > 60))
                {
                    slabs.Dequeue().Release();
                }

                while (buffers.Count > 0 && random.Next(3) == 0)
                {
                    buffers.Dequeue().Free();
                }

                Assert.True(pool.HeldBytes <= pool.Limit);
            }

            foreach (Slab slab in slabs)
            {
                slab.Release();
            }

            foreach (PacketBuffer buffer in buffers)
            {
                buffer.Free();
            }
        })));
        Assert.True(pool.Refusals > 0);
        Assert.True(pool.HeldMaximumBytes <= pool.Limit);
        Assert.Equal((0, 0, 0), (pool.RentedSlabs, pool.RentedBuffers, pool.RentedBytes));
    }

    /// <summary>
    /// Forty readers that never read, data beyond gaps that are never filled for long, forty peers with closed windows, floods of SYNs, a long cable full of packets and pipe writers that hold what they got: all
    /// at once on two mebibytes. A connection beside them goes on all the time, and afterwards so do they.
    /// </summary>
    [Fact]
    public void The_worst_load_never_passes_the_limit_and_leaves_nothing_behind()
    {
        var time = new VirtualTime();
        var small = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1, MemoryLimit = Limit });
        var large = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 2, MemoryLimit = 1 << 28 });
        var cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(60), Loss = 0.03, Reorder = 0.05 });
        var flood = new PacketLink();
        small.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
        small.AddInterface(flood, InterfaceAddress.Parse("10.3.0.1/16"));
        large.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24"));
        time.Run(
            async () =>
            {
                await using TcpSocketListener listener = large.ListenTcp(TwoStacks.ServerAddress);
                await using TcpSocketListener victim = small.ListenTcp(new IPEndPoint(IPAddress.Any, 80));
                var pairs = new List<(TcpSocket Near, TcpSocket Far)>();
                for (int i = 0; i < 85; i++)
                {
                    Task<TcpSocket> connecting = small.ConnectTcpAsync(TwoStacks.ServerAddress).AsTask();
                    TcpSocket far = await listener.AcceptAsync();
                    pairs.Add((await connecting, far));
                }

                var sending = new List<Task>();
                var writers = new List<System.IO.Pipelines.PipeWriter>();
                for (int i = 81; i < 85; i++)
                {
                    writers.Add(pairs[i].Near.AsPipe().Output);
                    writers[^1].GetSpan(30_000)[..30_000].Fill(1);
                    writers[^1].Advance(30_000);
                }

                for (int i = 0; i < 80; i++)
                {
                    sending.Add(Streams.SendAsync(i < 40 ? pairs[i].Far : pairs[i].Near, i, 200_000));
                }

                (TcpSocket Near, TcpSocket Far) beside = pairs[80];
                Task exchange = TwoStacks.AllAsync(
                    Streams.SendAsync(beside.Near, 1000, 100_000), Streams.ReceiveAsync(beside.Far, 1000, 100_000),
                    Streams.SendAsync(beside.Far, 1001, 100_000), Streams.ReceiveAsync(beside.Near, 1001, 100_000));
                long highest = 0;
                for (int second = 0; second < 900 && !(exchange.IsCompleted && second >= 60); second++)
                {
                    for (int i = 0; i < 200; i++)
                    {
                        flood.Inject(Syn((second * 200) + i));
                    }

                    await time.Delay(TimeSpan.FromSeconds(1));
                    highest = Math.Max(highest, small.Pool.RentedBytes);
                    while (flood.TryRead(new byte[1500], out _))
                    {
                    }
                }

                Assert.True(highest > Limit / 2, $"the load was no load: {highest}");
                Assert.True(small.Pool.Refusals > 0 || small.Tcp.Memory.PressureEvents > 0);
                Assert.True(exchange.IsCompleted, $"the connection beside stands: {beside.Near.GetInfo()} {beside.Far.GetInfo()}");
                await exchange;

                writers.ForEach(w => w.Complete(new OperationCanceledException()));
                for (int i = 0; i < 80; i++)
                {
                    sending.Add(Streams.ReceiveAsync(i < 40 ? pairs[i].Near : pairs[i].Far, i, 200_000));
                }

                await TwoStacks.AllAsync([.. sending]);
                foreach ((TcpSocket near, TcpSocket far) in pairs)
                {
                    near.Dispose();
                    far.Dispose();
                }

                await small.DisposeAsync();
                await large.DisposeAsync();
            },
            TimeSpan.FromHours(8));
        Cleanliness.Check(small);
        Cleanliness.Check(large);
        Assert.Equal(0, small.Pool.RentedBytes);
    }

    private static ReadOnlySpan<byte> Syn(int number)
    {
        var segment = new RawSegment
        {
            Source = IpAddress.FromIPv4(0x0A03_0100u + (uint)(number % 200)),
            Destination = IpAddress.From(IPAddress.Parse("10.3.0.1")),
            SourcePort = (ushort)(1024 + (number / 200)),
            DestinationPort = 80,
            Sequence = (uint)number * 77777,
            Flags = TcpFlags.Syn,
            Options = [2, 4, 5, 180],
        };
        return segment.ToPacket();
    }
}
