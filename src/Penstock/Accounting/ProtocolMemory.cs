namespace Penstock.Accounting;

/// <summary>
/// The soft limit that all TCP sockets of a stack share (Linux: <c>tcp_mem</c> and <c>tcp_memory_allocated</c>), in pages
/// of 4096 bytes. Thread-safe. It decides who is granted memory; it never holds memory itself.
/// </summary>
internal sealed class ProtocolMemory
{
    public const int PageShift = 12;
    public const int PageSize = 1 << PageShift;

    private long _allocated;
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
    public long AllocatedPages => Interlocked.Read(ref _allocated);

    public bool UnderPressure => Volatile.Read(ref _underPressure) != 0;

    /// <summary>How often pressure was entered (Linux: <c>TCPMemoryPressures</c>).</summary>
    public long PressureEvents => Interlocked.Read(ref _pressureEvents);

    public int Sockets => Volatile.Read(ref _sockets);

    public long LowPages => Interlocked.Read(ref _low);

    public long PressurePages => Interlocked.Read(ref _pressure);

    public long HighPages => Interlocked.Read(ref _high);

    public void SetLimits(long low, long pressure, long high)
    {
        Interlocked.Exchange(ref _low, low);
        Interlocked.Exchange(ref _pressure, pressure);
        Interlocked.Exchange(ref _high, high);
    }

    public void AddSocket() => Interlocked.Increment(ref _sockets);

    public void RemoveSocket() => Interlocked.Decrement(ref _sockets);

    /// <summary>Adds pages to the common count and says what the limits make of the sum.</summary>
    public MemoryVerdict Add(long pages)
    {
        long now = Interlocked.Add(ref _allocated, pages);
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
        long now = Interlocked.Add(ref _allocated, -pages);
        if (UnderPressure && now < LowPages)
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

    private void LeavePressure() => Volatile.Write(ref _underPressure, 0);
}

/// <summary>What adding pages to <see cref="ProtocolMemory"/> led to.</summary>
internal enum MemoryVerdict
{
    Granted,
    UnderPressure,
    AboveHigh,
}
