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

    public bool TryTake()
    {
        _gate.Enter();
        bool mine = !_taken;
        _taken = true;
        _gate.Exit();
        return mine;
    }

    /// <summary>Takes the turn, or queues <paramref name="waiter"/> for it; true when it was taken at once.</summary>
    public bool TakeOrQueue(LockWaiter waiter)
    {
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

    public void Give()
    {
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
