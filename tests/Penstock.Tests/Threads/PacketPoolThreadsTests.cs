using Penstock.Buffers;

namespace Penstock.Tests.Threads;

/// <summary>The hard ledger on real threads: blocks that one takes and another gives back, threads that end with blocks at hand, and a limit that is met again and again.</summary>
public class PacketPoolThreadsTests
{
    /// <summary>Enough that every thread here has a magazine: 1/32 of it.</summary>
    private const long Limit = 128L << 20;

    [Fact]
    public void No_block_is_handed_out_twice_the_limit_holds_and_all_come_back()
    {
        var pool = new PacketPool(Limit);
        var buffers = new PacketBuffer?[512];
        var slabs = new Slab?[512];
        int twice = 0, passed = 0;
        for (int generation = 0; generation < 3; generation++)
        {
            // The threads of a generation end with blocks at hand; those of the next find them, or do without.
            Together.Run(5, thread =>
            {
                var random = new Random((generation * 10) + thread);
                if (thread == 4)
                {
                    Press(pool, random);
                    return;
                }

                for (int i = 0; i < 40_000; i++)
                {
                    int at = random.Next(512);
                    if (random.Next(2) == 0)
                    {
                        PacketBuffer? next = (i % 4) switch
                        {
                            0 => pool.RentBufferWithHead(forced: i % 8 == 0),
                            1 => pool.RentBufferForTiny(forced: false),
                            2 => RentFilled(pool),
                            _ => pool.RentBuffer(),
                        };
                        Interlocked.Or(ref twice, next is null ? 0 : Interlocked.Exchange(ref next.SegmentCount, 1));
                        Interlocked.Exchange(ref buffers[at], next)?.Free();
                    }
                    else
                    {
                        Slab? next = random.Next(4) == 0 ? pool.RentQueueSlab(random.Next(1, 20_000)) : pool.RentSlab(random.Next(1, 2048));
                        Interlocked.Or(ref twice, next is null ? 0 : Interlocked.Exchange(ref next.Used, 1));
                        if (Interlocked.Exchange(ref slabs[at], next) is { } old)
                        {
                            Volatile.Write(ref old.Used, 0);
                            old.Release();
                        }
                    }

                    Interlocked.Or(ref passed, pool.HeldBytes > Limit ? 1 : 0);
                }
            });
        }

        foreach (PacketBuffer? buffer in buffers)
        {
            buffer?.Free();
        }

        foreach (Slab? slab in slabs)
        {
            slab?.Release();
        }

        Assert.Equal((0, 0), (twice, passed));
        Assert.True(pool.Refusals > 0, "the limit was never met");
        Assert.InRange(pool.HeldMaximumBytes, Limit / 2, Limit);
        Assert.Equal((0, 0, 0), (pool.RentedSlabs, pool.RentedBuffers, pool.RentedBytes));

        // And what magazines still have does not keep anybody from the rest.
        var rest = new List<Slab>();
        while (pool.RentSlab(PacketPool.LargeSlab) is { } slab)
        {
            rest.Add(slab);
        }

        Assert.InRange(rest.Sum(slab => (long)slab.Size), Limit * 29 / 32, Limit);
        rest.ForEach(slab => slab.Release());
        Assert.Equal((0, 0, 0), (pool.RentedSlabs, pool.RentedBuffers, pool.RentedBytes));
    }

    /// <summary>Takes all there is and gives it back, so that others find it plenty, tight and refused in turn.</summary>
    /// <summary>A short message, whose buffer may keep its slab when it is freed.</summary>
    private static unsafe PacketBuffer? RentFilled(PacketPool pool)
    {
        PacketBuffer? buffer = pool.RentBufferAndSlab(100, forced: false, out Slab? slab);
        buffer?.Append(slab!, slab!.Address, 100);
        return buffer;
    }

    private static void Press(PacketPool pool, Random random)
    {
        var taken = new List<Slab>();
        for (int round = 0; round < 4; round++)
        {
            while (pool.RentSlab(random.Next(2) == 0 ? PacketPool.LargeSlab : PacketPool.SendSlab) is { } slab)
            {
                taken.Add(slab);
            }

            taken.ForEach(slab => slab.Release());
            taken.Clear();
            Thread.Yield();
        }
    }

    [Fact]
    public void A_store_of_blocks_loses_none_and_gives_none_twice()
    {
        const int Blocks = 16 * 16;
        var pool = new PacketPool(Limit);
        var store = new FreeStore<Slab, PacketPool.SlabLink>();
        for (int i = 0; i < Blocks; i++)
        {
            store.Return(pool.RentSlab(1)!);
        }

        int twice = 0;
        Together.Run(4, thread =>
        {
            var hand = default(MagazineStack<Slab, PacketPool.SlabLink>);
            var random = new Random(thread);
            var held = new Stack<Slab>();
            for (int i = 0; i < 1_000_000; i++)
            {
                bool alone = random.Next(8) == 0;
                if (random.Next(2) == 0 && held.Count < 100)
                {
                    Slab? slab = hand.Count > 0 && !alone ? hand.TryTake() : null;
                    if (slab is null && hand.Count == 0 && store.TakeChain() is { } chain)
                    {
                        hand.Load(chain);
                    }

                    if ((slab ?? store.Take()) is { } taken)
                    {
                        Interlocked.Or(ref twice, Interlocked.Exchange(ref taken.Used, 1));
                        held.Push(taken);
                    }
                }
                else if (held.TryPop(out Slab? slab))
                {
                    Volatile.Write(ref slab.Used, 0);
                    if (alone)
                    {
                        store.Return(slab);
                    }
                    else if (hand.Add(slab, out Slab? full))
                    {
                        store.ReturnChain(full!);
                    }
                }
            }

            while (held.TryPop(out Slab? slab))
            {
                Volatile.Write(ref slab.Used, 0);
                store.Return(slab);
            }

            while (hand.TryTake() is { } slab)
            {
                store.Return(slab);
            }
        });
        int left = 0;
        while (store.Take() is { } slab)
        {
            left++;
            slab.Release();
        }

        Assert.Equal((0, Blocks, 0), (twice, left, store.Count));
    }

    [Fact]
    public void The_last_of_several_references_gives_a_slab_back_once()
    {
        var pool = new PacketPool(Limit);
        var shared = new Slab?[1];
        using var turn = new Barrier(3);
        Together.Run(3, thread =>
        {
            for (int i = 0; i < 20_000; i++)
            {
                if (thread == 0)
                {
                    Slab slab = pool.RentSlab(100)!;
                    slab.AddReference();
                    slab.AddReference();
                    shared[0] = slab;
                }

                turn.SignalAndWait();
                Slab mine = shared[0]!;
                mine.Release();
                turn.SignalAndWait();
            }
        });
        Assert.Equal((0, 0, 0), (pool.RentedSlabs, pool.RentedBuffers, pool.RentedBytes));
    }
}
