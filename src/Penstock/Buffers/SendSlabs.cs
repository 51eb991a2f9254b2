namespace Penstock.Buffers;

/// <summary>
/// Slabs that sends are filling (Linux: the page fragment of a task). Several packets, also of several sockets, share one slab. A sender takes a slab for the length of a copy and puts it
/// back; there are as many places as processors, so senders seldom meet and the memory is bounded.
/// </summary>
internal sealed class SendSlabs(PacketPool pool)
{
    private bool _closed;
    private readonly Slab?[] _places = new Slab?[Math.Max(2, Environment.ProcessorCount)];

    /// <summary>
    /// A slab with free room behind <see cref="Slab.Used"/>, held by the caller; null when the pool is at its limit. When memory is tight a new one is no larger than <paramref name="wanted"/> bytes need, so
    /// that a few bytes nobody acknowledges do not pin 32 KiB.
    /// </summary>
    public Slab? Take(bool forced, long wanted)
    {
        int start = Thread.GetCurrentProcessorId();
        for (int i = 0; i < _places.Length; i++)
        {
            ref Slab? place = ref _places[(start + i) % _places.Length];
            if (Volatile.Read(ref place) is not null && Interlocked.Exchange(ref place, null) is { } slab)
            {
                return slab;
            }
        }

        int size = !pool.IsTight ? PacketPool.SendSlab
            : wanted <= PacketPool.TinySlab ? PacketPool.TinySlab
            : wanted < PacketPool.MediumSlab ? PacketPool.SmallSlab
            : PacketPool.MediumSlab;
        Slab? fresh = pool.RentQueueSlab(size);
        if (fresh is null && forced)
        {
            // Enough for the guaranteed minimum in two steps.
            fresh = pool.RentSlab(Math.Min(size, PacketPool.SmallSlab), forced: true);
        }

        if (fresh is not null)
        {
            fresh.Used = 0;
        }

        return fresh;
    }

    /// <summary>Puts a slab back, or lets it go when it is full or no place is free.</summary>
    public void Put(Slab slab)
    {
        if (slab.Used < slab.Size && !Volatile.Read(ref _closed))
        {
            int start = Thread.GetCurrentProcessorId();
            for (int i = 0; i < _places.Length; i++)
            {
                ref Slab? place = ref _places[(start + i) % _places.Length];
                if (Interlocked.CompareExchange(ref place, slab, null) is null)
                {
                    if (Volatile.Read(ref _closed))
                    {
                        // Closed in between: whoever takes it out again lets it go.
                        Interlocked.Exchange(ref place, null)?.Release();
                    }

                    return;
                }
            }
        }

        slab.Release();
    }

    /// <summary>Lets go of everything; what senders still hold goes when they put it back.</summary>
    public void Close()
    {
        Volatile.Write(ref _closed, true);
        for (int i = 0; i < _places.Length; i++)
        {
            Interlocked.Exchange(ref _places[i], null)?.Release();
        }
    }
}
