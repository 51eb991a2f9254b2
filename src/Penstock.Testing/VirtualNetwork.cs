using System.Net;
using Penstock.Testing.Cables;

namespace Penstock.Testing;

/// <summary>
/// A network inside the process, for tests: hosts with TCP/IP stacks of their own, routers, and cables between them that can be as bad as a test wants. Nothing of it touches the machine's network,
/// so tests may run side by side with the same names, addresses and ports.
/// </summary>
/// <remarks>
/// All members are thread-safe. The network runs in real time: a delay of 50 ms takes 50 ms. The seed makes every random choice of cables and stacks, but which packet meets which choice depends on
/// the order in which threads send, so a run repeats closely, not exactly. Dispose the network at the end of the test, after the servers that listen on its hosts.
/// </remarks>
public sealed class VirtualNetwork : IAsyncDisposable
{
    private const int MaximumCables = 1 << 16;
    private const ulong HostSeeds = 0, CableSeeds = 1UL << 32;

    private readonly Lock _gate = new();
    private readonly List<VirtualNode> _nodes = [];
    private readonly List<NetworkCable> _cables = [];
    private CaptureSet? _capture;
    private bool _passed;
    private bool _disposed;

    /// <summary>Makes an empty network.</summary>
    /// <param name="seed">Decides all random choices: which packets cables lose, and the stacks' sequence numbers and ports.</param>
    public VirtualNetwork(ulong seed = 1) => Seed = seed;

    /// <summary>The seed that the network was made with.</summary>
    public ulong Seed { get; }

    /// <summary>The hosts, in the order in which they were added; those that were disposed too.</summary>
    public IReadOnlyList<VirtualHost> Hosts
    {
        get
        {
            lock (_gate)
            {
                return [.. _nodes.OfType<VirtualHost>()];
            }
        }
    }

    /// <summary>The routers, in the order in which they were added.</summary>
    public IReadOnlyList<VirtualRouter> Routers
    {
        get
        {
            lock (_gate)
            {
                return [.. _nodes.OfType<VirtualRouter>()];
            }
        }
    }

    /// <summary>The cables, in the order in which they were connected.</summary>
    public IReadOnlyList<NetworkCable> Cables
    {
        get
        {
            lock (_gate)
            {
                return [.. _cables];
            }
        }
    }

    /// <summary>The files that are written because of <see cref="CaptureTo"/>.</summary>
    public IReadOnlyList<string> CaptureFiles
    {
        get
        {
            lock (_gate)
            {
                return _capture?.Files ?? [];
            }
        }
    }

    /// <summary>Adds two hosts with a cable between them: <c>var (client, server) = net.CreatePair(new CableOptions { Loss = 0.02 })</c>.</summary>
    /// <param name="cable">What the cable does in both directions; null for one that only carries packets.</param>
    /// <param name="client">The name of the first host.</param>
    /// <param name="server">The name of the second host.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or a name is taken or no host name.</exception>
    /// <exception cref="ObjectDisposedException">The network has been disposed.</exception>
    public (VirtualHost Client, VirtualHost Server) CreatePair(CableOptions? cable = null, string client = "client", string server = "server")
    {
        // Before anything is added, so that a mistake leaves nothing behind.
        (cable ??= new CableOptions()).Validate();
        lock (_gate)
        {
            CheckName(client);
            CheckName(server);
            if (client.Equals(server, StringComparison.OrdinalIgnoreCase))
            {
                throw new ArgumentException($"Both hosts would be called '{client}'. Give them different names.", nameof(server));
            }

            VirtualHost near = AddHost(client);
            VirtualHost far = AddHost(server);
            Connect(near, far, cable);
            return (near, far);
        }
    }

