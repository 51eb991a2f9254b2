using System.Runtime.CompilerServices;

namespace Penstock.Time;

/// <summary>
/// Drives workers on a named background thread of its own: what a stack without a device uses in real time. Several stacks may have the same driver; they then take
/// turns on the one thread, and nothing that passes between them waits for another thread to wake.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "Somebody may still wake a driver that has stopped; the event goes with the last reference.")]
internal sealed class ThreadDriver(string name) : Driver
{
    /// <summary>Rounds of looking for work before the thread sleeps; at every fourth it offers its processor to others.</summary>
    private const int LeastPatience = 8;
    private const int MostPatience = 64;
    private const int RoundsUntilYield = 4;
    private const long LongestAwayNanos = Nanos.PerMillisecond;
    private const long SleepsForNanos = 20 * Nanos.PerMillisecond;

    private readonly TimestampClock _clock = new(TimeProvider.System);
    private readonly object _gate = new();
    private readonly AutoResetEvent _wake = new(false);

    // Replaced, never changed: the loop goes through the one that it has taken.
    private Worker[] _workers = [];
    private Worker[] _taken = [];
    private Thread? _thread;
    private int _patience = LeastPatience;
    private long _sleepsUntilNanos;
    private int _pending;
    private int _sleeping;

    public override long NowNanos => _clock.NowNanos;

    public override void Start(Worker worker)
    {
        lock (_gate)
        {
            Volatile.Write(ref _workers, [.. _workers, worker]);
            if (_thread is null)
            {
                _thread = new Thread(Loop) { IsBackground = true, Name = name };
                _thread.UnsafeStart();
            }
        }

        Wake(worker);
    }

    public override void Wake(Worker worker)
    {
        // "Set pending, then look whether it sleeps" against "set sleeping, then look whether anything is pending": both need a full fence. Of all that find it asleep, one wakes it.
        Interlocked.Exchange(ref _pending, 1);
        if (Volatile.Read(ref _sleeping) != 0 && Interlocked.Exchange(ref _sleeping, 0) != 0)
        {
            _wake.Set();
        }
    }

    public override void Stop(Worker worker)
    {
        lock (_gate)
        {
            Volatile.Write(ref _workers, Array.FindAll(_workers, other => other != worker));
            Wake(worker);
            while (Thread.CurrentThread != _thread && Array.IndexOf(_taken, worker) >= 0)
            {
                Monitor.Wait(_gate);
            }
        }
    }

    private void Loop()
    {
        Worker[] workers = [];
        while (true)
        {
            if (Volatile.Read(ref _workers) != workers)
            {
                if (Take() is not { } taken)
                {
                    return;
                }

                workers = taken;
            }

            if (!RunRound(workers) && !WaitForWork())
            {
                Sleep(workers);
            }
        }
    }

    /// <summary>Runs each worker once; true when there is more to do. A method of its own, which the runtime compiles anew when it has become hot: what stays in an endless loop is compiled while it runs, and is slower.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool RunRound(Worker[] workers)
    {
        // Plain: a wake that this hides has left work behind it, which is looked for before the sleep.
        Volatile.Write(ref _pending, 0);
        foreach (Worker worker in workers)
        {
            if (Volatile.Read(ref _workers) != workers)
            {
                // One may have been stopped, by what just ran for one.
                return true;
            }

            worker.Run();
        }

        // After all of them: they post to each other.
        foreach (Worker worker in workers)
        {
            if (worker.HasReady)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Looks for work a little longer before it sleeps: to put a thread to sleep and to wake it costs as much as several connections. Others get the processor meanwhile. How long it looks follows
    /// what came of it: it doubles when there was work, and halves when there was none. When others have kept the processor for long they need it, and who sleeps gets it back sooner: no more looking for a while.
    /// </summary>
    private bool WaitForWork()
    {
        if (Volatile.Read(ref _pending) != 0)
        {
            return true;
        }

        long began = NowNanos;
        if (began < _sleepsUntilNanos)
        {
            return false;
        }

        for (int round = 1; Volatile.Read(ref _pending) == 0; round++)
        {
            if (round > _patience)
            {
                _patience = Math.Max(LeastPatience, _patience / 2);
                return false;
            }

            if (round % RoundsUntilYield != 0)
            {
                Thread.SpinWait(8);
                continue;
            }

            Thread.Yield();
            long now = NowNanos;
            if (now - began > LongestAwayNanos)
            {
                _sleepsUntilNanos = now + SleepsForNanos;
                break;
            }
        }

        _patience = Math.Min(MostPatience, _patience * 2);
        return Volatile.Read(ref _pending) != 0;
    }

    /// <summary>From here on others are driven, which <see cref="Stop"/> waits for; null when none is left, and the thread ends.</summary>
    private Worker[]? Take()
    {
        lock (_gate)
        {
            Worker[] workers = _workers;
            Array.ForEach(_taken, static worker => worker.Thread = 0);
            Array.ForEach(workers, static worker => worker.Thread = Environment.CurrentManagedThreadId);
            _taken = workers;
            Monitor.PulseAll(_gate);
            if (workers.Length == 0)
            {
                _thread = null;
                return null;
            }

            return workers;
        }
    }

    private void Sleep(Worker[] workers)
    {
        Interlocked.Exchange(ref _sleeping, 1);
        if (Volatile.Read(ref _pending) == 0 && Volatile.Read(ref _workers) == workers)
        {
            long deadline = long.MaxValue;
            foreach (Worker worker in workers)
            {
                deadline = Math.Min(deadline, worker.NextDeadlineNanos);
            }

            long now = deadline == long.MaxValue ? 0 : NowNanos;
            if (deadline > now)
            {
                // Rounded up: waking early would only mean another round, and so does an hour.
                _wake.WaitOne((int)Math.Min((deadline - now - 1) / Nanos.PerMillisecond, 3_600_000 - 1) + 1);
            }
        }

        // A wake that comes too late for this sleep cuts the next one short; the round that follows finds nothing.
        Volatile.Write(ref _sleeping, 0);
    }
}
