using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Buffers;
using Penstock.Tcp;

namespace Penstock.Sockets;

/// <summary>
/// The writing end of a socket's pipe. Memory comes from the slabs that sends fill; a flush attaches the filled ranges to the write queue. Between two flushes the slab is
/// this writer's alone, afterwards it goes back to be shared, so an idle writer holds nothing. Never owns the socket while the application fills memory.
/// </summary>
internal sealed class SlabPipeWriter(TcpSocket socket) : PipeWriter, ISlabRuns
{
    /// <summary>Less room than this at the end of a shared slab is not worth handing out.</summary>
    private const int LeastRoom = 1024;

    private readonly Queue<Run> _runs = new();
    private readonly object _gate = new();
    private Run _current;
    private int _room;
    private CancellationTokenSource? _flushCancel;
    private CancellationTokenSource? _spareCancel;
    private bool _cancelRequested;
    private bool _flushing;
    private bool _completed;
    private bool _abandoned;

    ~SlabPipeWriter() => ReleaseAll();

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => Queued + _current.Length;

    /// <summary>Bytes that the send loop may still take.</summary>
    public long Queued { get; private set; }

    private SendSlabs Slabs => socket.Stack.Tcp.SendSlabs;

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        MakeRoom(sizeHint);
        return MemoryMarshal.CreateFromPinnedArray(_current.Slab!.Array, _current.Start + _current.Length, _room);
    }

    public override Span<byte> GetSpan(int sizeHint = 0)
    {
        MakeRoom(sizeHint);
        return _current.Slab!.Array.AsSpan(_current.Start + _current.Length, _room);
    }

    public override void Advance(int bytes)
    {
        if ((uint)bytes > (uint)_room)
        {
            throw new ArgumentOutOfRangeException(nameof(bytes), bytes, $"Only {_room} bytes were handed out.");
        }

        _current.Length += bytes;
        _room -= bytes;
    }

    public override void CancelPendingFlush()
    {
        lock (_gate)
        {
            _cancelRequested = true;
            _flushCancel?.Cancel();
        }
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfCompleted();
        return FlushCoreAsync(cancellationToken);
    }

    public override void Complete(Exception? exception = null) => _ = CompleteAsync(exception).AsTask();

    public override async ValueTask CompleteAsync(Exception? exception = null)
    {
        if (_completed)
        {
            return;
        }

        _completed = true;
        try
        {
            if (exception is not null)
            {
                socket.Abort();
                return;
            }

            await FlushCoreAsync(CancellationToken.None).ConfigureAwait(false);
            await socket.ShutdownAsync(SocketShutdown.Send).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or SocketException or ObjectDisposedException)
        {
            // The connection is gone; the reader, or the next call on the socket, says why.
        }
        finally
        {
            Abandon();
        }
    }

    /// <summary>The next bytes to attach: at most one slab's run.</summary>
    public unsafe int Peek(out Slab slab, out byte* address)
    {
        Run run = _runs.Peek();
        slab = run.Slab!;
        address = slab.Address + run.Start;
        return run.Length;
    }

    /// <summary>The send loop has attached <paramref name="count"/> bytes of the first run, with a reference of its own.</summary>
    public void Take(int count)
    {
        Queued -= count;
        Run run = _runs.Dequeue();
        run.Start += count;
        run.Length -= count;
        if (run.Length == 0)
        {
            run.Slab!.Release();
            return;
        }

        // Back to the front: the queue is a few entries long at most.
        int others = _runs.Count;
        _runs.Enqueue(run);
        for (; others > 0; others--)
        {
            _runs.Enqueue(_runs.Dequeue());
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<FlushResult> FlushCoreAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        CloseCurrent();
        CancellationTokenSource cancel = cancellationToken.CanBeCanceled
            ? CancellationTokenSource.CreateLinkedTokenSource(cancellationToken)
            : Interlocked.Exchange(ref _spareCancel, null) ?? new CancellationTokenSource();
        lock (_gate)
        {
            if (_cancelRequested)
            {
                _cancelRequested = false;
                cancel.Dispose();
                return new FlushResult(isCanceled: true, isCompleted: false);
            }

            _flushCancel = cancel;
            _flushing = true;
        }

        try
        {
            while (Queued > 0)
            {
                // Fewer than all: canceled, or failed in the middle, and then the next call throws.
                await socket.SendSlabsAsync(this, cancel.Token).ConfigureAwait(false);
            }

            return new FlushResult(isCanceled: false, isCompleted: false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // What is left goes with the next flush.
            return new FlushResult(isCanceled: true, isCompleted: false);
        }
        catch (SocketException failure)
        {
            throw new IOException($"Cannot write to the connection: {failure.Message}.", failure);
        }
        finally
        {
            bool release;
            lock (_gate)
            {
                _flushCancel = null;
                _cancelRequested = false;
                _flushing = false;
                release = _abandoned;
            }

            if (!cancellationToken.CanBeCanceled && cancel.TryReset())
            {
                _spareCancel = cancel;
            }
            else
            {
                cancel.Dispose();
            }

            if (release)
            {
                ReleaseAll();
            }
        }
    }

    private void MakeRoom(int sizeHint)
    {
        ThrowIfCompleted();
        ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(sizeHint, PacketPool.LargeSlab);
        if (_current.Slab is { } held)
        {
            _room = held.Size - (_current.Start + _current.Length);
            if (_room >= Math.Max(sizeHint, 1))
            {
                return;
            }

            CloseCurrent();
        }

        Slab? slab = Slabs.Take(forced: false, PacketPool.SendSlab);
        if (slab is not null && slab.Size - slab.Used < Math.Max(sizeHint, LeastRoom))
        {
            if (slab.Size - slab.Used < LeastRoom)
            {
                slab.Release();
            }
            else
            {
                Slabs.Put(slab);
            }

            slab = null;
        }

        if (slab is null)
        {
            slab = socket.Stack.Pool.RentQueueSlab(Math.Max(sizeHint, PacketPool.SendSlab))
                ?? throw new SocketException((int)SocketError.NoBufferSpaceAvailable);
            slab.Used = 0;
        }

        _current = new Run { Slab = slab, Start = slab.Used };
        _room = slab.Size - slab.Used;
    }

    /// <summary>The current run is finished: what was filled waits for the send loop, the slab goes back for others to fill on.</summary>
    private void CloseCurrent()
    {
        if (_current.Slab is not { } slab)
        {
            return;
        }

        if (_current.Length > 0)
        {
            slab.Used = _current.Start + _current.Length;
            slab.AddReference();
            _runs.Enqueue(_current);
            Queued += _current.Length;
        }

        Slabs.Put(slab);
        _current = default;
        _room = 0;
    }

    private void ThrowIfCompleted()
    {
        if (_completed)
        {
            throw new InvalidOperationException("Writing is not allowed after the writer was completed.");
        }
    }

    /// <summary>Gives back what was not sent, now or when the flush under way has ended.</summary>
    private void Abandon()
    {
        lock (_gate)
        {
            _abandoned = true;
            if (_flushing)
            {
                return;
            }
        }

        ReleaseAll();
        GC.SuppressFinalize(this);
    }

    private void ReleaseAll()
    {
        _current.Slab?.Release();
        _current = default;
        while (_runs.TryDequeue(out Run run))
        {
            run.Slab!.Release();
        }

        Queued = 0;
    }

    private struct Run
    {
        public Slab? Slab;
        public int Start;
        public int Length;
    }
}
