using System.Net;
using Penstock.Ownership;
using Penstock.Tcp;

namespace Penstock;

/// <summary>Listens for TCP connections. Made by <see cref="NetworkStack.ListenTcp(TcpListenOptions)"/>. Thread-safe; several accepts may wait at once.</summary>
public sealed class TcpSocketListener : IAsyncDisposable, IDisposable
{
    private readonly ListenSocket _listener;

    internal TcpSocketListener(ListenSocket listener) => _listener = listener;

    internal ListenSocket Socket => _listener;

    /// <summary>Where it listens, with the real port.</summary>
    public IPEndPoint LocalEndPoint => new(_listener.Address.ToIPAddress(), _listener.Port);

    /// <summary>Connections that are established and wait to be accepted.</summary>
    public int Pending => _listener.Waiting;

    /// <summary>Accepts the next connection; waits while there is none.</summary>
    /// <exception cref="ObjectDisposedException">The listener was disposed, before or while waiting.</exception>
    /// <exception cref="OperationCanceledException">Canceled.</exception>
    public async ValueTask<TcpSocket> AcceptAsync(CancellationToken cancellationToken = default)
    {
        AsyncSocketWaiter? waiter = null;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (TryAccept() is { } socket)
            {
                return socket;
            }

            ObjectDisposedException.ThrowIf(_listener.IsClosed, this);
            waiter ??= new AsyncSocketWaiter(_listener.Worker.Driver);
            waiter.Arm(SocketEvents.Readable | SocketEvents.Failed);
            if (_listener.TryAddWaiter(waiter) && !await waiter.WaitAsync(cancellationToken).ConfigureAwait(false))
            {
                _listener.RemoveWaiter(waiter);
            }
        }
    }

    /// <summary>Accepts a connection if one waits; else null.</summary>
    public TcpSocket? TryAccept() => _listener.TryAccept() is { } connection ? new TcpSocket(connection) : null;

    /// <summary>Stops listening. Connections that were not accepted are reset; accepted ones live on.</summary>
    public void Dispose() => _listener.Close();

    /// <inheritdoc cref="Dispose"/>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return ValueTask.CompletedTask;
    }
}
