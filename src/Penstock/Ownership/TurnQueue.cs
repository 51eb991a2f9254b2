using Penstock.Buffers;

namespace Penstock.Ownership;

/// <summary>
/// A turn that one caller has at a time, given in the order of asking and kept while it waits for something else (the sends of a socket: whole calls never interleave). A mutable
/// struct: keep it in a field.
/// </summary>
internal struct TurnQueue
{
    private SpinGate _gate;
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

        _gate.Enter();
        bool mine = !_taken;
        _taken = true;
        _gate.Exit();
        return mine;
    }

    /// <summary>Takes the turn, or queues <paramref name="waiter"/> for it; true when it was taken at once.</summary>
    public bool TakeOrQueue(LockWaiter waiter)
    {
        if (IsOpen)
        {
            return true;
        }

        _gate.Enter();
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

        _gate.Exit();
        return mine;
    }

    /// <summary>Gives up waiting; false when the turn was given to <paramref name="waiter"/> already, who then has to give it on.</summary>
    public bool TryLeave(LockWaiter waiter)
    {
        _gate.Enter();
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

        _gate.Exit();
        return at is not null;
    }

    public void Give()
    {
        if (IsOpen)
        {
            return;
        }

        _gate.Enter();
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

        _gate.Exit();
        next?.Grant();
    }
}
