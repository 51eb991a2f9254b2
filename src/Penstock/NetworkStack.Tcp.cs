using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Penstock.Ip;
using Penstock.Ownership;
using Penstock.Tcp;
using Penstock.Telemetry;
using Penstock.Wire;

namespace Penstock;

public sealed partial class NetworkStack
{
    /// <summary>Models the time that a copy inside a send takes; only under virtual time.</summary>
    internal ICopySeam? CopySeam { get; set; }

    /// <summary>Rules that connections made from now on do without: for tests of the tests, see <see cref="Omission"/>.</summary>
    internal Omission Omitted { get; set; }

    /// <summary>Opens a connection; names are resolved first and their addresses tried in order.</summary>
    /// <param name="remote">An <see cref="IPEndPoint"/> or a <see cref="DnsEndPoint"/>.</param>
    /// <param name="options">Options of the socket; null for the defaults.</param>
    /// <param name="cancellationToken">Abandons the attempt.</param>
    /// <exception cref="SocketException">
    /// Refused, timed out, no route (<see cref="SocketError.NetworkUnreachable"/>), unknown name (<see cref="SocketError.HostNotFound"/>), IPv6
    /// (<see cref="SocketError.AddressFamilyNotSupported"/>).
    /// </exception>
    public async ValueTask<TcpSocket> ConnectTcpAsync(EndPoint remote, TcpConnectOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(remote);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        options ??= new TcpConnectOptions();
        options.Validate();
        if (remote is not (IPEndPoint or DnsEndPoint))
        {
            throw new ArgumentException($"Cannot connect to a {remote.GetType().Name}. Pass an IPEndPoint or a DnsEndPoint.", nameof(remote));
        }

        using Activity? activity = ConnectActivity.Start(this, remote);
        try
        {
            TcpSocket socket = await ConnectAnyAsync(remote, options, cancellationToken).ConfigureAwait(false);
            activity?.Connected(socket);
            return socket;
        }
        catch (Exception failure)
        {
            activity?.Failed(failure);
            throw;
        }
    }

    private async ValueTask<TcpSocket> ConnectAnyAsync(EndPoint remote, TcpConnectOptions options, CancellationToken cancellationToken)
    {
        if (remote is IPEndPoint literal)
        {
            return await ConnectOneAsync(literal, options, cancellationToken).ConfigureAwait(false);
        }

        var name = (DnsEndPoint)remote;
        SocketException? last = null;
        foreach (IPAddress address in await ResolveAsync(name.Host, cancellationToken).ConfigureAwait(false))
        {
            try
            {
                return await ConnectOneAsync(new IPEndPoint(address, name.Port), options, cancellationToken).ConfigureAwait(false);
            }
            catch (SocketException failure)
            {
                last = failure;
            }
        }

        throw last ?? new SocketException((int)SocketError.HostNotFound);
    }

    /// <summary>Begins to listen.</summary>
    /// <exception cref="SocketException">
    /// <see cref="SocketError.AddressAlreadyInUse"/>, <see cref="SocketError.AddressNotAvailable"/> (not an address of this stack), or
    /// <see cref="SocketError.AddressFamilyNotSupported"/> (IPv6).
    /// </exception>
    public TcpSocketListener ListenTcp(TcpListenOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        options.Validate();
        return new TcpSocketListener(Listen(options, options.EndPoint, options.AnyDestination, options.Backlog, held: null));
    }

    /// <summary>
    /// Begins to listen for connections that the application decides on one by one, before the peer is answered. Beyond <see cref="TcpRequestListenOptions.HalfOpenLimit"/> the stack refuses by itself, without
    /// SYN cookies: where strangers can send SYNs with forged addresses, <see cref="ListenTcp(TcpListenOptions)"/> holds out longer.
    /// </summary>
    /// <inheritdoc cref="ListenTcp(TcpListenOptions)" path="/exception"/>
    public TcpRequestListener ListenTcpRequests(TcpRequestListenOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        options.Validate();
        return new TcpRequestListener(
            Listen(options, options.EndPoint, options.AnyDestination, options.HalfOpenLimit, new RequestQueue(options.HalfOpenLimit, options.Overflow)));
    }

    private ListenSocket Listen(TcpSocketOptions options, IPEndPoint endPoint, bool anyDestination, int backlog, RequestQueue? held)
    {
        if (endPoint.AddressFamily != AddressFamily.InterNetwork && !endPoint.Address.IsIPv4MappedToIPv6)
        {
            throw new SocketException((int)SocketError.AddressFamilyNotSupported);
        }

        IpAddress address = IpAddress.From(endPoint.Address);
        var plain = options as TcpListenOptions;
        ListenSocket listener = Tcp.Listen(
            port => new ListenSocket(this, OwnWorker, address, port, backlog)
            {
                Held = held,
                AnyDestination = anyDestination,
                ReceiveBuffer = options.ReceiveBufferSize is { } size ? (int)Math.Min(size * 2L, int.MaxValue) : 0,
                MaximumSegment = options.MaximumSegmentSize ?? 0,
                WindowClamp = options.WindowClamp is { } clamp ? Math.Max(clamp, TcpConnection.SmallestReceiveBuffer / 2) : int.MaxValue,
                DeferredTimeouts = plain?.DeferAccept is { } wait ? DeferAccept.Timeouts(wait) : 0,
                SynAckRetries = plain?.SynAckRetries ?? 0,
                TypeOfService = options.TypeOfService,
                TimeToLive = options.TimeToLive ?? 0,
                Group = options.MemoryGroup ?? _options.MemoryGroup,
                OnPrepare = options.ApplyTo,
            },
            address,
            endPoint.Port,
            anyDestination);
        PenstockEventSource.Log.OnListenerStarted(listener);
        return listener;
    }

