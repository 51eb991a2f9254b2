using Penstock.Wire;

namespace Penstock.Ip;

/// <summary>
/// What is known of path MTUs, per destination (RFC 1191). Entries come only from ICMP messages that a transport has validated against what it
/// has in flight, expire after ten minutes (RFC 1191 6.3) and are bounded in number.
/// </summary>
internal sealed class PathMtuCache
{
    /// <summary>Linux: <c>net.ipv4.route.min_pmtu</c>. A lower report is taken as this.</summary>
    public const int MinimumPathMtu = 552;

    private const int MaximumEntries = 4096;
    private const long LifetimeNanos = 600L * 1_000_000_000;
    private readonly object _gate = new();
    private readonly Dictionary<IpAddress, (int Mtu, long ExpiresNanos)> _entries = [];
    private int _generation;

    /// <summary>Moves whenever an entry changes.</summary>
    public int Generation => Volatile.Read(ref _generation);

    public void Lower(IpAddress destination, int mtu, long nowNanos)
    {
        lock (_gate)
        {
            if (_entries.Count >= MaximumEntries && !_entries.ContainsKey(destination))
            {
                DropOne(nowNanos);
            }

            _entries[destination] = (Math.Max(mtu, MinimumPathMtu), nowNanos + LifetimeNanos);
            Volatile.Write(ref _generation, _generation + 1);
        }
    }

    /// <summary>The MTU towards a destination; <paramref name="linkMtu"/> when nothing lower is known.</summary>
    public int Find(IpAddress destination, int linkMtu, long nowNanos)
    {
        if (Volatile.Read(ref _generation) == 0)
        {
            return linkMtu;
        }

        lock (_gate)
        {
            if (!_entries.TryGetValue(destination, out (int Mtu, long ExpiresNanos) entry))
            {
                return linkMtu;
            }

            if (entry.ExpiresNanos <= nowNanos)
            {
                _entries.Remove(destination);
                return linkMtu;
            }

            return Math.Min(entry.Mtu, linkMtu);
        }
    }

    private void DropOne(long nowNanos)
    {
        IpAddress victim = default;
        long earliest = long.MaxValue;
        int looked = 0;
        foreach ((IpAddress address, (int Mtu, long ExpiresNanos) entry) in _entries)
        {
            if (entry.ExpiresNanos < earliest)
            {
                earliest = entry.ExpiresNanos;
                victim = address;
            }

            // Bounded work: the oldest of the first few is good enough.
            if (++looked == 16 || entry.ExpiresNanos <= nowNanos)
            {
                break;
            }
        }

        _entries.Remove(victim);
    }
}
