using Penstock.Accounting;

namespace Penstock;

/// <summary>
/// A limit on the memory of a group of sockets, a tenant's for instance, within the limits of its parent (Linux: the socket memory of a cgroup v2). Sockets are put into a group when they are made,
/// by <see cref="TcpSocketOptions.MemoryGroup"/> or <see cref="NetworkStackOptions.MemoryGroup"/>, and stay there. Every page of 4096 bytes that a socket buys is charged to its group and to all groups
/// above. At the limit a socket is treated as at the stack's own (<c>net.ipv4.tcp_mem</c>), and nobody outside the group notices: its sender waits, its receiver prunes and closes its window.
/// </summary>
/// <remarks>
/// All members are thread-safe. A group belongs to no stack: the sockets of several stacks may share one, or have groups with a common parent. It needs no disposal; when its last socket is gone,
/// <see cref="SocketBytes"/> is 0.
/// </remarks>
public sealed class MemoryGroup
{
    private long _pages;
    private long _peakPages;
    private long _limit;
    private long _limitHits;
    private long _localLimitHits;
    private long _pressureEvents;
    private int _underPressure;

    /// <summary>Makes a group without sockets.</summary>
    /// <param name="name">A name for metrics and snapshots; it need not be unique.</param>
    /// <param name="limit">See <see cref="Limit"/>; none by default.</param>
    /// <param name="parent">The group whose limit holds for this one too; null for none.</param>
    /// <exception cref="ArgumentException">The name is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The limit is negative.</exception>
    public MemoryGroup(string name, long limit = long.MaxValue, MemoryGroup? parent = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        Name = name;
        Limit = limit;
        Parent = parent;
    }

    /// <summary>The name given when it was made.</summary>
    public string Name { get; }

    /// <summary>The group that this one is part of; null at the top.</summary>
    public MemoryGroup? Parent { get; }

    /// <summary>
    /// Bytes that the sockets of the group and of the groups below it may buy together (cgroup v2: <c>memory.max</c>). Holds from the next purchase on; what is above a lowered limit is not taken away,
    /// it drains. What a connection cannot live without (its first buffer, <c>tcp_wmem</c>'s minimum, an ACK, a FIN, one segment for a reader who has none) is granted beyond the limit.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is negative.</exception>
    public long Limit
    {
        get => Volatile.Read(ref _limit);
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            Interlocked.Exchange(ref _limit, value);
            LeavePressure(Volatile.Read(ref _pages));
        }
    }

    /// <summary>Bytes that the sockets of this group and of the groups below have bought, in whole pages (cgroup v2: <c>memory.stat</c>, <c>sock</c>).</summary>
    public long SocketBytes => Volatile.Read(ref _pages) << ProtocolMemory.PageShift;

    /// <summary>The highest that <see cref="SocketBytes"/> has been (cgroup v2: <c>memory.peak</c>).</summary>
    public long PeakSocketBytes => Volatile.Read(ref _peakPages) << ProtocolMemory.PageShift;

    /// <summary>How often the limit of this group or of one below refused a purchase (cgroup v2: <c>memory.events</c>, <c>max</c>).</summary>
    public long LimitHits => Volatile.Read(ref _limitHits);

    /// <summary>How often this group's own limit refused a purchase (cgroup v2: <c>memory.events.local</c>, <c>max</c>).</summary>
    public long LocalLimitHits => Volatile.Read(ref _localLimitHits);

    /// <summary>How often this group came under pressure by meeting its own limit.</summary>
    public long PressureEvents => Volatile.Read(ref _pressureEvents);

    /// <summary>
    /// True from the time that this group, or one above it, met its limit until a quarter of that is free again. Its sockets then do without growing buffers and offer smaller windows, as under
    /// the stack's own pressure; others are not touched.
    /// </summary>
    public bool UnderPressure
    {
        get
        {
            for (MemoryGroup? group = this; group is not null; group = group.Parent)
            {
                if (Volatile.Read(ref group._underPressure) != 0)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>The figures in one line, for logs.</summary>
    public override string ToString() => $"{Name}: sock {SocketBytes}, max {(Limit == long.MaxValue ? "none" : Limit)}, hits {LimitHits}";

    /// <summary>Charges this group and those above, or none of them. A forced charge always succeeds.</summary>
    internal bool Charge(long pages, bool force)
    {
        for (MemoryGroup? group = this; group is not null; group = group.Parent)
        {
            if (!group.TryAdd(pages, force))
            {
                group.OnRefusal();
                for (MemoryGroup below = this; below != group; below = below.Parent!)
                {
                    below.Remove(pages);
                }

                return false;
            }
        }

        return true;
    }

    internal void Uncharge(long pages)
    {
        for (MemoryGroup? group = this; group is not null; group = group.Parent)
        {
            group.Remove(pages);
        }
    }

    /// <summary>Compares before it adds: two that ask at once never take the figure past the limit, not even for a moment.</summary>
    private bool TryAdd(long pages, bool force)
    {
        long now = Volatile.Read(ref _pages);
        while (force || now + pages <= Limit >> ProtocolMemory.PageShift)
        {
            long seen = Interlocked.CompareExchange(ref _pages, now + pages, now);
            if (seen == now)
            {
                NotePeak(now + pages);
                return true;
            }

            now = seen;
        }

        return false;
    }

    private void Remove(long pages) => LeavePressure(Interlocked.Add(ref _pages, -pages));

    private void OnRefusal()
    {
        Interlocked.Increment(ref _localLimitHits);
        for (MemoryGroup? group = this; group is not null; group = group.Parent)
        {
            Interlocked.Increment(ref group._limitHits);
        }

        if (Interlocked.Exchange(ref _underPressure, 1) == 0)
        {
            Interlocked.Increment(ref _pressureEvents);
        }

        // What others gave back since the refusal may have been the last: pressure must not outlive its cause.
        LeavePressure(Volatile.Read(ref _pages));
    }

    private void LeavePressure(long pages)
    {
        if (Volatile.Read(ref _underPressure) != 0 && pages <= (Limit >> ProtocolMemory.PageShift) / 4 * 3)
        {
            Volatile.Write(ref _underPressure, 0);
        }
    }

    private void NotePeak(long pages)
    {
        long seen = Volatile.Read(ref _peakPages);
        while (pages > seen)
        {
            long was = Interlocked.CompareExchange(ref _peakPages, pages, seen);
            if (was == seen)
            {
                return;
            }

            seen = was;
        }
    }
}
