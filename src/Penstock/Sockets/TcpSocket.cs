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
    private TcpConnection.SendTurnWaiter? _spareTurnWaiter;
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

    /// <summary>Bytes that a receive would return without waiting (SIOCINQ, FIONREAD); the urgent byte and what is behind it are not among them.</summary>
    public int Available => Math.Max(0, _connection.ReadableUpToMark);

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
    /// Finishes sending and completes when the peer has acknowledged everything and the memory of zero-copy sends has been released, then disposes the socket.
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
            await WaitForReleasesAsync(waiter, cancellationToken).ConfigureAwait(false);
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

    internal bool IsDisposed => Volatile.Read(ref _disposed) != 0;

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
