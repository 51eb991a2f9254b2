using CsCheck;
using Penstock.Buffers;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests;

public class SequenceQueueTests
{
    [Fact]
    public void Finds_what_a_sorted_list_finds_through_any_inserts_and_removals()
    {
        Gen.Select(Gen.UInt, Gen.Int[0, 199].Array[1, 400]).Sample((start, steps) =>
        {
            var pool = new PacketPool(1 << 24);
            var queue = new SequenceQueue();
            var model = new SortedDictionary<int, PacketBuffer>();
            foreach (int step in steps)
            {
                if (model.Remove(step, out PacketBuffer? known))
                {
                    queue.Remove(known);
                    known.Free();
                }
                else
                {
                    PacketBuffer buffer = pool.RentBuffer()!;
                    buffer.Sequence = new SequenceNumber(start) + (step * 10);
                    buffer.EndSequence = buffer.Sequence + 5;
                    queue.Insert(buffer);
                    model[step] = buffer;
                }

                Assert.Null(queue.Verify());
                Assert.Equal(model.Count, queue.Count);
                SequenceNumber probe = new SequenceNumber(start) + ((step * 10) + 7);
                PacketBuffer? expected = model.Where(p => p.Key > step).Select(p => p.Value).FirstOrDefault();
                Assert.Same(expected, queue.FindEndingAfter(probe));
            }

            while (queue.First is { } first)
            {
                queue.Remove(first);
                first.Free();
            }

            Assert.Equal(0, pool.RentedBuffers);
        }, iter: 200);
    }
}