    /// <summary>Adds a host. It reaches nothing before <see cref="Connect(VirtualNode, VirtualNode, CableOptions?)"/>.</summary>
    /// <param name="name">A host name: letters, digits, hyphens and dots. All hosts that the cables lead to resolve it.</param>
    /// <param name="configure">
    /// Changes the stack's options; null for the defaults, which are those of <see cref="NetworkStackOptions"/> but for a seed from the network's and a
    /// <see cref="NetworkStackOptions.CloseTimeout"/> of zero, so that a test does not end by waiting.
    /// </param>
    /// <exception cref="ArgumentException">The name is taken or no host name, or an option is out of its range, or another clock than the system's was asked for.</exception>
    /// <exception cref="ObjectDisposedException">The network has been disposed.</exception>
    public VirtualHost AddHost(string name, Action<NetworkStackOptions>? configure = null)
    {
        lock (_gate)
        {
            CheckName(name);
            var options = new NetworkStackOptions { Name = name, Seed = SeedFor(HostSeeds + (ulong)_nodes.Count), CloseTimeout = TimeSpan.Zero };
            configure?.Invoke(options);
            if (options.Name != name)
            {
                throw new ArgumentException($"The stack of host '{name}' has the host's name. Give AddHost the name '{options.Name}' instead.", nameof(configure));
            }

            if (options.TimeProvider != TimeProvider.System)
            {
                throw new ArgumentException("A virtual network runs in real time. Leave NetworkStackOptions.TimeProvider as it is.", nameof(configure));
            }

            var host = new VirtualHost(this, options);
            _nodes.Add(host);
            host.Stack.Hosts.Add(name, IPAddress.Loopback);
            return host;
        }
    }

    /// <summary>Adds a router. It forwards between the cables that are plugged into it.</summary>
    /// <param name="name">A name as a host's; hosts do not resolve it.</param>
    /// <exception cref="ArgumentException">The name is taken or no host name.</exception>
    /// <exception cref="ObjectDisposedException">The network has been disposed.</exception>
    public VirtualRouter AddRouter(string name = "router")
    {
        lock (_gate)
        {
            CheckName(name);
            var router = new VirtualRouter(this, name);
            _nodes.Add(router);
            return router;
        }
    }

    /// <summary>Connects two nodes with a cable that does the same in both directions. Routes and names of all hosts follow.</summary>
    /// <param name="a">A host or router of this network.</param>
    /// <param name="b">Another one.</param>
    /// <param name="options">
    /// What the cable does; null for one that only carries packets. The cable's random choices come from its <see cref="CableOptions.Seed"/> together with the network's, so that cables with equal options
    /// lose different packets.
    /// </param>
    /// <exception cref="ArgumentException">An option is out of its range, or the nodes are the same, connected already, or another network's.</exception>
    /// <exception cref="ObjectDisposedException">The network or one of the nodes has been disposed.</exception>
    /// <exception cref="IOException">The capture's file can not be made.</exception>
    public NetworkCable Connect(VirtualNode a, VirtualNode b, CableOptions? options = null)
    {
        options ??= new CableOptions();
        return Connect(a, b, options, options);
    }

