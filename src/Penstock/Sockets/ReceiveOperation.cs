using System.Net.Sockets;
using System.Threading.Tasks.Sources;
using Penstock.Ownership;
using Penstock.Tcp;
using Penstock.Time;

namespace Penstock;

/// <summary>
/// A receive that waits: in its place at the connection, and the source of the task that the caller awaits. A connection uses one again and again, so that to wait allocates nothing. A short message is
/// copied by the owner who has received it, in the same step; else whoever fires the event becomes the owner and takes what is there.
/// </summary>
internal sealed class ReceiveOperation(TcpConnection connection)
    : DirectReceiver, IValueTaskSource<int>, IThreadPoolWorkItem
{
    /// <summary>What is longer is copied by the application's own thread, while the worker goes on.</summary>
    private const int LongestDirect = 2048;

    private const int Waiting = 0, Taken = 1, Canceled = 2, Finished = 3;

    private readonly OwnershipWaiter _ownership = new();
    private ManualResetValueTaskSourceCore<int> _core;
    private CancellationTokenRegistration _registration;
    private CancellationToken _cancellation;

    /// <summary>The caller's socket, from the beginning of the wait until its result is taken: it must not be collected meanwhile, and may be before and after (it is reset then).</summary>
    private TcpSocket? _socket;
    private Memory<byte> _buffer;
    private TcpReceiveFlags _flags;
    private int _state;
    private int _received;

    private Driver Driver => connection.Worker.Driver;

    public override void Begin(object caller, Memory<byte> buffer, TcpReceiveFlags flags, CancellationToken cancellation)
    {
        _core.Reset();
        _socket = (TcpSocket)caller;
        _buffer = buffer;
        _flags = flags;
        _cancellation = cancellation;
        Interest = TcpSocket.ReceiveEvents(flags);
        _state = Waiting;
    }

    /// <summary>The task of a wait that has begun: it may be over already, but its result is there until it is taken by this task. Once for each wait.</summary>
    public ValueTask<int> Task()
    {
        if (_cancellation.CanBeCanceled)
        {
            _registration = _cancellation.UnsafeRegister(static state => ((ReceiveOperation)state!).Cancel(), this);
        }

        return new ValueTask<int>(this, _core.Version);
    }

    /// <summary>The owner has received something: takes it, if it is short and nobody has canceled. The task completes when the worker's batch ends.</summary>
    public override bool TryDeliver(Worker worker)
    {
        if ((_flags & TcpReceiveFlags.OutOfBand) != 0 || _buffer.IsEmpty || connection.ReadableBytes is <= 0 or > LongestDirect || connection.WaitsForMore(_buffer.Length)
            || !TryBeTaken())
        {
            return false;
        }

        try
        {
            _received = connection.TryReceive(_buffer.Span, _flags);
        }
        catch (Exception)
        {
            // The caller's memory cannot be had; it hears of that in a context of its own.
            _received = 0;
        }

        if (_received <= 0)
        {
            Subscribe();
            LookForCancellation();
            return false;
        }

        Volatile.Write(ref _state, Finished);
        worker.CollectWake(this);
        return true;
    }

    public override void FireWake()
    {
        if (_state == Finished || TryBeTaken())
        {
            Continue();
        }
    }

    /// <summary>On a thread of the application, or on the worker at top level: takes what is there and completes the task, or waits on.</summary>
    public void Execute()
    {
        switch (Volatile.Read(ref _state))
        {
            case Finished:
                Complete(_received);
                return;
            case Canceled:
                connection.GiveReceiveTurn();
                _core.SetException(new OperationCanceledException(_cancellation));
                return;
        }

        if (connection.SpinToOwn() || connection.OwnOrQueue(_ownership.Of(this)))
        {
            Run();
        }
    }

    public int GetResult(short token)
    {
        if (token != _core.Version)
        {
            throw new InvalidOperationException("The task of a receive may be awaited once.");
        }

        if (_core.GetStatus(token) == ValueTaskSourceStatus.Pending)
        {
            throw new InvalidOperationException("The receive is under way. Await its task, or make it one that can be waited for with AsTask().");
        }

        _registration.Dispose();
        _registration = default;
        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            _socket = null;
            _buffer = default;
            _cancellation = default;
            if (_state != Canceled)
            {
                // One that was canceled may still be in its place, or in the hands of who wakes it.
                connection.KeepReceiver(this);
            }
        }
    }

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    /// <summary>Whoever has taken it out of its place has it, unless it was canceled: only that comes from elsewhere.</summary>
    private bool TryBeTaken()
    {
        if (_cancellation.CanBeCanceled)
        {
            return Interlocked.CompareExchange(ref _state, Taken, Waiting) == Waiting;
        }

        // One that was canceled, and has completed since, may still be in the hands of whoever fires.
        bool waits = _state == Waiting;
        _state = waits ? Taken : _state;
        return waits;
    }

    private void Continue()
    {
        if (_socket!.UnsafeInlineContinuations)
        {
            Execute();
        }
        else
        {
            Driver.Schedule(this);
        }
    }

    /// <summary>Owned here.</summary>
    private void Run()
    {
        int received;
        try
        {
            ObjectDisposedException.ThrowIf(_socket!.IsDisposed, _socket);
            received = _socket.ReceiveOwned(_buffer.Span, _flags);
        }
        catch (Exception failure)
        {
            connection.Release();
            connection.GiveReceiveTurn();
            _core.SetException(failure);
            return;
        }

        if (received == TcpConnection.WouldBlock)
        {
            Subscribe();
            LookForCancellation();
            connection.Release();
            return;
        }

        SocketError error = connection.TakeReceiveError(received);
        connection.Release();
        if (received >= 0)
        {
            Complete(received);
        }
        else
        {
            connection.GiveReceiveTurn();
            _core.SetException(new SocketException((int)error));
        }
    }

    private void Complete(int received)
    {
        connection.GiveReceiveTurn();
        _core.SetResult(received);
    }

    /// <summary>Waits again. Owned here.</summary>
    private void Subscribe()
    {
        Interlocked.Exchange(ref _state, Waiting);
        connection.AwaitData(this);
    }

    /// <summary>
    /// A cancellation that came while the operation was taken has done nothing: it is made up for. Owned here: after the release the operation may have completed and begun to wait for another caller, whom
    /// the old token does not concern.
    /// </summary>
    private void LookForCancellation()
    {
        if (_cancellation.IsCancellationRequested)
        {
            Cancel();
        }
    }

    private void Cancel()
    {
        if (Interlocked.CompareExchange(ref _state, Canceled, Waiting) == Waiting)
        {
            Driver.Schedule(this);
        }
    }

    /// <summary>Waits for ownership when somebody else has it.</summary>
    private sealed class OwnershipWaiter : LockWaiter, IThreadPoolWorkItem
    {
        private ReceiveOperation? _operation;

        public OwnershipWaiter Of(ReceiveOperation operation)
        {
            _operation = operation;
            return this;
        }

        public override void Grant() => _operation!.Driver.Schedule(this);

        public void Execute() => _operation!.Run();
    }
}
