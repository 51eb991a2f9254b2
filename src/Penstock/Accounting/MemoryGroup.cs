namespace Penstock.Accounting;

/// <summary>
/// A limit on the socket memory of a group of sockets, within the limits of its parent (Linux: a memory cgroup's <c>sock</c>
/// figure). Counts pages of 4096 bytes. Thread-safe.
/// </summary>
internal sealed class MemoryGroup(string name, long limitBytes, MemoryGroup? parent)
{
    private long _pages;
    private long _limitHits;

    public string Name { get; } = name;

    /// <summary>Bytes of socket memory that this group and its children have bought (cgroup v2: <c>memory.stat sock</c>).</summary>
    public long SocketBytes => Interlocked.Read(ref _pages) << ProtocolMemory.PageShift;

    public long LimitBytes { get; } = limitBytes;

    /// <summary>How often a request met the limit (cgroup v2: <c>memory.events max</c>).</summary>
    public long LimitHits => Interlocked.Read(ref _limitHits);

    /// <summary>Charges this group and its parents, or none of them. A forced charge always succeeds.</summary>
    public bool Charge(long pages, bool force)
    {
        long now = Interlocked.Add(ref _pages, pages);
        if (!force && now << ProtocolMemory.PageShift > LimitBytes)
        {
            Interlocked.Add(ref _pages, -pages);
            Interlocked.Increment(ref _limitHits);
            return false;
        }

        if (parent is not null && !parent.Charge(pages, force))
        {
            Interlocked.Add(ref _pages, -pages);
            return false;
        }

        return true;
    }

    public void Uncharge(long pages)
    {
        Interlocked.Add(ref _pages, -pages);
        parent?.Uncharge(pages);
    }
}