    /// <summary>Connects two nodes with a cable with options for each direction; see <see cref="Connect(VirtualNode, VirtualNode, CableOptions?)"/>.</summary>
    /// <param name="a">A host or router of this network.</param>
    /// <param name="b">Another one.</param>
    /// <param name="aToB">What happens to packets that <paramref name="a"/> sends. The cable's name is taken from it.</param>
    /// <param name="bToA">What happens to packets that <paramref name="b"/> sends.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or the nodes are the same, connected already, or another network's.</exception>
    /// <exception cref="ObjectDisposedException">The network or one of the nodes has been disposed.</exception>
    /// <exception cref="IOException">The capture's file can not be made.</exception>
    public NetworkCable Connect(VirtualNode a, VirtualNode b, CableOptions aToB, CableOptions bToA)
    {
        ArgumentNullException.ThrowIfNull(aToB);
        ArgumentNullException.ThrowIfNull(bToA);
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            CheckNode(a, nameof(a));
            CheckNode(b, nameof(b));
            if (a == b)
            {
                throw new ArgumentException($"'{a}' can not be connected with itself; every host has a loopback.", nameof(b));
            }

            if (_cables.Exists(c => c.Joins(a, b)))
            {
                throw new ArgumentException($"'{a}' and '{b}' are connected already. Change that cable with CableBetween('{a}', '{b}').Update.", nameof(b));
            }

            if (_cables.Count == MaximumCables)
            {
                throw new ArgumentException($"A network has at most {MaximumCables} cables.", nameof(b));
            }

            ulong seed = CableSeeds + (ulong)_cables.Count;
            var cable = new NetworkCable(a, b, new VirtualCable(ForCable(aToB, a, b, seed), ForCable(bToA, a, b, seed)), _cables.Count);
            Link endA = Watched(cable, a);
            Link endB = endA;
            try
            {
                endB = Watched(cable, b);
                a.Plug(cable, endA);
                b.Plug(cable, endB);
            }
            catch
            {
                endA.Dispose();
                endB.Dispose();
                throw;
            }

            _cables.Add(cable);
            SpreadPaths();
            return cable;
        }
    }

    /// <summary>The cable between two nodes.</summary>
    /// <exception cref="ArgumentException">They are not connected directly.</exception>
    public NetworkCable CableBetween(VirtualNode a, VirtualNode b)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        lock (_gate)
        {
            return _cables.Find(c => c.Joins(a, b))
                ?? throw new ArgumentException($"No cable joins '{a}' and '{b}' directly. Call Connect, or name the nodes that a cable joins.", nameof(b));
        }
    }

    /// <summary>
    /// Parts the network in two: cuts every cable with one end in <paramref name="side"/> and the other outside; see <see cref="NetworkCable.Partition()"/>. Cables within either part stay as they are.
    /// </summary>
    /// <exception cref="ArgumentException">No node was named, or another network's.</exception>
    public void Partition(params VirtualNode[] side)
    {
        ArgumentNullException.ThrowIfNull(side);
        if (side.Length == 0)
        {
            throw new ArgumentException("Name at least one node that is to be parted from the others.", nameof(side));
        }

        foreach (VirtualNode node in side)
        {
            CheckNetwork(node, nameof(side));
        }

        foreach (NetworkCable cable in Cables)
        {
            if (side.Contains(cable.A) != side.Contains(cable.B))
            {
                cable.Partition();
            }
        }
    }

    /// <summary>Mends and thaws every cable; see <see cref="NetworkCable.Heal"/>.</summary>
    public void Heal()
    {
        foreach (NetworkCable cable in Cables)
        {
            cable.Heal();
        }
    }

    /// <summary>
    /// Writes what crosses as pcapng files for Wireshark and tcpdump, one for each end of each cable that is connected from now on: for <c>checkout.pcapng</c> they are called
    /// <c>checkout.client-server.client.pcapng</c> and so on. They are complete when the network has been disposed.
    /// </summary>
    /// <param name="path">Where to; the folder is made, files are replaced.</param>
    /// <param name="onlyOnFailure">True: the files are deleted with the network if <see cref="Passed"/> was called, so that they stay when a test fails, whatever framework runs it.</param>
    /// <exception cref="InvalidOperationException">There is a cable already, or a capture.</exception>
    /// <exception cref="IOException">The folder can not be made.</exception>
    /// <exception cref="ObjectDisposedException">The network has been disposed.</exception>
    public void CaptureTo(string path, bool onlyOnFailure = false)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_cables.Count > 0 || _capture is not null)
            {
                throw new InvalidOperationException(
                    _capture is null ? "Call CaptureTo before the first cable is connected: a capture sees the whole of a cable's life." : "The network is captured already.");
            }

            _capture = new CaptureSet(path, onlyOnFailure);
        }
    }

    /// <summary>
    /// Says that the test has passed: captures that were asked for with <c>onlyOnFailure</c> are deleted when the network is disposed. Make it the test's last line; an exception or a failed assertion
    /// before it keeps them.
    /// </summary>
    public void Passed()
    {
        lock (_gate)
        {
            _passed = true;
        }
    }

    /// <summary>Takes the network down: disposes all hosts and routers, and ends the capture.</summary>
    public async ValueTask DisposeAsync()
    {
        VirtualNode[] nodes;
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            nodes = [.. _nodes];
        }

        // All at once: each wants the others' acknowledgments while it closes.
        await Task.WhenAll(nodes.OfType<VirtualHost>().Select(host => host.DisposeAsync().AsTask())).ConfigureAwait(false);
        foreach (VirtualRouter router in nodes.OfType<VirtualRouter>())
        {
            router.Dispose();
        }

        lock (_gate)
        {
            _capture?.End(_passed);
        }
    }

    internal IReadOnlyList<NetworkCable> CablesOf(VirtualNode node)
    {
        lock (_gate)
        {
            return _cables.FindAll(cable => cable.A == node || cable.B == node);
        }
    }

    /// <summary>Tells every node the ways through the network, and every host the names of the others.</summary>
    private void SpreadPaths()
    {
        VirtualHost[] named = [.. _nodes.OfType<VirtualHost>().Where(host => !host.IsDisposed)];
        foreach (VirtualNode node in _nodes)
        {
            if (node.IsDisposed)
            {
                continue;
            }

            List<CablePath> paths = CablePath.From(node, CablesOf);
            node.SetPaths(paths);
            foreach (VirtualHost other in node is VirtualHost ? named : [])
            {
                IPAddress[] addresses = [.. paths.Where(path => path.To.A == other || path.To.B == other).Select(path => path.To.AddressOf(other))];
                if (addresses.Length > 0)
                {
                    ((VirtualHost)node).Stack.Hosts.Add(other.Name, addresses);
                }
            }
        }
    }

    private Link Watched(NetworkCable cable, VirtualNode node)
    {
        Link end = cable.EndOf(node);
        return _capture is null ? end : _capture.Watch(end, cable, node);
    }

    private CableOptions ForCable(CableOptions given, VirtualNode a, VirtualNode b, ulong seed)
    {
        CableOptions options = given.Clone();
        options.Validate();
        options.Name = options.Name == new CableOptions().Name ? $"{a.Name}-{b.Name}" : options.Name;
        options.Seed = SeedFor(seed ^ (options.Seed << 33));
        return options;
    }

    /// <summary>A seed of its own for each user of randomness: the network's, mixed as SplitMix64 does.</summary>
    private ulong SeedFor(ulong user)
    {
        ulong z = Seed + ((user + 1) * 0x9E3779B97F4A7C15);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    private void CheckName(string name)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ObjectDisposedException.ThrowIf(_disposed, this);

        // RFC 1123 2.1. Names are also parts of the names of files.
        if (name.Length > 63 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.') || !char.IsAsciiLetterOrDigit(name[0]) || IPAddress.TryParse(name, out _))
        {
            throw new ArgumentException($"'{name}' is not a host name: use up to 63 letters, digits, hyphens and dots, a letter or digit first.", nameof(name));
        }

        if (_nodes.Exists(node => !node.IsDisposed && node.Name.Equals(name, StringComparison.OrdinalIgnoreCase)))
        {
            throw new ArgumentException($"The network has a '{name}' already. Choose another name.", nameof(name));
        }
    }

    private void CheckNode(VirtualNode node, string parameter)
    {
        CheckNetwork(node, parameter);
        ObjectDisposedException.ThrowIf(node.IsDisposed, node);
    }

    private void CheckNetwork(VirtualNode node, string parameter)
    {
        ArgumentNullException.ThrowIfNull(node, parameter);
        if (node.Network != this)
        {
            throw new ArgumentException($"'{node}' belongs to another network. Connect nodes of one network.", parameter);
        }
    }
}
