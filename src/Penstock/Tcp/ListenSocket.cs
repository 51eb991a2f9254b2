using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Telemetry;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// A listener: its accept queue with its limit, the number of requests that wait for their ACK, and those who wait to accept. Has one short gate of its own; segments to it bypass
/// the socket lock (R1.2).
/// </summary>
internal sealed class ListenSocket(NetworkStack stack, Worker worker, IpAddress address, ushort port, int backlog) : IAcceptor
{
    private readonly object _gate = new();
    private volatile int _backlog = Bounded(stack, backlog);
    private readonly Queue<TcpConnection> _accepted = new();
    private readonly HashSet<TcpConnection> _embryos = [];
    private WaitQueue _waiters;
    private int _requests;
    private long _cookiesNanos = long.MinValue / 2;

    public NetworkStack Stack => stack;

    public Worker Worker => worker;

    /// <summary>The local address; any is allowed.</summary>
    public IpAddress Address => address;

    /// <summary>The port; 0 with <see cref="AnyDestination"/> means every port.</summary>
    public ushort Port => port;

    /// <summary>Takes connections to addresses that are not this stack's (a tunnel's far side).</summary>
    public bool AnyDestination { get; init; }

    /// <summary>Established connections that may wait to be accepted.</summary>
    public int Backlog => Held?.Limit ?? _backlog;

    /// <summary>Changes <see cref="Backlog"/>, as listen(2) means it: 0 is room for one connection, a negative one the stack's bound.</summary>
    public void SetBacklog(int connections) => _backlog = Bounded(stack, connections);

    private static int Bounded(NetworkStack stack, int connections) => (int)Math.Min((uint)connections, (uint)stack.Tcp.Settings.SoMaxConn);

    /// <summary>Requests that wait for the application's decision; null when every request is answered at once.</summary>
    public RequestQueue? Held { get; init; }

    /// <summary>Receive buffer of accepted connections, bytes; 0 for the stack's setting.</summary>
    public int ReceiveBuffer { get; set; }

    /// <summary>Upper bound of the segment size offered and used, bytes (TCP_MAXSEG); 0 for none.</summary>
    public int MaximumSegment { get; set; }

    /// <summary>The largest window offered, bytes (TCP_WINDOW_CLAMP).</summary>
    public int WindowClamp { get; set; } = int.MaxValue;

    /// <summary>Timeouts of the SYN-ACK for which bare ACKs are ignored (TCP_DEFER_ACCEPT, see <see cref="DeferAccept"/>); 0 for none.</summary>
    public int DeferredTimeouts { get; set; }

    /// <summary>Times that a SYN-ACK is sent again; 0 for the stack's setting.</summary>
    public int SynAckRetries { get; set; }

    /// <summary>What SYN-ACKs carry in their IP headers; a time to live of 0 means the stack's.</summary>
    public byte TypeOfService { get; set; }

    public byte TimeToLive { get; set; }

    /// <summary>What the memory of accepted connections is charged to.</summary>
    public MemoryGroup? Group { get; init; }

    /// <summary>Applied to each connection before it is seen by anybody.</summary>
    public Action<TcpConnection>? OnPrepare { get; init; }

    public bool IsClosed { get; private set; }

    /// <summary>Requests between their SYN and the end of the handshake.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>Connections, or requests, that wait to be accepted.</summary>
    public int Waiting
    {
        get
        {
            if (Held is not null)
            {
                return Held.Waiting;
            }

            lock (_gate)
            {
                return _accepted.Count;
            }
        }
    }

    /// <summary>Linux: one more than the backlog fits.</summary>
    public bool IsAcceptQueueFull
    {
        get
        {
            lock (_gate)
            {
                return IsClosed || _accepted.Count + _embryos.Count > Backlog;
            }
        }
    }

    /// <summary>Counts one more; gives how many there are then.</summary>
    public int AddRequest() => Interlocked.Increment(ref _requests);

    public void RemoveRequest() => Interlocked.Decrement(ref _requests);

    public void NoteCookies(long now) => Interlocked.Exchange(ref _cookiesNanos, now);

    /// <summary>Only after cookies were sent are bare ACKs looked at as cookies (two minutes).</summary>
    public bool SentCookiesRecently(long now) => now - Volatile.Read(ref _cookiesNanos) < 128 * Nanos.PerSecond;

    public void Prepare(TcpConnection child)
    {
        OnPrepare?.Invoke(child);
        if (Held is not null)
        {
            // Its request looks after it.
            return;
        }

        lock (_gate)
        {
            _embryos.Add(child);
        }
    }

    /// <summary>A child has become established: it can be accepted. Called while the child is owned; only queues and wakes.</summary>
    public void OnChildEstablished(TcpConnection child)
    {
        lock (_gate)
        {
            _embryos.Remove(child);
            if (IsClosed)
            {
                child.PostHandleGone();
                return;
            }

            _accepted.Enqueue(child);
        }

        _waiters.Fire(SocketEvents.Readable);
    }

    /// <summary>A child died before it was accepted. One that was established stays in the queue: accept returns it and the first call on it says why.</summary>
    public void OnChildGone(TcpConnection child)
    {
        lock (_gate)
        {
            _embryos.Remove(child);
        }
    }

    /// <summary>Takes the next connection, or null.</summary>
    public TcpConnection? TryAccept()
    {
        lock (_gate)
        {
            if (!_accepted.TryDequeue(out TcpConnection? child))
            {
                return null;
            }

            child.Listener = null;
            return child;
        }
    }

    /// <summary>Subscribes unless there is something already, or the listener is closed; false then.</summary>
    public bool TryAddWaiter(SocketWaiter waiter)
    {
        lock (_gate)
        {
            if (_accepted.Count > 0 || IsClosed)
            {
                return false;
            }

            _waiters.Add(waiter);
            return true;
        }
    }

    /// <summary>Subscribes for the listener's life: <paramref name="observer"/> stays when it has fired, and is told of each connection that can be accepted.</summary>
    public void Observe(SocketWaiter observer) => _waiters.Observe(observer);

    public void RemoveWaiter(SocketWaiter waiter) => _waiters.Remove(waiter);

    /// <summary>Stops listening: what was not accepted is reset, requests find nobody (Linux: inet_csk_listen_stop).</summary>
    public void Close()
    {
        TcpConnection[] orphans;
        lock (_gate)
        {
            if (IsClosed)
            {
                return;
            }

            IsClosed = true;
            orphans = [.. _accepted, .. _embryos];
            _accepted.Clear();
            _embryos.Clear();
        }

        stack.Tcp.Listeners.Remove(this);
        Held?.Close();
        foreach (TcpConnection orphan in orphans)
        {
            orphan.PostHandleGone();
        }

        _waiters.Fire(SocketEvents.All);
        PenstockEventSource.Log.OnListenerStopped(this);
    }
}
