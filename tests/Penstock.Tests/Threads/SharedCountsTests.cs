using System.Net;
using Penstock.Accounting;
using Penstock.Buffers;

namespace Penstock.Tests.Threads;

/// <summary>Sums that several processors work on at once. Nothing about time is asserted.</summary>
public class SharedCountsTests
{
    [Fact]
    public void Rows_of_threads_that_come_and_go_add_up()
    {
        const int Threads = 200, Each = 500;
        var rows = new CountRows(3);
        var readers = new Thread(() =>
        {
            long before = 0;
            while (before < 6L * Threads * Each)
            {
                long now = rows[2];
                Assert.InRange(now, before, 6L * Threads * Each);
                before = now;
            }
        });
        readers.Start();
        var living = new Queue<Thread>();

        // More than there are rows live at once, so that some threads share one; and ids are given out again.
        for (int i = 0; i < 2 * Threads; i++)
        {
            var thread = new Thread(static state =>
            {
                var all = (CountRows)state!;
                for (int k = 0; k < Each; k++)
                {
                    all.Add(0, 1);
                    all.Add(1, 2, 2, 1);
                    all.AddOneTo(0, 1, 2);
                    all.Add(2, 1);
                }
            }, 128 * 1024);
            thread.Start(rows);
            living.Enqueue(thread);
            if (living.Count > 150)
            {
                living.Dequeue().Join();
            }
        }

        foreach (Thread thread in living)
        {
            thread.Join();
        }

        readers.Join();
        Assert.Equal((4L * Threads * Each, 6L * Threads * Each, 6L * Threads * Each), (rows[0], rows[1], rows[2]));
    }

    [Fact]
    public void Threads_that_count_at_the_same_time_lose_nothing()
    {
        // Long enough that the threads run beside each other, not one after the other.
        const int Each = 8_000_000;
        var rows = new CountRows(3);
        Together.Run(6, _ =>
        {
            for (int i = 0; i < Each; i++)
            {
                rows.Add(0, 1);
                rows.Add(0, 1, 1, 2);
                rows.AddOneTo(0, 1, 2);
            }
        });
        Assert.Equal((18L * Each, 18L * Each, 6L * Each), (rows[0], rows[1], rows[2]));
    }

    [Fact]
    public void Neither_ceiling_of_a_sum_with_two_sides_is_passed_at_any_moment()
    {
        const long Low = 1000, High = 1300;
        var sum = new TwoSidedSum();
        long ordinary = 0, all = 0, refused = 0, passed = 0;
        Together.Run(4, thread =>
        {
            var random = new Random(thread);
            bool forced = thread >= 2;
            var held = new Queue<int>();
            for (int i = 0; i < 1_500_000 || held.Count > 0; i++)
            {
                // Ordinary memory stays for a while, so that the low ceiling is near; what is forced comes and goes.
                int count = forced ? random.Next(1, 200) : random.Next(20, 200);
                if (i < 1_500_000 && held.Count < 8 && sum.TryAdd(count, forced ? High : Low))
                {
                    // Counted after it was admitted and until just before it is given back: never too much.
                    if (Interlocked.Add(ref all, count) > High || (!forced && Interlocked.Add(ref ordinary, count) > Low))
                    {
                        Interlocked.Increment(ref passed);
                    }

                    held.Enqueue(count);
                    if (!forced)
                    {
                        continue;
                    }
                }
                else if (i < 1_500_000 && held.Count < 8)
                {
                    Interlocked.Increment(ref refused);
                }

                if (held.TryDequeue(out int back))
                {
                    Interlocked.Add(ref ordinary, forced ? 0 : -back);
                    Interlocked.Add(ref all, -back);
                    sum.Remove(back);
                }
            }
        });
        Assert.Equal(0, passed);
        Assert.True(refused > 0, "the ceilings were never met");
        Assert.Equal(0, sum.Value);
        Assert.False(sum.IsAbove(0));
    }

    [Fact]
    public void Pages_that_some_threads_buy_and_others_return_are_all_counted()
    {
        var memory = new ProtocolMemory(40_000, 42_000, 50_000);
        long owed = 0;
        bool returning = false;
        Together.Run(4, thread =>
        {
            var random = new Random(thread);
            for (int i = 0; i < 2_000_000; i++)
            {
                // Up and down between nothing and the limits; whoever returns pages need not have bought them.
                long seen = Volatile.Read(ref owed);
                returning = seen > 45_000 || (returning && seen > 500);
                int pages = random.Next(1, 60);
                if (!returning)
                {
                    memory.Add(pages);
                    Interlocked.Add(ref owed, pages);
                }
                else if (Interlocked.CompareExchange(ref owed, seen - pages, seen) == seen)
                {
                    memory.Remove(pages);
                }
            }
        });
        Assert.Equal(owed, memory.AllocatedPages);
        memory.Remove(owed);
        Assert.Equal(0, memory.AllocatedPages);
        Assert.False(memory.UnderPressure);
        Assert.True(memory.PressureEvents > 0, "the limits were never near");
    }
}
