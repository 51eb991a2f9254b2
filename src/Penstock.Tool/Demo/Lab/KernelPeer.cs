using System.Net;
using System.Net.Sockets;

namespace Penstock.Tool.Demo.Lab;

/// <summary>
/// The kernel of this machine as the peer, over a TUN device: one of its sockets pings 64 bytes every half millisecond from a thread, another thread reads all that comes. Waits are taken at the device, from a ping's arrival to
/// the ACK that covers it. Needs root or CAP_NET_ADMIN; in a network namespace nothing else is touched.
/// </summary>
internal sealed class KernelPeer : IAsyncDisposable
{
    private static readonly IPEndPoint s_stack = new(IPAddress.Parse("10.78.0.2"), 7);
    private readonly NetworkStack _near;
    private readonly WaitBook _book = new();
    private readonly Socket _kernel = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private TcpSocketListener _listener = null!;
    private volatile bool _stopped;

    /// <exception cref="ToolFailure">The device can not be had.</exception>
    private KernelPeer(string device, PairOptions options, DemoSettings settings)
    {
        TapLink link = Open(device);
        _near = new NetworkStack(new NetworkStackOptions { Name = "near", CloseTimeout = TimeSpan.Zero });
        VirtualPair.Tune(_near, options, settings);
        link.OnArrived = segment =>
        {
            _book.Sent(segment, _near.OwnWorker.NowNanos);
            return true;
        };
        link.OnSent = segment => _book.Acknowledged(segment, _near.OwnWorker.NowNanos);
        _near.AddInterface(link, InterfaceAddress.Parse($"{s_stack.Address}/24"));
    }

    public TcpSocket Sender { get; private set; } = null!;

    public IReadOnlyList<double> WaitsMicros => _book.Micros;

    public static KernelPeer Connect(string device, PairOptions options, DemoSettings settings)
    {
        var peer = new KernelPeer(device, options, settings);
        peer._listener = peer._near.ListenTcp(new TcpListenOptions(s_stack)
        {
            SendBufferSize = settings.SendBuffer ?? options.SendBuffer, ReceiveBufferSize = options.OwnReceiveBuffer, WindowClamp = PairOptions.OwnWindow,
        });
        peer._kernel.Connect(s_stack);
        peer.Sender = peer._listener.AcceptAsync().AsTask().GetAwaiter().GetResult();
        return peer;
    }

    public void Start()
    {
        new Thread(PingAll) { IsBackground = true }.Start();
        new Thread(ReadAll) { IsBackground = true }.Start();
    }

    public void Stop()
    {
        _stopped = true;
        _book.Close();
    }

    public async ValueTask DisposeAsync()
    {
        _stopped = true;
        _kernel.Dispose();
        Sender.Abort();
        await _listener.DisposeAsync().ConfigureAwait(false);
        await _near.DisposeAsync().ConfigureAwait(false);
    }

    private static TapLink Open(string device)
    {
        try
        {
            return new TapLink(TunLink.Open(device, new TunOptions { HostAddress = InterfaceAddress.Parse("10.78.0.1/24") }));
        }
        catch (ArgumentException failure)
        {
            throw ToolFailure.Usage($"--tun {device}: {failure.Message}");
        }
        catch (Exception failure) when (failure is UnauthorizedAccessException or IOException or PlatformNotSupportedException)
        {
            throw ToolFailure.Environment($"{failure.Message} Run it with sudo, or without --tun.", failure);
        }
    }

    private void PingAll()
    {
        long next = TimeProvider.System.GetTimestamp();
        long every = Pinger.EveryNanos * TimeProvider.System.TimestampFrequency / 1_000_000_000;
        try
        {
            while (!_stopped)
            {
                // Late after a pause of the machine, it goes on from here instead of sending what it missed.
                next = Math.Max(next + every, TimeProvider.System.GetTimestamp());
                while (TimeProvider.System.GetTimestamp() < next)
                {
                    Thread.Yield();
                }

                _kernel.Send(Pinger.Ping);
            }
        }
        catch (Exception end) when (end is SocketException or ObjectDisposedException)
        {
            // The run is over.
        }
    }

    private void ReadAll()
    {
        byte[] buffer = new byte[1 << 18];
        try
        {
            while (_kernel.Receive(buffer) > 0)
            {
            }
        }
        catch (Exception end) when (end is SocketException or ObjectDisposedException)
        {
            // The run is over.
        }
    }
}
