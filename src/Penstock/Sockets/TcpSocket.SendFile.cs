using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Microsoft.Win32.SafeHandles;
using Penstock.Buffers;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock;

/// <summary>Sending files: read straight into the stack's memory and attached there, no further ahead than the send buffer allows.</summary>
public sealed partial class TcpSocket
{
    /// <summary>The most that one read asks for: a buffer's worth, and it fits the largest slab.</summary>
    private const int FileRead = 64 * 1024;

    /// <summary>Less is not worth a read, even when the send buffer has less room than this.</summary>
    private const int LeastFileRead = 4096;

    private FileChunk? _spareFileChunk;

    /// <summary>
    /// Queues a range of an open file for sending (Linux: sendfile). Its bytes are read straight into the stack's memory, without a copy in between, and no further ahead than the send buffer has
    /// room. The socket is free while the disk works, but no other send comes in between.
    /// </summary>
    /// <param name="file">Opened for reading; <see cref="System.IO.FileOptions.Asynchronous"/> makes a difference on Windows only. The caller closes it afterwards.</param>
    /// <param name="offset">Where to begin, bytes from the beginning of the file.</param>
    /// <param name="length">How many bytes; null for all that the file has behind <paramref name="offset"/> now.</param>
    /// <param name="cancellationToken">Cancels the wait for buffer space or for the disk.</param>
    /// <returns>
    /// The number of bytes queued: all of them, or fewer if the file was shorter than <paramref name="length"/>, or was truncated meanwhile, or an error or a cancellation struck after some were queued.
    /// In the last two cases the next call throws.
    /// </returns>
    /// <remarks>Thread-safe, as other sends. Changes made to the file while it is sent may or may not be seen.</remarks>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="offset"/> or <paramref name="length"/> is negative.</exception>
    /// <exception cref="NotSupportedException"><paramref name="length"/> is null and the file has no length, as a pipe.</exception>
    /// <exception cref="IOException">The file could not be read and nothing was queued.</exception>
    /// <exception cref="SocketException">The connection failed and nothing was queued.</exception>
    /// <exception cref="OperationCanceledException">Canceled before anything was queued.</exception>
    /// <exception cref="ObjectDisposedException">The socket or the file was disposed.</exception>
    public ValueTask<long> SendFileAsync(SafeFileHandle file, long offset = 0, long? length = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        long wanted = length ?? Math.Max(0, RandomAccess.GetLength(file) - offset);
        ArgumentOutOfRangeException.ThrowIfNegative(wanted, nameof(length));
        return SendFileAsync(new HandleBytes(file), offset, wanted, cancellationToken);
    }

    /// <summary>Queues a whole file for sending, as <see cref="SendFileAsync(SafeFileHandle, long, long?, CancellationToken)"/>.</summary>
    /// <param name="path">The file.</param>
    /// <param name="cancellationToken">Cancels the wait for buffer space or for the disk.</param>
    /// <returns>The number of bytes queued; see there.</returns>
    /// <exception cref="IOException">The file could not be opened (<see cref="FileNotFoundException"/> and others), or not be read and nothing was queued.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    /// <exception cref="SocketException">The connection failed and nothing was queued.</exception>
    /// <exception cref="OperationCanceledException">Canceled before anything was queued.</exception>
    /// <exception cref="ObjectDisposedException">The socket was disposed.</exception>
    public async ValueTask<long> SendFileAsync(string path, CancellationToken cancellationToken = default)
    {
        using SafeFileHandle file = File.OpenHandle(path, options: FileOptions.Asynchronous | FileOptions.SequentialScan);
        return await SendFileAsync(file, 0, null, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The same for any source that is read piece by piece.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<long> SendFileAsync<TFile>(TFile file, long offset, long length, CancellationToken cancellationToken)
        where TFile : struct, IFileBytes
    {
        cancellationToken.ThrowIfCancellationRequested();
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (!_connection.TryTakeTurn() && !await WaitForTurnAsync(cancellationToken).ConfigureAwait(false))
        {
            throw new OperationCanceledException(cancellationToken);
        }

        FileChunk chunk = Interlocked.Exchange(ref _spareFileChunk, null) ?? new FileChunk();
        try
        {
            long sent = 0;
            Exception? failure = null;
            await _connection.OwnAsync().ConfigureAwait(false);
            while (true)
            {
                // Owned here. What was read is attached; without any this asks how the connection is.
                long left = length - sent - chunk.Queued;
                var source = new SlabSource(chunk);
                SendStatus status = IsDisposed ? SendStatus.Failed : _connection.RunSend(ref source, left > 0 ? TcpSendFlags.More : TcpSendFlags.None, ref sent);
                if (status == SendStatus.Failed)
                {
                    failure = IsDisposed ? new ObjectDisposedException(nameof(TcpSocket)) : sent > 0 ? null : new SocketException((int)TakeSendError());
                    break;
                }

                if (status == SendStatus.Done && left == 0)
                {
                    break;
                }

                int room = status == SendStatus.Done ? _connection.SendRoom() : 0;
                int size = (int)Math.Min(left, Math.Clamp(room, LeastFileRead, FileRead));
                if (room == 0 || _connection.RentForSend(size) is not { } slab)
                {
                    if (!await WaitToSendAsync(cancellationToken).ConfigureAwait(false))
                    {
                        failure = new OperationCanceledException(cancellationToken);
                    }
                }
                else
                {
                    _connection.Release();
                    try
                    {
                        int read = await file.ReadAsync(chunk.Begin(slab, size), offset + sent, cancellationToken).ConfigureAwait(false);
                        chunk.Filled(read);
                        length = read == 0 ? sent : length;
                    }
                    catch (Exception error)
                    {
                        chunk.Drop();
                        failure = error;
                    }
                }

                await _connection.OwnAsync().ConfigureAwait(false);
                if (failure is not null)
                {
                    break;
                }
            }

            // More was promised and does not come.
            _connection.PushCorked();
            _connection.Release();
            if (failure is not null && sent == 0)
            {
                System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
            }

            return sent;
        }
        finally
        {
            chunk.Drop();
            _spareFileChunk = chunk;
            _connection.GiveTurn();
        }
    }
}
