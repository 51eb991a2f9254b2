using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Penstock.Ownership;
using Penstock.Tcp;

namespace Penstock;

/// <summary>Receiving: one at a time; takes what is there or waits for it without holding thread or socket.</summary>
public sealed partial class TcpSocket
{
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

        return _connection.WaitsForMore(buffer.Length) ? TcpConnection.WouldBlock : _connection.TryReceive(buffer, flags);
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
        TakeReceiveTurn();
    }

    internal void TakeReceiveTurn()
    {
        if (Interlocked.Exchange(ref _receiving, 1) != 0)
        {
            throw new InvalidOperationException("A receive is under way on this socket already. Await it before the next one.");
        }
    }

    internal void EndReceive() => Volatile.Write(ref _receiving, 0);
}
