using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Ip;

/// <summary>
/// Finds entries by 4-tuple. The hash is keyed, so that a peer cannot fill one bucket. Each bucket has a short gate of its own; nothing else is done under
/// it, and to find takes none. Grows, never shrinks.
/// </summary>
internal sealed class FlowTable(SipHash hash)
{
    private const int FirstSize = 256;
    private readonly object _growing = new();
    private Bucket[] _buckets = new Bucket[FirstSize];
    private int _count;

    public int Count => Volatile.Read(ref _count);

    public uint HashOf(in FlowKey key)
    {
        ulong ports = ((ulong)key.LocalPort << 16) | key.RemotePort;
        return key.Local.IsIPv4 && key.Remote.IsIPv4
            ? (uint)hash.ForTable(((ulong)key.Local.IPv4Value << 32) | key.Remote.IPv4Value, ports)
            : (uint)hash.Of(key.Local.High, key.Local.Low, key.Remote.High, key.Remote.Low, ports);
    }

    public FlowEntry? Find(in FlowKey key)
    {
        uint h = HashOf(key);
        Bucket[] buckets = Volatile.Read(ref _buckets);
        ref Bucket bucket = ref buckets[h & (uint)(buckets.Length - 1)];
        int version = Volatile.Read(ref bucket.Version);
        FlowEntry? entry = Walk(bucket.First, h, key);

        // Whoever changes a chain counts before and after, and so does the table when it grows: what was seen in between may be torn.
        Volatile.ReadBarrier();
        if ((version & 1) == 0 && Volatile.Read(ref bucket.Version) == version)
        {
            return entry;
        }

        bucket = ref Enter(h);
        entry = Walk(bucket.First, h, key);
        Leave(ref bucket);
        return entry;
    }

    /// <summary>
    /// As <see cref="Find(in FlowKey)"/>; <paramref name="recent"/> is what was found last, and is found again without a look at the table: segments of one flow come in runs. As with any find, the entry may be
    /// taken out at this very moment.
    /// </summary>
    public FlowEntry? Find(in FlowKey key, ref FlowEntry? recent)
    {
        if (recent is { } last)
        {
            if (Volatile.Read(ref last.IsFiled) && last.Key.Equals(key))
            {
                return last;
            }

            // Not kept alive for nothing.
            recent = null;
        }

        return recent = Find(key);
    }

    private static FlowEntry? Walk(FlowEntry? entry, uint hash, in FlowKey key)
    {
        while (entry is not null && !(entry.KeyHash == hash && entry.Key.Equals(key)))
        {
            entry = entry.NextInBucket;
        }

        return entry;
    }

    /// <summary>Files an entry unless its key is taken; <paramref name="existing"/> is then who has it.</summary>
    public bool TryAdd(FlowEntry entry, out FlowEntry? existing)
    {
        uint h = entry.KeyHash = HashOf(entry.Key);
        ref Bucket bucket = ref Enter(h);
        existing = Walk(bucket.First, h, entry.Key);
        if (existing is null)
        {
            entry.NextInBucket = bucket.First;
            entry.IsFiled = true;
            bucket.First = entry;
        }

        Leave(ref bucket);
        if (existing is not null)
        {
            return false;
        }

        if (Interlocked.Increment(ref _count) > _buckets.Length * 2)
        {
            Grow();
        }

        return true;
    }

    /// <summary>Puts <paramref name="next"/> in the place of <paramref name="old"/>, which has the same key, in one step. False when the old one is gone.</summary>
    public bool TryReplace(FlowEntry old, FlowEntry next)
    {
        next.KeyHash = old.KeyHash;
        ref Bucket bucket = ref Enter(old.KeyHash);
        bool found = old.IsFiled;
        if (found)
        {
            ref FlowEntry? link = ref bucket.First;
            while (link != old)
            {
                link = ref link!.NextInBucket;
            }

            next.NextInBucket = old.NextInBucket;
            next.IsFiled = true;
            link = next;
            old.NextInBucket = null;
            old.IsFiled = false;
        }

        Leave(ref bucket);
        return found;
    }

    /// <summary>Takes an entry out; false when it was not filed any more.</summary>
    public bool Remove(FlowEntry entry)
    {
        ref Bucket bucket = ref Enter(entry.KeyHash);
        bool found = entry.IsFiled;
        if (found)
        {
            ref FlowEntry? link = ref bucket.First;
            while (link != entry)
            {
                link = ref link!.NextInBucket;
            }

            link = entry.NextInBucket;
            entry.NextInBucket = null;
            entry.IsFiled = false;
        }

        Leave(ref bucket);
        if (found)
        {
            Interlocked.Decrement(ref _count);
        }

        return found;
    }

    /// <summary>All entries at some moment, bucket by bucket: for snapshots and shutdown, not for the packet path.</summary>
    public List<FlowEntry> Snapshot()
    {
        var all = new List<FlowEntry>(Count);
        lock (_growing)
        {
            for (int i = 0; i < _buckets.Length; i++)
            {
                ref Bucket bucket = ref _buckets[i];
                bucket.Gate.Enter();
                for (FlowEntry? entry = bucket.First; entry is not null; entry = entry.NextInBucket)
                {
                    all.Add(entry);
                }

                bucket.Gate.Exit();
            }
        }

        return all;
    }

    private ref Bucket Enter(uint h)
    {
        while (true)
        {
            Bucket[] buckets = Volatile.Read(ref _buckets);
            ref Bucket bucket = ref buckets[h & (uint)(buckets.Length - 1)];
            bucket.Gate.Enter();
            if (buckets == Volatile.Read(ref _buckets))
            {
                bucket.Version++;
                Volatile.WriteBarrier();
                return ref bucket;
            }

            bucket.Gate.Exit();
        }
    }

    private static void Leave(ref Bucket bucket)
    {
        Volatile.Write(ref bucket.Version, bucket.Version + 1);
        bucket.Gate.Exit();
    }

    private void Grow()
    {
        lock (_growing)
        {
            Bucket[] old = _buckets;
            if (_count <= old.Length * 2)
            {
                return;
            }

            var next = new Bucket[old.Length * 4];
            for (int i = 0; i < old.Length; i++)
            {
                old[i].Gate.Enter();

                // Left odd: nobody believes what is seen of an old chain.
                old[i].Version++;
                Volatile.WriteBarrier();
            }

            for (int i = 0; i < old.Length; i++)
            {
                FlowEntry? entry = old[i].First;
                while (entry is not null)
                {
                    FlowEntry? after = entry.NextInBucket;
                    ref Bucket bucket = ref next[entry.KeyHash & (uint)(next.Length - 1)];
                    entry.NextInBucket = bucket.First;
                    bucket.First = entry;
                    entry = after;
                }
            }

            Volatile.Write(ref _buckets, next);
            for (int i = 0; i < old.Length; i++)
            {
                old[i].Gate.Exit();
            }
        }
    }

    private struct Bucket
    {
        public SpinGate Gate;

        /// <summary>Odd while the chain is changed, for readers without the gate.</summary>
        public int Version;
        public FlowEntry? First;
    }
}
