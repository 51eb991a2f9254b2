using System.Net;
using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Links;
using Penstock.Tcp;
using Penstock.Telemetry;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock;

/// <summary>
/// A TCP/IP stack of its own, inside this process: interfaces, routes, sockets, memory limits and counters. Any number of stacks live side by side;
/// they share nothing. Dispose it to close its sockets and links.
/// </summary>
/// <remarks>All members are thread-safe.</remarks>
public sealed partial class NetworkStack : IAsyncDisposable
{
    private readonly object _gate = new();
    private readonly List<StackInterface> _interfaces = [];
    private readonly List<Worker> _workers = [];
    private readonly NetworkStackOptions _options;
    private Worker? _ownWorker;
    private int _disposed;

    /// <summary>Creates a stack with a loopback interface (127.0.0.1/8) and nothing else.</summary>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    public NetworkStack(NetworkStackOptions? options = null)
    {
        options ??= new NetworkStackOptions();
        options.Validate();
        _options = options;
        Name = options.Name;
        Random = new RandomSource(options.Seed);
        Pool = new PacketPool(options.MemoryLimit);
        Ip = new IpLayer(this);
        Tcp = new TcpLayer(this);
        Ip.Register(Tcp);
        Sysctl = new Sysctl(Tcp);
        Hosts = new StackHosts();
        AddInterface(new LoopbackLink(), new InterfaceAddress(IPAddress.Loopback, 8));
        StartTelemetry(options.MeterFactory);
    }

    /// <summary>The name from the options.</summary>
    public string Name { get; }

    /// <summary>The stack's settings by Linux's names.</summary>
    public Sysctl Sysctl { get; }

    /// <summary>Names that the stack's default resolver knows, as <c>/etc/hosts</c>.</summary>
    public StackHosts Hosts { get; }

    internal RandomSource Random { get; }

    internal PacketPool Pool { get; }

    internal Counters Counters { get; } = new();

    internal IpLayer Ip { get; }

    internal TcpLayer Tcp { get; }

    internal NetworkStackOptions Options => _options;

    internal bool IsDisposed => Volatile.Read(ref _disposed) != 0;

    /// <summary>The interfaces, the loopback first.</summary>
    internal StackInterface[] Interfaces
    {
        get
        {
            lock (_gate)
            {
                return [.. _interfaces];
            }
        }
    }

    /// <summary>Reads a counter.</summary>
    public long GetCounter(StackCounter counter) => Counters[counter];

