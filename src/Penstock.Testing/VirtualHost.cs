using System.Net;
using System.Net.Http;
using System.Net.Sockets;
using Penstock.Testing.Cables;

namespace Penstock.Testing;

/// <summary>
/// A host of a <see cref="VirtualNetwork"/>: a <see cref="NetworkStack"/> of its own with addresses, a name, and routes to every other host that its cables lead to. Made by
/// <see cref="VirtualNetwork.AddHost"/>.
/// </summary>
/// <remarks>All members are thread-safe. The network disposes its hosts; dispose one earlier to let it crash in the middle of a test.</remarks>
public sealed class VirtualHost : VirtualNode, IAsyncDisposable
{
    private readonly Dictionary<NetworkCable, Link> _links = [];
    private readonly HashSet<NetworkCable> _routed = [];
    private bool _hasDefaultRoute;
    private int _disposed;

    internal VirtualHost(VirtualNetwork network, NetworkStackOptions options)
        : base(network, options.Name) => Stack = new NetworkStack(options);

    /// <summary>The host's stack: <c>builder.WebHost.UsePenstock(host.Stack)</c>, sockets, counters, <see cref="NetworkStack.Sysctl"/>.</summary>
    public NetworkStack Stack { get; }

    /// <summary>The address on the first cable.</summary>
    /// <exception cref="InvalidOperationException">The host has no cable yet.</exception>
    public IPAddress Address => Cables is [NetworkCable first, ..]
        ? first.AddressOf(this)
        : throw new InvalidOperationException($"Host '{Name}' has no address before a cable is plugged in. Call VirtualNetwork.Connect first.");

    internal override bool IsDisposed => Volatile.Read(ref _disposed) != 0;

    /// <summary>
    /// A handler whose connections run over this host's stack, for <see cref="HttpClient"/>, gRPC channels and web sockets; see <see cref="NetworkStack.CreateHttpHandler"/>.
    /// </summary>
    /// <param name="options">Options of each connection; null for the defaults with <see cref="TcpSocketOptions.NoDelay"/> on.</param>
    /// <returns>A new handler, which the caller disposes.</returns>
    public SocketsHttpHandler CreateHttpHandler(TcpConnectOptions? options = null) => Stack.CreateHttpHandler(options);

    /// <summary>An HTTP client over this host's stack.</summary>
    /// <param name="baseAddress">What relative addresses are relative to, for example <c>http://server:5000</c>; null for none.</param>
    /// <returns>A new client, which the caller disposes.</returns>
    public HttpClient CreateHttpClient(Uri? baseAddress = null) => new(CreateHttpHandler(), disposeHandler: true) { BaseAddress = baseAddress };

    /// <summary>Begins to listen on a port of all of the host's addresses.</summary>
    /// <param name="port">The port; 0 for a free one, which <see cref="TcpSocketListener.LocalEndPoint"/> tells.</param>
    /// <exception cref="SocketException"><see cref="SocketError.AddressAlreadyInUse"/>.</exception>
    /// <exception cref="ObjectDisposedException">The host has been disposed.</exception>
    public TcpSocketListener Listen(int port) => Stack.ListenTcp(new IPEndPoint(IPAddress.Any, port));

    /// <summary>Opens a connection.</summary>
    /// <param name="host">The name of a host of the network, or an address.</param>
    /// <param name="port">The port, 1..65535.</param>
    /// <param name="options">Options of the socket; null for the defaults.</param>
    /// <param name="cancellationToken">Abandons the attempt.</param>
    /// <exception cref="SocketException">As <see cref="NetworkStack.ConnectTcpAsync"/>.</exception>
    /// <exception cref="ObjectDisposedException">The host has been disposed.</exception>
    public ValueTask<TcpSocket> ConnectAsync(string host, int port, TcpConnectOptions? options = null, CancellationToken cancellationToken = default) =>
        Stack.ConnectTcpAsync(new DnsEndPoint(host, port, AddressFamily.InterNetwork), options, cancellationToken);

    /// <summary>
    /// Takes the host down: its connections are reset, unless its <see cref="NetworkStackOptions.CloseTimeout"/> lets them finish, and its plugs are pulled. The others keep its name and see silence
    /// from then on; a new host may take the name. Partition it first for a crash that nobody hears of.
    /// </summary>
    public ValueTask DisposeAsync()
    {
        Volatile.Write(ref _disposed, 1);
        return Stack.DisposeAsync();
    }

    internal override void Plug(NetworkCable cable, Link end)
    {
        Stack.AddInterface(end, new InterfaceAddress(cable.AddressOf(this), NetworkCable.PrefixLength));
        _links[cable] = end;
        _routed.Add(cable);
    }

    internal override void SetPaths(IReadOnlyList<CablePath> paths)
    {
        foreach (CablePath path in paths)
        {
            if (_routed.Add(path.To))
            {
                Stack.AddRoute(path.To.Network, _links[path.First]);
            }

            // As hosts have it: what is not known is the router's affair, which says so if it does not know either.
            if (!_hasDefaultRoute && path.First.Other(this) is VirtualRouter)
            {
                _hasDefaultRoute = true;
                Stack.AddRoute(new IPNetwork(IPAddress.Any, 0), _links[path.First]);
            }
        }
    }
}
