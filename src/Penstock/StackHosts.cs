using System.Collections.Concurrent;
using System.Net;

namespace Penstock;

/// <summary>Names with their addresses, as <c>/etc/hosts</c>. Case does not matter. Thread-safe.</summary>
public sealed class StackHosts
{
    private readonly ConcurrentDictionary<string, IPAddress[]> _entries = new(StringComparer.OrdinalIgnoreCase);

    internal StackHosts() => Add("localhost", IPAddress.Loopback);

    /// <summary>Adds a name, or replaces what it stood for.</summary>
    public void Add(string name, params IPAddress[] addresses)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(addresses);
        if (addresses.Length == 0)
        {
            throw new ArgumentException($"Give at least one address for '{name}'.", nameof(addresses));
        }

        _entries[name] = [.. addresses];
    }

    /// <summary>Removes a name; false when it was not there.</summary>
    public bool Remove(string name) => _entries.TryRemove(name, out _);

    /// <summary>Finds the addresses of a name.</summary>
    public bool TryResolve(string name, out IReadOnlyList<IPAddress> addresses)
    {
        bool found = _entries.TryGetValue(name, out IPAddress[]? entry);
        addresses = entry ?? [];
        return found;
    }
}
