namespace Penstock.Tool.Demo;

/// <summary>When a long send looks at its backlog: the switch that most of these experiments turn.</summary>
internal sealed record FlushPolicy(string Name, int Buffers, long BudgetNanos)
{
    /// <summary>Never: as before the first patch.</summary>
    public static readonly FlushPolicy Off = new("off", 0, 0);

    /// <summary>Before each new buffer: the first patch (2016).</summary>
    public static readonly FlushPolicy One = new("1", 1, 0);

    /// <summary>Before each sixteenth new buffer: Linux since 2019.</summary>
    public static readonly FlushPolicy Sixteen = new("16", 16, 0);

    /// <summary>Every sixteenth buffer or after a millisecond, inside a buffer too: this stack's default.</summary>
    public static readonly FlushPolicy Adaptive = new("adaptive", 16, 1_000_000);

    public static readonly IReadOnlyList<FlushPolicy> All = [Off, Sixteen, One, Adaptive];

    /// <summary>The policies that an experiment compares: all of them, or the one that the command line fixed.</summary>
    public static IReadOnlyList<FlushPolicy> For(DemoSettings settings) => settings.Flush is { } only ? [only] : All;

    public static bool TryParse(string text, out FlushPolicy? policy)
    {
        policy = All.FirstOrDefault(p => p.Name.Equals(text, StringComparison.OrdinalIgnoreCase));
        return policy is not null;
    }

    public void ApplyTo(NetworkStack stack)
    {
        stack.Tcp.Settings.BacklogFlushBuffers = Buffers;
        stack.Tcp.Settings.BacklogFlushBudgetNanos = BudgetNanos;
    }
}
