using System.Runtime.CompilerServices;
using Penstock.Buffers;

namespace Penstock.Accounting;

/// <summary>
/// The soft limit that all TCP sockets of a stack share (Linux: <c>tcp_mem</c> and <c>tcp_memory_allocated</c>), in pages
/// of 4096 bytes. Thread-safe. It decides who is granted memory; it never holds memory itself.
/// </summary>
internal sealed class ProtocolMemory
{
    public const int PageShift = 12;
    public const int PageSize = 1 << PageShift;

    /// <summary>Threads that may keep a part of the sum to themselves, and how many pages that is at most.</summary>
    private const int MostParts = 128;
    private const int MostPages = 32;

    private readonly Part?[] _parts = new Part?[MostParts];
    private long _allocated;
    private bool _hasParts;
    private int _underPressure;
    private int _sockets;
    private long _pressureEvents;
    private long _low;
    private long _pressure;
    private long _high;

    public ProtocolMemory(long low, long pressure, long high) => SetLimits(low, pressure, high);

    /// <summary>Called each time that pressure is entered, by whoever asked for memory.</summary>
    public Action? PressureEntered { get; init; }

    /// <summary>Pages bought by sockets now.</summary>
    public long AllocatedPages
    {
        get
        {
            long sum = Volatile.Read(ref _allocated);
            if (Volatile.Read(ref _hasParts))
            {
                foreach (Part? part in _parts)
                {
                    sum += part is null ? 0 : Volatile.Read(ref part.Pages);
                }
            }

            return sum;
        }
    }

    public bool UnderPressure => Volatile.Read(ref _underPressure) != 0;

    /// <summary>How often pressure was entered (Linux: <c>TCPMemoryPressures</c>).</summary>
    public long PressureEvents => Volatile.Read(ref _pressureEvents);

    public int Sockets => Volatile.Read(ref _sockets);

    public long LowPages => Volatile.Read(ref _low);

    public long PressurePages => Volatile.Read(ref _pressure);

    public long HighPages => Volatile.Read(ref _high);

    public void SetLimits(long low, long pressure, long high)
    {
        Interlocked.Exchange(ref _low, low);
        Interlocked.Exchange(ref _pressure, pressure);
        Interlocked.Exchange(ref _high, high);
    }

    public void AddSocket() => Interlocked.Increment(ref _sockets);

    public void RemoveSocket() => Interlocked.Decrement(ref _sockets);

    /// <summary>Adds pages to the common count and says what the limits make of the sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public MemoryVerdict Add(long pages)
    {
        if (PartOfThread() is { } part)
        {
            Count(part, pages);
            return MemoryVerdict.Granted;
        }

        return AddToAll(pages);
    }

    private MemoryVerdict AddToAll(long pages)
    {
        Interlocked.Add(ref _allocated, pages);
        long now = AllocatedPages;
        if (now <= LowPages)
        {
            LeavePressure();
            return MemoryVerdict.Granted;
        }

        if (now > PressurePages)
        {
            EnterPressure();
        }

        return now > HighPages ? MemoryVerdict.AboveHigh : UnderPressure ? MemoryVerdict.UnderPressure : MemoryVerdict.Granted;
    }

    public void Remove(long pages)
    {
        if (PartOfThread() is { } part)
        {
            Count(part, -pages);
            return;
        }

        Interlocked.Add(ref _allocated, -pages);
        if (UnderPressure && AllocatedPages < LowPages)
        {
            LeavePressure();
        }
    }

    /// <summary>Enters pressure from outside the page count, as the hard pool limit does when it refuses.</summary>
    public void EnterPressure()
    {
        if (Interlocked.Exchange(ref _underPressure, 1) == 0)
        {
            Interlocked.Increment(ref _pressureEvents);
            PressureEntered?.Invoke();
        }
    }

    /// <summary>
    /// The calling thread's own part of the sum while the limits are far away, so that the common count moves only now and then (Linux: <c>SK_MEMORY_PCPU_RESERVE</c>); null near them, where it has to be
    /// right. A thread is known by its managed id, which no other living thread has.
    /// </summary>
    private Part? PartOfThread()
    {
        int thread = CurrentThread.Id;
        if ((uint)thread >= MostParts || Volatile.Read(ref _allocated) > Volatile.Read(ref _low) - (2 * MostParts * MostPages) || UnderPressure)
        {
            return null;
        }

        return _parts[thread] ?? Begin(thread);
    }

    private Part Begin(int thread)
    {
        Volatile.Write(ref _hasParts, true);
        return _parts[thread] = new Part();
    }

    private void Count(Part part, long pages)
    {
        long mine = part.Pages + pages;
        if (mine is > MostPages or < -MostPages)
        {
            Interlocked.Add(ref _allocated, mine);
            mine = 0;
        }

        Volatile.Write(ref part.Pages, mine);
    }

    private void LeavePressure()
    {
        if (UnderPressure)
        {
            Volatile.Write(ref _underPressure, 0);
        }
    }

    /// <summary>Larger than a line of memory, so that two threads' parts do not share one.</summary>
    private sealed class Part
    {
        public long Pages;
        private Padding _padding;

        [InlineArray(14)]
        private struct Padding
        {
            private long _first;
        }
    }
}

/// <summary>What adding pages to <see cref="ProtocolMemory"/> led to.</summary>
internal enum MemoryVerdict
{
    Granted,
    UnderPressure,
    AboveHigh,
}
