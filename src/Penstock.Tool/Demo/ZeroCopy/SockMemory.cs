using Penstock.Tcp;
using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.ZeroCopy;

/// <summary>E8: what one connection costs the stack's memory while its send buffer is full, copied and from the application's own memory.</summary>
internal sealed class SockMemory : Experiment
{
    private const int Message = 64 << 10;
    private const int SendBuffer = 32 << 20;
    private const long SampleNanos = 2_000_000;
    private static readonly Metric s_sock = new("sock_bytes_max", "'sock': forward_alloc + charged, most", "bytes");
    private static readonly Metric s_sockMedian = new("sock_bytes_median", "'sock', median", "bytes");
    private static readonly Metric s_queued = new("queued_bytes_max", "wmem_queued, most", "bytes");
    private static readonly Metric s_queuedMedian = new("queued_bytes_median", "wmem_queued, median", "bytes");
    private static readonly Metric s_charged = new("charged_bytes_max", "charged, most", "bytes");
    private static readonly Metric s_buffers = new("buffers_max", "buffers queued, most");
    private static readonly Metric s_offRule = new("charged_off_rule_bytes_max", "charged, differs from the rule by at most", "bytes");
    private static readonly Metric s_above = new("sock_above_charged_bytes_max", "'sock' above charged, most (a page is 4096 B)", "bytes");
    private static readonly Metric s_waits = new("send_waits", "sends that waited for room");
    private static readonly Metric s_waitsAt = new("send_waits_above_sndbuf_bytes_min", "least above the send buffer's limit when one waited", "bytes");
    private static readonly Metric s_downgrades = new("downgrades", "buffers that were charged after all");

    private static readonly Case[] s_cases =
    [
        new("copy", SendKind.Copy),
        new("charged", SendKind.ZeroCopy, Pure: false),
        new("pure", SendKind.ZeroCopy),
        new("copy, auto", SendKind.Copy, Tuned: true),
        new("charged, auto", SendKind.ZeroCopy, Pure: false, Tuned: true),
        new("pure, auto", SendKind.ZeroCopy, Tuned: true),
        new("mixed, auto", SendKind.Mixed, Tuned: true),
    ];

    public override string Id => "E8";

    public override string Title => "What a full send buffer costs the stack";

    public override string Setup =>
        "Sends of 64 KiB as fast as the socket takes them, send buffer 64 MiB (and, 'auto', tuned by the stack), link 1 Gbit/s, 50 us each way. 'sock' is what a memory group's statistics show of the socket; looked at each 2 ms.";

    public override string Switch => "how the bytes are sent: copied, or from the application's memory, charged as a copy would be or not (--pure-zc).";

    public override string Control => "charged: zero-copy as before the patch costs the stack as much as copying, though its memory holds none of the bytes. 'mixed' copies every other send: nothing stays pure.";

    public override bool HasLive => true;

    public override string LiveSetup => LiveSendCost.Setup;

    private enum SendKind
    {
        Copy,
        ZeroCopy,

        /// <summary>Every other send is copied.</summary>
        Mixed,
    }

    /// <summary>A column of the table.</summary>
    private sealed record Case(string Name, SendKind Kind, bool Pure = true, bool Tuned = false);

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        if (settings.Live)
        {
            LiveSendCost.Run(settings, report);
            return;
        }

        var sock = new List<PlotSeries>();
        var tuned = new List<PlotSeries>();
        var queued = new List<PlotSeries>();
        foreach (Case one in s_cases.Where(c => c.Kind == SendKind.Copy || settings.PureZeroCopy is not { } pure || pure == c.Pure))
        {
            for (int run = 0; run < settings.Runs; run++)
            {
                report.Begin($"{one.Name}, run {run + 1} of {settings.Runs}");
                LedgerWatch watch = Measure(settings, one, settings.Seed + (ulong)run, report);
                if (run == 0)
                {
                    (one.Tuned ? tuned : sock).Add(new PlotSeries(one.Name.Split(',')[0], watch.Samples.Thin(s => Math.Max(s.Sock, 1) / 1048576.0)));
                    if (!one.Tuned)
                    {
                        queued.Add(new PlotSeries(one.Name, watch.Samples.Thin(s => s.Queued / 1048576.0)));
                    }
                }
            }
        }

