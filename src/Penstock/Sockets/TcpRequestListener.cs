using System.Net;
using Penstock.Ownership;
using Penstock.Tcp;

namespace Penstock;

/// <summary>
/// Listens for TCP connections that the application decides on before they are answered: a tunnel that first wants to know whether the far side can be reached, a server that picks its peers. Made by
/// <see cref="NetworkStack.ListenTcpRequests"/>. Thread-safe; several may wait for the next request.
/// </summary>
public sealed class TcpRequestListener : IAsyncDisposable, IDisposable
{
    private readonly ListenSocket _listener;
    private readonly RequestQueue _queue;

    internal TcpRequestListener(ListenSocket listener)
    {
        _listener = listener;
        _queue = listener.Held!;
    }

    /// <summary>Where it listens, with the real port; port 0 is every port.</summary>
    public IPEndPoint LocalEndPoint => new(_listener.Address.ToIPAddress(), _listener.Port);

    /// <summary>Requests that are undecided, or accepted and not yet acknowledged by the peer; at most <see cref="TcpRequestListenOptions.HalfOpenLimit"/>.</summary>
    public int HalfOpen => _listener.Requests;

    /// <summary>Requests that <see cref="NextAsync"/> would return without waiting.</summary>
    public int Pending => _queue.Waiting;

    /// <summary>The next request; waits while there is none.</summary>
    /// <exception cref="ObjectDisposedException">The listener was disposed, before or while waiting.</exception>
    /// <exception cref="OperationCanceledException">Canceled.</exception>
    public async ValueTask<TcpConnectionRequest> NextAsync(CancellationToken cancellationToken = default)
    {
        AsyncSocketWaiter? waiter = null;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (TryNext() is { } request)
            {
                return request;
            }

            ObjectDisposedException.ThrowIf(_listener.IsClosed, this);
            waiter ??= new AsyncSocketWaiter(_listener.Worker.Driver);
            waiter.Arm(SocketEvents.Readable | SocketEvents.Failed);
            if (_queue.TryAddWaiter(waiter) && !await waiter.WaitAsync(cancellationToken).ConfigureAwait(false))
            {
                _queue.RemoveWaiter(waiter);
            }
        }
    }

    /// <summary>The next request if one waits; else null.</summary>
    public TcpConnectionRequest? TryNext() => _queue.TryTake() is { } request ? new TcpConnectionRequest(request) : null;

    /// <summary>Stops listening. Requests that were not accepted are dropped without a word to the peer, those in their handshake are reset; connections live on.</summary>
    public void Dispose() => _listener.Close();

    /// <inheritdoc cref="Dispose"/>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return ValueTask.CompletedTask;
    }
}
