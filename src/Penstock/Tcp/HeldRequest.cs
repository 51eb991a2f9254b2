using System.Net.Sockets;
using Penstock.Ownership;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// The application's side of a connection request whose SYN is answered only when the application says so. The decision is made on any thread and carried out there; the worker of the flow may meet a segment or
/// the timer at the same moment, and the flow table says who was first. What becomes of it, a connection or an error, is waited for here. Never touches the flow table or the wire itself.
/// </summary>
internal sealed class HeldRequest(SynReceivedEntry entry, RequestQueue queue, TcpLayer tcp) : IAcceptor
{
    private readonly object _gate = new();
    private AsyncSocketWaiter? _waiter;
    private TcpConnection? _child;
    private SocketError _error;
    private bool _decided;
    private bool _over;
    private volatile bool _answered;

    public SynReceivedEntry Entry => entry;

    /// <summary>True from just before the SYN-ACK goes; what it carries is set by then.</summary>
    public bool IsAnswered
    {
        get => _answered;
        set => _answered = value;
    }

    /// <summary>The first number of a connection that takes over one in TIME-WAIT (RFC 9293 3.6.1).</summary>
    public SequenceNumber? RecycledIss { get; init; }

    /// <summary>Its place among those that nobody has taken yet; the queue's gate guards it.</summary>
    public LinkedListNode<HeldRequest>? Place { get; set; }

    /// <summary>Has the SYN answered and waits for the end of the handshake.</summary>
    /// <exception cref="InvalidOperationException">It was decided before.</exception>
    /// <exception cref="SocketException">The handshake failed, or the request was over already.</exception>
    public async ValueTask<TcpConnection> AcceptAsync(CancellationToken cancel)
    {
        var waiter = new AsyncSocketWaiter(entry.Worker!.Driver);
        waiter.Arm(SocketEvents.All);
        bool over;
        lock (_gate)
        {
            ThrowIfDecided();
            _decided = true;
            _waiter = waiter;
            over = _over;
        }

        if (!over)
        {
            tcp.AnswerHeld(this);
            if (!await waiter.WaitAsync(cancel).ConfigureAwait(false))
            {
                Withdraw();
                throw new OperationCanceledException(cancel);
            }
        }

        lock (_gate)
        {
            if (_child is not { } child)
            {
                throw new SocketException((int)_error);
            }

            child.Listener = null;
            return child;
        }
    }

    /// <summary>Has the SYN refused. Does nothing when the request is over already.</summary>
    /// <exception cref="InvalidOperationException">It was decided before.</exception>
    public void Refuse(TcpRefusal refusal)
    {
        lock (_gate)
        {
            ThrowIfDecided();
            _decided = true;
            if (_over)
            {
                return;
            }

            _over = true;
        }

        queue.Forget(this);
        tcp.DropHeld(this, refused: true, refusal == TcpRefusal.Reset);
    }

    /// <summary>It will not become a connection: the peer has given up, its time has passed, or its listener has closed.</summary>
    public void Fail(SocketError error)
    {
        AsyncSocketWaiter? waiter;
        lock (_gate)
        {
            if (_over)
            {
                return;
            }

            _over = true;
            _error = error;
            waiter = _waiter;
        }

        queue.Forget(this);
        waiter?.Fire(SocketEvents.Failed);
    }

    /// <summary>The listener has closed: the entry goes too. A peer that was answered already is told (Linux does so for what is established: inet_csk_listen_stop), any other hears nothing.</summary>
    public void Abandon()
    {
        Fail(SocketError.ConnectionAborted);
        tcp.DropHeld(this, refused: false, IsAnswered);
    }

    public void OnChildEstablished(TcpConnection child)
    {
        AsyncSocketWaiter? waiter;
        lock (_gate)
        {
            if (_over)
            {
                // Withdrawn, or the listener closed, while the ACK was on its way.
                child.PostHandleGone();
                return;
            }

            _over = true;
            _child = child;
            waiter = _waiter;
        }

        queue.Forget(this);
        waiter?.Fire(SocketEvents.Readable);
    }

    /// <summary>A child that was established stays: its first call says what happened.</summary>
    public void OnChildGone(TcpConnection child) =>
        Fail(child.FinalError != SocketError.Success ? child.FinalError : SocketError.ConnectionAborted);

    /// <summary>Nobody waits for the connection any more.</summary>
    private void Withdraw()
    {
        TcpConnection? child;
        lock (_gate)
        {
            child = _child;
            _child = null;

            // In the same breath: a child that comes later finds nobody.
            _over = true;
        }

        if (child is not null)
        {
            child.PostHandleGone();
            return;
        }

        queue.Forget(this);
        tcp.DropHeld(this, refused: false, IsAnswered);
    }

    private void ThrowIfDecided()
    {
        if (_decided)
        {
            throw new InvalidOperationException("This request was accepted or refused before. Decide once on each request.");
        }
    }
}
