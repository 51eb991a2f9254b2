namespace Penstock.Time;

/// <summary>Drives one worker on a named background thread of its own: what a stack without a device uses in real time.</summary>
internal sealed class ThreadDriver(string name) : Driver
{
    private const long NanosPerMillisecond = 1_000_000;
    private readonly TimestampClock _clock = new(TimeProvider.System);
    private readonly object _gate = new();
    private Worker? _worker;
    private Thread? _thread;
    private int _pending;
    private int _sleeping;
    private bool _stop;

    public override long NowNanos => _clock.NowNanos;

    public override void Start(Worker worker)
    {
        _worker = worker;
        _thread = new Thread(Loop) { IsBackground = true, Name = name };
        _thread.UnsafeStart();
    }

    public override void Wake(Worker worker)
    {
        // "Set pending, then look whether it sleeps" against "set sleeping, then look whether anything is pending": both need a full fence.
        Interlocked.Exchange(ref _pending, 1);
        if (Volatile.Read(ref _sleeping) != 0)
        {
            lock (_gate)
            {
                Monitor.Pulse(_gate);
            }
        }
    }

    public override void Stop(Worker worker)
    {
        lock (_gate)
        {
            _stop = true;
            Monitor.Pulse(_gate);
        }

        if (Thread.CurrentThread != _thread)
        {
            _thread!.Join();
        }
    }

    private void Loop()
    {
        Worker worker = _worker!;
        while (!Volatile.Read(ref _stop))
        {
            Interlocked.Exchange(ref _pending, 0);
            if (!worker.Run())
            {
                Sleep(worker);
            }
        }
    }

    private void Sleep(Worker worker)
    {
        lock (_gate)
        {
            Interlocked.Exchange(ref _sleeping, 1);
            if (Volatile.Read(ref _pending) == 0 && !_stop)
            {
                long deadline = worker.NextDeadlineNanos;
                long wait = deadline == long.MaxValue ? long.MaxValue : deadline - NowNanos;
                if (wait == long.MaxValue)
                {
                    Monitor.Wait(_gate);
                }
                else if (wait > 0)
                {
                    // Rounded up: waking early would only mean another round.
                    Monitor.Wait(_gate, (int)Math.Min((wait + NanosPerMillisecond - 1) / NanosPerMillisecond, 3_600_000));
                }
            }

            Volatile.Write(ref _sleeping, 0);
        }
    }
}
