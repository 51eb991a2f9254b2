using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.Backlog;

/// <summary>E1: how long a peer's packets wait for an answer while their socket's owner is in one long send.</summary>
internal sealed class AckWait : Experiment
{
    private const int Message = 16 << 20;
    private const int FaultMicros = 250;
    private static readonly Metric s_median = new("ack_wait_us_median", "ACK wait, median", "us");
    private static readonly Metric s_high = new("ack_wait_us_p99", "ACK wait, 99 %", "us");
    private static readonly Metric s_longest = new("ack_wait_us_max", "ACK wait, longest", "us");
    private static readonly Metric s_pings = new("pings", "pings measured");
    private static readonly Metric s_call = new("send_us", "the send call", "us");
    private static readonly Metric s_backlog = new("backlog_bytes_max", "backlog, most", "bytes");
    private static readonly Metric s_packets = new("backlog_packets_max", "backlog packets, most");
    private static readonly Metric s_queue = new("write_queue_bytes_max", "write queue, most", "bytes");
    private static readonly Metric s_peerRtt = new("peer_srtt_us", "peer's smoothed RTT", "us");
    private static readonly Metric s_peerTimeouts = new("peer_timeouts", "peer's timeouts (TCPTimeouts)");
    private static readonly Metric s_flushes = new("backlog_flushes", "flushes that found something");
    private static readonly Metric s_empty = new("backlog_empty_checks", "looks that found nothing");
    private static readonly Metric s_coalesced = new("backlog_coalesced", "merged (TCPBacklogCoalesce)");
    private static readonly Metric s_drops = new("backlog_drops", "dropped (TCPBacklogDrop)");
    private static readonly Metric s_filled = new("buffer_bytes_median", "queued buffer, median", "bytes");

    public override string Id => "E1";

    public override string Title => "ACK wait during one long send";

    public override string Setup =>
        "16 MiB in one send whose pages are not in memory yet (0.25 ms a page); meanwhile the peer pings 64 bytes each 0.5 ms. Link 10 Gbit/s, 50 us each way.";

    public override string Switch => "when the send looks at its backlog (--flush); '1mss' adds buffers of one segment, 'calls' makes 256 sends of 64 KiB of it.";

    public override string Control => "off, the stack before the first patch: a ping waits about as long as the call lasts.";

    public override bool HasLive => true;

    public override string LiveSetup => LiveAckWait.Setup;

    /// <summary>A column of the table.</summary>
    private sealed record Case(string Name, FlushPolicy Flush, bool OneSegment = false, int Call = int.MaxValue);

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        if (settings.Live)
        {
            LiveAckWait.Run(settings, report);
            return;
        }

        var waits = new List<PlotSeries>();
        var depth = new List<PlotSeries>();
        var queue = new List<PlotSeries>();
        foreach (Case one in Cases(settings))
        {
            for (int run = 0; run < settings.Runs; run++)
            {
                report.Begin($"{one.Name}, run {run + 1} of {settings.Runs}");
                Measured measured = Measure(settings, one, settings.Seed + (ulong)run);
                Report(report, one.Name, measured);
                if (run == 0)
                {
                    waits.Add(new PlotSeries(one.Name, Distribution.Cumulative([.. measured.Waits.Select(w => w / 1e3)]), PlotKind.Steps));
                    depth.Add(new PlotSeries(one.Name, measured.Samples.Thin(s => s.Backlog / 1024.0)));
                    queue.Add(new PlotSeries(one.Name, measured.Samples.Thin(s => s.WriteQueue / 1048576.0)));
                }
            }
        }

