using System.Net;
using Penstock.Tcp;
using Penstock.Time;

namespace Penstock.Tool.Demo.Lab;

/// <summary>How a <see cref="VirtualPair"/> is made.</summary>
internal sealed record PairOptions
{
    public ulong Seed { get; init; } = 1;

    public required FlushPolicy Flush { get; init; }

    /// <summary>Bits a second, each way.</summary>
    public long Rate { get; init; } = 10_000_000_000;

    /// <summary>One way.</summary>
    public TimeSpan Delay { get; init; } = TimeSpan.FromMicroseconds(50);

    /// <summary>As SO_SNDBUF; large, so that the long send is one that never waits for room. Null: the stack tunes it.</summary>
    public int? SendBuffer { get; init; } = 256 << 20;

    /// <summary>As SO_RCVBUF of the side that the long send goes to; null: the stack tunes it.</summary>
    public int? PeerReceiveBuffer { get; init; }

    /// <summary>As SO_RCVBUF of the sending side: nobody reads there during the call.</summary>
    public int? OwnReceiveBuffer { get; init; } = 4 << 20;

    /// <summary>
    /// As TCP_WINDOW_CLAMP of the sending side: about what a buffer that nobody chose offers at first. With all of a large one on offer the window falls with each byte that nobody reads, and an ACK then waits for
    /// the reader (Linux too).
    /// </summary>
    public const int OwnWindow = 65535;

    public bool OneSegment { get; init; }

    public bool AckDefer { get; init; } = true;

    /// <summary>As net.ipv4.tcp_timestamps.</summary>
    public bool Timestamps { get; init; } = true;

    /// <summary>Whether the payload of pure zero-copy buffers stays uncharged.</summary>
    public bool PureZeroCopy { get; init; } = true;

    /// <summary>Rules that the case does without: a negative control.</summary>
    public Omission Without { get; init; }
}

/// <summary>
/// Two unmodified stacks on a virtual cable in virtual time, with one connection: the near side makes the long send, the far side is its peer. Same seed, same packets.
/// </summary>
internal sealed class VirtualPair
{
    private VirtualPair(VirtualTime time, PairOptions options, DemoSettings settings)
    {
        Time = time;
        Clock = new Worker(time, -1);
        time.Start(Clock);

        // The cable never loses by itself: an experiment says which segment is lost.
        Cable = new VirtualCable(new CableOptions { Rate = options.Rate, Delay = options.Delay, Seed = options.Seed, QueueLimit = int.MaxValue });
        Near = Make("near", options.Seed * 2, options, settings);
        Far = Make("far", (options.Seed * 2) + 1, options, settings);
        NearLink = new TapLink(Cable.A);
        FarLink = new TapLink(Cable.B);
        Near.AddInterface(NearLink, InterfaceAddress.Parse("10.1.0.1/24"));
        Far.AddInterface(FarLink, InterfaceAddress.Parse("10.1.0.2/24"));
    }

    public VirtualTime Time { get; }

    /// <summary>A worker of the experiment's own, for what must run on time and belongs to neither side.</summary>
    public Worker Clock { get; }

    public VirtualCable Cable { get; }

    public NetworkStack Near { get; }

    public NetworkStack Far { get; }

    public TapLink NearLink { get; }

    public TapLink FarLink { get; }

    public TcpSocket Sender { get; private set; } = null!;

    public TcpSocket Peer { get; private set; } = null!;

    /// <summary>Connects a pair and runs <paramref name="body"/> to its end, in virtual time, on this thread.</summary>
    public static void Run(PairOptions options, DemoSettings settings, Func<VirtualPair, Task> body)
    {
        var time = new VirtualTime();
        time.Run(
            async () =>
            {
                var pair = new VirtualPair(time, options, settings);
                var at = new IPEndPoint(IPAddress.Parse("10.1.0.2"), 7);
                TcpSocketListener listener = pair.Far.ListenTcp(new TcpListenOptions(at) { NoDelay = true, ReceiveBufferSize = options.PeerReceiveBuffer });
                pair.Sender = await pair.Near.ConnectTcpAsync(at, new TcpConnectOptions
                {
                    SendBufferSize = settings.SendBuffer ?? options.SendBuffer,
                    ReceiveBufferSize = options.OwnReceiveBuffer,
                    WindowClamp = PairOptions.OwnWindow,
                }).ConfigureAwait(true);
                pair.Peer = await listener.AcceptAsync().ConfigureAwait(true);
                try
                {
                    await body(pair).ConfigureAwait(true);
                }
                finally
                {
                    pair.Near.CopySeam = null;
                    pair.Sender.Abort();
                    pair.Peer.Abort();
                    await listener.DisposeAsync().ConfigureAwait(true);
                    await pair.Near.DisposeAsync().ConfigureAwait(true);
                    await pair.Far.DisposeAsync().ConfigureAwait(true);
                }
            },
            TimeSpan.FromHours(1));
    }

    /// <summary>From now on copies of the near side take their time.</summary>
    public void Slow(CopyModel copy) => Near.CopySeam = copy;

    /// <summary>Waits until the peer has acknowledged everything.</summary>
    public async Task DrainAsync()
    {
        while (Sender.Connection.UnacknowledgedBytes > 0)
        {
            await Time.Delay(TimeSpan.FromMilliseconds(1)).ConfigureAwait(true);
        }
    }

    private NetworkStack Make(string name, ulong seed, PairOptions options, DemoSettings settings)
    {
        var stack = new NetworkStack(new NetworkStackOptions { Name = name, Driver = Time, Seed = seed, CloseTimeout = TimeSpan.Zero })
        {
            Omitted = options.Without,
        };
        Tune(stack, options, settings);
        return stack;
    }

    /// <summary>The switches of a case, and those that the command line fixed.</summary>
    public static void Tune(NetworkStack stack, PairOptions options, DemoSettings settings)
    {
        TcpSettings tcp = stack.Tcp.Settings;
        options.Flush.ApplyTo(stack);
        tcp.CoreSendMax = tcp.CoreReceiveMax = 1 << 30;
        tcp.SizeGoal = settings.OneSegment ?? options.OneSegment ? 1 : 0;
        tcp.Timestamps = options.Timestamps;
        tcp.BacklogReleaseCallback = settings.ReleaseCallback ?? true;
        tcp.BacklogAckDefer = settings.AckDefer ?? options.AckDefer;
        tcp.BacklogCoalesce = settings.Coalesce ?? true;
        tcp.PureZeroCopy = settings.PureZeroCopy ?? options.PureZeroCopy;
        stack.Omitted |= settings.DowngradeByLength ? Omission.DowngradeByTrueSize : Omission.None;
    }
}
