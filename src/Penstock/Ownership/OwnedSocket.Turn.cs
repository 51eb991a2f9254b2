namespace Penstock.Ownership;

/// <summary>The turn to send: whole sends follow each other, also while one waits for room and owns nothing (R1.8). The turn to receive, which nobody queues for.</summary>
internal abstract partial class OwnedSocket
{
    private TurnQueue _turn;
    private bool _receiving;
    private DirectReceiver? _spareReceiver;

    /// <summary>Takes the turn, right now or not at all.</summary>
    public bool TryTakeTurn()
    {
        _inner.Enter();
        bool mine = _turn.TryTake();
        _inner.Exit();
        return mine;
    }

    /// <summary>Takes the turn and the socket in one go, each right now or not at all; the socket only with the turn.</summary>
    public bool TryTakeTurn(out bool owned)
    {
        EnterInner();
        bool mine = _turn.TryTake();
        owned = mine && !_owned;
        if (owned)
        {
            _owned = true;
            _stepNanos = 0;
        }

        _inner.Exit();
        return mine;
    }

    /// <summary>Takes the turn, or queues <paramref name="waiter"/> for it; true when it was taken at once.</summary>
    public bool TakeTurnOrQueue(LockWaiter waiter)
    {
        _inner.Enter();
        bool mine = _turn.TakeOrQueue(waiter);
        _inner.Exit();
        return mine;
    }

    /// <summary>Gives up waiting for the turn; false when <paramref name="waiter"/> has it already, who then has to give it on.</summary>
    public bool TryLeaveTurn(LockWaiter waiter)
    {
        _inner.Enter();
        bool left = _turn.TryLeave(waiter);
        _inner.Exit();
        return left;
    }

    /// <summary>Gives the turn to who has waited longest; <see cref="Release"/> does so too when it is told.</summary>
    public void GiveTurn()
    {
        _inner.Enter();
        LockWaiter? next = _turn.Give();
        _inner.Exit();
        next?.Grant();
    }

    /// <summary>Takes the turn to receive, right now or not at all: nobody waits for it.</summary>
    public bool TryTakeReceiveTurn()
    {
        _inner.Enter();
        bool mine = !_receiving;
        _receiving = true;
        _inner.Exit();
        return mine;
    }

    /// <summary>
    /// Takes the turn to receive and what a receive does first, in one go and right now or not at all: where nothing has come and nobody is at the socket it waits, as <paramref name="waiting"/>, else it has the socket, unless somebody
    /// else has.
    /// </summary>
    public ReceiveTurn TakeReceiveTurn(object caller, Memory<byte> buffer, TcpReceiveFlags flags, CancellationToken cancellation, out DirectReceiver? waiting)
    {
        waiting = null;
        ReceiveTurn turn;
        EnterInner();
        if (_receiving)
        {
            turn = ReceiveTurn.Taken;
        }
        else
        {
            _receiving = true;
            if (_owned)
            {
                turn = ReceiveTurn.Mine;
            }
            else if (_spareReceiver is { } spare && _backlogHead is null && _deferred == 0 && flags == TcpReceiveFlags.None && !buffer.IsEmpty && HasNothingToReceive)
            {
                _spareReceiver = null;
                spare.Begin(caller, buffer, flags, cancellation);
                waiting = _receiver = spare;
                turn = ReceiveTurn.Waits;
            }
            else
            {
                _owned = true;
                _stepNanos = 0;
                turn = ReceiveTurn.Owns;
            }
        }

        _inner.Exit();
        return turn;
    }

    /// <summary>One that is done, for the next wait; none when another thread has just put one there. Only who has the turn.</summary>
    public DirectReceiver? TakeSpareReceiver()
    {
        DirectReceiver? spare = _spareReceiver;
        _spareReceiver = null;
        return spare;
    }

    /// <summary>Keeps one whose result was taken.</summary>
    public void KeepReceiver(DirectReceiver receiver) => Volatile.Write(ref _spareReceiver, receiver);

    /// <summary>A receive without flags would find nothing, and only has to wait. Asked under the inner word while nobody owns the socket: comparisons only.</summary>
    protected virtual bool HasNothingToReceive => false;

    /// <summary>Gives the turn to receive up. Plain: only who has it does so.</summary>
    public void GiveReceiveTurn() => Volatile.Write(ref _receiving, false);

    /// <summary>Everybody has the turn at once: only for tests of the tests.</summary>
    protected void OpenTurn() => _turn.IsOpen = true;
}

/// <summary>How far a receive came at once.</summary>
internal enum ReceiveTurn
{
    /// <summary>Another receive is under way.</summary>
    Taken,

    /// <summary>It has the turn; the socket is somebody else's.</summary>
    Mine,

    /// <summary>It has the turn and the socket.</summary>
    Owns,

    /// <summary>It has the turn and waits.</summary>
    Waits,
}
