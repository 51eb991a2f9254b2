using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Tcp;

namespace Penstock.Sockets;

/// <summary>
/// The reading end of a socket's pipe. Hands out the received bytes in the slabs they came in: a read takes whole buffers out of the receive queue, an advance frees those that are consumed. What is not
/// consumed stays charged to the socket (see <see cref="TcpConnection.TakeReceived"/>). Never waits for the socket's owner but in a pending read.
/// </summary>
internal sealed class SlabPipeReader(TcpSocket socket) : PipeReader
{
    /// <summary>Segments kept for reuse; a burst that needs more makes more.</summary>
    private const int SparesKept = 1024;

    private readonly TcpConnection _connection = socket.Connection;
    private readonly PacketList _held = new();
    private readonly object _gate = new();
    private ReceivedSegment? _first;
    private ReceivedSegment? _last;
    private ReceivedSegment? _spares;
    private int _spareCount;
    private AsyncSocketWaiter? _spareWaiter;
    private AsyncSocketWaiter? _waiting;
    private SocketError _failure;
    private bool _cancelRequested;
    private bool _pending;
    private bool _ended;
    private bool _completed;

    // --- Positions, counted from the beginning of the stream: what is held ends here; what the reader has looked at ends there.
    private long _heldEnd;
    private long _examinedEnd;

