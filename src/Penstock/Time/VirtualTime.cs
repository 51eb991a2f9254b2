namespace Penstock.Time;

/// <summary>
/// Virtual time: one clock and one event loop for any number of stacks. Nothing happens but inside <see cref="RunUntil(long)"/> and its
/// kin, on the calling thread; time jumps from event to event, so the same seed gives the same packets in the same order.
/// </summary>
internal sealed class VirtualTime : Driver
{
    private readonly List<Worker> _workers = [];
    private readonly Queue<(SendOrPostCallback Callback, object? State)> _posts = new();
    private readonly Queue<IThreadPoolWorkItem> _continuations = new();
    private readonly Context _context;
    private long _now;
    private int _runnerThread;
    private bool _running;

    /// <summary>Creates a clock that reads <paramref name="startNanos"/>.</summary>
    public VirtualTime(long startNanos = 1_000_000_000)
    {
        _now = startNanos;
        _context = new Context(this);
    }

    public override long NowNanos => _now;

    /// <summary>True while something can happen without time passing.</summary>
    public bool HasWork
    {
        get
        {
            if (_posts.Count > 0 || _continuations.Count > 0)
            {
                return true;
            }

            foreach (Worker worker in _workers)
            {
                if (worker.NextDeadlineNanos <= _now)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>The next moment at which anything happens, or <see cref="long.MaxValue"/> when nothing is planned.</summary>
    public long NextEventNanos
    {
        get
        {
            if (_posts.Count > 0 || _continuations.Count > 0)
            {
                return _now;
            }

            long next = long.MaxValue;
            foreach (Worker worker in _workers)
            {
                next = Math.Min(next, worker.NextDeadlineNanos);
            }

            return Math.Max(next, _now);
        }
    }

    public override void Start(Worker worker) => _workers.Add(worker);

    public override void Stop(Worker worker) => _workers.Remove(worker);

    public override void Wake(Worker worker)
    {
        // The loop looks at every worker; nothing to remember.
    }

    public override void Schedule(IThreadPoolWorkItem continuation) => _continuations.Enqueue(continuation);

    public override void AssertMayBlock(string asyncForm)
    {
        if (Environment.CurrentManagedThreadId == _runnerThread)
        {
            throw new InvalidOperationException(
                $"A blocking call on the thread that makes virtual time pass would never end. Use {asyncForm} instead.");
        }
    }

    /// <summary>Does everything that is due now, without letting time pass.</summary>
    public void RunReady()
    {
        bool outer = Enter();
        try
        {
            while (RunOnce())
            {
            }
        }
        finally
        {
            Exit(outer);
        }
    }

    /// <summary>Runs the workers only (packets and timers that are due), not the application's continuations: for the send loop's copy seam.</summary>
    public void RunStackReady()
    {
        bool outer = Enter();
        try
        {
            while (RunWorkers())
            {
            }
        }
        finally
        {
            Exit(outer);
        }
    }

    /// <summary>Lets time pass until <paramref name="nanos"/>, doing everything that falls due on the way.</summary>
    public void RunUntil(long nanos)
    {
        bool outer = Enter();
        try
        {
            while (true)
            {
                while (RunOnce())
                {
                }

                long next = NextEventNanos;
                if (next > nanos)
                {
                    break;
                }

                _now = next;
            }

            _now = Math.Max(_now, nanos);
        }
        finally
        {
            Exit(outer);
        }
    }

    public void RunFor(TimeSpan duration) => RunUntil(_now + (duration.Ticks * 100));

    /// <summary>
    /// Moves the clock by <paramref name="nanos"/> from inside a stack call (the copy seam): packets and timers that fall due run, and find the
    /// calling socket owned.
    /// </summary>
    public void Elapse(long nanos)
    {
        long end = _now + nanos;
        while (true)
        {
            RunStackReady();
            long next = long.MaxValue;
            foreach (Worker worker in _workers)
            {
                next = worker.IsRunning ? next : Math.Min(next, worker.NextDeadlineNanos);
            }

            if (next > end)
            {
                break;
            }

            _now = Math.Max(_now, next);
        }

        _now = Math.Max(_now, end);
    }

    /// <summary>
    /// Runs an asynchronous body to its end in virtual time: every await resumes here, in order. Throws <see cref="TimeoutException"/> when
    /// nothing is left to happen or <paramref name="limit"/> of virtual time has passed and the body has not ended.
    /// </summary>
    public void Run(Func<Task> body, TimeSpan limit)
    {
        long end = _now + (limit.Ticks * 100);
        SynchronizationContext? before = SynchronizationContext.Current;
        Task task;
        bool outer = Enter();
        try
        {
            SynchronizationContext.SetSynchronizationContext(_context);
            task = body();
            SynchronizationContext.SetSynchronizationContext(null);
            while (!task.IsCompleted)
            {
                if (RunOnce())
                {
                    continue;
                }

                long next = NextEventNanos;
                if (task.IsCompleted)
                {
                    break;
                }

                if (next == long.MaxValue || next > end)
                {
                    throw new TimeoutException(
                        next == long.MaxValue ? "The body waits, but nothing is left to happen in virtual time." : $"The body did not end within {limit} of virtual time.");
                }

                _now = next;
            }
        }
        finally
        {
            Exit(outer);
            SynchronizationContext.SetSynchronizationContext(before);
        }

        task.GetAwaiter().GetResult();
    }

    /// <summary>Begins an asynchronous body: it runs until its first wait now, and from there whenever time is made to pass.</summary>
    public Task Start(Func<Task> body)
    {
        SynchronizationContext? before = SynchronizationContext.Current;
        bool outer = Enter();
        try
        {
            SynchronizationContext.SetSynchronizationContext(_context);
            return body();
        }
        finally
        {
            Exit(outer);
            SynchronizationContext.SetSynchronizationContext(before);
        }
    }

    /// <summary>Completes after <paramref name="duration"/> of virtual time.</summary>
    public Task Delay(TimeSpan duration)
    {
        var sleeper = new Sleeper();
        Worker worker = _workers.Count > 0 ? _workers[0] : AddClockWorker();
        worker.Arm(sleeper, _now + (duration.Ticks * 100));
        return sleeper.Task;
    }

    private Worker AddClockWorker()
    {
        var worker = new Worker(this, -1);
        _workers.Add(worker);
        return worker;
    }

    private bool RunOnce()
    {
        if (RunWorkers())
        {
            return true;
        }

        if (_continuations.TryDequeue(out IThreadPoolWorkItem? continuation))
        {
            continuation.Execute();
            return true;
        }

        if (_posts.TryDequeue(out (SendOrPostCallback Callback, object? State) post))
        {
            SynchronizationContext.SetSynchronizationContext(_context);
            try
            {
                post.Callback(post.State);
            }
            finally
            {
                SynchronizationContext.SetSynchronizationContext(null);
            }

            return true;
        }

        return false;
    }

    private bool RunWorkers()
    {
        bool any = false;
        for (int i = 0; i < _workers.Count; i++)
        {
            Worker worker = _workers[i];
            if (!worker.IsRunning && worker.NextDeadlineNanos <= _now)
            {
                worker.Run();
                any = true;
            }
        }

        return any;
    }

    private bool Enter()
    {
        bool outer = !_running;
        _running = true;
        _runnerThread = Environment.CurrentManagedThreadId;
        return outer;
    }

    private void Exit(bool outer)
    {
        if (outer)
        {
            _running = false;
            _runnerThread = 0;
        }
    }

    private sealed class Context(VirtualTime time) : SynchronizationContext
    {
        public override void Post(SendOrPostCallback d, object? state) => time._posts.Enqueue((d, state));

        public override void Send(SendOrPostCallback d, object? state) => d(state);

        public override SynchronizationContext CreateCopy() => this;
    }

    private sealed class Sleeper : TimerEntry
    {
        private readonly TaskCompletionSource _done = new();

        public Task Task => _done.Task;

        public override void OnTimer(long nowNanos) => _done.SetResult();
    }
}
