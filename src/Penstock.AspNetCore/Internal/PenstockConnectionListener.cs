using System.Net;
using Microsoft.AspNetCore.Connections;

namespace Penstock.AspNetCore.Internal;

/// <summary>A bound end point. Accepting ends with null once it is unbound; connections that were accepted live on.</summary>
internal sealed class PenstockConnectionListener(TcpSocketListener listener, ConnectionSettings settings) : IConnectionListener
{
    /// <summary>Where it listens, with the real port. A plain IP end point, which is what metrics and Kestrel's address feature understand.</summary>
    public EndPoint EndPoint { get; } = listener.LocalEndPoint;

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        TcpSocket socket;
        try
        {
            socket = await listener.AcceptAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (ObjectDisposedException)
        {
            // Unbound, before or while waiting: the loop above us ends here.
            return null;
        }

        var connection = new PenstockConnection(socket, settings);
        connection.Start();
        return connection;
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        listener.Dispose();
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync()
    {
        listener.Dispose();
        settings.Dispose();
        return ValueTask.CompletedTask;
    }
}
