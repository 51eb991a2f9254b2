using Penstock.Ip;
using Penstock.Tests.Threads;
using Penstock.Wire;

namespace Penstock.Tests.Ip;

/// <summary>The table in which every packet's connection is found without a lock, while others change it.</summary>
public class FlowTableTests
{
    [Fact]
    public void What_stays_is_found_at_every_moment_while_its_chains_change_and_the_table_grows()
    {
        const int Stable = 200, Passing = 6000;
        for (int round = 0; round < 4; round++)
        {
            var table = new FlowTable(new SipHash((ulong)round, 7));
            for (int i = 0; i < Stable; i++)
            {
                Assert.True(table.TryAdd(new Entry(i), out _));
            }

            int changing = 3;
            Together.Run(5, thread =>
            {
                var random = new Random(thread);
                if (thread < 3)
                {
                    int first = Stable + (thread * Passing);
                    var entries = new Entry[Passing];
                    for (int i = 0; i < Passing; i++)
                    {
                        entries[i] = new Entry(first + i);
                        Assert.True(table.TryAdd(entries[i], out _));

                        // One of those before goes, or has its place taken, in the middle of a chain.
                        int other = random.Next(i + 1);
                        var next = new Entry(first + other);
                        bool filed = entries[other].IsFiled;
                        Assert.Equal(filed, random.Next(2) == 0 ? table.Remove(entries[other]) : table.TryReplace(entries[other], next));
                        entries[other] = next.IsFiled ? next : entries[other];
                    }

                    foreach (Entry entry in entries)
                    {
                        table.Remove(entry);
                    }

                    Interlocked.Decrement(ref changing);
                    return;
                }

                while (Volatile.Read(ref changing) > 0)
                {
                    int at = random.Next(Stable);
                    Assert.Equal(at, Assert.IsType<Entry>(table.Find(Entry.KeyOf(at))).Number);
                    int maybe = Stable + random.Next(3 * Passing);
                    if (table.Find(Entry.KeyOf(maybe)) is Entry found)
                    {
                        Assert.Equal(maybe, found.Number);
                    }
                }
            });
            Assert.Equal(Stable, table.Count);
            Assert.Equal(Stable, table.Snapshot().Count);
        }
    }

    [Fact]
    public void What_was_found_last_is_found_again_only_while_it_is_there_and_has_the_key()
    {
        var table = new FlowTable(new SipHash(1, 2));
        var one = new Entry(1);
        var two = new Entry(2);
        Assert.True(table.TryAdd(one, out _));
        Assert.True(table.TryAdd(two, out _));
        FlowEntry? recent = null;
        Assert.Same(one, table.Find(Entry.KeyOf(1), ref recent));
        Assert.Same(one, recent);
        Assert.Same(one, table.Find(Entry.KeyOf(1), ref recent));
        Assert.Same(two, table.Find(Entry.KeyOf(2), ref recent));
        Assert.Null(table.Find(Entry.KeyOf(3), ref recent));
        Assert.Null(recent);

        Assert.Same(one, table.Find(Entry.KeyOf(1), ref recent));
        var next = new Entry(1);
        Assert.True(table.TryReplace(one, next));
        Assert.Same(next, table.Find(Entry.KeyOf(1), ref recent));
        Assert.True(table.Remove(next));
        Assert.Null(table.Find(Entry.KeyOf(1), ref recent));
        Assert.Null(recent);
    }

    [Fact]
    public void A_key_whose_entry_is_replaced_all_the_time_is_never_missing()
    {
        var table = new FlowTable(new SipHash(1, 2));
        var entry = new Entry(5);
        Assert.True(table.TryAdd(entry, out _));
        bool over = false;
        Together.Run(3, thread =>
        {
            if (thread == 0)
            {
                for (int i = 0; i < 300_000; i++)
                {
                    var next = new Entry(5);
                    Assert.True(table.TryReplace(entry, next));
                    entry = next;
                }

                Volatile.Write(ref over, true);
                return;
            }

            while (!Volatile.Read(ref over))
            {
                Assert.NotNull(table.Find(Entry.KeyOf(5)));
            }
        });
    }

    private sealed class Entry : FlowEntry
    {
        public Entry(int number)
        {
            Number = number;
            Key = KeyOf(number);
        }

        public int Number { get; }

        public static FlowKey KeyOf(int number) =>
            new(IpAddress.FromIPv4(0x0A00_0001), 80, IpAddress.FromIPv4(0x0A00_0000u + (uint)(number >> 8)), (ushort)(number & 255));
    }
}
