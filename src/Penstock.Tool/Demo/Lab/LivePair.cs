using System.Net;

namespace Penstock.Tool.Demo.Lab;

/// <summary>Two stacks on a cable in real time, each with a thread of its own, and one connection. The cable has no delay and no rate: what is measured is the machine.</summary>
internal sealed class LivePair : IAsyncDisposable
{
    private TcpSocketListener _listener = null!;

    private LivePair(PairOptions options, DemoSettings settings)
    {
        Near = Make("near", options, settings);
        Far = Make("far", options, settings);
        var cable = new VirtualCable();
        FarLink = new TapLink(cable.B);
        Near.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
        Far.AddInterface(FarLink, InterfaceAddress.Parse("10.1.0.2/24"));
    }

    public NetworkStack Near { get; }

    public NetworkStack Far { get; }

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
            WindowClamp = PairOptions.OwnWindow,
        }).ConfigureAwait(false);
        pair.Peer = await pair._listener.AcceptAsync().ConfigureAwait(false);
        return pair;
    }

    private static NetworkStack Make(string name, PairOptions options, DemoSettings settings)
    {
        var stack = new NetworkStack(new NetworkStackOptions { Name = name, CloseTimeout = TimeSpan.Zero }) { Omitted = options.Without };
        VirtualPair.Tune(stack, options, settings);
        return stack;
    }
}
