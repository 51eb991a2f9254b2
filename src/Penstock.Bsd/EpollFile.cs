using Penstock.Sockets;

namespace Penstock.Bsd;

/// <summary>One file in the interest list of an epoll instance.</summary>
internal sealed class EpollItem(EpollFile epoll, OpenFile file, int descriptor) : Watcher
{
    public const uint EdgeTriggered = 1u << 31, OneShot = 1u << 30, WakeUp = 1u << 29, Exclusive = 1u << 28;

    public OpenFile File => file;

    public int Descriptor => descriptor;

    /// <summary>Events and flags as they were given; without events a one-shot item is disabled.</summary>
    public uint Events { get; private set; }

    /// <summary>What the caller wants back.</summary>
    public ulong Data { get; private set; }

    /// <summary>In the ready list. Under the instance's lock.</summary>
    public bool IsReady { get; set; }

    public bool IsGone { get; set; }

    public void Set(uint events, ulong data)
    {
        Events = events | (uint)PollMask.Always;
        Data = data;
        IsExclusive = (events & Exclusive) != 0;
        Interest = (PollMask)Events;
    }

    /// <summary>EPOLLONESHOT has been served: nothing until it is modified.</summary>
    public void Disable()
    {
        Events &= EdgeTriggered | OneShot | WakeUp | Exclusive;
        Interest = PollMask.None;
    }

    public override bool Notify(PollMask events) => epoll.OnReady(this);

    /// <summary>A closed file leaves every interest list.</summary>
    public void OnFileClosed() => epoll.Forget(this);
}

/// <summary>An epoll instance (epoll(7)): level and edge triggered, one-shot, exclusive. As Linux's it has a list of those that may be ready, and looks at each when it is asked.</summary>
internal sealed class EpollFile(Pace pace) : OpenFile(pace)
{
    private readonly object _gate = new();
    private readonly Dictionary<(int, OpenFile), EpollItem> _items = [];
    private readonly Queue<EpollItem> _ready = new();
    private int _waiting;

    public int Control(int operation, int descriptor, OpenFile file, uint events, ulong data)
    {
        const int Add = 1, Delete = 2, Modify = 3;
        if (file is EpollFile)
        {
            // Instances inside of instances would need a check for circles, and nobody has asked for them.
            return Result.Fail(Errno.EINVAL);
        }

        if (!file.CanBeWatched)
        {
            return Result.Fail(Errno.EPERM);
        }

        if (!ReferenceEquals(file.Pace, Pace))
        {
            // Two clocks: a wait could not be for both.
            return Result.Fail(Errno.EINVAL);
        }

        EpollItem? item;
        lock (_gate)
        {
            _items.TryGetValue((descriptor, file), out item);
            switch (operation)
            {
                case Add when item is not null:
                    return Result.Fail(Errno.EEXIST);
                case Add:
                    if ((events & EpollItem.Exclusive) != 0 && !IsValidExclusive(events))
                    {
                        return Result.Fail(Errno.EINVAL);
                    }

                    item = new EpollItem(this, file, descriptor);
                    item.Set(events, data);
                    _items.Add((descriptor, file), item);
                    break;
                case Modify or Delete when item is null:
                    return Result.Fail(Errno.ENOENT);
                case Modify:
                    if (item!.IsExclusive || (events & EpollItem.Exclusive) != 0)
                    {
                        return Result.Fail(Errno.EINVAL);
                    }

                    item.Set(events, data);
                    break;
                case Delete:
                    item!.IsGone = true;
                    _items.Remove((descriptor, file));
                    break;
                default:
                    return Result.Fail(Errno.EINVAL);
            }
        }

        if (operation == Delete)
        {
            file.Unwatch(item);
            return 0;
        }

        if (operation == Add)
        {
            file.Watch(item);
        }

        // What is ready already counts as an event, for edge-triggered items too.
        if ((file.Poll() & item.Interest) != 0)
        {
            OnReady(item);
        }

        return 0;
    }

    /// <summary>Something happened at the item's file. True when a thread that waits here was woken.</summary>
    public bool OnReady(EpollItem item)
    {
        bool waits;
        lock (_gate)
        {
            if (item.IsReady || item.IsGone)
            {
                return false;
            }

            item.IsReady = true;
            _ready.Enqueue(item);
            waits = _waiting > 0;
        }

        Notify(PollMask.In | PollMask.ReadNormal);
        return waits;
    }

    public void Forget(EpollItem item)
    {
        lock (_gate)
        {
            item.IsGone = true;
            _items.Remove((item.Descriptor, item.File));
        }
    }

    /// <summary>Reports what is ready through <paramref name="report"/> (its index, events, data), at most <paramref name="most"/>; waits for the first. The number of reports, 0 when the time is over.</summary>
    public int Wait(int most, long milliseconds, Action<int, uint, ulong> report)
    {
        if (most <= 0)
        {
            return Result.Fail(Errno.EINVAL);
        }

        var wait = new Blocking(this, milliseconds != 0, milliseconds > 0 ? Pace.After(milliseconds) : Pace.Never);
        Interlocked.Increment(ref _waiting);
        try
        {
            int count;
            do
            {
                count = Collect(most, report);
            }
            while (count == 0 && wait.Again());

            return count;
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
            wait.End();
        }
    }

    public override PollMask Poll()
    {
        EpollItem[] candidates;
        lock (_gate)
        {
            candidates = [.. _ready];
        }

        return Array.Exists(candidates, item => !item.IsGone && (item.File.Poll() & item.Interest) != 0)
            ? PollMask.In | PollMask.ReadNormal
            : PollMask.None;
    }

    protected override int OnClose()
    {
        EpollItem[] items;
        lock (_gate)
        {
            items = [.. _items.Values];
            _items.Clear();
            _ready.Clear();
        }

        foreach (EpollItem item in items)
        {
            item.IsGone = true;
            item.File.Unwatch(item);
        }

        return 0;
    }

    private int Collect(int most, Action<int, uint, ulong> report)
    {
        int looked;
        lock (_gate)
        {
            looked = _ready.Count;
        }

        int count = 0;
        for (; looked > 0 && count < most; looked--)
        {
            EpollItem? item;
            lock (_gate)
            {
                if (!_ready.TryDequeue(out item))
                {
                    break;
                }

                // Before it is looked at: what happens from here on queues it anew.
                item.IsReady = false;
            }

            if (item.IsGone)
            {
                continue;
            }

            PollMask found = item.File.Poll() & item.Interest;
            if (found == PollMask.None)
            {
                continue;
            }

            report(count++, (uint)found, item.Data);
            if ((item.Events & EpollItem.OneShot) != 0)
            {
                item.Disable();
            }
            else if ((item.Events & EpollItem.EdgeTriggered) == 0)
            {
                // Level triggered: it is looked at again until it is not ready.
                lock (_gate)
                {
                    if (!item.IsReady)
                    {
                        item.IsReady = true;
                        _ready.Enqueue(item);
                    }
                }
            }
        }

        return count;
    }

    private static bool IsValidExclusive(uint events) =>
        (events & ~((uint)(PollMask.In | PollMask.Out | PollMask.Always) | EpollItem.WakeUp | EpollItem.EdgeTriggered | EpollItem.Exclusive)) == 0;
}
