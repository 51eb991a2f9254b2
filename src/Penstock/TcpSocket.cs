using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Penstock.Ownership;
using Penstock.Tcp;

namespace Penstock;

/// <summary>
/// A TCP connection of a <see cref="NetworkStack"/>. Thread-safe: any number of sends may be under way, they queue in order and never interleave; one receive at a
/// time. Async members never block; the sync ones block the calling thread.
/// </summary>
/// <remarks>
/// <see cref="Dispose"/> is Linux's close(): it returns at once, what was sent is still delivered in the background, and unread data resets the connection.
/// A socket that is forgotten is reset when it is collected.
/// </remarks>
public sealed partial class TcpSocket : IAsyncDisposable, IDisposable
{
    private readonly TcpConnection _connection;
    private AsyncSocketWaiter? _spareSendWaiter;
    private AsyncSocketWaiter? _spareReceiveWaiter;
    private TcpConnection.SendTurnWaiter? _spareTurnWaiter;
    private int _receiving;
    private int _disposed;
    private LingerOption? _linger;

    internal TcpSocket(TcpConnection connection) => _connection = connection;

    /// <summary>Resets the connection of a socket that nobody disposed.</summary>
    ~TcpSocket()
    {
        if (Volatile.Read(ref _disposed) == 0)
        {
            _connection.PostHandleGone();
        }
    }

    internal TcpConnection Connection => _connection;

    /// <summary>The stack that this socket belongs to.</summary>
    public NetworkStack Stack => _connection.Stack;

    /// <summary>The local address and port; with any-destination listening the address that the peer meant to reach.</summary>
    public IPEndPoint LocalEndPoint => _connection.LocalEndPoint;

    /// <summary>The peer's address and port.</summary>
    public IPEndPoint RemoteEndPoint => _connection.RemoteEndPoint;

    /// <summary>The state of the connection now.</summary>
    public TcpConnectionState State => _connection.State;

    /// <summary>Bytes that a receive would return without waiting (FIONREAD).</summary>
    public int Available => Math.Max(0, _connection.ReadableBytes);

    /// <summary>Everything that is known of the connection. Never waits.</summary>
    public TcpInfo GetInfo() => _connection.Snapshot();

    /// <summary>
    /// Runs continuations of this socket's waits on the thread that processed the packet, at top level, instead of the thread pool: lower latency, but a continuation that blocks or takes long holds up
    /// every connection of that worker. False by default.
    /// </summary>
    public bool UnsafeInlineContinuations { get; set; }

    /// <summary>The socket as a stream.</summary>
    /// <param name="ownsSocket">True: disposing the stream disposes the socket.</param>
    public TcpSocketStream GetStream(bool ownsSocket = false) => new(this, ownsSocket);

    /// <summary>Queues all of <paramref name="data"/> for sending; waits while the send buffer is full.</summary>
    /// <returns>
    /// The number of bytes queued: all of them, or fewer if an error or a cancellation struck after some were queued. The next call then throws.
    /// </returns>
    /// <exception cref="SocketException">The connection failed and nothing was queued.</exception>
    /// <exception cref="OperationCanceledException">Canceled before anything was queued.</exception>
    /// <exception cref="ObjectDisposedException">The socket was disposed.</exception>
    public ValueTask<int> SendAsync(ReadOnlyMemory<byte> data, CancellationToken cancellationToken = default) =>
        SendAsync(data, TcpSendFlags.None, cancellationToken);

    /// <inheritdoc cref="SendAsync(ReadOnlyMemory{byte}, CancellationToken)"/>
    /// <param name="data">What to send; it may be used again when the task completes.</param>
    /// <param name="flags">Linux's MSG_MORE, MSG_EOR and MSG_OOB.</param>
    /// <param name="cancellationToken">Cancels the wait for buffer space.</param>
    public ValueTask<int> SendAsync(ReadOnlyMemory<byte> data, TcpSendFlags flags, CancellationToken cancellationToken = default)
    {
        var source = new MemorySource(data);
        return SendSourceAsync(source, flags, cancellationToken);
    }

    /// <inheritdoc cref="SendAsync(ReadOnlyMemory{byte}, CancellationToken)"/>
    public ValueTask<int> SendAsync(ReadOnlySequence<byte> data, TcpSendFlags flags = TcpSendFlags.None, CancellationToken cancellationToken = default) =>
        data.IsSingleSegment ? SendAsync(data.First, flags, cancellationToken) : SendSourceAsync(new SequenceSource(data), flags, cancellationToken);

