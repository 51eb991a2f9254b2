using Penstock.Ownership;

namespace Penstock.Tcp;

/// <summary>
/// The requests of a listener whose application decides on each of them: those that nobody has taken yet, in order, and all that live. Their number is bounded by the listener's limit on half-open
/// connections, which is counted in <see cref="ListenSocket.Requests"/>. Has one short gate of its own, under which no request is touched.
/// </summary>
internal sealed class RequestQueue(int limit, TcpRefusal overflow)
{
    private readonly object _gate = new();
    private readonly LinkedList<HeldRequest> _offered = new();
    private readonly HashSet<HeldRequest> _live = [];
    private WaitQueue _waiters;
    private bool _closed;

    /// <summary>Requests that may be undecided, or in their handshake, at the same time.</summary>
    public int Limit => limit;

    /// <summary>What a SYN beyond the limit sees.</summary>
    public TcpRefusal Overflow => overflow;

    /// <summary>Requests that nobody has taken yet.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
            {
                return _offered.Count;
            }
        }
    }

    /// <summary>Adds a request; false when the listener has closed.</summary>
    public bool TryOffer(HeldRequest request)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return false;
            }

            _live.Add(request);
            request.Place = _offered.AddLast(request);
        }

        _waiters.Fire(SocketEvents.Readable);
        return true;
    }

    /// <summary>Takes the oldest request that nobody has, or null.</summary>
    public HeldRequest? TryTake()
    {
        lock (_gate)
        {
            if (_offered.First is not { } first)
            {
                return null;
            }

            _offered.RemoveFirst();
            first.Value.Place = null;
            return first.Value;
        }
    }

    /// <summary>A request is over, whether somebody has taken it or not.</summary>
    public void Forget(HeldRequest request)
    {
        lock (_gate)
        {
            _live.Remove(request);
            if (request.Place is { } place)
            {
                _offered.Remove(place);
                request.Place = null;
            }
        }
    }

    /// <summary>Subscribes unless there is something already, or the listener is closed; false then.</summary>
    public bool TryAddWaiter(SocketWaiter waiter)
    {
        lock (_gate)
        {
            if (_offered.Count > 0 || _closed)
            {
                return false;
            }

            _waiters.Add(waiter);
            return true;
        }
    }

    public void RemoveWaiter(SocketWaiter waiter) => _waiters.Remove(waiter);

    public void Close()
    {
        HeldRequest[] orphans;
        lock (_gate)
        {
            _closed = true;
            orphans = [.. _live];
        }

        foreach (HeldRequest orphan in orphans)
        {
            orphan.Abandon();
        }

        _waiters.Fire(SocketEvents.All);
    }
}
