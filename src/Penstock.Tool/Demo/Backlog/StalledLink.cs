using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.Backlog;

/// <summary>E3: whether the link is kept busy while a call copies more than the peer's window.</summary>
internal sealed class StalledLink : Experiment
{
    private const int Message = 64 << 20;
    private const long Rate = 500_000_000;
    private const double NanosPerByte = 1;
    private static readonly Metric s_busy = new("link_busy_share", "link busy during the call", "share");
    private static readonly Metric s_delivered = new("delivered_bytes", "delivered when the call returns", "bytes");
    private static readonly Metric s_window = new("peer_window_bytes", "peer's window", "bytes");
    private static readonly Metric s_call = new("send_us", "the send call", "us");
    private static readonly Metric s_all = new("all_delivered_us", "until everything has arrived", "us");

    public override string Id => "E3";

    public override string Title => "Link kept busy";

    public override string Setup =>
        "64 MiB in one send, copied at 1 GB/s from warm memory, to a peer that reads at once and offers 64 KiB of window. Link 500 Mbit/s, 50 us each way.";

    public override string Switch => "when the send looks at its backlog (--flush).";

    public override string Control => "off: a window's worth leaves, then the link is idle until the call ends, though the peer has granted more long ago.";

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        var delivered = new List<PlotSeries>();
        foreach (FlushPolicy policy in FlushPolicy.For(settings))
        {
            for (int run = 0; run < settings.Runs; run++)
            {
                report.Begin($"{policy.Name}, run {run + 1} of {settings.Runs}");
                IReadOnlyList<(double X, double Y)> curve = Measure(settings, policy, settings.Seed + (ulong)run, report);
                if (run == 0)
                {
                    delivered.Add(new PlotSeries(policy.Name, curve));
                }
            }
        }

        report.Plots.Add(new PlotData("Delivered during the call", "time since the send began, ms", "arrived at the peer, MiB", delivered)
        {
            Caption = "The slope of a busy link is its rate. A flat line is a window that was opened by an acknowledgment which nobody read.",
        });
    }

    private static IReadOnlyList<(double X, double Y)> Measure(DemoSettings settings, FlushPolicy policy, ulong seed, ExperimentReport report)
    {
        byte[] message = new byte[settings.Message ?? Message];
        var curve = new List<(double X, double Y)> { (0, 0) };
        VirtualPair.Run(new PairOptions { Seed = seed, Flush = policy, Rate = Rate, PeerReceiveBuffer = 64 << 10 }, settings, async pair =>
        {
            Task<long> sink = Sink.DrainAsync(pair.Peer);

            // The congestion window should not be what holds the sender: a few of the peer's windows open it.
            await pair.Sender.SendAsync(message.AsMemory(0, Math.Min(message.Length, 1 << 20))).ConfigureAwait(true);
            await pair.DrainAsync().ConfigureAwait(true);
            pair.Slow(new CopyModel(pair.Time, settings.FaultMicros ?? 0, NanosPerByte, seed));
            long window = pair.Sender.GetInfo().SendWindow;
            long begin = pair.Time.NowNanos, bits = 0, bytes = 0, end = long.MaxValue, next = begin;
            pair.FarLink.OnArrived = segment =>
            {
                long now = pair.Time.NowNanos;
                if (now <= end)
                {
                    bits += segment.Bytes * 8L;
                    bytes += segment.Payload;
                    if (now >= next)
                    {
                        curve.Add(((now - begin) / 1e6, bytes / 1048576.0));
                        next = now + 250_000;
                    }
                }

                return true;
            };
            await pair.Sender.SendAsync(message, settings.EndOfRecord ? TcpSendFlags.EndOfRecord : TcpSendFlags.None).ConfigureAwait(true);
            end = pair.Time.NowNanos;
            curve.Add(((end - begin) / 1e6, bytes / 1048576.0));
            report.Add(policy.Name, s_busy, bits / (Rate * ((end - begin) / 1e9)));
            report.Add(policy.Name, s_delivered, bytes);
            report.Add(policy.Name, s_window, window);
            report.Add(policy.Name, s_call, (end - begin) / 1e3);
            await pair.DrainAsync().ConfigureAwait(true);
            report.Add(policy.Name, s_all, (pair.Time.NowNanos - begin) / 1e3);
        });
        return curve;
    }
}
