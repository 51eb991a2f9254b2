namespace Penstock.Tcp.Pacing;

/// <summary>What a connection with something to send is waiting for. The higher ones are the better reason and win over the lower.</summary>
internal enum SendLimit : byte
{
    /// <summary>Nothing is queued.</summary>
    None,

    /// <summary>Something is queued or in flight; the network, or nothing, sets the pace.</summary>
    Busy,

    /// <summary>The peer's window.</summary>
    ReceiveWindow,

    /// <summary>The send buffer, which the application would fill if it were larger.</summary>
    SendBuffer,
}

/// <summary>
/// How long a connection was busy, and for how much of that it was held back by the peer's window or its own send buffer (Linux: <c>tcp_chrono</c>; tcpi_busy_time, tcpi_rwnd_limited,
/// tcpi_sndbuf_limited). One clock runs at a time, and switching from one to another costs a subtraction. The owner's.
/// </summary>
internal struct Chronograph
{
    private long _busyNanos, _windowNanos, _bufferNanos;
    private long _sinceNanos;

    /// <summary>The clock that runs.</summary>
    public SendLimit Running { get; private set; }

    /// <summary>A reason begins to hold; it counts unless a better one does.</summary>
    public void Start(SendLimit limit, long now)
    {
        if (limit > Running)
        {
            Switch(limit, now);
        }
    }

    /// <summary>A reason holds no longer. What was waited for is then the network, or nothing at all when <paramref name="idle"/>.</summary>
    public void Stop(SendLimit limit, bool idle, long now)
    {
        if (idle)
        {
            Switch(SendLimit.None, now);
        }
        else if (limit == Running)
        {
            Switch(SendLimit.Busy, now);
        }
    }

    /// <summary>Time spent so far for this reason, what runs now included.</summary>
    public readonly long Spent(SendLimit limit, long now)
    {
        long past = limit switch
        {
            SendLimit.Busy => _busyNanos,
            SendLimit.ReceiveWindow => _windowNanos,
            SendLimit.SendBuffer => _bufferNanos,
            _ => 0,
        };
        return limit == Running && limit != SendLimit.None ? past + Math.Max(0, now - _sinceNanos) : past;
    }

    /// <summary>Time spent with something to send, for whatever reason it was not done yet.</summary>
    public readonly long SpentBusy(long now) =>
        Spent(SendLimit.Busy, now) + Spent(SendLimit.ReceiveWindow, now) + Spent(SendLimit.SendBuffer, now);

    private void Switch(SendLimit next, long now)
    {
        if (next == Running)
        {
            return;
        }

        switch (Running)
        {
            case SendLimit.Busy:
                _busyNanos += now - _sinceNanos;
                break;
            case SendLimit.ReceiveWindow:
                _windowNanos += now - _sinceNanos;
                break;
            case SendLimit.SendBuffer:
                _bufferNanos += now - _sinceNanos;
                break;
        }

        Running = next;
        _sinceNanos = now;
    }
}
