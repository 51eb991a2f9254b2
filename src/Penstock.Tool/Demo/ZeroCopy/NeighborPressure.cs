using System.Net;
using System.Net.Sockets;
using Penstock.Accounting;
using Penstock.Time;
using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.ZeroCopy;

/// <summary>E9: what a large zero-copy sender does to the other connections of its stack when memory is limited.</summary>
internal sealed class NeighborPressure : Experiment
{
    private const int Neighbors = 20;
    private const int SendBuffer = 32 << 20;

    // 8 MiB, in pages of 4096 bytes.
    private const int High = 2048;
    private const int Chunk = 16 << 10;
    private const long NeighborRate = 40_000_000;
    private const double Seconds = 0.5;
    private static readonly Metric s_events = new("pressure_events", "pressure events (TCPMemoryPressures)");
    private static readonly Metric s_memory = new("tcp_memory_bytes_max", "TCP memory of the stack, most", "bytes");
    private static readonly Metric s_queued = new("sender_queued_bytes_max", "the large sender's wmem_queued, most", "bytes");
    private static readonly Metric s_up = new("neighbors_up_bits", "neighbors, all together: sent", "bit/s");
    private static readonly Metric s_down = new("neighbors_down_bits", "neighbors, all together: received", "bit/s");
    private static readonly Metric s_window = new("neighbor_window_bytes_median", "a neighbor's offered window at the end, median", "bytes");

    public override string Id => "E9";

    public override string Title => "Neighbors of a large zero-copy sender";

    public override string Setup =>
        "net.ipv4.tcp_mem of 8 MiB (4, 6, 8). One zero-copy sender with 64 MiB of send buffer fills it over a cable of 100 Mbit/s; then 20 connections of the same stack each want to send and receive 40 Mbit/s of copied data over another cable, 10 Gbit/s, 10 ms each way; looked at for half a second after the first half.";

    public override string Switch => "whether the payload of pure zero-copy buffers is charged (--pure-zc).";

    public override string Control => "charged: the stack is under pressure for the sake of memory that is not its own, so the neighbors' buffers and windows do not grow. 'alone' is the same without the large sender.";

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        var memory = new List<PlotSeries>();
        (string Name, bool Pure, bool Large)[] cases = [("alone", true, false), ("charged", false, true), ("pure", true, true)];
        foreach ((string name, bool pure, bool large) in cases.Where(c => !c.Large || settings.PureZeroCopy is not { } fixedTo || fixedTo == c.Pure))
        {
            for (int run = 0; run < settings.Runs; run++)
            {
                report.Begin($"{name}, run {run + 1} of {settings.Runs}");
                IReadOnlyList<(double X, double Y)> curve = Measure(name, pure, large, settings, settings.Seed + (ulong)run, report);
                if (run == 0)
                {
                    memory.Add(new PlotSeries(name, curve));
                }
            }
        }