    /// <summary>Begins to listen with default options.</summary>
    /// <inheritdoc cref="ListenTcp(TcpListenOptions)"/>
    public TcpSocketListener ListenTcp(IPEndPoint endPoint) => ListenTcp(new TcpListenOptions(endPoint));

    /// <summary>The groups that are in use on this stack, and those above them: of its options, of listeners and of connections.</summary>
    internal IReadOnlyCollection<MemoryGroup> MemoryGroups
    {
        get
        {
            var groups = new HashSet<MemoryGroup>();
            Add(_options.MemoryGroup);
            foreach (ListenSocket listener in Tcp.Listeners.All)
            {
                Add(listener.Group);
            }

            foreach (FlowEntry entry in Tcp.Flows.Snapshot())
            {
                Add((entry as TcpConnection)?.Memory.Group);
            }

            return groups;

            void Add(MemoryGroup? group)
            {
                while (group is not null && groups.Add(group))
                {
                    group = group.Parent;
                }
            }
        }
    }

    /// <summary>A snapshot of every connection and listener, TIME-WAIT and FIN-WAIT-2 included, as <c>ss -ta</c>. Never waits for a connection.</summary>
    public IReadOnlyList<TcpInfo> GetConnections()
    {
        var all = new List<TcpInfo>();
        foreach (ListenSocket listener in Tcp.Listeners.All)
        {
            all.Add(new TcpInfo
            {
                State = TcpConnectionState.Listen,
                Local = new IPEndPoint(listener.Address.ToIPAddress(), listener.Port),
                Remote = new IPEndPoint(IPAddress.Any, 0),
                ReceiveQueue = listener.Waiting,
                SendQueue = listener.Backlog,
            });
        }

        foreach (FlowEntry entry in Tcp.Flows.Snapshot())
        {
            all.Add(entry is TcpConnection connection
                ? connection.Snapshot()
                : new TcpInfo
                {
                    State = entry is TimeWaitEntry old ? old.State : TcpConnectionState.SynReceived,
                    Local = new IPEndPoint(entry.Key.Local.ToIPAddress(), entry.Key.LocalPort),
                    Remote = new IPEndPoint(entry.Key.Remote.ToIPAddress(), entry.Key.RemotePort),
                });
        }

        return all;
    }

    /// <summary>Starts an active open without waiting for its end: for drills and native callers. The connection is in SYN-SENT when this returns.</summary>
    internal TcpSocket BeginConnectTcp(IPEndPoint remote, TcpConnectOptions options)
    {
        if (remote.AddressFamily != AddressFamily.InterNetwork && !remote.Address.IsIPv4MappedToIPv6)
        {
            throw new SocketException((int)SocketError.AddressFamilyNotSupported);
        }

        TcpConnection connection = Tcp.CreateActive(remote, options.LocalEndPoint, options.MemoryGroup ?? _options.MemoryGroup);
        connection.Own();
        options.ApplyTo(connection);
        if (IsDisposed)
        {
            // Disposed since the caller looked: nothing would ever free it.
            connection.Drop();
            connection.Release();
            throw new ObjectDisposedException(nameof(NetworkStack));
        }

        connection.BeginConnect();
        connection.Release();
        return new TcpSocket(connection);
    }

    private async ValueTask<TcpSocket> ConnectOneAsync(IPEndPoint remote, TcpConnectOptions options, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        TcpSocket socket = BeginConnectTcp(remote, options);
        TcpConnection connection = socket.Connection;
        var waiter = new AsyncSocketWaiter(connection.Worker.Driver);
        await connection.OwnAsync().ConfigureAwait(false);
        while (connection.State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived)
        {
            waiter.Arm(SocketEvents.Connected | SocketEvents.Failed);
            connection.AddWaiter(waiter);
            connection.Release();
            if (!await waiter.WaitAsync(cancellationToken).ConfigureAwait(false))
            {
                connection.RemoveWaiter(waiter);
                socket.Abort();
                throw new OperationCanceledException(cancellationToken);
            }

            await connection.OwnAsync().ConfigureAwait(false);
        }

        SocketError error = connection.State == TcpConnectionState.Closed ? connection.TakeError() : SocketError.Success;
        connection.Release();
        if (error != SocketError.Success)
        {
            socket.Dispose();
            throw new SocketException((int)error);
        }

        return socket;
    }

    private async ValueTask<IReadOnlyList<IPAddress>> ResolveAsync(string host, CancellationToken cancellationToken)
    {
        if (IPAddress.TryParse(host, out IPAddress? literal))
        {
            return [literal];
        }

        if (_options.Resolver is { } resolver)
        {
            return await resolver(host, cancellationToken).ConfigureAwait(false);
        }

        return Hosts.TryResolve(host, out IReadOnlyList<IPAddress> addresses) ? addresses : throw new SocketException((int)SocketError.HostNotFound);
    }
}
