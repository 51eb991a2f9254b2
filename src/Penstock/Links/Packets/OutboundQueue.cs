using System.Threading.Tasks.Sources;
using Penstock.Buffers;
using Penstock.Time;

namespace Penstock.Links;

/// <summary>
/// Packets that wait to be read from a <see cref="PacketLink"/>, and the reader who waits for them. Super-segments wait whole and are split as they are read,
/// so the payload is copied once, straight to the reader. Never calls into a socket.
/// </summary>
/// <remarks>
/// The gate guards the list and the waiting flag, the reading lock the packet that is being read; order: reading lock, gate. The waiter is completed by
/// whoever took down its flag under the gate, so exactly once.
/// </remarks>
internal sealed class OutboundQueue(int limit, bool whole) : IValueTaskSource<bool>, IThreadPoolWorkItem
{
    private readonly Lock _reading = new();
    private PacketBuffer? _current;
    private int _currentIndex;

    private SpinGate _gate;
    private PacketBuffer? _head;
    private PacketBuffer? _tail;
    private int _waitingPackets;
    private bool _refused;
    private bool _closed;
    private bool _readerWaits;

    private ManualResetValueTaskSourceCore<bool> _wait;
    private CancellationTokenRegistration _cancellation;
    private int _waitInUse;

    /// <summary>Wire packets that wait.</summary>
    public int Count => Volatile.Read(ref _waitingPackets);

    public bool IsClosed => Volatile.Read(ref _closed);

    /// <summary>Appends a packet; false when the queue is full. A closed queue frees it.</summary>
    public bool TryAdd(PacketBuffer packet, Driver driver)
    {
        _gate.Enter();
        if (_closed)
        {
            _gate.Exit();
            packet.Free();
            return true;
        }

        if (_waitingPackets >= limit)
        {
            _refused = true;
            _gate.Exit();
            return false;
        }

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
        _waitingPackets += PiecesOf(packet);
        bool wake = _readerWaits;
        _readerWaits = false;
        _gate.Exit();
        if (wake)
        {
            driver.Schedule(this);
        }

        return true;
    }

    /// <summary>
    /// Copies the next packet, its checksums complete. False when none waits. <paramref name="space"/>: a refused sender should be told.
    /// </summary>
    /// <exception cref="ArgumentException">The destination is too short; the packet stays.</exception>
    public bool TryRead(Span<byte> destination, out int length, out bool space)
    {
        space = false;
        length = 0;
        lock (_reading)
        {
            _current ??= TakeFirst();
            PacketBuffer? packet = _current;
            if (packet is null)
            {
                return false;
            }

            int needed = whole ? packet.TotalLength : Segmentation.LengthOf(packet, _currentIndex);
            if (needed > destination.Length)
            {
                throw new ArgumentException(
                    $"The packet has {needed} bytes, the destination {destination.Length}. Offer the MTU's bytes, or 65535 with super-segments.", nameof(destination));
            }

            length = whole
                ? Segmentation.WriteWhole(packet, destination, complete: true)
                : Segmentation.WriteSegment(packet, _currentIndex, destination, complete: true);
            _currentIndex++;
            if (_currentIndex == PiecesOf(packet))
            {
                _current = null;
                _currentIndex = 0;
            }
            else
            {
                packet = null;
            }

            _gate.Enter();
            _waitingPackets--;
            if (_refused && _waitingPackets <= limit / 2)
            {
                _refused = false;
                space = true;
            }

            _gate.Exit();
            packet?.Free();
            return true;
        }
    }

    /// <summary>Completes with true when a packet waits, with false when the queue is closed. One wait at a time.</summary>
    public ValueTask<bool> WaitAsync(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<bool>(cancellationToken);
        }

        if (Interlocked.Exchange(ref _waitInUse, 1) != 0)
        {
            throw new InvalidOperationException("Another read already waits for a packet. One reader may wait at a time.");
        }

        if (Count > 0 || IsClosed)
        {
            Volatile.Write(ref _waitInUse, 0);
            return new ValueTask<bool>(Count > 0);
        }

        // Before the flag goes up: nobody completes the wait until then, except that a cancellation finds no flag and is looked for again below.
        _wait.Reset();
        var task = new ValueTask<bool>(this, _wait.Version);
        _cancellation = cancellationToken.UnsafeRegister(
            static (state, token) => ((OutboundQueue)state!).Cancel(token), this);
        _gate.Enter();
        bool ready = _waitingPackets > 0 || _closed;
        _readerWaits = !ready;
        _gate.Exit();
        if (ready)
        {
            _wait.SetResult(!IsClosed || Count > 0);
        }
        else if (cancellationToken.IsCancellationRequested)
        {
            Cancel(cancellationToken);
        }

        return task;
    }

    /// <summary>Frees what waits and ends the reader's wait.</summary>
    public void Close(Driver? driver)
    {
        lock (_reading)
        {
            _gate.Enter();
            PacketBuffer? packet = _head;
            _head = _tail = null;
            _waitingPackets = 0;
            _closed = true;
            bool wake = _readerWaits;
            _readerWaits = false;
            _gate.Exit();
            _current?.Free();
            _current = null;
            _currentIndex = 0;
            while (packet is not null)
            {
                PacketBuffer? next = packet.Next;
                packet.Free();
                packet = next;
            }

            if (wake)
            {
                if (driver is null)
                {
                    ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
                }
                else
                {
                    driver.Schedule(this);
                }
            }
        }
    }

    /// <summary>Ends the reader's wait, away from the stack's own call chain.</summary>
    void IThreadPoolWorkItem.Execute() => _wait.SetResult(!IsClosed);

    bool IValueTaskSource<bool>.GetResult(short token)
    {
        try
        {
            return _wait.GetResult(token);
        }
        finally
        {
            // Waits for a cancellation callback that runs now: it must not meet the next wait.
            _cancellation.Dispose();
            _cancellation = default;
            Volatile.Write(ref _waitInUse, 0);
        }
    }

    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _wait.GetStatus(token);

    void IValueTaskSource<bool>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _wait.OnCompleted(continuation, state, token, flags);

    private void Cancel(CancellationToken token)
    {
        _gate.Enter();
        bool mine = _readerWaits;
        _readerWaits = false;
        _gate.Exit();
        if (mine)
        {
            _wait.SetException(new OperationCanceledException(token));
        }
    }

    private PacketBuffer? TakeFirst()
    {
        _gate.Enter();
        PacketBuffer? packet = _head;
        if (packet is not null)
        {
            _head = packet.Next;
            if (_head is null)
            {
                _tail = null;
            }

            packet.Next = null;
        }

        _gate.Exit();
        return packet;
    }

    private int PiecesOf(PacketBuffer packet) => whole ? 1 : Segmentation.SegmentsOf(packet);
}