    /// <inheritdoc cref="SendAsync(ReadOnlyMemory{byte}, CancellationToken)"/>
    /// <param name="parts">What to send, one part after the other (writev).</param>
    /// <param name="flags">Linux's MSG_MORE, MSG_EOR and MSG_OOB.</param>
    /// <param name="cancellationToken">Cancels the wait for buffer space.</param>
    public ValueTask<int> SendAsync(IReadOnlyList<ReadOnlyMemory<byte>> parts, TcpSendFlags flags = TcpSendFlags.None, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(parts);
        return SendSourceAsync(new GatherSource(parts), flags, cancellationToken);
    }

    /// <summary>Queues all of <paramref name="data"/>, blocking while the send buffer is full.</summary>
    /// <returns>The number of bytes queued, as in <see cref="SendAsync(ReadOnlyMemory{byte}, CancellationToken)"/>.</returns>
    /// <exception cref="SocketException">The connection failed and nothing was queued.</exception>
    /// <exception cref="ObjectDisposedException">The socket was disposed.</exception>
    public int Send(ReadOnlySpan<byte> data, TcpSendFlags flags = TcpSendFlags.None)
    {
        var source = new SpanSource(data);
        return SendBlocking(ref source, flags);
    }

    /// <summary>
    /// Queues <paramref name="length"/> bytes that <paramref name="fill"/> produces in place, in the stack's own memory, run by run. Blocks while the send buffer is full.
    /// </summary>
    /// <returns>The number of bytes queued; fewer than asked for if <paramref name="fill"/> threw after some.</returns>
    public int Send<TState>(int length, TState state, SpanAction<byte, TState> fill, TcpSendFlags flags = TcpSendFlags.None)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentNullException.ThrowIfNull(fill);
        var source = new FillSource<TState>(length, state, fill);
        return SendBlocking(ref source, flags);
    }

    /// <summary>Receives what has arrived, at least one byte; waits while there is nothing.</summary>
    /// <returns>The number of bytes, or 0 when the peer has finished sending. An empty buffer waits until there is something and returns 0.</returns>
    /// <exception cref="SocketException">The connection failed.</exception>
    /// <exception cref="InvalidOperationException">Another receive is under way.</exception>
    /// <exception cref="OperationCanceledException">Canceled; nothing was taken.</exception>
    /// <exception cref="ObjectDisposedException">The socket was disposed.</exception>
    public ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        ReceiveAsync(buffer, TcpReceiveFlags.None, cancellationToken);

    /// <inheritdoc cref="ReceiveAsync(Memory{byte}, CancellationToken)"/>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="flags">Linux's MSG_PEEK and MSG_OOB.</param>
    /// <param name="cancellationToken">Cancels the wait.</param>
    public ValueTask<int> ReceiveAsync(Memory<byte> buffer, TcpReceiveFlags flags, CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<int>(cancellationToken);
        }

        BeginReceive();
        if (!_connection.TryOwn())
        {
            return ReceiveSlowAsync(buffer, flags, owned: false, cancellationToken);
        }

        int received = ReceiveOwned(buffer.Span, flags);
        if (received == TcpConnection.WouldBlock)
        {
            return ReceiveSlowAsync(buffer, flags, owned: true, cancellationToken);
        }

        SocketError error = received == TcpConnection.Failed ? _connection.TakeError() : SocketError.Success;
        _connection.Release();
        EndReceive();
        return received >= 0 ? new ValueTask<int>(received) : ValueTask.FromException<int>(new SocketException((int)error));
    }

    /// <summary>Receives what has arrived, at least one byte, blocking while there is nothing.</summary>
    /// <returns>The number of bytes, or 0 when the peer has finished sending.</returns>
    /// <exception cref="SocketException">The connection failed.</exception>
    /// <exception cref="InvalidOperationException">Another receive is under way.</exception>
    public int Receive(Span<byte> buffer, TcpReceiveFlags flags = TcpReceiveFlags.None)
    {
        BeginReceive();
        try
        {
            _connection.Own();
            while (true)
            {
                int received = ReceiveOwned(buffer, flags);
                if (received >= 0)
                {
                    _connection.Release();
                    return received;
                }

                if (received == TcpConnection.Failed)
                {
                    SocketError error = _connection.TakeError();
                    _connection.Release();
                    throw new SocketException((int)error);
                }

                Block(ReceiveEvents(flags), nameof(ReceiveAsync));
                ObjectDisposedException.ThrowIf(IsDisposed, this);
                _connection.Own();
            }
        }
        finally
        {
            EndReceive();
        }
    }

    /// <summary>Ends one or both halves of the connection: <see cref="SocketShutdown.Send"/> tells the peer that nothing more comes (FIN).</summary>
    /// <exception cref="SocketException"><see cref="SocketError.NotConnected"/>: there is no connection.</exception>
    public void Shutdown(SocketShutdown how)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        _connection.Own();
        bool connected = ShutdownOwned(how);
        _connection.Release();
        if (!connected)
        {
            throw new SocketException((int)SocketError.NotConnected);
        }
    }

    /// <summary>As <see cref="Shutdown"/>, without blocking.</summary>
    public async ValueTask ShutdownAsync(SocketShutdown how)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        await _connection.OwnAsync().ConfigureAwait(false);
        bool connected = ShutdownOwned(how);
        _connection.Release();
        if (!connected)
        {
            throw new SocketException((int)SocketError.NotConnected);
        }
    }

    /// <summary>Resets the connection: the peer sees an error, data on its way is lost. Never blocks.</summary>
    public void Abort()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            GC.SuppressFinalize(this);
            _connection.PostHandleGone();
        }
    }

    /// <summary>
    /// Finishes sending and completes when the peer has acknowledged everything, then disposes the socket.
    /// </summary>
    /// <exception cref="SocketException">The connection failed before that.</exception>
    /// <exception cref="OperationCanceledException">Canceled; the socket goes on closing in the background.</exception>
    public async ValueTask CloseAsync(CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        var waiter = new AsyncSocketWaiter(_connection.Worker.Driver);
        try
        {
            await _connection.OwnAsync().ConfigureAwait(false);
            _connection.ShutdownSend();
            while (_connection.UnacknowledgedBytes > 0)
            {
                waiter.Arm(SocketEvents.Drained | SocketEvents.Failed);
                _connection.AddWaiter(waiter);
                _connection.Release();
                bool fired = await waiter.WaitAsync(cancellationToken).ConfigureAwait(false);
                if (!fired)
                {
                    _connection.RemoveWaiter(waiter);
                    throw new OperationCanceledException(cancellationToken);
                }

                await _connection.OwnAsync().ConfigureAwait(false);
            }

            SocketError error = _connection.FinalError;
            _connection.Release();
            if (error != SocketError.Success)
            {
                throw new SocketException((int)error);
            }
        }
        finally
        {
            await DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Closes the socket and returns at once: what was sent is delivered in the background. Data that was received and not read, or a <see cref="LingerState"/> of zero seconds, makes it a reset
    /// (RFC 2525 2.17). Never blocks.
    /// </summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        GC.SuppressFinalize(this);
        _connection.PostClose(abortive: _linger is { Enabled: true, LingerTime: 0 });
    }

    /// <inheritdoc cref="Dispose"/>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return ValueTask.CompletedTask;
    }

    private bool IsDisposed => Volatile.Read(ref _disposed) != 0;

    private bool ShutdownOwned(SocketShutdown how)
    {
        if (_connection.State == TcpConnectionState.Closed)
        {
            return false;
        }

        if (how is SocketShutdown.Receive or SocketShutdown.Both)
        {
            _connection.ShutdownReceive();
        }

        if (how is SocketShutdown.Send or SocketShutdown.Both)
        {
            _connection.ShutdownSend();
        }

        return true;
    }

    private ValueTask<int> SendSourceAsync<TSource>(TSource source, TcpSendFlags flags, CancellationToken cancellationToken)
        where TSource : struct, ISendSource
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<int>(cancellationToken);
        }

        if (IsDisposed)
        {
            return ValueTask.FromException<int>(new ObjectDisposedException(nameof(TcpSocket)));
        }

        if (!_connection.SendTurn.TryTake())
        {
            return SendSlowAsync(source, flags, 0, hasTurn: false, owned: false, cancellationToken);
        }

        if (!_connection.TryOwn())
        {
            return SendSlowAsync(source, flags, 0, hasTurn: true, owned: false, cancellationToken);
        }

        long copied = 0;
        SendStatus status;
        try
        {
            status = _connection.RunSend(ref source, flags, ref copied);
        }
        catch (Exception error)
        {
            _connection.Release();
            _connection.SendTurn.Give();
            return copied > 0 ? new ValueTask<int>((int)copied) : ValueTask.FromException<int>(error);
        }

        if (status == SendStatus.WouldBlock)
        {
            return SendSlowAsync(source, flags, copied, hasTurn: true, owned: true, cancellationToken);
        }

        SocketError failure = status == SendStatus.Failed && copied == 0 ? TakeSendError() : SocketError.Success;
        _connection.Release();
        _connection.SendTurn.Give();
        return failure == SocketError.Success ? new ValueTask<int>((int)copied) : ValueTask.FromException<int>(new SocketException((int)failure));
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> SendSlowAsync<TSource>(
        TSource source, TcpSendFlags flags, long copied, bool hasTurn, bool owned, CancellationToken cancellationToken)
        where TSource : struct, ISendSource
    {
        if (!hasTurn)
        {
            TcpConnection.SendTurnWaiter turn = Interlocked.Exchange(ref _spareTurnWaiter, null) ?? new TcpConnection.SendTurnWaiter(_connection);
            turn.Reset();
            bool given = true;
            if (!_connection.SendTurn.TakeOrQueue(turn))
            {
                using (cancellationToken.UnsafeRegister(static state => ((TcpConnection.SendTurnWaiter)state!).Cancel(), turn))
                {
                    given = await turn.Task.ConfigureAwait(false);
                }
            }

            _spareTurnWaiter = turn;
            if (!given)
            {
                throw new OperationCanceledException(cancellationToken);
            }
        }

        try
        {
            bool run = !owned;
            if (!owned)
            {
                await _connection.OwnAsync().ConfigureAwait(false);
            }

            while (true)
            {
                if (run)
                {
                    SendStatus status;
                    try
                    {
                        ObjectDisposedException.ThrowIf(IsDisposed && copied == 0, this);
                        status = _connection.RunSend(ref source, flags, ref copied);
                    }
                    catch when (copied > 0)
                    {
                        _connection.Release();
                        return (int)copied;
                    }
                    catch
                    {
                        _connection.Release();
                        throw;
                    }

                    if (status != SendStatus.WouldBlock)
                    {
                        SocketError failure = status == SendStatus.Failed && copied == 0 ? TakeSendError() : SocketError.Success;
                        _connection.Release();
                        return failure == SocketError.Success ? (int)copied : throw new SocketException((int)failure);
                    }
                }

                run = true;
                AsyncSocketWaiter waiter = Interlocked.Exchange(ref _spareSendWaiter, null) ?? new AsyncSocketWaiter(_connection.Worker.Driver);
                waiter.Inline = UnsafeInlineContinuations;
                waiter.Arm(SocketEvents.Writable | SocketEvents.Connected | SocketEvents.Failed);
                _connection.AddWaiter(waiter);
                _connection.Release();
                bool fired = await waiter.WaitAsync(cancellationToken).ConfigureAwait(false);
                // One that was canceled while an event has it in its hands is not used again: it would be linked twice.
                if (fired || _connection.RemoveWaiter(waiter))
                {
                    _spareSendWaiter = waiter;
                }

                if (!fired)
                {
                    return copied > 0 ? (int)copied : throw new OperationCanceledException(cancellationToken);
                }

                await _connection.OwnAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            _connection.SendTurn.Give();
        }
    }

    private int SendBlocking<TSource>(ref TSource source, TcpSendFlags flags)
        where TSource : ISendSource, allows ref struct
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (!_connection.SendTurn.TryTake())
        {
            _connection.Worker.Driver.AssertMayBlock(nameof(SendAsync));
            var turn = new BlockingLockWaiter();
            if (!_connection.SendTurn.TakeOrQueue(turn))
            {
                turn.Wait();
            }
        }

        long copied = 0;
        try
        {
            while (true)
            {
                _connection.Own();
                SendStatus status;
                try
                {
                    status = _connection.RunSend(ref source, flags, ref copied);
                }
                catch when (copied > 0)
                {
                    _connection.Release();
                    return (int)copied;
                }
                catch
                {
                    _connection.Release();
                    throw;
                }

                if (status != SendStatus.WouldBlock)
                {
                    SocketError failure = status == SendStatus.Failed && copied == 0 ? TakeSendError() : SocketError.Success;
                    _connection.Release();
                    return failure == SocketError.Success ? (int)copied : throw new SocketException((int)failure);
                }

                Block(SocketEvents.Writable | SocketEvents.Connected | SocketEvents.Failed, nameof(SendAsync));
            }
        }
        finally
        {
            _connection.SendTurn.Give();
        }
    }

    private SocketError TakeSendError()
    {
        SocketError error = _connection.TakeError();
        return error != SocketError.Success ? error : _connection.SendError;
    }

    /// <summary>Non-blocking send for drills and native callers: what fits is queued. Negative: would block or failed, as <see cref="TcpConnection.TryReceive"/>.</summary>
    internal int TrySend(ReadOnlySpan<byte> data, TcpSendFlags flags, out SocketError error)
    {
        error = SocketError.Success;
        var source = new SpanSource(data);
        long copied = 0;
        _connection.Own();
        SendStatus status = _connection.RunSend(ref source, flags, ref copied);
        if (status == SendStatus.Failed && copied == 0)
        {
            error = TakeSendError();
        }

        _connection.Release();
        return copied > 0 || status == SendStatus.Done ? (int)copied
            : status == SendStatus.WouldBlock ? TcpConnection.WouldBlock : TcpConnection.Failed;
    }

    /// <summary>Non-blocking receive, as <see cref="TcpConnection.TryReceive"/>.</summary>
    internal int TryReceive(Span<byte> buffer, TcpReceiveFlags flags, out SocketError error)
    {
        _connection.Own();
        int received = _connection.TryReceive(buffer, flags);
        error = received == TcpConnection.Failed ? _connection.TakeError() : SocketError.Success;
        _connection.Release();
        return received;
    }

    private static SocketEvents ReceiveEvents(TcpReceiveFlags flags) =>
        SocketEvents.Readable | SocketEvents.Failed | ((flags & TcpReceiveFlags.OutOfBand) != 0 ? SocketEvents.Urgent : SocketEvents.None);

    private int ReceiveOwned(Span<byte> buffer, TcpReceiveFlags flags)
    {
        if (buffer.IsEmpty)
        {
            return _connection.IsReadable ? _connection.Error == SocketError.Success ? 0 : TcpConnection.Failed : TcpConnection.WouldBlock;
        }

        return _connection.TryReceive(buffer, flags);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> ReceiveSlowAsync(Memory<byte> buffer, TcpReceiveFlags flags, bool owned, CancellationToken cancellationToken)
    {
        try
        {
            bool run = !owned;
            if (!owned)
            {
                await _connection.OwnAsync().ConfigureAwait(false);
            }

            while (true)
            {
                if (run)
                {
                    int received = ReceiveOwned(buffer.Span, flags);
                    if (received != TcpConnection.WouldBlock)
                    {
                        SocketError error = received == TcpConnection.Failed ? _connection.TakeError() : SocketError.Success;
                        _connection.Release();
                        return received >= 0 ? received : throw new SocketException((int)error);
                    }
                }

                run = true;
                AsyncSocketWaiter waiter = Interlocked.Exchange(ref _spareReceiveWaiter, null) ?? new AsyncSocketWaiter(_connection.Worker.Driver);
                waiter.Inline = UnsafeInlineContinuations;
                waiter.Arm(ReceiveEvents(flags));
                _connection.AddWaiter(waiter);
                _connection.Release();
                bool fired = await waiter.WaitAsync(cancellationToken).ConfigureAwait(false);
                // One that was canceled while an event has it in its hands is not used again: it would be linked twice.
                if (fired || _connection.RemoveWaiter(waiter))
                {
                    _spareReceiveWaiter = waiter;
                }

                if (!fired)
                {
                    throw new OperationCanceledException(cancellationToken);
                }

                ObjectDisposedException.ThrowIf(IsDisposed, this);
                await _connection.OwnAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            EndReceive();
        }
    }

    private void BeginReceive()
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (Interlocked.Exchange(ref _receiving, 1) != 0)
        {
            throw new InvalidOperationException("A receive is under way on this socket already. Await it before the next one.");
        }
    }

    private void EndReceive() => Volatile.Write(ref _receiving, 0);

    /// <summary>Waits on this thread; the caller owns the connection, which is released.</summary>
    private void Block(SocketEvents events, string asyncForm)
    {
        try
        {
            _connection.Worker.Driver.AssertMayBlock(asyncForm);
        }
        catch
        {
            _connection.Release();
            throw;
        }

        var waiter = new BlockingSocketWaiter { Interest = events };
        _connection.AddWaiter(waiter);
        _connection.Release();
        waiter.Wait(Timeout.Infinite);
    }
}
