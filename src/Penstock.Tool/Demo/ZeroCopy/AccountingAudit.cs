namespace Penstock.Tool.Demo.ZeroCopy;

/// <summary>E10: random lives of connections with the ledger checked after every step; then each of the mistakes that Linux made, switched in.</summary>
internal sealed class AccountingAudit : Experiment
{
    private const int StepsOfALife = 400;
    private const string Kept = "all rules";
    private static readonly Metric s_steps = new("steps", "random steps");
    private static readonly Metric s_violations = new("violations", "lives with something wrong");
    private static readonly Metric s_caught = new("caught_after_steps", "caught after steps");
    private static readonly Metric s_sends = new("sends", "sends");
    private static readonly Metric s_refusals = new("refusals", "sends refused or canceled");
    private static readonly Metric s_downgrades = new("downgrades", "pure buffers downgraded");
    private static readonly Metric s_merges = new("merges", "buffers joined after SACKs");
    private static readonly Metric s_ids = new("ids_notified", "ids, each notified once");

    /// <summary>The mistakes, by the rule that is then missing.</summary>
    private static readonly (string Name, Omission Rule)[] s_bugs =
    [
        ("constant head", Omission.RealHeadSize),
        ("data_len", Omission.DowngradeByTrueSize),
        ("splice", Omission.SpliceDowngrades),
        ("split", Omission.SplitKeepsPure),
        ("third neighbor", Omission.ShiftTestsThirdNeighbor),
    ];

    public override string Id => "E10";

    public override string Title => "Audit of the ledger";

    public override string Setup =>
        "Lives of 400 random steps: appends of all kinds, records, partial and selective acknowledgments, retransmissions, splits, merges, short memory, a device that holds packets, resets. After each: bought pages = forward_alloc + charged + received, charged = heads of pure buffers + true size of others. At the end nothing is left and each id was notified once.";

    public override string Switch => "one rule, taken away. Four are mistakes that were made in Linux: a constant head size when a buffer is freed, a downgrade by bytes, splice without a downgrade, a third buffer merged unasked. The fifth is a split half that is not pure.";

    public override string Control => "every mistake must be caught, or the audit would prove nothing.";

    public override void Run(DemoSettings settings, ExperimentReport report)
    {
        long steps = settings.Full ? 10_000_000 : 100_000;
        var tally = new AuditTally();
        int violations = 0;
        for (ulong life = 0; tally.Steps < steps; life++)
        {
            if (life % 50 == 0)
            {
                report.Begin($"{tally.Steps} of {steps} steps");
            }

            if (AuditLife.Run(settings.Seed + life, StepsOfALife, settings, Omission.None, tally) is { } wrong)
            {
                violations++;
                if (violations == 1)
                {
                    report.Remarks.Add($"Seed {settings.Seed + life}: {wrong}.");
                }
            }
        }

        report.Add(Kept, s_steps, tally.Steps);
        report.Add(Kept, s_violations, violations);
        report.Add(Kept, s_sends, tally.Sends);
        report.Add(Kept, s_refusals, tally.Refusals);
        report.Add(Kept, s_downgrades, tally.Downgrades);
        report.Add(Kept, s_merges, tally.Merges);
        report.Add(Kept, s_ids, tally.Ids);
        foreach ((string name, Omission rule) in s_bugs)
        {
            for (int run = 0; run < settings.Runs; run++)
            {
                report.Begin($"{name}, run {run + 1} of {settings.Runs}");
                Catch(name, rule, settings.Seed + ((ulong)run * 1_000_000), settings, report);
            }
        }
    }

    /// <summary>Lives until something is wrong; a mistake that the steps of the whole audit do not show is not caught.</summary>
    private static void Catch(string name, Omission rule, ulong seed, DemoSettings settings, ExperimentReport report)
    {
        const int Most = 100_000;
        var tally = new AuditTally();
        string? wrong = null;
        for (ulong life = 0; wrong is null && tally.Steps < Most; life++)
        {
            wrong = AuditLife.Run(seed + life, StepsOfALife, settings, rule, tally);
        }

        report.Add(name, s_violations, wrong is null ? 0 : 1);
        if (wrong is not null)
        {
            report.Add(name, s_caught, tally.Steps);
        }
    }
}
