using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Penstock.Tool.Demo.Lab;

/// <summary>
/// A socket of this machine's kernel, over a TUN device, that reads all that comes from a thread of its own; and the processor time of everything but that thread. Needs root or CAP_NET_ADMIN; in a network namespace nothing else
/// is touched.
/// </summary>
internal sealed class KernelSink : IAsyncDisposable
{
    private static readonly IPEndPoint s_stack = new(IPAddress.Parse("10.78.0.2"), 7);
    private readonly NetworkStack _near = new(new NetworkStackOptions { Name = "near", CloseTimeout = TimeSpan.Zero });
    private readonly Socket _kernel = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly TaskCompletionSource<string> _thread = new();
    private readonly object _gate = new();
    private long _unread;
    private bool _ended;
    private TcpSocketListener _listener = null!;

    /// <exception cref="UnauthorizedAccessException">No permission for the device.</exception>
    /// <exception cref="IOException">The device is in use.</exception>
    /// <exception cref="PlatformNotSupportedException">Not Linux.</exception>
    private KernelSink(string device, DemoSettings settings)
    {
        VirtualPair.Tune(_near, new PairOptions { Flush = FlushPolicy.Adaptive }, settings);
        _near.AddInterface(TunLink.Open(device, new TunOptions { HostAddress = InterfaceAddress.Parse("10.78.0.1/24") }), InterfaceAddress.Parse($"{s_stack.Address}/24"));
    }

    public TcpSocket Sender { get; private set; } = null!;

    public static KernelSink Connect(string device, DemoSettings settings)
    {
        var sink = new KernelSink(device, settings);
        sink._listener = sink._near.ListenTcp(new TcpListenOptions(s_stack) { SendBufferSize = settings.SendBuffer });
        sink._kernel.Connect(s_stack);
        sink.Sender = sink._listener.AcceptAsync().AsTask().GetAwaiter().GetResult();
        new Thread(sink.ReadAll) { IsBackground = true }.Start();
        return sink;
    }

    /// <summary>Processor time so far of this process without the reading thread.</summary>
    public double SenderSeconds()
    {
        // Nanoseconds on a processor, as the scheduler counts them for each thread.
        string reader = File.ReadAllText($"/proc/{_thread.Task.GetAwaiter().GetResult()}/schedstat");
        return Environment.CpuUsage.TotalTime.TotalSeconds - (long.Parse(reader.AsSpan(0, reader.IndexOf(' ')), CultureInfo.InvariantCulture) / 1e9);
    }

    /// <summary>Waits, without using the processor, until so many bytes more than those of the calls before have been read.</summary>
    public void WaitFor(long bytes)
    {
        lock (_gate)
        {
            _unread += bytes;
            while (_unread > 0 && !_ended)
            {
                Monitor.Wait(_gate);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        _kernel.Dispose();
        Sender.Abort();
        await _listener.DisposeAsync().ConfigureAwait(false);
        await _near.DisposeAsync().ConfigureAwait(false);
    }

    private void ReadAll()
    {
        byte[] buffer = new byte[1 << 18];
        try
        {
            _thread.SetResult(new FileInfo("/proc/thread-self").LinkTarget!);
            while (_kernel.Receive(buffer) is int read and > 0)
            {
                Count(read);
            }
        }
        catch (Exception end) when (end is SocketException or ObjectDisposedException)
        {
            // The run is over.
        }

        lock (_gate)
        {
            _ended = true;
            Monitor.PulseAll(_gate);
        }
    }

    private void Count(int read)
    {
        lock (_gate)
        {
            _unread -= read;
            if (_unread <= 0)
            {
                Monitor.PulseAll(_gate);
            }
        }
    }
}
