using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Penstock.Ownership;
using Penstock.Tcp;
using Penstock.Tcp.ZeroCopy;

namespace Penstock;

/// <summary>Sending: takes the send turn, becomes owner, runs the send loop, and waits for room without holding either thread or socket.</summary>
public sealed partial class TcpSocket
{
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
    /// Queues <paramref name="length"/> bytes that <paramref name="fill"/> produces in place, in the stack's own memory. Blocks while the send buffer is full.
    /// </summary>
    /// <param name="length">How many bytes in all.</param>
    /// <param name="state">What <paramref name="fill"/> is given.</param>
    /// <param name="fill">
    /// Called with one run after the other, in the stream's order, each at most 32 KiB, and must fill all of it: the memory is not cleared before. It runs while the call owns the socket, so it must not call this
    /// socket; what arrives meanwhile waits. When it throws, nothing of that run is sent.
    /// </param>
    /// <param name="flags">Linux's MSG_MORE, MSG_EOR and MSG_OOB.</param>
    /// <returns>The number of bytes queued; fewer than asked for if <paramref name="fill"/> threw, or the connection failed, after some.</returns>
    /// <exception cref="SocketException">The connection failed and nothing was queued.</exception>
    /// <exception cref="ObjectDisposedException">The socket was disposed.</exception>
    public int Send<TState>(int length, TState state, SpanAction<byte, TState> fill, TcpSendFlags flags = TcpSendFlags.None)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentNullException.ThrowIfNull(fill);
        var source = new FillSource<TState>(length, state, fill);
        return SendBlocking(ref source, flags);
    }

    /// <summary>As <see cref="Send{TState}(int, TState, SpanAction{byte, TState}, TcpSendFlags)"/>, waiting without a thread while the send buffer is full.</summary>
    /// <inheritdoc cref="Send{TState}(int, TState, SpanAction{byte, TState}, TcpSendFlags)"/>
    /// <param name="length">How many bytes in all.</param>
    /// <param name="state">What <paramref name="fill"/> is given.</param>
    /// <param name="fill">Fills one run after the other, before this returns or later from another thread.</param>
    /// <param name="flags">Linux's MSG_MORE, MSG_EOR and MSG_OOB.</param>
    /// <param name="cancellationToken">Cancels the wait for buffer space.</param>
    /// <exception cref="OperationCanceledException">Canceled before anything was queued.</exception>
    public ValueTask<int> SendAsync<TState>(
        int length, TState state, SpanAction<byte, TState> fill, TcpSendFlags flags = TcpSendFlags.None, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentNullException.ThrowIfNull(fill);
        return SendSourceAsync(new FillSource<TState>(length, state, fill), flags, cancellationToken);
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

        bool hasTurn = _connection.TryTakeTurn(out bool owned);
        if (!owned)
        {
            return SendSlowAsync(source, flags, 0, hasTurn, owned: false, cancellationToken);
        }

        long copied = 0;
        SendStatus status;
        try
        {
            status = _connection.RunSend(ref source, flags, ref copied);
        }
        catch (Exception error)
        {
            ReleaseWithTurn(ref source);
            return copied > 0 ? new ValueTask<int>((int)copied) : ValueTask.FromException<int>(error);
        }

        if (status == SendStatus.WouldBlock)
        {
            return SendSlowAsync(source, flags, copied, hasTurn: true, owned: true, cancellationToken);
        }

        SocketError failure = status == SendStatus.Failed && copied == 0 ? TakeSendError() : SocketError.Success;
        ReleaseWithTurn(ref source);
        return failure == SocketError.Success ? new ValueTask<int>((int)copied) : ValueTask.FromException<int>(new SocketException((int)failure));
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> SendSlowAsync<TSource>(
        TSource source, TcpSendFlags flags, long copied, bool hasTurn, bool owned, CancellationToken cancellationToken)
        where TSource : struct, ISendSource
    {
        if (!hasTurn && !await WaitForTurnAsync(cancellationToken).ConfigureAwait(false))
        {
            throw new OperationCanceledException(cancellationToken);
        }

        hasTurn = true;
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
                    catch
                    {
                        hasTurn = false;
                        ReleaseWithTurn(ref source);
                        if (copied > 0)
                        {
                            return (int)copied;
                        }

                        throw;
                    }

                    if (status != SendStatus.WouldBlock)
                    {
                        SocketError failure = status == SendStatus.Failed && copied == 0 ? TakeSendError() : SocketError.Success;
                        hasTurn = false;
                        ReleaseWithTurn(ref source);
                        return failure == SocketError.Success ? (int)copied : throw new SocketException((int)failure);
                    }
                }

                run = true;
                if (!await WaitToSendAsync(cancellationToken).ConfigureAwait(false))
                {
                    return copied > 0 ? (int)copied : throw new OperationCanceledException(cancellationToken);
                }

                await _connection.OwnAsync().ConfigureAwait(false);
            }
        }
        finally
        {
            if (hasTurn)
            {
                GiveTurn(ref source);
            }
        }
    }

    /// <summary>Waits for the turn to send; false when canceled before it was given.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> WaitForTurnAsync(CancellationToken cancellationToken)
    {
        TcpConnection.SendTurnWaiter turn = Interlocked.Exchange(ref _spareTurnWaiter, null) ?? new TcpConnection.SendTurnWaiter(_connection);
        turn.Reset();
        bool given = true;
        if (!_connection.TakeTurnOrQueue(turn))
        {
            using (cancellationToken.UnsafeRegister(static state => ((TcpConnection.SendTurnWaiter)state!).Cancel(), turn))
            {
                given = await turn.Task.ConfigureAwait(false);
            }
        }

        _spareTurnWaiter = turn;
        return given;
    }

    /// <summary>Gives the socket up and waits for room in the send buffer; false when canceled. The caller owns the connection before, and not after.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> WaitToSendAsync(CancellationToken cancellationToken)
    {
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

        return fired;
    }

    private int SendBlocking<TSource>(ref TSource source, TcpSendFlags flags)
        where TSource : ISendSource, allows ref struct
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (!_connection.TryTakeTurn())
        {
            _connection.Worker.Driver.AssertMayBlock(nameof(SendAsync));
            var turn = new BlockingLockWaiter();
            if (!_connection.TakeTurnOrQueue(turn))
            {
                turn.Wait();
            }
        }

        long copied = 0;
        bool hasTurn = true;
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
                catch
                {
                    hasTurn = false;
                    ReleaseWithTurn(ref source);
                    if (copied > 0)
                    {
                        return (int)copied;
                    }

                    throw;
                }

                if (status != SendStatus.WouldBlock)
                {
                    SocketError failure = status == SendStatus.Failed && copied == 0 ? TakeSendError() : SocketError.Success;
                    hasTurn = false;
                    ReleaseWithTurn(ref source);
                    return failure == SocketError.Success ? (int)copied : throw new SocketException((int)failure);
                }

                Block(SocketEvents.Writable | SocketEvents.Connected | SocketEvents.Failed, nameof(SendAsync));
            }
        }
        finally
        {
            if (hasTurn)
            {
                GiveTurn(ref source);
            }
        }
    }

    /// <summary>The send is over: gives the socket and the turn up, in one go, for what the release fires may run here and send.</summary>
    private void ReleaseWithTurn<TSource>(ref TSource source)
        where TSource : ISendSource, allows ref struct
    {
        if (typeof(TSource) == typeof(ZeroCopySource))
        {
            _connection.Release();
            GiveTurn(ref source);
        }
        else
        {
            _connection.Release(givesTurn: true);
        }
    }

    /// <summary>The send is over; a zero-copy call is closed while nobody else can have the next id.</summary>
    private void GiveTurn<TSource>(ref TSource source)
        where TSource : ISendSource, allows ref struct
    {
        ZeroCopyCall? unused = null;
        if (typeof(TSource) == typeof(ZeroCopySource) && Unsafe.As<TSource, ZeroCopySource>(ref source).Call is var call && call.Close())
        {
            unused = call;
        }

        _connection.GiveTurn();

        // The application's own code may run here, and may send.
        unused?.ReleaseUnused();
    }

    private SocketError TakeSendError()
    {
        SocketError error = _connection.TakeError();
        return error != SocketError.Success ? error : _connection.SendError;
    }

    /// <summary>Non-blocking send for drills and native callers: what fits is queued. Negative: would block or failed, as <see cref="TcpConnection.TryReceive"/>.</summary>
    internal int TrySend(ReadOnlySpan<byte> data, TcpSendFlags flags, out SocketError error)
    {
        var source = new SpanSource(data);
        return TrySend(ref source, flags, out error);
    }

    /// <inheritdoc cref="TrySend(ReadOnlySpan{byte}, TcpSendFlags, out SocketError)"/>
    internal int TrySend<TSource>(ref TSource source, TcpSendFlags flags, out SocketError error)
        where TSource : ISendSource, allows ref struct
    {
        error = SocketError.Success;
        long copied = 0;
        SendStatus status;
        _connection.Own();
        try
        {
            status = _connection.RunSend(ref source, flags, ref copied);
            if (status == SendStatus.Failed && copied == 0)
            {
                error = TakeSendError();
            }
        }
        finally
        {
            _connection.Release();
        }

        return copied > 0 || status == SendStatus.Done ? (int)copied
            : status == SendStatus.WouldBlock ? TcpConnection.WouldBlock : TcpConnection.Failed;
    }
}
