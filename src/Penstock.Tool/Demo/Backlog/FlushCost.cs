using Penstock.Tool.Demo.Lab;

namespace Penstock.Tool.Demo.Backlog;

/// <summary>E5: what the flushes cost when memory is warm and there is little to flush.</summary>
internal sealed class FlushCost : Experiment
{
    private const int Message = 64 << 20;
    private const int Checks = 20_000_000;
    private static readonly Metric s_throughput = new("throughput_bits", "throughput", "bit/s");
    private static readonly Metric s_ratio = new("throughput_ratio_to_16", "throughput against 16, same round");
    private static readonly Metric s_inner = new("inner_locks_per_gb", "inner lock taken, per GB");
    private static readonly Metric s_clock = new("clock_reads_per_mib", "clock reads for the budget, per MiB");
    private static readonly Metric s_flushes = new("backlog_flushes", "flushes that found something");
    private static readonly Metric s_check = new("empty_check_ns", "a look at an empty backlog", "ns");

    public override string Id => "E5";

    public override string Title => "Cost of the flushes";

    public override string Setup =>
        "64 MiB of warm memory in one send over an in-process cable, the policies one after the other in each round; real threads. Also the empty look alone, 20 million times.";

    public override string Switch => "when the send looks at its backlog (--flush).";

    public override string Control => "off: no look at all, so what the others lose against it is the price.";

    public override bool RealTime => true;

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        int bytes = settings.Message ?? Message;
        int rounds = settings.Full ? 21 : 7;
        IReadOnlyList<FlushPolicy> policies = FlushPolicy.For(settings);

        var line = new Transfer(settings, bytes);
        try
        {
            Compare(line, bytes, rounds, policies, report);
        }
        finally
        {
            line.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }

        report.Remarks.Add($"{Environment.ProcessorCount} processors here; other work on them shows in the ranges.");
        report.Begin("the empty look");
        foreach (FlushPolicy policy in policies)
        {
            if (policy.Buffers > 0)
            {
                report.Add(policy.Name, s_check, EmptyLookNanos(settings, policy));
            }
        }
    }

    private static void Compare(Transfer line, int bytes, int rounds, IReadOnlyList<FlushPolicy> policies, ExperimentReport report)
    {
        // The first round warms up: caches, pools, and code that is still being compiled.
        for (int round = -1; round < rounds; round++)
        {
            var took = new Dictionary<string, double>();
            report.Begin($"round {round + 1} of {rounds}");
            foreach (FlushPolicy policy in policies)
            {
                TransferResult transfer = line.Run(policy);
                took[policy.Name] = transfer.Seconds;
                if (round >= 0)
                {
                    report.Add(policy.Name, s_inner, transfer.InnerLocks * 1e9 / bytes);
                    report.Add(policy.Name, s_clock, transfer.ClockReads / (bytes / 1048576.0));
                    report.Add(policy.Name, s_flushes, transfer.Flushes);
                }
            }

            for (int i = 0; round >= 0 && i < policies.Count; i++)
            {
                string name = policies[i].Name;
                report.Add(name, s_throughput, bytes * 8.0 / took[name]);
                if (took.TryGetValue(FlushPolicy.Sixteen.Name, out double sixteen))
                {
                    report.Add(name, s_ratio, sixteen / took[name]);
                }
            }
        }
    }

    private static double EmptyLookNanos(DemoSettings settings, FlushPolicy policy)
    {
        LivePair pair = LivePair.Connect(new PairOptions { Flush = policy }, settings);
        try
        {
            pair.Sender.Connection.Own();
            long begin = TimeProvider.System.GetTimestamp();
            for (int i = 0; i < Checks; i++)
            {
                pair.Sender.Connection.FlushBacklog(runDeferred: true);
            }

            double nanos = TimeProvider.System.GetElapsedTime(begin).TotalNanoseconds / Checks;
            pair.Sender.Connection.Release();
            return nanos;
        }
        finally
        {
            pair.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }
}
