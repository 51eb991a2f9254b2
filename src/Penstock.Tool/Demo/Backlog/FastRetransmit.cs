using Penstock.Tool.Demo.Lab;
using Penstock.Wire;

namespace Penstock.Tool.Demo.Backlog;

/// <summary>E2: how soon a lost segment is sent again while its sender is in a long call.</summary>
internal sealed class FastRetransmit : Experiment
{
    private const int Message = 16 << 20;
    private const int FaultMicros = 250;
    private const long DelayMillis = 10;
    private static readonly Metric s_after = new("retransmit_after_us", "loss to first retransmission", "us");
    private static readonly Metric s_bound = new("bound_us", "one RTT and one flush interval", "us");
    private static readonly Metric s_left = new("before_return_us", "retransmitted before the call's end by", "us");
    private static readonly Metric s_call = new("send_us", "the send call", "us");
    private static readonly Metric s_bytes = new("peer_receive_bytes_max", "peer's receive memory, most", "bytes");
    private static readonly Metric s_packets = new("peer_ofo_packets_max", "peer's out-of-order queue, most buffers");
    private static readonly Metric s_timeouts = new("timeouts", "timeouts (TCPTimeouts)");
    private static readonly Metric s_fast = new("fast_retransmits", "fast retransmissions (TCPFastRetrans)");

    public override string Id => "E2";

    public override string Title => "Loss to retransmission";

    public override string Setup =>
        "16 MiB in one send at 0.25 ms a page, after 16 MiB that opened the windows; one segment is lost at 10, 12 or 14 % of it. Link 1 Gbit/s, 10 ms each way.";

    public override string Switch => "when the send looks at its backlog (--flush).";

