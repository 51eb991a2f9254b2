using Penstock.Sockets;

namespace Penstock.Bsd;

/// <summary>What a descriptor stands for: a socket, one end of a pipe, or an epoll instance.</summary>
internal abstract class OpenFile(Pace pace)
{
    public const int NonBlockFlag = 0x800;

    private readonly List<Watcher> _watchers = [];
    private int _descriptors;
    private int _closed;

    public Pace Pace { get; } = pace;

    /// <summary>O_NONBLOCK.</summary>
    public bool NonBlocking { get; set; }

    /// <summary>What it was opened for, in the bits of open(2): O_RDONLY, O_WRONLY, O_RDWR.</summary>
    protected virtual int AccessMode => 2;

    /// <summary>What fcntl's F_GETFL and F_SETFL are about; only O_NONBLOCK can be changed.</summary>
    public int StatusFlags
    {
        get => AccessMode | (NonBlocking ? NonBlockFlag : 0);
        set => NonBlocking = (value & NonBlockFlag) != 0;
    }

    /// <summary>False for regular files, which are always ready: epoll does not take them.</summary>
    public virtual bool CanBeWatched => true;

    /// <summary>What is ready now. Never waits.</summary>
    public abstract PollMask Poll();

    public virtual int Read(Span<byte> buffer) => Result.Fail(Errno.EINVAL);

    public virtual int Write(ReadOnlySpan<byte> data) => Result.Fail(Errno.EINVAL);

    /// <summary>readv(2); as much as one read after the other gives without a gap.</summary>
    public virtual int Read(IoVectors vectors) => Each(vectors, reads: true);

    /// <summary>writev(2).</summary>
    public virtual int Write(IoVectors vectors) => Each(vectors, reads: false);

    /// <summary>ioctl(2), for the requests whose argument is an int.</summary>
    public virtual int Control(ulong request, ref int value)
    {
        if (request != 0x5421)
        {
            return Result.Fail(Errno.ENOTTY);
        }

        NonBlocking = value != 0; // FIONBIO
        return 0;
    }

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

    private int Each(IoVectors vectors, bool reads)
    {
        int done = 0;
        while (vectors.At(done) is { IsEmpty: false } part)
        {
            if (vectors.HasNull)
            {
                return Result.Fail(Errno.EFAULT);
            }

            int moved = reads ? Read(part) : Write(part);
            if (moved <= 0)
            {
                return done > 0 ? done : moved;
            }

            done += moved;
            if (moved < part.Length)
            {
                break;
            }
        }

        return done;
    }

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

/// <summary>
/// The rhythm of a call that may wait: look; subscribe; look again; wait; look again. A mutable struct for one local variable. A call between two files waits for either.
/// </summary>
internal struct Blocking(OpenFile file, bool waits, long deadlineNanos = Pace.Never, OpenFile? other = null)
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
            other?.Watch(_waiter);
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
            other?.Unwatch(_waiter);
        }
    }
}
