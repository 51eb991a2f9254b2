using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace Penstock;

/// <summary>
/// A <see cref="TcpSocket"/> as a <see cref="Stream"/>. Made by <see cref="TcpSocket.GetStream(bool)"/>. One read and any number of writes may be under way at
/// the same time; writes queue in order.
/// </summary>
/// <remarks>
/// A failed connection surfaces as an <see cref="IOException"/> with the <see cref="SocketException"/> inside. The end of the stream is a read of 0 bytes. A read into an empty
/// buffer waits until there is something to read. Flushing does nothing: what was written is on its way.
/// </remarks>
public sealed class TcpSocketStream : Stream
{
    private readonly bool _ownsSocket;
    private bool _disposed;
    private bool _broken;

    internal TcpSocketStream(TcpSocket socket, bool ownsSocket)
    {
        Socket = socket;
        _ownsSocket = ownsSocket;
    }

    /// <summary>The socket that this stream reads and writes.</summary>
    public TcpSocket Socket { get; }

    /// <inheritdoc/>
    public override bool CanRead => !_disposed;

    /// <inheritdoc/>
    public override bool CanWrite => !_disposed;

    /// <summary>False: a connection has no position.</summary>
    public override bool CanSeek => false;

    /// <summary>Not supported.</summary>
    /// <exception cref="NotSupportedException">Always.</exception>
    public override long Length => throw NoSeek();

    /// <summary>Not supported.</summary>
    /// <exception cref="NotSupportedException">Always.</exception>
    public override long Position
    {
        get => throw NoSeek();
        set => throw NoSeek();
    }

