using Penstock.Buffers;

namespace Penstock.Time;

/// <summary>
/// The timers of one worker: a 4-ary heap, exact to the nanosecond. Deadlines that move later never touch it (the
/// entry re-files itself when it fires early), so it sees far fewer operations than there are re-armed timers; exactness is what the
/// virtual clock needs and a wheel's slots would lose. Any thread may file and cancel; only the worker fires.
/// </summary>
internal sealed class TimerQueue
{
    private const int Arity = 4;
    private TimerEntry?[] _heap = new TimerEntry?[16];
    private SpinGate _gate;
    private int _count;
    private long _order;
    private long _nextNanos = long.MaxValue;

    public int Count => Volatile.Read(ref _count);

    /// <summary>The earliest deadline, or <see cref="long.MaxValue"/>. A plain read: it is looked at after each batch of packets.</summary>
    public long NextNanos => Volatile.Read(ref _nextNanos);

    /// <summary>Files an entry, or moves it if it is filed for later than <paramref name="atNanos"/>. Returns true when it became the earliest of all.</summary>
    public bool File(TimerEntry entry, long atNanos)
    {
        _gate.Enter();
        if (entry.HeapIndex >= 0)
        {
            if (entry.FiledNanos <= atNanos)
            {
                _gate.Exit();
                return false;
            }

            entry.FiledNanos = atNanos;
            entry.FiledOrder = _order++;
            SiftUp(entry.HeapIndex);
        }
        else
        {
            if (_count == _heap.Length)
            {
                // Growth under the gate is rare (doubling) and copies references only.
                Array.Resize(ref _heap, _count * 2);
            }

            entry.FiledNanos = atNanos;
            entry.FiledOrder = _order++;
            entry.HeapIndex = _count;
            _heap[_count++] = entry;
            SiftUp(entry.HeapIndex);
        }

        bool first = entry.HeapIndex == 0;
        NoteNext();
        _gate.Exit();
        return first;
    }

    public void Cancel(TimerEntry entry)
    {
        _gate.Enter();
        if (entry.HeapIndex >= 0)
        {
            RemoveAt(entry.HeapIndex);
            NoteNext();
        }

        _gate.Exit();
    }

    /// <summary>Takes the earliest entry that is due at <paramref name="nowNanos"/>, or null.</summary>
    public TimerEntry? TakeDue(long nowNanos)
    {
        if (NextNanos > nowNanos)
        {
            return null;
        }

        _gate.Enter();
        TimerEntry? due = null;
        if (_count > 0 && _heap[0]!.FiledNanos <= nowNanos)
        {
            due = _heap[0]!;
            RemoveAt(0);
            NoteNext();
        }

        _gate.Exit();
        return due;
    }

    private void NoteNext() => Volatile.Write(ref _nextNanos, _count == 0 ? long.MaxValue : _heap[0]!.FiledNanos);

    private void RemoveAt(int index)
    {
        TimerEntry removed = _heap[index]!;
        TimerEntry last = _heap[--_count]!;
        _heap[_count] = null;
        removed.HeapIndex = -1;
        removed.FiledNanos = long.MaxValue;
        if (last != removed)
        {
            _heap[index] = last;
            last.HeapIndex = index;
            SiftUp(index);
            SiftDown(last.HeapIndex);
        }
    }

    private static bool Earlier(TimerEntry a, TimerEntry b) =>
        a.FiledNanos < b.FiledNanos || (a.FiledNanos == b.FiledNanos && a.FiledOrder < b.FiledOrder);

    private void SiftUp(int index)
    {
        TimerEntry entry = _heap[index]!;
        while (index > 0)
        {
            int parent = (index - 1) / Arity;
            TimerEntry other = _heap[parent]!;
            if (!Earlier(entry, other))
            {
                break;
            }

            _heap[index] = other;
            other.HeapIndex = index;
            index = parent;
        }

        _heap[index] = entry;
        entry.HeapIndex = index;
    }

    private void SiftDown(int index)
    {
        TimerEntry entry = _heap[index]!;
        while (true)
        {
            int best = -1;
            int first = (index * Arity) + 1;
            int end = Math.Min(first + Arity, _count);
            for (int child = first; child < end; child++)
            {
                if (best < 0 || Earlier(_heap[child]!, _heap[best]!))
                {
                    best = child;
                }
            }

            if (best < 0 || !Earlier(_heap[best]!, entry))
            {
                break;
            }

            _heap[index] = _heap[best];
            _heap[index]!.HeapIndex = index;
            index = best;
        }

        _heap[index] = entry;
        entry.HeapIndex = index;
    }
}
