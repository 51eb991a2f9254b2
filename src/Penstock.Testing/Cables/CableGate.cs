using Penstock.Buffers;
using Penstock.Links;
using Penstock.Time;

namespace Penstock.Testing.Cables;

/// <summary>
/// What a test does to one direction of a cable on top of the cable's options: cuts it, or holds what arrives. It sits at the receiving end and
/// enters no socket: it delivers, holds or frees.
/// </summary>
internal sealed class CableGate
{
    /// <summary>Packets that wait while the direction is frozen; more are lost, as in any full queue.</summary>
    public const int HeldLimit = 10_000;

    private readonly Lock _lock = new();
    private ILinkClient? _receiver;
    private PacketBuffer? _head;
    private PacketBuffer? _tail;
    private int _held;
    private long _heldSegments, _refused, _refusedBytes, _lostOnArrival;

    // Read without the lock on the packet path; written under it.
    private bool _cut;
    private bool _frozen;
    private bool _closed;

    /// <summary>The cable's own figures with what the gate did: what a cut took is lost, what is held is under way.</summary>
    public CableCounters Adjust(CableCounters counters)
    {
        lock (_lock)
        {
            return counters with
            {
                Sent = counters.Sent + _refused,
                SentBytes = counters.SentBytes + _refusedBytes,
                Lost = counters.Lost + _refused + _lostOnArrival,
                Delivered = counters.Delivered - _lostOnArrival - _heldSegments,
                InFlight = counters.InFlight + _heldSegments,
            };
        }
    }

    public void Attach(ILinkClient receiver)
    {
        lock (_lock)
        {
            _receiver = receiver;
        }
    }

    /// <summary>The sending side: false when the direction is cut and the packet has been freed.</summary>
    public bool Admit(PacketBuffer packet)
    {
        if (!Volatile.Read(ref _cut))
        {
            return true;
        }

        lock (_lock)
        {
            int segments = Segmentation.SegmentsOf(packet);
            _refused += segments;
            _refusedBytes += packet.TotalLength + ((segments - 1) * packet.HeadLength);
        }

        packet.Free();
        return false;
    }

    /// <summary>The receiving side: takes over a packet that came out of the cable.</summary>
    public void Deliver(PacketBuffer packet, int queue)
    {
        if (!Volatile.Read(ref _cut) && !Volatile.Read(ref _frozen))
        {
            _receiver!.Deliver(packet, queue);
            return;
        }

        lock (_lock)
        {
            if (_closed || _cut || (_frozen && _held == HeldLimit))
            {
                _lostOnArrival += packet.SegmentCount;
                packet.Free();
            }
            else if (_frozen)
            {
                Hold(packet);
            }
            else
            {
                // Thawed meanwhile: what was held has gone before, under this lock.
                _receiver!.Deliver(packet, queue);
            }
        }
    }

    /// <summary>Loses everything from now on, what is held included.</summary>
    public void Cut()
    {
        lock (_lock)
        {
            Volatile.Write(ref _cut, true);
            Drop();
        }
    }

    /// <summary>Holds from now on what arrives.</summary>
    public void Freeze()
    {
        lock (_lock)
        {
            Volatile.Write(ref _frozen, true);
        }
    }

    /// <summary>Lets packets cross again. What is held arrives now, in order.</summary>
    public void Open()
    {
        lock (_lock)
        {
            // A delivery only appends to the receiver's ready queue, so it may happen under the lock, which keeps the order.
            long now = _receiver is null || _head is null ? 0 : _receiver.WorkerOf(0).NowNanos;
            while (_head is { } packet)
            {
                _head = packet.Next;
                packet.Next = null;
                packet.ArrivalNanos = now;
                _receiver!.Deliver(packet, 0);
            }

            _tail = null;
            _held = 0;
            _heldSegments = 0;
            Volatile.Write(ref _cut, false);

            // A closed gate stays shut: its receiver is gone.
            Volatile.Write(ref _frozen, _closed);
        }
    }

    /// <summary>The receiving end is gone: frees what is held and whatever still comes.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _closed = true;
            Volatile.Write(ref _frozen, true);
            Drop();
        }
    }

    private void Hold(PacketBuffer packet)
    {
        packet.Next = null;
        if (_tail is null)
        {
            _head = packet;
        }
        else
        {
            _tail.Next = packet;
        }

        _tail = packet;
        _held++;
        _heldSegments += packet.SegmentCount;
    }

    private void Drop()
    {
        while (_head is { } packet)
        {
            _head = packet.Next;
            packet.Next = null;
            _lostOnArrival += packet.SegmentCount;
            packet.Free();
        }

        _tail = null;
        _held = 0;
        _heldSegments = 0;
    }
}