    /// <summary>Reads what has arrived, at least one byte; waits while there is nothing.</summary>
    /// <returns>The number of bytes; 0 at the end of the stream, or when <paramref name="buffer"/> is empty and there is something to read.</returns>
    /// <exception cref="IOException">The connection failed; the <see cref="SocketException"/> is inside.</exception>
    /// <exception cref="OperationCanceledException">Canceled; nothing was taken, the stream can go on.</exception>
    /// <exception cref="ObjectDisposedException">The stream or its socket was disposed.</exception>
    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ValueTask<int> read = Socket.ReceiveAsync(buffer, cancellationToken);
        return read.IsCompletedSuccessfully ? read : AwaitRead(read);
    }

    /// <inheritdoc cref="ReadAsync(Memory{byte}, CancellationToken)"/>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="offset">Where they begin in <paramref name="buffer"/>.</param>
    /// <param name="count">The most to read.</param>
    /// <param name="cancellationToken">Cancels the wait.</param>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        ValidateBufferArguments(buffer, offset, count);
        return ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    }

    /// <summary>Reads what has arrived, at least one byte, blocking while there is nothing.</summary>
    /// <returns>The number of bytes; 0 at the end of the stream.</returns>
    /// <exception cref="IOException">The connection failed; the <see cref="SocketException"/> is inside.</exception>
    /// <exception cref="ObjectDisposedException">The stream or its socket was disposed.</exception>
    public override int Read(Span<byte> buffer)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        try
        {
            return Socket.Receive(buffer);
        }
        catch (SocketException failure)
        {
            throw ReadFailed(failure);
        }
    }

    /// <inheritdoc cref="Read(Span{byte})"/>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="offset">Where they begin in <paramref name="buffer"/>.</param>
    /// <param name="count">The most to read.</param>
    public override int Read(byte[] buffer, int offset, int count)
    {
        ValidateBufferArguments(buffer, offset, count);
        return Read(buffer.AsSpan(offset, count));
    }

    /// <summary>Reads one byte, blocking while there is none; -1 at the end of the stream.</summary>
    public override int ReadByte()
    {
        Span<byte> one = stackalloc byte[1];
        return Read(one) == 0 ? -1 : one[0];
    }

    /// <summary>Queues all of <paramref name="buffer"/>; waits while the send buffer is full.</summary>
    /// <exception cref="IOException">
    /// The connection failed; the <see cref="SocketException"/> is inside. If only a part was queued the message says so, and every later write fails: nobody can know where
    /// the stream stands.
    /// </exception>
    /// <exception cref="OperationCanceledException">Canceled. If a part had been queued the message says so, and every later write fails.</exception>
    /// <exception cref="ObjectDisposedException">The stream or its socket was disposed.</exception>
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        CheckWritable();
        ValueTask<int> sent = Socket.SendAsync(buffer, cancellationToken);
        if (!sent.IsCompletedSuccessfully)
        {
            return AwaitWrite(sent, buffer.Length, cancellationToken);
        }

        int count = sent.Result;
        return count == buffer.Length ? default : ValueTask.FromException(Break(count, buffer.Length, cancellationToken));
    }

    /// <inheritdoc cref="WriteAsync(ReadOnlyMemory{byte}, CancellationToken)"/>
    /// <param name="buffer">Holds the bytes.</param>
    /// <param name="offset">Where they begin.</param>
    /// <param name="count">How many they are.</param>
    /// <param name="cancellationToken">Cancels the wait for buffer space.</param>
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        ValidateBufferArguments(buffer, offset, count);
        return WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    }

    /// <summary>Queues all of <paramref name="buffer"/>, blocking while the send buffer is full.</summary>
    /// <exception cref="IOException">The connection failed, as in <see cref="WriteAsync(ReadOnlyMemory{byte}, CancellationToken)"/>.</exception>
    /// <exception cref="ObjectDisposedException">The stream or its socket was disposed.</exception>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        CheckWritable();
        int count;
        try
        {
            count = Socket.Send(buffer);
        }
        catch (SocketException failure)
        {
            throw WriteFailed(failure);
        }

        if (count != buffer.Length)
        {
            throw Break(count, buffer.Length, CancellationToken.None);
        }
    }

    /// <inheritdoc cref="Write(ReadOnlySpan{byte})"/>
    /// <param name="buffer">Holds the bytes.</param>
    /// <param name="offset">Where they begin.</param>
    /// <param name="count">How many they are.</param>
    public override void Write(byte[] buffer, int offset, int count)
    {
        ValidateBufferArguments(buffer, offset, count);
        Write(buffer.AsSpan(offset, count));
    }

    /// <inheritdoc/>
    public override void WriteByte(byte value) => Write([value]);

    /// <inheritdoc/>
    public override IAsyncResult BeginRead(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state) =>
        TaskToAsyncResult.Begin(ReadAsync(buffer, offset, count, CancellationToken.None), callback, state);

    /// <inheritdoc/>
    public override int EndRead(IAsyncResult asyncResult) => TaskToAsyncResult.End<int>(asyncResult);

    /// <inheritdoc/>
    public override IAsyncResult BeginWrite(byte[] buffer, int offset, int count, AsyncCallback? callback, object? state) =>
        TaskToAsyncResult.Begin(WriteAsync(buffer, offset, count, CancellationToken.None), callback, state);

    /// <inheritdoc/>
    public override void EndWrite(IAsyncResult asyncResult) => TaskToAsyncResult.End(asyncResult);

    /// <summary>Does nothing.</summary>
    public override void Flush()
    {
    }

    /// <summary>Does nothing.</summary>
    public override Task FlushAsync(CancellationToken cancellationToken) =>
        cancellationToken.IsCancellationRequested ? Task.FromCanceled(cancellationToken) : Task.CompletedTask;

    /// <summary>Not supported.</summary>
    /// <exception cref="NotSupportedException">Always.</exception>
    public override long Seek(long offset, SeekOrigin origin) => throw NoSeek();

    /// <summary>Not supported.</summary>
    /// <exception cref="NotSupportedException">Always.</exception>
    public override void SetLength(long value) => throw NoSeek();

    /// <summary>Closes the stream, and its socket if it owns it; see <see cref="TcpSocket.Dispose"/>. Never blocks.</summary>
    protected override void Dispose(bool disposing)
    {
        // No finalizer here: a forgotten socket has its own.
        if (disposing && !_disposed)
        {
            _disposed = true;
            if (_ownsSocket)
            {
                Socket.Dispose();
            }
        }

        base.Dispose(disposing);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private static async ValueTask<int> AwaitRead(ValueTask<int> read)
    {
        try
        {
            return await read.ConfigureAwait(false);
        }
        catch (SocketException failure)
        {
            throw ReadFailed(failure);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask AwaitWrite(ValueTask<int> sent, int length, CancellationToken cancellationToken)
    {
        int count;
        try
        {
            count = await sent.ConfigureAwait(false);
        }
        catch (SocketException failure)
        {
            throw WriteFailed(failure);
        }

        if (count != length)
        {
            throw Break(count, length, cancellationToken);
        }
    }

    private void CheckWritable()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_broken)
        {
            throw new IOException("The stream is broken: an earlier write ended in the middle. Dispose it and connect again.");
        }
    }

    private Exception Break(int count, int length, CancellationToken cancellationToken)
    {
        _broken = true;
        string message = $"Only {count} of {length} bytes were written. The stream is broken: dispose it and connect again.";
        if (cancellationToken.IsCancellationRequested)
        {
            return new OperationCanceledException(message, cancellationToken);
        }

        SocketError error = Socket.Connection.FinalError;
        return new IOException(message, new SocketException((int)(error == SocketError.Success ? SocketError.Shutdown : error)));
    }

    internal static IOException ReadFailed(SocketException failure) =>
        new($"Cannot read from the connection: {failure.Message}.", failure);

    private static IOException WriteFailed(SocketException failure) =>
        new($"Cannot write to the connection: {failure.Message}.", failure);

    private static NotSupportedException NoSeek() => new("A connection has no position and no length.");
}
