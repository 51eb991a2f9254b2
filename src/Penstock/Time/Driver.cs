namespace Penstock.Time;

/// <summary>
/// Who drives a stack's workers (the seam between the stack and time): supplies now, calls <see cref="Worker.Run"/> soon after
/// <see cref="Wake"/> and when the worker's next deadline comes, and runs the application's continuations. There are drivers
/// over a thread, a device that is waited on, a <see cref="TimeProvider"/>'s timer, and virtual time.
/// </summary>
internal abstract class Driver
{
    private long _roundNanos;

    /// <summary>Monotonic time in nanoseconds; starts anywhere.</summary>
    public abstract long NowNanos { get; }

    /// <summary>The clock costs nothing to read, and time passes only where the driver says so.</summary>
    public virtual bool IsVirtual => false;

    /// <summary>
    /// The time that was read last in the batch that a worker of this driver is running: when it began, or when the thread that runs it has since read the clock for a socket; 0 while none runs. The worker's to set.
    /// </summary>
    public long RoundNanos
    {
        get => Volatile.Read(ref _roundNanos);
        set => Volatile.Write(ref _roundNanos, value);
    }

    /// <summary>
    /// Work was posted to <paramref name="worker"/>, or its earliest deadline moved closer. Called from any thread, also from the worker's own;
    /// must not run the worker before it returns.
    /// </summary>
    public abstract void Wake(Worker worker);

    /// <summary>Begins to drive a worker.</summary>
    public abstract void Start(Worker worker);

    /// <summary>Stops driving; when it returns the worker does not run and will not run again.</summary>
    public abstract void Stop(Worker worker);

    /// <summary>Runs a continuation of the application, away from the stack's own call chain.</summary>
    public virtual void Schedule(IThreadPoolWorkItem continuation) =>
        ThreadPool.UnsafeQueueUserWorkItem(continuation, preferLocal: false);

    /// <summary>Throws when the calling thread must not block because it is the one that makes time pass.</summary>
    public virtual void AssertMayBlock(string asyncForm)
    {
    }
}
