using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Penstock.AspNetCore.Internal;

namespace Penstock.AspNetCore;

/// <summary>
/// Binds Kestrel's end points on a <see cref="NetworkStack"/>. Made by <c>UsePenstock</c>. Thread-safe.
/// </summary>
public sealed class PenstockTransportFactory : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    private readonly Func<NetworkStack> _stack;
    private readonly PenstockTransportOptions _options;
    private readonly ILogger _log;
    private readonly IMemoryPoolFactory<byte>? _pools;

    /// <summary>Creates a factory.</summary>
    /// <param name="stack">The stack of end points that do not name one themselves; asked for when the first of these is bound. It is not owned.</param>
    /// <param name="options">The transport's options.</param>
    /// <param name="logging">Where the transport logs, as <c>Penstock.AspNetCore</c>.</param>
    /// <param name="pools">Makes each listener's memory pool; null for the shared one.</param>
    public PenstockTransportFactory(
        Func<NetworkStack> stack, IOptions<PenstockTransportOptions> options, ILoggerFactory logging, IMemoryPoolFactory<byte>? pools = null)
    {
        ArgumentNullException.ThrowIfNull(stack);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(logging);
        _stack = stack;
        _options = options.Value;
        _log = logging.CreateLogger(PenstockTransportLog.Category);
        _pools = pools;
    }

    /// <summary>True for a <see cref="StackEndPoint"/>, and for any other IP end point unless <see cref="PenstockTransportOptions.OnlyStackEndPoints"/> is set.</summary>
    public bool CanBind(EndPoint endpoint) => endpoint is StackEndPoint || (endpoint is IPEndPoint && !_options.OnlyStackEndPoints);

    /// <summary>Begins to listen.</summary>
    /// <param name="endpoint">A <see cref="StackEndPoint"/>, or an <see cref="IPEndPoint"/> on the factory's own stack. Port 0 is a free port.</param>
    /// <param name="cancellationToken">Not used: nothing is waited for.</param>
    /// <exception cref="AddressInUseException">Somebody listens there already.</exception>
    /// <exception cref="SocketException">
    /// <see cref="SocketError.AddressNotAvailable"/>: not an address of the stack. <see cref="SocketError.AddressFamilyNotSupported"/>: IPv6; Kestrel then falls back to IPv4 for <c>*</c> and
    /// <c>localhost</c>.
    /// </exception>
    /// <exception cref="NotSupportedException">Not an IP end point.</exception>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        if (endpoint is not IPEndPoint address)
        {
            throw new NotSupportedException($"Penstock binds IP end points, not a {endpoint.GetType().Name}.");
        }

        NetworkStack stack = (address as StackEndPoint)?.Stack ?? _stack();
        var listen = new TcpListenOptions(new IPEndPoint(address.Address, address.Port)) { Backlog = _options.Backlog, NoDelay = _options.NoDelay };
        _options.ConfigureListener?.Invoke(listen);
        TcpSocketListener listener;
        try
        {
            listener = stack.ListenTcp(listen);
        }
        catch (SocketException failure) when (failure.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            throw new AddressInUseException($"Something listens on {address} of stack '{stack.Name}' already.", failure);
        }

        return new ValueTask<IConnectionListener>(new PenstockConnectionListener(listener, new ConnectionSettings(stack, _options, _pools, _log)));
    }
}