    ~SlabPipeReader() => ReleaseHeld();

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfCompleted();
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<ReadResult>(cancellationToken);
        }

        socket.TakeReceiveTurn();
        if (!_connection.TryOwn())
        {
            return ReadSlowAsync(owned: false, cancellationToken);
        }

        if (!TryTake(out ReadResult result))
        {
            return ReadSlowAsync(owned: true, cancellationToken);
        }

        _connection.Release();
        socket.EndReceive();
        return new ValueTask<ReadResult>(result);
    }

    public override bool TryRead(out ReadResult result)
    {
        ThrowIfCompleted();
        socket.TakeReceiveTurn();
        try
        {
            // Owned by somebody else: what is held already is the answer.
            if (!_connection.TryOwn())
            {
                return TryResult(out result);
            }

            bool done = TryTake(out result);
            _connection.Release();
            if (!done)
            {
                ThrowIfOver();
            }

            return done;
        }
        finally
        {
            socket.EndReceive();
        }
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        ThrowIfCompleted();
        if (_pending)
        {
            throw new InvalidOperationException("Advancing is not allowed while a read is under way. Await it, then advance to a position of its result.");
        }

        if (consumed.GetObject() is null || examined.GetObject() is null)
        {
            // Positions of a result without bytes.
            return;
        }

        long start = _first?.RunningIndex ?? _heldEnd;
        long consumedTo = Locate(consumed);
        long examinedTo = Locate(examined);
        if (consumedTo < start || examinedTo < consumedTo || examinedTo > _heldEnd)
        {
            throw new InvalidOperationException("Positions must come from the last read, and what is consumed must have been examined.");
        }

        _examinedEnd = examinedTo;
        if (consumedTo > start)
        {
            Consume((int)(consumedTo - start), consumedTo);
        }
    }

    public override void CancelPendingRead()
    {
        lock (_gate)
        {
            _cancelRequested = true;
            _waiting?.Cancel();
        }
    }

    public override void Complete(Exception? exception = null)
    {
        lock (_gate)
        {
            if (_completed)
            {
                return;
            }

            _completed = true;
            if (_pending)
            {
                // The read under way ends, and releases.
                _waiting?.Cancel();
                return;
            }
        }

        ReleaseHeld();
        GC.SuppressFinalize(this);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ReadResult> ReadSlowAsync(bool owned, CancellationToken cancellationToken)
    {
        _pending = true;
        try
        {
            bool looked = owned;
            if (!owned)
            {
                await _connection.OwnAsync().ConfigureAwait(false);
            }

            while (true)
            {
                if (!looked && TryTake(out ReadResult result))
                {
                    _connection.Release();
                    return result;
                }

                looked = false;
                if (IsOver || !MakeRoom())
                {
                    _connection.Release();
                    ThrowIfOver();
                    throw NoRoom();
                }

                AsyncSocketWaiter waiter = Interlocked.Exchange(ref _spareWaiter, null) ?? new AsyncSocketWaiter(_connection.Worker.Driver);
                waiter.Inline = socket.UnsafeInlineContinuations;
                waiter.Arm(SocketEvents.Readable | SocketEvents.Failed);
                _connection.AddWaiter(waiter);
                _connection.Release();
                lock (_gate)
                {
                    _waiting = waiter;
                    if (_cancelRequested || _completed)
                    {
                        waiter.Cancel();
                    }
                }

                bool fired = await waiter.WaitAsync(cancellationToken).ConfigureAwait(false);
                lock (_gate)
                {
                    _waiting = null;
                }

                // One that was canceled while an event has it in its hands is not used again: it would be linked twice.
                if (fired || _connection.RemoveWaiter(waiter))
                {
                    _spareWaiter = waiter;
                }

                if (!fired)
                {
                    cancellationToken.ThrowIfCancellationRequested();
                }

                await _connection.OwnAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            EndPending();
        }
    }

    private void EndPending()
    {
        bool release;
        lock (_gate)
        {
            _pending = false;
            release = _completed;
        }

        socket.EndReceive();
        if (release)
        {
            ReleaseHeld();
            GC.SuppressFinalize(this);
        }
    }

    /// <summary>Takes over what has arrived; true when there is a result. The caller owns the connection.</summary>
    private bool TryTake(out ReadResult result)
    {
        if (!_ended && _failure == SocketError.Success && !_completed && !socket.IsDisposed)
        {
            PacketBuffer? before = _held.Last;
            int taken = _connection.TakeReceived(_held, out _ended);
            if (taken > 0)
            {
                Show(before is null ? _held.First : before.Next);
            }
            else if (taken == TcpConnection.Failed)
            {
                SocketError error = _connection.TakeError();
                _failure = error != SocketError.Success ? error : _connection.FinalError;
            }
        }

        return TryResult(out result);
    }

    private bool TryResult(out ReadResult result)
    {
        if (_completed)
        {
            result = default;
            return false;
        }

        bool canceled = false;
        if (Volatile.Read(ref _cancelRequested))
        {
            lock (_gate)
            {
                canceled = _cancelRequested;
                _cancelRequested = false;
            }
        }

        bool done = canceled || _ended || _heldEnd > _examinedEnd;
        ReadOnlySequence<byte> all = _first is null ? default : new ReadOnlySequence<byte>(_first, 0, _last!, _last!.Memory.Length);
        result = done ? new ReadResult(all, canceled, _ended) : default;
        return done;
    }

    private bool IsOver => _completed || _failure != SocketError.Success || socket.IsDisposed;

    private void ThrowIfOver()
    {
        ThrowIfCompleted();
        if (_failure != SocketError.Success)
        {
            throw TcpSocketStream.ReadFailed(new SocketException((int)_failure));
        }

        ObjectDisposedException.ThrowIf(socket.IsDisposed, socket);
    }

    private void ThrowIfCompleted()
    {
        if (_completed)
        {
            throw new InvalidOperationException("Reading is not allowed after the reader was completed.");
        }
    }

    /// <summary>All that is held has been examined; false when it leaves no room for more. The caller owns the connection.</summary>
    private bool MakeRoom()
    {
        if (_first is null)
        {
            return true;
        }

        bool room = _connection.MakeRoomBehind(_held, out bool moved);
        if (moved)
        {
            _heldEnd = _first.RunningIndex;
            RecycleTo(long.MaxValue);
            Show(_held.First);
        }

        return room;
    }

    private IOException NoRoom() => new(
        $"The reader holds {_heldEnd - _first!.RunningIndex} bytes that were examined and not consumed, and the receive buffer has no room for more. "
            + "Consume some of them, or give the socket a larger receive buffer (net.ipv4.tcp_rmem).",
        new SocketException((int)SocketError.NoBufferSpaceAvailable));

    /// <summary>Appends the payload of <paramref name="buffer"/>, and of all behind it, to what is handed out.</summary>
    private void Show(PacketBuffer? buffer)
    {
        for (; buffer is not null; buffer = buffer.Next)
        {
            for (int i = 0; i < buffer.FragmentCount; i++)
            {
                ReceivedSegment segment = TakeSegment();
                segment.Show(ref buffer.FragmentAt(i), _heldEnd);
                _heldEnd = segment.End;
                _last?.SetFollowing(segment);
                _first ??= segment;
                _last = segment;
            }
        }
    }

    private void Consume(int count, long end)
    {
        RecycleTo(end);
        _first?.Skip((int)(end - _first.RunningIndex));
        int trueSize = 0;
        for (int left = count; left > 0;)
        {
            PacketBuffer buffer = _held.First!;
            if (left < buffer.Length)
            {
                // Its charge stays until its last byte is consumed.
                buffer.TrimFront(left);
                buffer.Sequence += left;
                break;
            }

            left -= buffer.Length;
            trueSize += buffer.TrueSize;
            _held.Remove(buffer);
            buffer.Free();
        }

        _connection.ReturnReceived(count, trueSize);
    }

    private long Locate(SequencePosition position) =>
        position.GetObject() is ReceivedSegment segment
            ? segment.RunningIndex + position.GetInteger()
            : throw new InvalidOperationException("The position does not come from this reader.");

    private void RecycleTo(long end)
    {
        while (_first is { } segment && segment.End <= end)
        {
            _first = segment.Following;
            segment.Clear();
            if (_spareCount < SparesKept)
            {
                segment.SetFollowing(_spares);
                _spares = segment;
                _spareCount++;
            }
        }

        if (_first is null)
        {
            _last = null;
        }
    }

    private ReceivedSegment TakeSegment()
    {
        if (_spares is not { } segment)
        {
            return new ReceivedSegment(this);
        }

        _spares = segment.Following;
        _spareCount--;
        segment.SetFollowing(null);
        return segment;
    }

    private void ReleaseHeld()
    {
        if (_first is not null)
        {
            Consume((int)(_heldEnd - _first.RunningIndex), _heldEnd);
        }
    }
}
