using Penstock.Buffers;

namespace Penstock.Ownership;

/// <summary>The waiters of one socket. A waiter that fires leaves the queue. A mutable struct: keep it in a field.</summary>
internal struct WaitQueue
{
    private SpinGate _gate;
    private SocketWaiter? _first;
    private SocketWaiter? _observer;

    /// <summary>One that stays when it has fired: for those who watch a socket for all its life (epoll). Set once, before anything happens at the socket.</summary>
    public void Observe(SocketWaiter observer) => Volatile.Write(ref _observer, observer);

    /// <summary>Somebody would hear of an event.</summary>
    public readonly bool HasWaiters => _first is not null || _observer is not null;

    public void Add(SocketWaiter waiter)
    {
        _gate.Enter();
        waiter.NextWaiter = _first;
        waiter.IsRegistered = true;
        _first = waiter;
        _gate.Exit();
    }

    /// <summary>Takes a waiter out again; false when it had fired, or is about to.</summary>
    public bool Remove(SocketWaiter waiter)
    {
        _gate.Enter();
        bool registered = waiter.IsRegistered;
        if (registered)
        {
            ref SocketWaiter? link = ref _first;
            while (link != waiter)
            {
                link = ref link!.NextWaiter;
            }

            link = waiter.NextWaiter;
            waiter.NextWaiter = null;
            waiter.IsRegistered = false;
        }

        _gate.Exit();
        return registered;
    }

    /// <summary>Fires every waiter that is interested in one of <paramref name="events"/>.</summary>
    public void Fire(SocketEvents events)
    {
        if (Volatile.Read(ref _observer) is { } observer && (observer.Interest & events) != 0)
        {
            observer.Fire(events);
        }

        if (Volatile.Read(ref _first) is null)
        {
            return;
        }

        SocketWaiter? fired = null;
        _gate.Enter();
        ref SocketWaiter? link = ref _first;
        while (link is { } waiter)
        {
            if ((waiter.Interest & events) != 0)
            {
                link = waiter.NextWaiter;
                waiter.IsRegistered = false;
                waiter.NextWaiter = fired;
                fired = waiter;
            }
            else
            {
                link = ref waiter.NextWaiter;
            }
        }

        _gate.Exit();
        while (fired is not null)
        {
            SocketWaiter? next = fired.NextWaiter;
            fired.NextWaiter = null;
            fired.Fire(events);
            fired = next;
        }
    }
}
