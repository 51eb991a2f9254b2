namespace Penstock.Ownership;

/// <summary>The turn to send: whole sends follow each other, also while one waits for room and owns nothing (R1.8). The turn to receive, which nobody queues for.</summary>
internal abstract partial class OwnedSocket
{
    private TurnQueue _turn;
    private bool _receiving;

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

    /// <summary>Takes the turn to receive and the socket in one go, each right now or not at all; the socket only with the turn.</summary>
    public bool TryTakeReceiveTurn(out bool owned)
    {
        EnterInner();
        bool mine = !_receiving;
        _receiving = true;
        owned = mine && !_owned;
        if (owned)
        {
            _owned = true;
            _stepNanos = 0;
        }

        _inner.Exit();
        return mine;
    }

    /// <summary>Gives the turn to receive up. Plain: only who has it does so.</summary>
    public void GiveReceiveTurn() => Volatile.Write(ref _receiving, false);

    /// <summary>Everybody has the turn at once: only for tests of the tests.</summary>
    protected void OpenTurn() => _turn.IsOpen = true;
}
