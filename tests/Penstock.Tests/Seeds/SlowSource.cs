using System.Net;
using Penstock.Tcp;
using Penstock.Time;

namespace Penstock.Tests.Seeds;

/// <summary>
/// The workload that shows what a flush policy is worth: one long send whose source faults on each page, while the peer, a stack of its own over a cable, pings the sender's socket and measures how
/// long each ping waits for its ACK. In virtual time; the copy costs what the seam says, nothing else costs anything.
/// </summary>
internal sealed class SlowSource : ICopySeam
{
    private const int PingBytes = 64;
    private readonly VirtualTime _time = new();
    private readonly long _faultNanos;
    private TcpSocket? _sender;
    private long _copied;

    public SlowSource(long faultNanos) => _faultNanos = faultNanos;

    /// <summary>From ping to ACK, sorted.</summary>
    public List<long> WaitsNanos { get; } = [];

    /// <summary>Bytes of the fullest tail there was, and how often a tail became as full.</summary>
    public int FilledTo { get; private set; }

    public int TimesFilled { get; private set; }

    public TcpInfo Info { get; private set; } = null!;

    public long CallNanos { get; private set; }

    public double MedianMilliseconds => At(0.5);

    public double P99Milliseconds => At(0.99);

    public static SlowSource Run(Action<TcpSettings> settings, int bytes, long faultNanos = 250_000, TcpConnectOptions? options = null)
    {
        var source = new SlowSource(faultNanos);
        source.Run(settings, bytes, options ?? new TcpConnectOptions());
        return source;
    }

    public void OnCopied(int bytes)
    {
        // Called before the chunk is appended.
        int tail = _sender!.Connection.QueuedBuffers()[^1].Length + bytes;
        FilledTo = Math.Max(FilledTo, tail);
        TimesFilled += tail == FilledTo ? 1 : 0;
        long pages = ((_copied + bytes + 4095) >> 12) - ((_copied + 4095) >> 12);
        _copied += bytes;
        if (pages > 0)
        {
            _time.Elapse(pages * _faultNanos);
        }
    }

    private double At(double share) => WaitsNanos[(int)((WaitsNanos.Count - 1) * share)] / 1e6;

    private void Run(Action<TcpSettings> settings, int bytes, TcpConnectOptions options)
    {
        using var cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMicroseconds(20) });
        NetworkStack Make(ulong seed, string address, Link link)
        {
            var stack = new NetworkStack(new NetworkStackOptions { Driver = _time, Seed = seed });
            stack.Tcp.Settings.CoreSendMax = stack.Tcp.Settings.CoreReceiveMax = 1 << 28;
            settings(stack.Tcp.Settings);
            Proof.Apply(stack);
            stack.AddInterface(link, InterfaceAddress.Parse(address));
            return stack;
        }

        NetworkStack near = Make(1, "10.1.0.1/24", cable.A), far = Make(2, "10.1.0.2/24", cable.B);
        _time.Run(async () =>
        {
            var at = new IPEndPoint(IPAddress.Parse("10.1.0.2"), 80);
            await using TcpSocketListener listener = far.ListenTcp(new TcpListenOptions(at) { SendBufferSize = 1 << 26, ReceiveBufferSize = 1 << 26, NoDelay = true });
            options.SendBufferSize = options.ReceiveBufferSize = 1 << 26;

            // With all of that on offer the window would fall with each ping, which nobody reads meanwhile, and ACKs would wait for the reader.
            options.WindowClamp = 65535;
            _sender = await near.ConnectTcpAsync(at, options);
            TcpSocket peer = await listener.AcceptAsync();
            near.CopySeam = this;
            var pinger = new Pinger(this, peer);
            pinger.Start();
            long began = _time.NowNanos;
            Assert.Equal(bytes, await _sender.SendAsync(new byte[bytes]));
            CallNanos = _time.NowNanos - began;
            Info = _sender.GetInfo();
            near.CopySeam = null;
            pinger.Stop();
            await _time.Delay(TimeSpan.FromMilliseconds(300));
            WaitsNanos.Sort();
            Assert.Null(_sender.Connection.VerifyInvariants());
            Assert.Null(peer.Connection.VerifyInvariants());
            await near.DisposeAsync();
            await far.DisposeAsync();
        }, TimeSpan.FromMinutes(5));
    }

    /// <summary>The peer's application: on its stack's worker, since nothing else runs while a send copies. Reads all there is, pings each 0.5 ms, sees its ACKs within 10 us.</summary>
    private sealed class Pinger(SlowSource source, TcpSocket peer) : TimerEntry
    {
        private const int Step = 10_000, Every = 50;
        private readonly Queue<long> _pings = new();
        private readonly byte[] _scratch = new byte[1 << 20];
        private long _pinged, _acked;
        private int _steps;
        private bool _stopped;

        public void Start() => peer.Connection.Worker.Arm(this, source._time.NowNanos + Step);

        public void Stop() => _stopped = true;

        public override void OnTimer(long nowNanos)
        {
            long acked = (_pinged - peer.Connection.UnacknowledgedBytes) / PingBytes;
            for (; _acked < acked; _acked++)
            {
                source.WaitsNanos.Add(nowNanos - _pings.Dequeue());
            }

            while (peer.TryReceive(_scratch, TcpReceiveFlags.None, out _) > 0)
            {
            }

            if (_steps++ % Every == 0 && !_stopped)
            {
                _pings.Enqueue(nowNanos);
                _pinged += peer.TrySend(_scratch.AsSpan(0, PingBytes), TcpSendFlags.None, out _);
            }

            if (!_stopped || _pings.Count > 0)
            {
                peer.Connection.Worker.Arm(this, nowNanos + Step);
            }
        }
    }
}