    /// <summary>
    /// Attaches a link with the stack's addresses on it and routes to their networks. The stack owns the link from here on and disposes it.
    /// </summary>
    /// <param name="link">The link; it must not belong to another stack.</param>
    /// <param name="addresses">At least one IPv4 address; IPv6 is not supported yet.</param>
    /// <exception cref="SocketException"><see cref="SocketError.AddressFamilyNotSupported"/>: an IPv6 address.</exception>
    /// <exception cref="ObjectDisposedException">The stack has been disposed.</exception>
    public void AddInterface(Link link, params InterfaceAddress[] addresses)
    {
        ArgumentNullException.ThrowIfNull(link);
        ArgumentNullException.ThrowIfNull(addresses);
        if (addresses.Length == 0)
        {
            throw new ArgumentException("An interface needs an address. Pass one as InterfaceAddress.Parse(\"10.77.0.2/24\").", nameof(addresses));
        }

        foreach (InterfaceAddress address in addresses)
        {
            if (address.Address.AddressFamily != AddressFamily.InterNetwork)
            {
                throw new SocketException((int)SocketError.AddressFamilyNotSupported);
            }
        }

        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(IsDisposed, this);
            (IpAddress Address, IpPrefix Network)[] own = Array.ConvertAll(
                addresses, a => (IpAddress.From(a.Address), IpPrefix.Of(IpAddress.From(a.Address), a.PrefixLength)));
            var added = new StackInterface(this, link, _interfaces.Count, WorkersFor(link), own);
            link.Attach(added);
            _interfaces.Add(added);
            StackInterface loopback = _interfaces[0];
            foreach ((IpAddress address, IpPrefix network) in own)
            {
                Ip.AddLocal(address, added);
                Ip.Routes.Add(new RouteEntry(IpPrefix.Of(address, address.IsIPv4 ? 32 : 128), loopback, address, IsLocal: true));
                Ip.Routes.Add(new RouteEntry(network, added, address, IsLocal: ReferenceEquals(added, loopback)));
            }
        }
    }

    /// <summary>Routes a network to a link that was added before. <c>0.0.0.0/0</c> is the default route.</summary>
    /// <exception cref="ArgumentException">The link is not one of this stack's.</exception>
    public void AddRoute(IPNetwork network, Link link)
    {
        ArgumentNullException.ThrowIfNull(link);
        StackInterface on = FindInterface(link)
            ?? throw new ArgumentException($"Link '{link.Name}' is not attached to stack '{Name}'. Call AddInterface first.", nameof(link));
        Ip.Routes.Add(new RouteEntry(
            IpPrefix.Of(IpAddress.From(network.BaseAddress), network.PrefixLength), on, on.Addresses[0].Address, IsLocal: false));
    }

    /// <summary>Takes a route back that <see cref="AddRoute"/> or <see cref="AddInterface"/> made. Connections look for another one with their next packet.</summary>
    /// <returns>False: there was none.</returns>
    public bool RemoveRoute(IPNetwork network, Link link)
    {
        ArgumentNullException.ThrowIfNull(link);
        IpPrefix prefix = IpPrefix.Of(IpAddress.From(network.BaseAddress), network.PrefixLength);
        return FindInterface(link) is { } on && Ip.Routes.RemoveAll(e => e.Interface == on && e.Prefix == prefix) > 0;
    }

    /// <summary>
    /// Takes a link away with its addresses and routes, and disposes it, as when a device is unplugged: connections over it find no way any more and end by their timers, unless another route
    /// leads to the peer before that. Nothing throws.
    /// </summary>
    /// <returns>False: the link is not one of this stack's.</returns>
    /// <exception cref="ArgumentException">The loopback stays.</exception>
    public bool RemoveInterface(Link link)
    {
        ArgumentNullException.ThrowIfNull(link);
        StackInterface? gone;
        lock (_gate)
        {
            gone = _interfaces.Find(i => i.Link == link);
            if (gone is null)
            {
                return false;
            }

            if (gone == _interfaces[0])
            {
                throw new ArgumentException("The loopback belongs to the stack and cannot be removed.", nameof(link));
            }

            _interfaces.Remove(gone);
            Ip.RemoveLocal(gone, _interfaces);
            Ip.Routes.RemoveAll(e => e.Interface == gone || (e.IsLocal && Array.Exists(gone.Addresses, a => a.Address == e.Source) && !Ip.IsLocal(e.Source)));
        }

        gone.Retire();
        Tcp.OnLinkSpace(gone);
        link.Dispose();
        return true;
    }

    /// <summary>The worker of everything that has no device of its own; started when first needed.</summary>
    internal Worker OwnWorker
    {
        get
        {
            lock (_gate)
            {
                return _ownWorker ??= StartWorker(_options.Driver ?? DefaultDriver());
            }
        }
    }

    /// <summary>
    /// A link failed while it was in use, as when its device is removed: its routes are gone already. Raised once for each link, on the thread pool; not when the stack itself disposes the link. Subscribe before
    /// <see cref="AddInterface"/>.
    /// </summary>
    public event EventHandler<LinkFailedEventArgs>? LinkFailed;

    internal void OnLinkSpace(StackInterface on) => Tcp.OnLinkSpace(on);

    internal void OnLinkFailed(StackInterface gone, Exception reason)
    {
        Ip.Routes.RemoveInterface(gone);

        // Whoever waits for room there looks for another way.
        Tcp.OnLinkSpace(gone);
        _linkFailures.Enqueue($"{gone.Link.Name}: {reason.Message}");
        PenstockEventSource.Log.OnLinkFailed(this, gone.Link.Name, reason);
        if (!IsDisposed && LinkFailed is not null)
        {
            gone.Workers[0].Driver.Schedule(new LinkFailureReport(this, new LinkFailedEventArgs(gone.Link, reason)));
        }
    }

    /// <summary>Tells the application, away from whoever noticed.</summary>
    private sealed class LinkFailureReport(NetworkStack stack, LinkFailedEventArgs failure) : IThreadPoolWorkItem
    {
        public void Execute() => stack.LinkFailed?.Invoke(stack, failure);
    }

    private readonly System.Collections.Concurrent.ConcurrentQueue<string> _linkFailures = new();

    /// <summary>Links that failed while they were in use, with the reason; the newest last.</summary>
    internal IReadOnlyCollection<string> LinkFailures => _linkFailures;

    private StackInterface? FindInterface(Link link)
    {
        lock (_gate)
        {
            return _interfaces.Find(i => i.Link == link);
        }
    }

    private Worker[] WorkersFor(Link link)
    {
        var workers = new Worker[link.QueueCount];
        for (int queue = 0; queue < workers.Length; queue++)
        {
            Driver? driver = link.CreateDriver(queue);
            workers[queue] = driver is null ? OwnWorker : StartWorker(driver);
        }

        return workers;
    }

    private Worker StartWorker(Driver driver)
    {
        var worker = new Worker(driver, _workers.Count) { BatchEnd = new ReceiveMerge(Ip) };
        _workers.Add(worker);
        driver.Start(worker);
        return worker;
    }

    private Driver DefaultDriver() =>
        _options.TimeProvider == TimeProvider.System ? new ThreadDriver(Name) : new TimeProviderDriver(_options.TimeProvider);

    /// <summary>
    /// Closes every listener and socket, lets what is closing finish for <see cref="NetworkStackOptions.CloseTimeout"/>, resets the rest, and disposes
    /// the links.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        await Tcp.CloseAllAsync(_options.CloseTimeout).ConfigureAwait(false);
        Worker[] workers;
        lock (_gate)
        {
            workers = [.. _workers];
        }

        foreach (Worker worker in workers)
        {
            worker.Driver.Stop(worker);
        }

        // Only now: a driver may wait on its link's device until it is stopped.
        foreach (StackInterface on in Interfaces)
        {
            on.Link.Dispose();
        }

        foreach (Worker worker in workers)
        {
            worker.Close();
        }

        await Tcp.FreeAllAsync().ConfigureAwait(false);
        StopTelemetry();
    }
}
