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

        // Before anything is taken: memory of the caller's own kind may refuse.
        Span<byte> place = buffer.Span;
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        switch (_connection.TakeReceiveTurn(this, buffer, flags, cancellationToken, out DirectReceiver? waiting))
        {
            case ReceiveTurn.Waits:
                return ((ReceiveOperation)waiting!).Task();
            case ReceiveTurn.Mine:
                return ReceiveQueuedAsync(buffer, flags, cancellationToken);
            case ReceiveTurn.Taken:
                throw UnderWay();
        }

        int received = ReceiveOwned(place, flags);
        if (received == TcpConnection.WouldBlock)
        {
            return WaitToReceive(buffer, flags, cancellationToken);
        }

        SocketError error = _connection.TakeReceiveError(received);
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
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        TakeReceiveTurn();
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

                if (received != TcpConnection.WouldBlock)
                {
                    SocketError error = _connection.TakeReceiveError(received);
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
    internal int TryReceive(Span<byte> buffer, TcpReceiveFlags flags, out SocketError error, int peekOffset = 0)
    {
        _connection.Own();
        int received = _connection.TryReceive(buffer, flags, peekOffset);
        error = _connection.TakeReceiveError(received);
        _connection.Release();
        return received;
    }

    internal static SocketEvents ReceiveEvents(TcpReceiveFlags flags) =>
        SocketEvents.Readable | SocketEvents.Failed | ((flags & TcpReceiveFlags.OutOfBand) != 0 ? SocketEvents.Urgent : SocketEvents.None);

    internal int ReceiveOwned(Span<byte> buffer, TcpReceiveFlags flags)
    {
        if (buffer.IsEmpty)
        {
            return _connection.IsReadable ? _connection.TryReceive(buffer, flags & ~TcpReceiveFlags.OutOfBand) : TcpConnection.WouldBlock;
        }

        return _connection.WaitsForMore(buffer.Length) ? TcpConnection.WouldBlock : _connection.TryReceive(buffer, flags);
    }

    /// <summary>Somebody else owned the connection: queues for it first.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> ReceiveQueuedAsync(Memory<byte> buffer, TcpReceiveFlags flags, CancellationToken cancellationToken)
    {
        await _connection.OwnAsync().ConfigureAwait(false);
        int received;
        try
        {
            received = ReceiveOwned(buffer.Span, flags);
        }
        catch
        {
            // The caller's memory cannot be had.
            _connection.Release();
            EndReceive();
            throw;
        }

        if (received == TcpConnection.WouldBlock)
        {
            return await WaitToReceive(buffer, flags, cancellationToken).ConfigureAwait(false);
        }

        SocketError error = _connection.TakeReceiveError(received);
        _connection.Release();
        EndReceive();
        return received >= 0 ? received : throw new SocketException((int)error);
    }

    /// <summary>Owned here, and nothing is there.</summary>
    private ValueTask<int> WaitToReceive(Memory<byte> buffer, TcpReceiveFlags flags, CancellationToken cancellationToken)
    {
        ReceiveOperation operation = (ReceiveOperation?)_connection.TakeSpareReceiver() ?? new ReceiveOperation(_connection);
        operation.Begin(this, buffer, flags, cancellationToken);
        _connection.AwaitData(operation);
        _connection.Release();
        return operation.Task();
    }

    internal void TakeReceiveTurn()
    {
        if (!_connection.TryTakeReceiveTurn())
        {
            throw UnderWay();
        }
    }

    internal void EndReceive() => _connection.GiveReceiveTurn();

    private static InvalidOperationException UnderWay() => new("A receive is under way on this socket already. Await it before the next one.");
}
