using System.Net;
using System.Net.Sockets;
using Penstock;

namespace Tun2Socks;

/// <summary>
/// The tunnel itself: IP packets in at a link, whatever it is, and TCP connections out through a SOCKS5 proxy. Each SYN waits until the proxy has connected to its destination; only then is it answered, so that
/// the near side learns the truth. Counts what it does.
/// </summary>
internal sealed class Tunnel : IAsyncDisposable
{
    private readonly TunnelOptions _options;
    private readonly Socks5Client _proxy;
    private readonly Action<string>? _log;
    private readonly Action<string> _warn;
    private readonly NetworkStack _stack;
    private readonly TcpRequestListener _listener;
    private readonly TaskCompletionSource<Exception> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _flows;
    private int _stopping;
    private int _inTrouble;
    private int _looped;
    private long _relayed, _refused, _up, _down;

    /// <param name="link">Where the packets come from; the tunnel owns it from here on.</param>
    /// <param name="address">An address for the stack itself, which only pings are answered at.</param>
    /// <param name="options">Limits, and where the proxy is.</param>
    /// <param name="warn">Is told when the proxy is in trouble, and when it no longer is.</param>
    /// <param name="log">Is told of each flow.</param>
    public Tunnel(Link link, InterfaceAddress address, TunnelOptions options, Action<string> warn, Action<string>? log = null)
    {
        _options = options;
        _proxy = new Socks5Client(options.Proxy, options.Credential, options.ConnectTimeout);
        _warn = warn;
        _log = log;
        _stack = new NetworkStack(new NetworkStackOptions { Name = "tunnel", CloseTimeout = TimeSpan.FromSeconds(2) });
        _stack.LinkFailed += (_, failure) => _failed.TrySetResult(failure.Reason);
        _stack.AddInterface(link, address);
        _stack.AddRoute(IPNetwork.Parse("0.0.0.0/0"), link);
        _listener = _stack.ListenTcpRequests(new TcpRequestListenOptions(new IPEndPoint(IPAddress.Any, 0))
        {
            AnyDestination = true,
            HalfOpenLimit = options.MaxHalfOpen,
            Overflow = options.Refusal,
            NoDelay = true,
        });
    }

    /// <summary>Flows that are open or opening now.</summary>
    public int Flows => Volatile.Read(ref _flows);

    /// <summary>Flows that were open or opening when the tunnel was told to stop.</summary>
    public int FlowsAtStop { get; private set; }

    /// <summary>Flows that were connected.</summary>
    public long Relayed => Interlocked.Read(ref _relayed);

    /// <summary>Requests that were refused: by the tunnel, and by the stack because too many were half-open.</summary>
    public long Refused => Interlocked.Read(ref _refused) + _stack.GetCounter(StackCounter.TcpReqQFullDrop);

    /// <summary>Bytes out and back, of flows that are over.</summary>
    public long Up => Interlocked.Read(ref _up);

    public long Down => Interlocked.Read(ref _down);

    internal NetworkStack Stack => _stack;

    internal TcpRequestListener Listener => _listener;

    /// <summary>Serves until it is told to stop, which resets the flows that are open, or until the link fails, which is thrown.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using var ending = new CancellationTokenSource();

        // In one callback: of two, the one that ends the flows would come first.
        using CancellationTokenRegistration onStop = stop.UnsafeRegister(
            _ =>
            {
                FlowsAtStop = Flows;
                ending.Cancel();
            },
            null);
        Task serving = ServeAsync(ending.Token);
        Task first = await Task.WhenAny(serving, _failed.Task);
        await ending.CancelAsync();
        await serving;

