using System.Threading.Tasks.Sources;
using Penstock.Time;

namespace Penstock.Ownership;

/// <summary>Somebody who waits to become the owner of a socket. Waiters are served in order; ownership is handed over, never up for grabs.</summary>
internal abstract class LockWaiter
{
    internal LockWaiter? NextWaiter;

    /// <summary>The socket is now owned by this waiter. Called outside of the inner word.</summary>
    public abstract void Grant();
}

/// <summary>Waits on its own thread.</summary>
internal sealed class BlockingLockWaiter : LockWaiter
{
    private readonly object _gate = new();
    private bool _granted;

    public override void Grant()
    {
        lock (_gate)
        {
            _granted = true;
            Monitor.Pulse(_gate);
        }
    }

    public void Wait()
    {
        lock (_gate)
        {
            while (!_granted)
            {
                Monitor.Wait(_gate);
            }
        }
    }
}

/// <summary>Waits as an awaitable; kept for reuse by its socket.</summary>
internal class AsyncLockWaiter(Driver driver) : LockWaiter, IValueTaskSource<bool>, IThreadPoolWorkItem
{
    private ManualResetValueTaskSourceCore<bool> _core;
    private bool _left;

    /// <summary>True: granted. False: whoever queued it took it out again.</summary>
    public ValueTask<bool> Task => new(this, _core.Version);

    public override void Grant() => driver.Schedule(this);

    /// <summary>Ends the wait of a waiter that is in no queue any more.</summary>
    public void Leave()
    {
        _left = true;
        driver.Schedule(this);
    }

    public void Execute() => _core.SetResult(!_left);

    public void Reset()
    {
        _left = false;
        _core.Reset();
    }

    public bool GetResult(short token) => _core.GetResult(token);

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
