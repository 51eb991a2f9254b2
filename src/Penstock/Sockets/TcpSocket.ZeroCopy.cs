using System.Buffers;
using System.Runtime.CompilerServices;
using Penstock.Ownership;
using Penstock.Sockets;
using Penstock.Tcp;
using Penstock.Tcp.ZeroCopy;

namespace Penstock;

/// <summary>Zero-copy sends: the queues refer to the application's memory until the peer has acknowledged it (Linux: MSG_ZEROCOPY).</summary>
public sealed partial class TcpSocket
{
    /// <summary>
    /// Queues all of <paramref name="data"/> without copying it: the memory is pinned, and must not change, until <see cref="ZeroCopySend.Released"/> completes. Waits while the send buffer
    /// is full.
    /// </summary>
    /// <param name="data">
    /// What to send. If it changes before it is released, the peer may see old or new bytes, in any mixture, also in retransmissions. Any memory will do; a pinned array
    /// (<see cref="GC.AllocateArray{T}(int, bool)"/>) and whole pages cost least.
    /// </param>
    /// <param name="cancellationToken">Cancels the wait for buffer space.</param>
    /// <returns>
    /// How many bytes were queued: all of them, or fewer if an error or a cancellation struck after some were queued, as with <see cref="SendAsync(ReadOnlyMemory{byte}, CancellationToken)"/>; and
    /// when the memory is the caller's again.
    /// </returns>
    /// <remarks>
    /// <para>What is queued costs whole pages (4096 bytes) of the send buffer, so small sends fill it sooner than copies would; from about 10 KiB on it pays. The stack's own memory is
    /// charged only a few hundred bytes for each 64 KiB.</para>
    /// <para>Where the data has to be copied after all (loopback, a cable without <see cref="CableOptions.HoldReferences"/>, a capture, a link without scatter-gather), it is, and a notification says so; see
    /// <see cref="ZeroCopyNotifications"/>. When this call throws, the memory is not in use.</para>
    /// </remarks>
    /// <exception cref="System.Net.Sockets.SocketException">
    /// The connection failed and nothing was queued; or <see cref="System.Net.Sockets.SocketError.NoBufferSpaceAvailable"/> (Linux: ENOBUFS): too many sends of this socket are not released yet
    /// (<c>net.core.optmem_max</c>), or the stack's <see cref="NetworkStackOptions.PinnedMemoryLimit"/> is reached. Wait for earlier sends, or send a copy.
    /// </exception>
    /// <exception cref="OperationCanceledException">Canceled before anything was queued.</exception>
    /// <exception cref="ObjectDisposedException">The socket was disposed.</exception>
    public ValueTask<ZeroCopySend> SendZeroCopyAsync(ReadOnlyMemory<byte> data, CancellationToken cancellationToken = default) =>
        SendZeroCopyAsync(new ReadOnlySequence<byte>(data), TcpSendFlags.None, null, cancellationToken);

    /// <inheritdoc cref="SendZeroCopyAsync(ReadOnlyMemory{byte}, CancellationToken)"/>
    /// <param name="data">What to send.</param>
    /// <param name="flags">Linux's MSG_MORE, MSG_EOR and MSG_OOB.</param>
    /// <param name="cancellationToken">Cancels the wait for buffer space.</param>
    public ValueTask<ZeroCopySend> SendZeroCopyAsync(ReadOnlyMemory<byte> data, TcpSendFlags flags, CancellationToken cancellationToken = default) =>
        SendZeroCopyAsync(new ReadOnlySequence<byte>(data), flags, null, cancellationToken);

    /// <inheritdoc cref="SendZeroCopyAsync(ReadOnlyMemory{byte}, CancellationToken)"/>
    /// <param name="data">What to send; all of its segments are one call with one id.</param>
    /// <param name="flags">Linux's MSG_MORE, MSG_EOR and MSG_OOB.</param>
    /// <param name="cancellationToken">Cancels the wait for buffer space.</param>
    public ValueTask<ZeroCopySend> SendZeroCopyAsync(ReadOnlySequence<byte> data, TcpSendFlags flags = TcpSendFlags.None, CancellationToken cancellationToken = default) =>
        SendZeroCopyAsync(data, flags, null, cancellationToken);

