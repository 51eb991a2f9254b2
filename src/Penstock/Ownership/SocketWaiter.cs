using System.Threading.Tasks.Sources;
using Penstock.Time;

namespace Penstock.Ownership;

/// <summary>A subscription to a socket's events, fired at most once. Registered while owning the socket, so that no event can slip by.</summary>
internal abstract class SocketWaiter
{
    internal SocketWaiter? NextWaiter;
    internal SocketEvents Interest;
    internal bool IsRegistered;

    /// <summary>Called outside of every lock, after the socket was released.</summary>
    public abstract void Fire(SocketEvents events);
}

/// <summary>Waits on its own thread, with a deadline.</summary>
internal sealed class BlockingSocketWaiter : SocketWaiter
{
    private readonly object _gate = new();
    private bool _fired;

    public override void Fire(SocketEvents events)
    {
        lock (_gate)
        {
            _fired = true;
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Waits; false when <paramref name="milliseconds"/> passed first.</summary>
    public bool Wait(int milliseconds)
    {
        lock (_gate)
        {
            while (!_fired)
            {
                if (!Monitor.Wait(_gate, milliseconds))
                {
                    return _fired;
                }
            }

            return true;
        }
    }
}

/// <summary>Waits as an awaitable without allocating: a socket keeps one for each direction and uses it again.</summary>
internal sealed class AsyncSocketWaiter(Driver driver) : SocketWaiter, IValueTaskSource<bool>, IThreadPoolWorkItem
{
    private const int Waiting = 0, Fired = 1, Canceled = 2;
    private ManualResetValueTaskSourceCore<bool> _core;
    private CancellationTokenRegistration _registration;
    private int _state;

    /// <summary>True: run the continuation on the thread that fires, at top level (run-to-completion).</summary>
    public bool Inline { get; set; }

    /// <summary>Becomes ready for another wait.</summary>
    public void Arm(SocketEvents interest)
    {
        _core.Reset();
        _state = Waiting;
        Interest = interest;
    }

    /// <summary>The wait; true when it was ended by an event, false when by cancellation.</summary>
    public ValueTask<bool> WaitAsync(CancellationToken cancel)
    {
        if (cancel.CanBeCanceled)
        {
            _registration = cancel.UnsafeRegister(static state => ((AsyncSocketWaiter)state!).Cancel(), this);
        }

        return new ValueTask<bool>(this, _core.Version);
    }

    public override void Fire(SocketEvents events)
    {
        if (Interlocked.CompareExchange(ref _state, Fired, Waiting) == Waiting)
        {
            Complete();
        }
    }

    public void Execute() => _core.SetResult(_state == Fired);

    public bool GetResult(short token)
    {
        _registration.Dispose();
        _registration = default;
        return _core.GetResult(token);
    }

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    /// <summary>Ends the wait, unless an event has; the wait then gives false.</summary>
    public void Cancel()
    {
        if (Interlocked.CompareExchange(ref _state, Canceled, Waiting) == Waiting)
        {
            driver.Schedule(this);
        }
    }

    private void Complete()
    {
        if (Inline)
        {
            Execute();
        }
        else
        {
            driver.Schedule(this);
        }
    }
}
