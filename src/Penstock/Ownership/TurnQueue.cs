namespace Penstock.Ownership;

/// <summary>
/// A turn that one caller has at a time, given in the order of asking and kept while it waits for something else (the sends of a socket: whole calls never interleave). Guarded by the socket's inner
/// word, like its ownership: a send takes both in one go. A mutable struct: keep it in a field.
/// </summary>
internal struct TurnQueue
{
    private bool _taken;
    private LockWaiter? _head;
    private LockWaiter? _tail;

    /// <summary>Everybody has the turn at once: only for tests of the tests, <see cref="Omission.SendTurn"/>.</summary>
    internal bool IsOpen;

    public bool TryTake()
    {
        if (IsOpen)
        {
            return true;
        }

        bool mine = !_taken;
        _taken = true;
        return mine;
    }

    /// <summary>Takes the turn, or queues <paramref name="waiter"/> for it; true when it was taken at once.</summary>
    public bool TakeOrQueue(LockWaiter waiter)
    {
        if (IsOpen)
        {
            return true;
        }

        bool mine = !_taken;
        if (mine)
        {
            _taken = true;
        }
        else
        {
            waiter.NextWaiter = null;
            if (_tail is null)
            {
                _head = waiter;
            }
            else
            {
                _tail.NextWaiter = waiter;
            }

            _tail = waiter;
        }

        return mine;
    }

    /// <summary>Gives up waiting; false when the turn was given to <paramref name="waiter"/> already, who then has to give it on.</summary>
    public bool TryLeave(LockWaiter waiter)
    {
        LockWaiter? before = null;
        LockWaiter? at = _head;
        while (at is not null && at != waiter)
        {
            before = at;
            at = at.NextWaiter;
        }

        if (at is not null)
        {
            if (before is null)
            {
                _head = at.NextWaiter;
            }
            else
            {
                before.NextWaiter = at.NextWaiter;
            }

            if (_tail == at)
            {
                _tail = before;
            }
        }

        return at is not null;
    }

    /// <summary>Gives the turn on; returns who has it now and is to be told outside of the inner word, null when nobody waits.</summary>
    public LockWaiter? Give()
    {
        if (IsOpen)
        {
            return null;
        }

        LockWaiter? next = _head;
        if (next is null)
        {
            _taken = false;
        }
        else
        {
            _head = next.NextWaiter;
            if (_head is null)
            {
                _tail = null;
            }
        }

        return next;
    }
}
