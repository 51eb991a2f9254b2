using Penstock.Buffers;
using Penstock.Links;
using Penstock.Tcp;
using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.Backlog;

/// <summary>E6: whether a send ends while packets come twice as fast as they can be worked off.</summary>
internal sealed class Flood : Experiment
{
    private const int Message = 2 << 20;
    private const int AnswerNanos = 20_000;
    private const int PacketNanos = 10_000;
    private const long LongestNanos = 2_000_000_000;
    private static readonly Metric s_call = new("send_us", "the send call", "us");
    private static readonly Metric s_flushes = new("backlog_flushes", "flushes that found something");
    private static readonly Metric s_buffers = new("buffers", "buffers filled");
    private static readonly Metric s_packets = new("flood_packets", "packets that came");
    private static readonly Metric s_drops = new("backlog_drops", "dropped (TCPBacklogDrop)");
    private static readonly Metric s_limit = new("backlog_limit_bytes", "limit by the formula", "bytes");
    private static readonly Metric s_most = new("backlog_bytes_max", "backlog, most", "bytes");
    private static readonly Metric s_size = new("packet_bytes", "true size of a packet", "bytes");
    private static readonly Metric s_checked = new("limit_tests", "limit tests compared with the formula");
    private static readonly Metric s_wrong = new("limit_mismatches", "of them different");

    public override string Id => "E6";

    public override string Title => "A flood at twice the drain rate";

    public override string Setup =>
        "2 MiB in one send while old segments come each 10 us; each has to be answered, which takes 20 us. The flood ends with the call, or after 2 s.";

    public override string Switch => "when the send looks at its backlog (--flush); the control drops the rule that the backlog's length is kept until the drain is complete.";

    public override string Control => "length not kept: each round of the drain starts with an empty account, the limit is never met, and the call lasts as long as the flood.";

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        foreach (FlushPolicy policy in FlushPolicy.For(settings))
        {
            RunCase(policy.Name, policy, Omission.None, settings, report);
        }

        RunCase("length not kept", settings.Flush ?? FlushPolicy.One, Omission.BacklogLengthKept, settings, report);
    }

    private static void RunCase(string name, FlushPolicy policy, Omission without, DemoSettings settings, ExperimentReport report)
    {
        for (int run = 0; run < settings.Runs; run++)
        {
            report.Begin($"{name}, run {run + 1} of {settings.Runs}");
            Measure(name, policy, without, settings, settings.Seed + (ulong)run, report);
        }
    }

    private static void Measure(string name, FlushPolicy policy, Omission without, DemoSettings settings, ulong seed, ExperimentReport report)
    {
        int length = settings.Message ?? Message;
        var options = new PairOptions
        {
            Seed = seed, Flush = policy, SendBuffer = length, OwnReceiveBuffer = 64 << 10, AckDefer = false, Timestamps = false, Without = without,
        };
        VirtualPair.Run(options, settings, async pair =>
        {
            Task<long> sink = Sink.DrainAsync(pair.Peer);

            // What the peer has sent once can come again, and is answered each time.
            await pair.Peer.SendAsync(new byte[1000]).ConfigureAwait(true);
            await pair.Time.Delay(TimeSpan.FromMilliseconds(100)).ConfigureAwait(true);
            var buffers = new BufferWatch(pair.Sender.Connection);
            pair.Slow(new CopyModel(pair.Time, settings.FaultMicros ?? 0, CopyModel.WarmNanosPerByte, seed) { OnChunk = buffers.Look });
            pair.NearLink.OnSent = segment =>
            {
                if (segment.Payload == 0)
                {
                    pair.Time.Elapse(AnswerNanos);
                }
            };
            var flood = new Producer(pair);
            long begin = pair.Time.NowNanos;
            Ticker ticker = Ticker.Start(pair.Clock, PacketNanos, now =>
            {
                if (now - begin < LongestNanos)
                {
                    flood.Send();
                }
            });
            await pair.Sender.SendAsync(new byte[length]).ConfigureAwait(true);
            long returned = pair.Time.NowNanos;
            ticker.Stop();
            TcpInfo info = pair.Sender.GetInfo();
            report.Add(name, s_call, (returned - begin) / 1e3);
            report.Add(name, s_flushes, info.BacklogFlushes);
            report.Add(name, s_buffers, buffers.Lengths.Count + 1);
            report.Add(name, s_packets, flood.Sent);
            report.Add(name, s_drops, info.Drops);
            report.Add(name, s_limit, pair.Sender.Connection.BacklogLimit);
            report.Add(name, s_most, flood.MostBacklog);
            report.Add(name, s_size, flood.PacketSize);
            report.Add(name, s_checked, flood.Tests);
            report.Add(name, s_wrong, flood.Mismatches);
            pair.NearLink.OnSent = null;
        });
    }

    /// <summary>Sends the peer's first segment again and again, and compares what becomes of each with the limit's formula (R1.4).</summary>
    private sealed class Producer(VirtualPair pair)
    {
        private readonly TcpConnection _victim = pair.Sender.Connection;
        private readonly byte[] _packet = pair.NearLink.FirstData!;

        public long Sent { get; private set; }

        public long MostBacklog { get; private set; }

        public int PacketSize { get; private set; }

        public long Tests { get; private set; }

        public long Mismatches { get; private set; }

        public void Send()
        {
            PacketBuffer? packet = PacketCopy.TryRent(pair.NearLink.Pool, _packet.Length, out Slab? slab);
            if (packet is null)
            {
                return;
            }

            _packet.CopyTo(slab!.Array, 0);
            packet.SegmentCount = 1;
            packet.Checksum = ChecksumState.Verified;
            packet.ArrivalNanos = pair.Time.NowNanos;
            PacketSize = packet.TrueSize;
            Sent++;

            TcpInfo before = _victim.Snapshot();
            bool owned = _victim.IsOwned, over = before.BacklogMemory + before.ReceiveMemory > _victim.BacklogLimit;
            pair.NearLink.Inject(packet);
            pair.Time.RunStackReady();
            TcpInfo after = _victim.Snapshot();
            MostBacklog = Math.Max(MostBacklog, after.BacklogMemory);
            int dropped = after.Drops - before.Drops, queued = after.BacklogEnqueued - before.BacklogEnqueued;
            if (owned && dropped + queued == 1)
            {
                Tests++;
                Mismatches += dropped == 1 == over ? 0 : 1;
            }
        }
    }
}
