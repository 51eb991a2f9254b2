using Penstock.Sockets;

namespace Penstock.Bsd;

/// <summary>What a descriptor stands for: a socket, one end of a pipe, or an epoll instance.</summary>
internal abstract class OpenFile(Pace pace)
{
    private readonly List<Watcher> _watchers = [];
    private int _descriptors;
    private int _closed;

    public Pace Pace { get; } = pace;

    /// <summary>O_NONBLOCK.</summary>
    public bool NonBlocking { get; set; }

    /// <summary>What is ready now. Never waits.</summary>
    public abstract PollMask Poll();

    public virtual int Read(Span<byte> buffer) => Result.Fail(Errno.EINVAL);

    public virtual int Write(ReadOnlySpan<byte> data) => Result.Fail(Errno.EINVAL);

    /// <summary>Subscribes: from now on every event is told.</summary>
    public void Watch(Watcher watcher)
    {
        lock (_watchers)
        {
            _watchers.Add(watcher);
        }
    }

    public void Unwatch(Watcher watcher)
    {
        lock (_watchers)
        {
            _watchers.Remove(watcher);
        }
    }

    /// <summary>One more descriptor stands for this file.</summary>
    public void AddDescriptor() => Interlocked.Increment(ref _descriptors);

    /// <summary>A descriptor is gone; with the last one the file is closed.</summary>
    public int RemoveDescriptor() => Interlocked.Decrement(ref _descriptors) == 0 ? Close() : 0;

    /// <summary>Closes the file, once.</summary>
    public int Close()
    {
        if (Interlocked.Exchange(ref _closed, 1) != 0)
        {
            return 0;
        }

        int result = OnClose();
        Watcher[] left;
        lock (_watchers)
        {
            left = [.. _watchers];
        }

        foreach (Watcher watcher in left)
        {
            (watcher as EpollItem)?.OnFileClosed();
            watcher.Notify(PollMask.Any);
        }

        return result;
    }

    protected abstract int OnClose();

    /// <summary>Tells those who are interested.</summary>
    protected void Notify(PollMask events)
    {
        lock (_watchers)
        {
            bool exclusiveServed = false;
            foreach (Watcher watcher in _watchers)
            {
                if ((watcher.Interest & events) == 0 || (watcher.IsExclusive && exclusiveServed))
                {
                    continue;
                }

                exclusiveServed |= watcher.Notify(events) && watcher.IsExclusive;
            }
        }
    }
}

/// <summary>The rhythm of a call that may wait: look; subscribe; look again; wait; look again. A mutable struct for one local variable.</summary>
internal struct Blocking(OpenFile file, bool waits, long deadlineNanos = Pace.Never)
{
    private CallWaiter? _waiter;

    /// <summary>True when the call should look again; false when it may not wait, or has waited long enough.</summary>
    public bool Again()
    {
        if (!waits)
        {
            return false;
        }

        if (_waiter is null)
        {
            _waiter = new CallWaiter();
            file.Watch(_waiter);
            return true;
        }

        if (!file.Pace.Wait(_waiter, deadlineNanos))
        {
            return false;
        }

        _waiter.Reset();
        return true;
    }

    public readonly void End()
    {
        if (_waiter is not null)
        {
            file.Unwatch(_waiter);
        }
    }
}
