using Penstock.Wire;

namespace Penstock.Ip;

/// <summary>One line of the routing table.</summary>
internal sealed record RouteEntry(IpPrefix Prefix, StackInterface Interface, IpAddress Source, bool IsLocal)
{
    public override string ToString() => $"{Prefix} dev {Interface.Link.Name} src {Source}{(IsLocal ? " local" : "")}";
}

/// <summary>
/// Which interface leads to a destination: longest prefix first. Readers take a snapshot without a lock; a change replaces the snapshot and
/// moves <see cref="Generation"/>, so that connections notice and look again.
/// </summary>
internal sealed class RouteTable
{
    private readonly object _gate = new();
    private RouteEntry[] _entries = [];
    private int _generation;

    public int Generation => Volatile.Read(ref _generation);

    public IReadOnlyList<RouteEntry> Entries => Volatile.Read(ref _entries);

    public void Add(RouteEntry entry)
    {
        lock (_gate)
        {
            var list = new List<RouteEntry>(_entries) { entry };

            // Stable: of two routes with the same prefix the older one wins, as with equal metrics in Linux.
            RouteEntry[] sorted = [.. list.OrderByDescending(e => e.Prefix.Length)];
            Volatile.Write(ref _entries, sorted);
            Volatile.Write(ref _generation, _generation + 1);
        }
    }

    public void RemoveInterface(StackInterface gone) => RemoveAll(e => e.Interface == gone);

    /// <summary>Removes what matches; returns how many entries that were.</summary>
    public int RemoveAll(Predicate<RouteEntry> match)
    {
        lock (_gate)
        {
            RouteEntry[] left = Array.FindAll(_entries, e => !match(e));
            int removed = _entries.Length - left.Length;
            Volatile.Write(ref _entries, left);
            Volatile.Write(ref _generation, _generation + 1);
            return removed;
        }
    }

    /// <summary>The best route to <paramref name="destination"/>, or null.</summary>
    public RouteEntry? Find(IpAddress destination)
    {
        foreach (RouteEntry entry in Volatile.Read(ref _entries))
        {
            if (entry.Prefix.Contains(destination))
            {
                return entry;
            }
        }

        return null;
    }
}
