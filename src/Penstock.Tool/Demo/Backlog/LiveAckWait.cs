using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.Backlog;

/// <summary>
/// E1 in real time: the same pings from a thread of the peer's stack, and a source that fills the stack's memory in place and really takes its time for each page. Then pairs of runs from warm memory, for
/// what the policies cost where nothing is slow.
/// </summary>
internal static class LiveAckWait
{
    public const string Setup =
        "4 MiB in one send from a source that takes 0.25 ms a page, while the peer pings 64 bytes each 0.5 ms; then 64 MiB of warm memory, adaptive and 16 in turns. Two stacks on threads, in real time.";

    private const int SlowMessage = 4 << 20;
    private const int WarmMessage = 64 << 20;
    private const int FaultMicros = 250;
    private static readonly Metric s_median = new("ack_wait_us_median", "ACK wait, median", "us");
    private static readonly Metric s_high = new("ack_wait_us_p99", "ACK wait, 99 %", "us");
    private static readonly Metric s_pings = new("pings", "pings measured");
    private static readonly Metric s_call = new("send_us", "the send call", "us");
    private static readonly Metric s_flushes = new("backlog_flushes", "flushes that found something");
    private static readonly Metric s_warm = new("warm_throughput_bits", "warm memory, throughput", "bit/s");
    private static readonly Metric s_ratio = new("warm_ratio_to_16", "warm memory, throughput against 16 (pairs)");
    private static readonly Metric s_clock = new("warm_clock_reads_per_mib", "warm memory, clock reads for the budget, per MiB");

    public static void Run(DemoSettings settings, ExperimentReport report)
    {
        IReadOnlyList<FlushPolicy> policies = settings.Flush is { } only ? [only] : [FlushPolicy.Sixteen, FlushPolicy.One, FlushPolicy.Adaptive];
        var waits = new List<PlotSeries>();
        foreach (FlushPolicy policy in policies)
        {
            for (int run = 0; run < settings.Runs; run++)
            {
                report.Begin($"{policy.Name}, slow source, run {run + 1} of {settings.Runs}");
                IReadOnlyList<double> measured = Slow(settings, policy, report);
                if (settings.Tun is { } device)
                {
                    SlowToKernel(device, settings, policy, report);
                }

                if (run == 0)
                {
                    waits.Add(new PlotSeries(policy.Name, Distribution.Cumulative([.. measured.Select(w => w / 1e3)]), PlotKind.Steps));
                }
            }
        }

        report.Plots.Add(new PlotData("Wait for the ACK, real time", "wait, ms (logarithmic)", "share of pings", waits) { LogX = true });
        int warm = settings.Message ?? WarmMessage;
        var line = new Transfer(settings, warm);
        try
        {
            Compare(line, warm, settings.Full ? 41 : 21, report);
        }
        finally
        {
            line.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    private static IReadOnlyList<double> Slow(DemoSettings settings, FlushPolicy policy, ExperimentReport report)
    {
        LivePair pair = LivePair.Connect(new PairOptions { Flush = policy }, settings);
        try
        {
            Task<long> sink = Sink.DrainAsync(pair.Peer);
            var source = new SlowSource(settings.FaultMicros ?? FaultMicros);
            var pinger = new Pinger(pair.Peer, pair.FarLink);
            long begin = TimeProvider.System.GetTimestamp();
            pinger.Start();
            pair.Sender.Send(settings.Message ?? SlowMessage, source, static (span, slow) => slow.Fill(span));
            double call = TimeProvider.System.GetElapsedTime(begin).TotalMicroseconds;
            pinger.Stop();
            while (pair.Sender.Connection.UnacknowledgedBytes > 0 || pair.Peer.Connection.UnacknowledgedBytes > 0)
            {
                Thread.Yield();
            }

            Report(report, policy.Name, pinger.WaitsMicros, call, pair.Sender.GetInfo());
            return pinger.WaitsMicros;
        }
        finally
        {
            pair.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    /// <summary>The same with the kernel as the peer.</summary>
    private static void SlowToKernel(string device, DemoSettings settings, FlushPolicy policy, ExperimentReport report)
    {
        KernelPeer peer = KernelPeer.Connect(device, new PairOptions { Flush = policy }, settings);
        try
        {
            var source = new SlowSource(settings.FaultMicros ?? FaultMicros);
            long begin = TimeProvider.System.GetTimestamp();
            peer.Start();
            peer.Sender.Send(settings.Message ?? SlowMessage, source, static (span, slow) => slow.Fill(span));
            double call = TimeProvider.System.GetElapsedTime(begin).TotalMicroseconds;
            peer.Stop();
            while (peer.Sender.Connection.UnacknowledgedBytes > 0)
            {
                Thread.Yield();
            }

            Report(report, $"{policy.Name}, kernel", peer.WaitsMicros, call, peer.Sender.GetInfo());
        }
        finally
        {
            peer.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    private static void Report(ExperimentReport report, string name, IReadOnlyList<double> waits, double callMicros, TcpInfo info)
    {
        report.Add(name, s_median, Distribution.Percentile(waits, 50));
        report.Add(name, s_high, Distribution.Percentile(waits, 99));
        report.Add(name, s_pings, waits.Count);
        report.Add(name, s_call, callMicros);
        report.Add(name, s_flushes, info.BacklogFlushes);
    }

    private static void Compare(Transfer line, int bytes, int pairs, ExperimentReport report)
    {
        for (int round = -1; round < pairs; round++)
        {
            report.Begin($"warm memory, pair {round + 1} of {pairs}");
            double sixteen = Warm(line, bytes, FlushPolicy.Sixteen, round >= 0 ? report : null);
            double adaptive = Warm(line, bytes, FlushPolicy.Adaptive, round >= 0 ? report : null);
            if (round >= 0)
            {
                report.Add(FlushPolicy.Adaptive.Name, s_ratio, sixteen / adaptive);
            }
        }
    }

    /// <summary>Seconds until all of it has arrived.</summary>
    private static double Warm(Transfer line, int bytes, FlushPolicy policy, ExperimentReport? report)
    {
        TransferResult transfer = line.Run(policy);
        report?.Add(policy.Name, s_warm, bytes * 8.0 / transfer.Seconds);
        report?.Add(policy.Name, s_clock, transfer.ClockReads / (bytes / 1048576.0));
        return transfer.Seconds;
    }
}