        report.Plots.Add(new PlotData("Wait for the ACK", "wait, ms (logarithmic)", "share of pings", waits)
        {
            LogX = true,
            Caption = "How many of the peer's pings were acknowledged within a time. Further left is better; the curve of 'off' stands where the call ends.",
        });
        report.Plots.Add(new PlotData("Backlog", "time since the send began, ms", "backlog, KiB", depth)
        {
            Caption = "True size of what waits at the owned socket. Each fall is a flush.",
        });
        report.Plots.Add(new PlotData("Write queue", "time since the send began, ms", "write queue, MiB", queue)
        {
            Caption = "True size of what is queued or unacknowledged. Without a flush nothing leaves it: the acknowledgments wait in the backlog.",
        });
    }

    private static IEnumerable<Case> Cases(DemoSettings settings)
    {
        foreach (FlushPolicy policy in FlushPolicy.For(settings))
        {
            yield return new Case(policy.Name, policy);
        }

        if (settings.Flush is null && settings.OneSegment is null)
        {
            yield return new Case("1mss", FlushPolicy.One, OneSegment: true);
            yield return new Case("calls", FlushPolicy.Sixteen, Call: 64 << 10);
        }
    }

    private sealed record Measured(
        IReadOnlyList<double> Waits, IReadOnlyList<Sample> Samples, double CallMicros, TcpInfo Near, TcpInfo Far, long PeerTimeouts, long EmptyChecks, double BufferBytes);

    private static Measured Measure(DemoSettings settings, Case one, ulong seed)
    {
        Measured? measured = null;
        byte[] message = new byte[settings.Message ?? Message];
        TcpSendFlags flags = settings.EndOfRecord ? TcpSendFlags.EndOfRecord : TcpSendFlags.None;
        VirtualPair.Run(new PairOptions { Seed = seed, Flush = one.Flush, OneSegment = one.OneSegment }, settings, async pair =>
        {
            Task<long> sink = Sink.DrainAsync(pair.Peer);
            var buffers = new BufferWatch(pair.Sender.Connection);
            var pinger = new Pinger(pair.Peer, pair.FarLink);
            pair.Slow(new CopyModel(pair.Time, settings.FaultMicros ?? FaultMicros, CopyModel.WarmNanosPerByte, seed) { OnChunk = buffers.Look });
            Sampler sampler = Sampler.Start(pair, 200_000);
            long begin = pair.Time.NowNanos;
            pinger.Start();
            for (int at = 0; at < message.Length;)
            {
                at += await pair.Sender.SendAsync(message.AsMemory(at, Math.Min(one.Call, message.Length - at)), flags).ConfigureAwait(true);
            }

            double call = (pair.Time.NowNanos - begin) / 1e3;
            pinger.Stop();
            sampler.Stop();
            await pair.DrainAsync().ConfigureAwait(true);
            await pair.Time.Delay(TimeSpan.FromSeconds(1)).ConfigureAwait(true);
            measured = new Measured(
                pinger.WaitsMicros, sampler.Samples, call, pair.Sender.GetInfo(), pair.Peer.GetInfo(), pair.Far.GetCounter(StackCounter.TcpTimeouts),
                pair.Near.GetCounter(StackCounter.TcpBacklogEmptyChecks), Distribution.Percentile(buffers.Lengths, 50));
        });
        return measured!;
    }

    private static void Report(ExperimentReport report, string name, Measured measured)
    {
        report.Add(name, s_median, Distribution.Percentile(measured.Waits, 50));
        report.Add(name, s_high, Distribution.Percentile(measured.Waits, 99));
        report.Add(name, s_longest, Distribution.Percentile(measured.Waits, 100));
        report.Add(name, s_pings, measured.Waits.Count);
        report.Add(name, s_call, measured.CallMicros);
        report.Add(name, s_backlog, measured.Samples.Max(s => s.Backlog));
        report.Add(name, s_packets, measured.Samples.Max(s => s.BacklogPackets));
        report.Add(name, s_queue, measured.Samples.Max(s => s.WriteQueue));
        report.Add(name, s_filled, measured.BufferBytes);
        report.Add(name, s_peerRtt, measured.Far.RoundTripTime.TotalMicroseconds);
        report.Add(name, s_peerTimeouts, measured.PeerTimeouts);
        report.Add(name, s_flushes, measured.Near.BacklogFlushes);
        report.Add(name, s_empty, measured.EmptyChecks);
        report.Add(name, s_coalesced, measured.Near.BacklogCoalesced);
        report.Add(name, s_drops, measured.Near.Drops);
    }
}