    public override string Control => "off: the selective acknowledgments wait in the backlog, and the segment goes again when the call has ended.";

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        foreach (FlushPolicy policy in FlushPolicy.For(settings))
        {
            for (int run = 0; run < settings.Runs; run++)
            {
                report.Begin($"{policy.Name}, run {run + 1} of {settings.Runs}");
                Measure(settings, policy, run, report);
            }
        }
    }

    private static void Measure(DemoSettings settings, FlushPolicy policy, int run, ExperimentReport report)
    {
        ulong seed = settings.Seed + (ulong)run;
        byte[] message = new byte[settings.Message ?? Message];
        int fault = settings.FaultMicros ?? FaultMicros;
        var options = new PairOptions { Seed = seed, Flush = policy, Rate = 1_000_000_000, Delay = TimeSpan.FromMilliseconds(DelayMillis) };
        VirtualPair.Run(options, settings, async pair =>
        {
            Task<long> sink = Sink.DrainAsync(pair.Peer);
            await pair.Sender.SendAsync(message).ConfigureAwait(true);
            await pair.DrainAsync().ConfigureAwait(true);
            pair.Slow(new CopyModel(pair.Time, fault, CopyModel.WarmNanosPerByte, seed));

            long begin = pair.Time.NowNanos;

            // Not always at the same distance from a flush.
            var loss = new LossWatch(pair, (int)(message.Length * (10L + (2 * run)) / 100));
            Sampler sampler = Sampler.Start(pair, 500_000);
            long timeouts = pair.Near.GetCounter(StackCounter.TcpTimeouts), fast = pair.Near.GetCounter(StackCounter.TcpFastRetrans);
            await pair.Sender.SendAsync(message, settings.EndOfRecord ? TcpSendFlags.EndOfRecord : TcpSendFlags.None).ConfigureAwait(true);
            long returned = pair.Time.NowNanos;
            await pair.DrainAsync().ConfigureAwait(true);
            sampler.Stop();

            report.Add(policy.Name, s_after, loss.AfterMicros);
            report.Add(policy.Name, s_bound, (2 * DelayMillis * 1000) + IntervalMicros(policy, settings, fault, returned - begin));
            report.Add(policy.Name, s_left, (returned - loss.AgainNanos) / 1e3);
            report.Add(policy.Name, s_call, (returned - begin) / 1e3);
            report.Add(policy.Name, s_bytes, sampler.Samples.Max(s => s.PeerReceiveMemory));
            report.Add(policy.Name, s_packets, sampler.Samples.Max(s => s.PeerOutOfOrder));
            report.Add(policy.Name, s_timeouts, pair.Near.GetCounter(StackCounter.TcpTimeouts) - timeouts);
            report.Add(policy.Name, s_fast, pair.Near.GetCounter(StackCounter.TcpFastRetrans) - fast);
            if (run == 0)
            {
                report.Plots.Add(loss.Plot(policy.Name, begin));
            }
        });
    }

    /// <summary>The longest that this policy lets pass between two looks, one page more where time decides.</summary>
    private static double IntervalMicros(FlushPolicy policy, DemoSettings settings, int fault, long callNanos)
    {
        double page = (fault * 1.1) + 1;
        double buffer = settings.OneSegment == true ? page : page * ((64 << 10) / CopyModel.Page);
        return policy.Buffers == 0 ? callNanos / 1e3 : policy.BudgetNanos > 0 ? (policy.BudgetNanos / 1e3) + page : policy.Buffers * buffer;
    }

    /// <summary>Loses the first segment beyond a point of the stream, once, and notes when it was sent, first and again.</summary>
    private sealed class LossWatch
    {
        private readonly VirtualPair _pair;
        private readonly int _offset;
        private readonly List<(long AtNanos, SequenceNumber Start, SequenceNumber End)> _sent = [];
        private readonly List<(double X, double Y)> _original = [];
        private readonly List<(double X, double Y)> _again = [];
        private SequenceNumber _lost;
        private SequenceNumber _furthest;
        private SequenceNumber _first;
        private bool _done;
        private bool _any;

        public LossWatch(VirtualPair pair, int offset)
        {
            _pair = pair;
            _offset = offset;
            pair.NearLink.OnSent = Sent;
            pair.FarLink.OnArrived = Arrived;
        }

        public long LostSentNanos { get; private set; }

        public long AgainNanos { get; private set; }

        public double AfterMicros => (AgainNanos - LostSentNanos) / 1e3;

        public PlotData Plot(string name, long begin) => new(
            $"Transmissions, flush {name}", "time since the send began, ms", "position in the stream, MiB",
            [
                new PlotSeries("sent", Shift(_original, begin), PlotKind.Points),
                new PlotSeries("sent again", Shift(_again, begin), PlotKind.Marks),
                new PlotSeries("lost", [((LostSentNanos - begin) / 1e6, _lost.Since(_first) / 1048576.0)], PlotKind.Marks),
            ])
        {
            Caption = $"The lost segment goes again {s_after.Text(AfterMicros)} after it was sent.",
        };

        private static IReadOnlyList<(double X, double Y)> Shift(List<(double X, double Y)> points, long begin)
        {
            int step = Math.Max(1, points.Count / 600);
            return [.. points.Where((_, i) => i % step == 0).Select(p => (p.X - (begin / 1e6), p.Y))];
        }

        private void Sent(TappedSegment segment)
        {
            if (segment.Payload == 0)
            {
                return;
            }

            long now = _pair.Time.NowNanos;
            SequenceNumber start = segment.Header.Sequence, end = start + segment.Payload;
            if (!_any)
            {
                _any = true;
                _first = _furthest = start;
            }

            bool again = start.Before(_furthest);
            (again ? _again : _original).Add((now / 1e6, start.Since(_first) / 1048576.0));
            _furthest = SequenceNumber.Max(_furthest, end);
            if (!_done)
            {
                _sent.Add((now, start, end));
            }
            else if (again && AgainNanos == 0 && start.AtOrBefore(_lost) && end.After(_lost))
            {
                AgainNanos = now;
            }
        }

        private bool Arrived(TappedSegment segment)
        {
            if (_done || segment.Payload == 0 || segment.Header.Sequence.Since(_first) < _offset)
            {
                return true;
            }

            _done = true;
            _lost = segment.Header.Sequence;
            LostSentNanos = _sent.Find(s => s.Start.AtOrBefore(_lost) && s.End.After(_lost)).AtNanos;
            return false;
        }
    }
}
