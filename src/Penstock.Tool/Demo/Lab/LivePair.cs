using System.Net;
using Penstock.Time;

namespace Penstock.Tool.Demo.Lab;

/// <summary>Two stacks on a cable in real time, each with a thread of its own, and one connection. The cable has no delay and no rate: what is measured is the machine.</summary>
internal sealed class LivePair : IAsyncDisposable
{
    private TcpSocketListener _listener = null!;

    private LivePair(PairOptions options, DemoSettings settings)
    {
        NearDriver = new CountingDriver(new ThreadDriver("near"));
        Near = Make("near", NearDriver, options, settings);
        Far = Make("far", new ThreadDriver("far"), options, settings);
        var cable = new VirtualCable();
        FarLink = new TapLink(cable.B);
        Near.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
        Far.AddInterface(FarLink, InterfaceAddress.Parse("10.1.0.2/24"));
    }

    public NetworkStack Near { get; }

    public NetworkStack Far { get; }

    public CountingDriver NearDriver { get; }

    public TapLink FarLink { get; }

    public TcpSocket Sender { get; private set; } = null!;

    public TcpSocket Peer { get; private set; } = null!;

    public static LivePair Connect(PairOptions options, DemoSettings settings) => ConnectAsync(options, settings).GetAwaiter().GetResult();

    public async ValueTask DisposeAsync()
    {
        Sender.Abort();
        Peer.Abort();
        await _listener.DisposeAsync().ConfigureAwait(false);
        await Near.DisposeAsync().ConfigureAwait(false);
        await Far.DisposeAsync().ConfigureAwait(false);
    }

    private static async Task<LivePair> ConnectAsync(PairOptions options, DemoSettings settings)
    {
        var pair = new LivePair(options, settings);
        var at = new IPEndPoint(IPAddress.Parse("10.1.0.2"), 7);
        pair._listener = pair.Far.ListenTcp(new TcpListenOptions(at) { NoDelay = true, ReceiveBufferSize = options.PeerReceiveBuffer });
        pair.Sender = await pair.Near.ConnectTcpAsync(at, new TcpConnectOptions
        {
            SendBufferSize = settings.SendBuffer ?? options.SendBuffer,
            ReceiveBufferSize = options.OwnReceiveBuffer,
        }).ConfigureAwait(false);
        pair.Peer = await pair._listener.AcceptAsync().ConfigureAwait(false);
        return pair;
    }

    private static NetworkStack Make(string name, Driver driver, PairOptions options, DemoSettings settings)
    {
        var stack = new NetworkStack(new NetworkStackOptions { Name = name, Driver = driver, CloseTimeout = TimeSpan.Zero }) { Omitted = options.Without };
        VirtualPair.Tune(stack, options, settings);
        return stack;
    }
}

/// <summary>A driver that counts how often the stack reads the clock; the count is approximate while several threads read.</summary>
internal sealed class CountingDriver(Driver inner) : Driver
{
    private long _reads;

    public long Reads => Volatile.Read(ref _reads);

    public override long NowNanos
    {
        get
        {
            _reads++;
            return inner.NowNanos;
        }
    }

    public override void Wake(Worker worker) => inner.Wake(worker);

    public override void Start(Worker worker) => inner.Start(worker);

    public override void Stop(Worker worker) => inner.Stop(worker);
}
