using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Penstock.AspNetCore.Internal;

namespace Penstock.AspNetCore;

/// <summary>Opens client connections over a <see cref="NetworkStack"/> as <see cref="ConnectionContext"/>s. Thread-safe. Dispose it after its connections.</summary>
public sealed class PenstockConnectionFactory : IConnectionFactory, IAsyncDisposable
{
    private readonly NetworkStack _stack;
    private readonly PenstockTransportOptions _options;
    private readonly ConnectionSettings _settings;

    /// <summary>Creates a factory.</summary>
    /// <param name="stack">The stack; it is not owned.</param>
    /// <param name="options">The transport's options; those of listeners do not matter here.</param>
    /// <param name="logging">Where the connections log, as <c>Penstock.AspNetCore</c>.</param>
    /// <param name="pools">Makes the memory pool; null for the shared one.</param>
    public PenstockConnectionFactory(
        NetworkStack stack, IOptions<PenstockTransportOptions> options, ILoggerFactory logging, IMemoryPoolFactory<byte>? pools = null)
    {
        ArgumentNullException.ThrowIfNull(stack);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(logging);
        _stack = stack;
        _options = options.Value;
        _settings = new ConnectionSettings(stack, _options, pools, logging.CreateLogger(PenstockTransportLog.Category));
    }

    /// <summary>Opens a connection. The caller disposes it.</summary>
    /// <param name="endpoint">An <see cref="IPEndPoint"/>, a <see cref="DnsEndPoint"/>, or a <see cref="StackEndPoint"/>, which goes over its own stack.</param>
    /// <param name="cancellationToken">Abandons the attempt.</param>
    /// <exception cref="SocketException">As <see cref="NetworkStack.ConnectTcpAsync(EndPoint, TcpConnectOptions?, CancellationToken)"/>.</exception>
    public async ValueTask<ConnectionContext> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        NetworkStack stack = (endpoint as StackEndPoint)?.Stack ?? _stack;
        TcpSocket socket = await stack.ConnectTcpAsync(endpoint, new TcpConnectOptions { NoDelay = _options.NoDelay }, cancellationToken).ConfigureAwait(false);
        var connection = new PenstockConnection(socket, _settings);
        connection.Start();
        return connection;
    }

    /// <summary>Gives the memory pool back.</summary>
    public ValueTask DisposeAsync()
    {
        _settings.Dispose();
        return ValueTask.CompletedTask;
    }
}