    /// <summary>
    /// Queues the first <paramref name="length"/> bytes of <paramref name="owner"/>'s memory without copying them, and disposes the owner as soon as nothing refers to the memory any more, whatever
    /// becomes of the send: also when this call throws.
    /// </summary>
    /// <param name="owner">
    /// Passes to the socket, unless an argument is refused. Its Dispose is called once: on a thread of the pool, or, when nothing was queued, before this call returns.
    /// </param>
    /// <param name="length">Bytes to send: 0 to the length of its memory.</param>
    /// <param name="flags">Linux's MSG_MORE, MSG_EOR and MSG_OOB.</param>
    /// <param name="cancellationToken">Cancels the wait for buffer space.</param>
    /// <inheritdoc cref="SendZeroCopyAsync(ReadOnlyMemory{byte}, CancellationToken)"/>
    public ValueTask<ZeroCopySend> SendZeroCopyAsync(
        IMemoryOwner<byte> owner, int length, TcpSendFlags flags = TcpSendFlags.None, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(owner);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ReadOnlyMemory<byte> memory = owner.Memory;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, memory.Length);
        return SendZeroCopyAsync(new ReadOnlySequence<byte>(memory[..length]), flags, owner, cancellationToken);
    }

    /// <summary>
    /// Maps a range of a file into memory and queues that without a copy, as <see cref="SendZeroCopyAsync(IMemoryOwner{byte}, int, TcpSendFlags, CancellationToken)"/>; the file is closed when the
    /// memory is released. <b>Dangerous</b>: if anybody truncates the file before that, the process ends with SIGBUS as soon as a missing page is touched, and a retransmission may touch
    /// it at any time. Only for files that nobody else writes; else use <see cref="SendFileAsync(string, CancellationToken)"/>, which has no such danger.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="offset">Where to begin, bytes from the beginning of the file.</param>
    /// <param name="length">How many bytes, at most 2 GiB; null for all behind <paramref name="offset"/>.</param>
    /// <param name="flags">Linux's MSG_MORE, MSG_EOR and MSG_OOB.</param>
    /// <param name="cancellationToken">Cancels the wait for buffer space.</param>
    /// <returns>How many bytes were queued, and when the file is closed.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside of the file, or is too long.</exception>
    /// <exception cref="IOException">The file could not be opened or mapped.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    /// <exception cref="System.Net.Sockets.SocketException">As with the other zero-copy sends.</exception>
    /// <exception cref="OperationCanceledException">Canceled before anything was queued.</exception>
    /// <exception cref="ObjectDisposedException">The socket was disposed.</exception>
    public async ValueTask<ZeroCopySend> SendMappedFileAsync(
        string path, long offset = 0, int? length = null, TcpSendFlags flags = TcpSendFlags.None, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        MappedFileMemory memory;
        int count;
        try
        {
            long left = stream.Length - offset;
            ArgumentOutOfRangeException.ThrowIfNegative(left, nameof(offset));
            long wanted = length ?? left;
            ArgumentOutOfRangeException.ThrowIfNegative(wanted, nameof(length));
            ArgumentOutOfRangeException.ThrowIfGreaterThan(wanted, Math.Min(left, int.MaxValue), nameof(length));
            count = (int)wanted;
            if (count == 0)
            {
                // An empty range cannot be mapped, and there is nothing to wait for.
                await stream.DisposeAsync().ConfigureAwait(false);
                return await SendZeroCopyAsync(ReadOnlyMemory<byte>.Empty, flags, cancellationToken).ConfigureAwait(false);
            }

            memory = new MappedFileMemory(stream, offset, count);
        }
        catch
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        return await SendZeroCopyAsync(memory, count, flags, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Keeps a notification of each released range of sends until <see cref="TryReadZeroCopyNotification"/> takes it (Linux: SO_ZEROCOPY and the error queue). False by default: awaiting
    /// <see cref="ZeroCopySend.Released"/> needs none. Unread notifications use up <c>net.core.optmem_max</c>; whoever switches them on has to read them.
    /// </summary>
    public bool ZeroCopyNotifications
    {
        get => _connection.ZeroCopyOrNull?.QueuesNotifications ?? false;
        set => _connection.ZeroCopy.QueuesNotifications = value;
    }

    /// <summary>Takes the oldest notification (Linux: recvmsg with MSG_ERRQUEUE). Never waits; may be called after the socket was disposed.</summary>
    /// <returns>False: none waits.</returns>
    public bool TryReadZeroCopyNotification(out ZeroCopyNotification notification)
    {
        notification = default;
        return _connection.ZeroCopyOrNull?.TryRead(out notification) ?? false;
    }

    private ValueTask<ZeroCopySend> SendZeroCopyAsync(in ReadOnlySequence<byte> data, TcpSendFlags flags, IMemoryOwner<byte>? owner, CancellationToken cancellationToken)
    {
        if (data.Length > int.MaxValue)
        {
            return ValueTask.FromException<ZeroCopySend>(new ArgumentOutOfRangeException(nameof(data), data.Length, "Send at most 2 GiB in one call."));
        }

        ZeroCopyCall call = _connection.ZeroCopy.RentCall(data, owner);
        ValueTask<int> sending = SendSourceAsync(new ZeroCopySource(call), flags, cancellationToken);
        return sending.IsCompletedSuccessfully ? new ValueTask<ZeroCopySend>(call.HandOut(sending.Result)) : EndZeroCopyAsync(call, sending);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private static async ValueTask<ZeroCopySend> EndZeroCopyAsync(ZeroCopyCall call, ValueTask<int> sending)
    {
        int queued = 0;
        try
        {
            queued = await sending.ConfigureAwait(false);
            return call.HandOut(queued);
        }
        catch
        {
            // It may never have had its turn: then nobody has closed it.
            if (call.Close())
            {
                call.ReleaseUnused();
            }

            call.HandOut(0);
            throw;
        }
    }

    /// <summary>Waits until all memory has been given back: also a device may still have it after the peer has acknowledged everything.</summary>
    private async ValueTask WaitForReleasesAsync(AsyncSocketWaiter waiter, CancellationToken cancellationToken)
    {
        // Said before it is looked: what is given back meanwhile then wakes.
        _connection.ZeroCopyOrNull?.NoteWaitedFor();
        while (_connection.ZeroCopyOrNull is { HoldsMemory: true } zeroCopy)
        {
            waiter.Arm(SocketEvents.Released);
            _connection.AddWaiter(waiter);

            // To subscribe and then to look needs a full fence, as to count and then to look for waiters has.
            Interlocked.MemoryBarrier();
            if (!zeroCopy.HoldsMemory)
            {
                waiter.Fire(SocketEvents.Released);
            }

            bool fired = await waiter.WaitAsync(cancellationToken).ConfigureAwait(false);
            if (!_connection.RemoveWaiter(waiter))
            {
                // An event may still have it in its hands, if it was fired from here.
                waiter = new AsyncSocketWaiter(_connection.Worker.Driver);
            }

            if (!fired)
            {
                throw new OperationCanceledException(cancellationToken);
            }
        }
    }
}
