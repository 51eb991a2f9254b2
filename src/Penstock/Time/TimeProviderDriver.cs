namespace Penstock.Time;

/// <summary>
/// Drives a worker with one timer of a <see cref="TimeProvider"/> that is set to the next deadline; posted work runs on the thread pool.
/// For stacks that live on an application's own or a test's fake time.
/// </summary>
internal sealed class TimeProviderDriver(TimeProvider provider) : Driver, IThreadPoolWorkItem
{
    private readonly TimestampClock _clock = new(provider);
    private readonly object _running = new();
    private Worker? _worker;
    private ITimer? _timer;
    private int _queued;
    private bool _stopped;

    public override long NowNanos => _clock.NowNanos;

    public override void Start(Worker worker)
    {
        _worker = worker;
        _timer = provider.CreateTimer(static state => ((TimeProviderDriver)state!).RunWorker(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public override void Wake(Worker worker)
    {
        if (Interlocked.Exchange(ref _queued, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    public override void Stop(Worker worker)
    {
        lock (_running)
        {
            _stopped = true;
        }

        _timer?.Dispose();
    }

    public void Execute()
    {
        Interlocked.Exchange(ref _queued, 0);
        RunWorker();
    }

    private void RunWorker()
    {
        lock (_running)
        {
            if (_stopped)
            {
                return;
            }

            while (_worker!.Run())
            {
            }

            long deadline = _worker.NextDeadlineNanos;
            if (deadline != long.MaxValue)
            {
                // TimeSpan counts 100 ns: round up so that the deadline has passed when the timer fires. What was posted just now counts as due at the beginning of time.
                long now = NowNanos;
                long wait = deadline > now ? deadline - now : 0;
                _timer!.Change(TimeSpan.FromTicks((wait + 99) / 100), Timeout.InfiniteTimeSpan);
            }
        }
    }
}