        // Each flow notices by itself; the last one says so.
        Interlocked.Exchange(ref _stopping, 1);
        NoteDrained();
        await _drained.Task;
        _listener.Dispose();
        if (first == _failed.Task)
        {
            throw await _failed.Task;
        }
    }

    public ValueTask DisposeAsync() => _stack.DisposeAsync();

    private async Task ServeAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                TcpConnectionRequest request = await _listener.NextAsync(stop);
                if (Flows >= _options.MaxFlows)
                {
                    Refuse(request, _options.Refusal, $"{_options.MaxFlows} flows are open");
                    continue;
                }

                Interlocked.Increment(ref _flows);
                _ = CarryAsync(request, stop);
            }
        }
        catch (OperationCanceledException)
        {
            // The end that was asked for.
        }
    }

    /// <summary>One flow, from its SYN to its end. Never throws.</summary>
    private async Task CarryAsync(TcpConnectionRequest request, CancellationToken stop)
    {
        try
        {
            if (request.LocalEndPoint.Equals(_proxy.Proxy))
            {
                const string Loop = "the route to the proxy leads into the tunnel";
                if (Interlocked.Exchange(ref _looped, 1) == 0)
                {
                    _warn($"{Loop}. Give it one of its own, as with 'ip route add {_proxy.Proxy.Address} dev DEVICE'.");
                }

                Refuse(request, TcpRefusal.Reset, Loop);
                return;
            }

            if (await ConnectAsync(request, stop) is { } far)
            {
                await RelayAsync(request, far, stop);
            }
        }
        finally
        {
            Interlocked.Decrement(ref _flows);
            NoteDrained();
        }
    }

    /// <summary>Has the proxy connect to where the flow wants to go; null when the flow had to be refused.</summary>
    private async Task<Socket?> ConnectAsync(TcpConnectionRequest request, CancellationToken stop)
    {
        try
        {
            Socket far = await _proxy.ConnectAsync(request.LocalEndPoint, stop);
            NoteProxy(trouble: null);
            return far;
        }
        catch (Socks5Exception failure)
        {
            NoteProxy(failure.Reply is null ? failure.Message : null);

            // What the destination itself said is passed on as it is.
            Refuse(request, failure.Reply == Socks5Reply.ConnectionRefused ? TcpRefusal.Reset : _options.Refusal, failure.Message);
        }
        catch (OperationCanceledException)
        {
            request.Refuse(TcpRefusal.Reset);
        }

        return null;
    }

    private async Task RelayAsync(TcpConnectionRequest request, Socket far, CancellationToken stop)
    {
        TcpSocket near;
        try
        {
            near = await request.AcceptAsync(stop);
        }
        catch (Exception failure) when (failure is SocketException or OperationCanceledException)
        {
            // The near side has given up meanwhile, or we stop: nobody wants what the proxy opened.
            far.Close(0);
            _log?.Invoke($"{request}: gone before it was connected");
            return;
        }

        Interlocked.Increment(ref _relayed);
        _log?.Invoke($"{request}: connected");
        var relay = new Relay(near, far);
        bool whole = await relay.RunAsync(stop);
        Interlocked.Add(ref _up, relay.Up);
        Interlocked.Add(ref _down, relay.Down);
        _log?.Invoke($"{request}: {(whole ? "closed" : "reset")} after {relay.Up} bytes out, {relay.Down} back");
    }

    private void Refuse(TcpConnectionRequest request, TcpRefusal how, string why)
    {
        Interlocked.Increment(ref _refused);
        request.Refuse(how);
        _log?.Invoke($"{request}: refused, {why}");
    }

    /// <summary>Says so when the proxy begins to fail and when it works again, not for each flow between.</summary>
    private void NoteProxy(string? trouble)
    {
        if (Interlocked.Exchange(ref _inTrouble, trouble is null ? 0 : 1) == (trouble is null ? 1 : 0))
        {
            _warn(trouble is null ? "the proxy connects again." : $"{trouble}. New flows are refused until it connects again.");
        }
    }

    private void NoteDrained()
    {
        if (Volatile.Read(ref _stopping) == 1 && Flows == 0)
        {
            _drained.TrySetResult();
        }
    }
}
