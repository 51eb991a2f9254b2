using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>Who listens where. Changes are rare and replace the table; lookups take no lock. The most specific listener wins.</summary>
internal sealed class ListenerTable
{
    private readonly object _gate = new();
    private Dictionary<ushort, ListenSocket[]> _byPort = [];
    private int _foreign;

    /// <summary>True while somebody listens on any destination.</summary>
    public bool AcceptsForeign => Volatile.Read(ref _foreign) > 0;

    /// <summary>True since somebody first did: connections to foreign addresses may outlive their listener.</summary>
    public bool EverAcceptedForeign { get; private set; }

    public ListenSocket[] All
    {
        get
        {
            lock (_gate)
            {
                return [.. _byPort.Values.SelectMany(l => l)];
            }
        }
    }

    /// <summary>Adds a listener; false when its address and port are taken.</summary>
    public bool TryAdd(ListenSocket listener)
    {
        lock (_gate)
        {
            ListenSocket[] here = _byPort.GetValueOrDefault(listener.Port, []);
            foreach (ListenSocket other in here)
            {
                if (other.AnyDestination == listener.AnyDestination
                    && (other.Address == listener.Address || other.Address.IsAny || listener.Address.IsAny))
                {
                    return false;
                }
            }

            var next = new Dictionary<ushort, ListenSocket[]>(_byPort) { [listener.Port] = [.. here, listener] };
            Volatile.Write(ref _byPort, next);
            if (listener.AnyDestination)
            {
                _foreign++;
                EverAcceptedForeign = true;
            }

            return true;
        }
    }

    public void Remove(ListenSocket listener)
    {
        lock (_gate)
        {
            if (!_byPort.TryGetValue(listener.Port, out ListenSocket[]? here) || !here.Contains(listener))
            {
                return;
            }

            var next = new Dictionary<ushort, ListenSocket[]>(_byPort);
            ListenSocket[] left = [.. here.Where(l => l != listener)];
            if (left.Length == 0)
            {
                next.Remove(listener.Port);
            }
            else
            {
                next[listener.Port] = left;
            }

            Volatile.Write(ref _byPort, next);
            if (listener.AnyDestination)
            {
                _foreign--;
            }
        }
    }

    public bool IsPortUsed(ushort port) => Volatile.Read(ref _byPort).ContainsKey(port);

    /// <summary>The listener for a destination: its own address, then any address of ours, then any destination on this port, then on every port.</summary>
    public ListenSocket? Find(IpAddress address, ushort port, bool isLocal)
    {
        Dictionary<ushort, ListenSocket[]> table = Volatile.Read(ref _byPort);
        ListenSocket? any = null;
        if (table.TryGetValue(port, out ListenSocket[]? here))
        {
            foreach (ListenSocket listener in here)
            {
                if (listener.AnyDestination)
                {
                    any ??= listener;
                }
                else if (isLocal)
                {
                    if (listener.Address == address)
                    {
                        return listener;
                    }

                    if (listener.Address.IsAny)
                    {
                        any = listener;
                    }
                }
            }
        }

        if (any is not null)
        {
            return any;
        }

        if (table.TryGetValue(0, out ListenSocket[]? everywhere))
        {
            return everywhere[0];
        }

        return null;
    }
}