        report.Plots.Add(new PlotData("TCP memory of the stack", "time since the neighbors began, ms", "pages bought, MiB", memory)
        {
            Caption = "Above 6 MiB the stack is under pressure: nobody's buffers grow any more.",
        });
    }

    private static IReadOnlyList<(double X, double Y)> Measure(string name, bool pure, bool large, DemoSettings settings, ulong seed, ExperimentReport report)
    {
        var curve = new List<(double X, double Y)>();
        var options = new PairOptions
        {
            Seed = seed, Flush = FlushPolicy.Adaptive, Rate = 100_000_000, SendBuffer = SendBuffer, PeerReceiveBuffer = 256 << 10, OwnReceiveBuffer = null, PureZeroCopy = pure,
        };
        VirtualPair.Run(options, settings, async pair =>
        {
            ProtocolMemory memory = pair.Near.Tcp.Memory;
            memory.SetLimits(High / 2, High * 3 / 4, High);
            var second = new VirtualCable(new CableOptions { Name = "second", Rate = 10_000_000_000, Delay = TimeSpan.FromMilliseconds(10), Seed = seed, QueueLimit = int.MaxValue });
            pair.Near.AddInterface(second.A, InterfaceAddress.Parse("10.2.0.1/24"));
            pair.Far.AddInterface(second.B, InterfaceAddress.Parse("10.2.0.2/24"));
            Task<long> sink = Sink.DrainAsync(pair.Peer);
            if (large)
            {
                _ = SendLargeAsync(pair.Sender, settings.Message ?? 64 << 10);
                await pair.Time.Delay(TimeSpan.FromMilliseconds(100)).ConfigureAwait(true);
            }

            var at = new IPEndPoint(IPAddress.Parse("10.2.0.2"), 8);
            TcpSocketListener listener = pair.Far.ListenTcp(new TcpListenOptions(at));
            var flows = new List<(TcpSocket Near, TcpSocket Far)>();
            for (int i = 0; i < Neighbors; i++)
            {
                TcpSocket near = await pair.Near.ConnectTcpAsync(at).ConfigureAwait(true);
                flows.Add((near, await listener.AcceptAsync().ConfigureAwait(true)));
            }

            long most = 0, queued = 0, up = 0, down = 0, begin = pair.Time.NowNanos;
            Ticker ticker = Ticker.Start(pair.Clock, 2_000_000, now =>
            {
                most = Math.Max(most, memory.AllocatedPages);
                queued = Math.Max(queued, pair.Sender.Connection.Memory.WriteQueueBytes);
                curve.Add(((now - begin) / 1e6, memory.AllocatedPages * (double)ProtocolMemory.PageSize / (1 << 20)));
            });
            foreach ((TcpSocket near, TcpSocket far) in flows)
            {
                _ = SendSmallAsync(near, pair.Time);
                _ = SendSmallAsync(far, pair.Time);
                _ = Sink.DrainAsync(far, read => up += read.Length);
                _ = Sink.DrainAsync(near, read => down += read.Length);
            }

            await pair.Time.Delay(TimeSpan.FromSeconds(0.5)).ConfigureAwait(true);
            (up, down) = (0, 0);
            await pair.Time.Delay(TimeSpan.FromSeconds(Seconds)).ConfigureAwait(true);
            ticker.Stop();
            report.Add(name, s_events, memory.PressureEvents);
            report.Add(name, s_memory, most * (double)ProtocolMemory.PageSize);
            report.Add(name, s_queued, queued);
            report.Add(name, s_up, up * 8 / Seconds);
            report.Add(name, s_down, down * 8 / Seconds);
            report.Add(name, s_window, Median(flows, f => f.Near.GetInfo().ReceiveWindow));
            foreach ((TcpSocket near, TcpSocket far) in flows)
            {
                near.Abort();
                far.Abort();
            }

            await listener.DisposeAsync().ConfigureAwait(true);
        });
        return curve;
    }

    private static double Median(List<(TcpSocket Near, TcpSocket Far)> flows, Func<(TcpSocket Near, TcpSocket Far), double> value) =>
        Distribution.Percentile([.. flows.Select(value)], 50);

    /// <summary>Sends from the application's memory until the connection ends.</summary>
    private static async Task SendLargeAsync(TcpSocket socket, int message)
    {
        var memory = new PageRing(Math.Max(message, 1 << 20));
        try
        {
            while (true)
            {
                await socket.SendZeroCopyAsync(memory.Next(message)).ConfigureAwait(true);
            }
        }
        catch (Exception end) when (end is SocketException or ObjectDisposedException)
        {
            // The run is over.
        }
    }

    /// <summary>Sends at a fixed rate, or more slowly when the socket takes no more.</summary>
    private static async Task SendSmallAsync(TcpSocket socket, VirtualTime time)
    {
        const long EveryNanos = Chunk * 8 * 1_000_000_000L / NeighborRate;
        byte[] chunk = new byte[Chunk];
        try
        {
            for (long next = time.NowNanos; ; next = Math.Max(next + EveryNanos, time.NowNanos))
            {
                if (next > time.NowNanos)
                {
                    await time.Delay(TimeSpan.FromTicks((next - time.NowNanos) / 100)).ConfigureAwait(true);
                }

                await socket.SendAsync(chunk).ConfigureAwait(true);
            }
        }
        catch (Exception end) when (end is SocketException or ObjectDisposedException)
        {
            // The run is over.
        }
    }
}