        report.Plots.Add(new PlotData("'sock' bytes, send buffer 64 MiB", "time since the first send, ms", "forward_alloc + charged, MiB (logarithmic)", sock)
        {
            LogY = true,
            Caption = "The same bytes are queued in all cases. 'pure' is what is left when only the buffers' heads are charged; 'charged' lies on 'copy'.",
        });
        report.Plots.Add(new PlotData("'sock' bytes, send buffer tuned by the stack", "time since the first send, ms", "forward_alloc + charged, MiB (logarithmic)", tuned) { LogY = true });
        report.Plots.Add(new PlotData("Queued bytes", "time since the first send, ms", "wmem_queued, MiB", queued)
        {
            Caption = "What blocks a sender. It counts all bytes, whoever's memory they are in, so the send buffer bounds what is pinned. 'charged' and 'pure' are one line.",
        });
    }

    private static LedgerWatch Measure(DemoSettings settings, Case one, ulong seed, ExperimentReport report)
    {
        int message = settings.Message ?? Message;
        int sends = (int)Math.Max(64, (one.Tuned ? 24L << 20 : 96L << 20) / message);
        var options = new PairOptions
        {
            Seed = seed, Flush = FlushPolicy.Adaptive, Rate = 1_000_000_000, SendBuffer = one.Tuned ? null : SendBuffer, PeerReceiveBuffer = 256 << 10, PureZeroCopy = one.Pure,
        };
        LedgerWatch? watch = null;
        VirtualPair.Run(options, one.Tuned ? settings with { SendBuffer = null } : settings, async pair =>
        {
            Task<long> sink = Sink.DrainAsync(pair.Peer);
            var memory = new PageRing(Math.Max(message, 1 << 20));
            TcpConnection connection = pair.Sender.Connection;

            // Buffers are filled to half of the largest window that was seen: it should be open.
            await pair.Sender.SendAsync(new byte[2 << 20]).ConfigureAwait(true);
            await pair.DrainAsync().ConfigureAwait(true);
            watch = new LedgerWatch(connection, pair.Time.NowNanos);
            Ticker ticker = Ticker.Start(pair.Clock, SampleNanos, watch.Look);
            int waits = 0, leastAbove = int.MaxValue;
            for (int i = 0; i < sends; i++)
            {
                ReadOnlyMemory<byte> data = memory.Next(message);
                Task sending = one.Kind == SendKind.Copy || (one.Kind == SendKind.Mixed && i % 2 == 1)
                    ? pair.Sender.SendAsync(data).AsTask()
                    : pair.Sender.SendZeroCopyAsync(data).AsTask();
                if (!sending.IsCompleted)
                {
                    waits++;
                    leastAbove = Math.Min(leastAbove, connection.Memory.WriteQueueBytes - connection.Memory.SendBuffer);
                }

                await sending.ConfigureAwait(true);
            }

            watch.Look(pair.Time.NowNanos);
            ticker.Stop();
            report.Add(one.Name, s_sock, watch.Samples.Max(s => s.Sock));
            report.Add(one.Name, s_sockMedian, Distribution.Percentile([.. watch.Samples.Select(s => (double)s.Sock)], 50));
            report.Add(one.Name, s_queued, watch.Samples.Max(s => s.Queued));
            report.Add(one.Name, s_queuedMedian, Distribution.Percentile([.. watch.Samples.Select(s => (double)s.Queued)], 50));
            report.Add(one.Name, s_charged, watch.Samples.Max(s => s.Charged));
            report.Add(one.Name, s_buffers, watch.Samples.Max(s => s.Buffers));
            report.Add(one.Name, s_offRule, watch.Samples.Max(s => Math.Abs(s.Charged - s.ChargedByRule)));
            report.Add(one.Name, s_above, watch.Samples.Max(s => s.Sock - s.Charged));
            report.Add(one.Name, s_waits, waits);
            if (waits > 0)
            {
                report.Add(one.Name, s_waitsAt, leastAbove);
            }

            report.Add(one.Name, s_downgrades, pair.Near.GetCounter(StackCounter.TcpZeroCopyDowngrades));
        });
        return watch!;
    }
}
