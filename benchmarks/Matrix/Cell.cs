using System.Globalization;

namespace Penstock.Benchmarks.Matrix;

/// <summary>What a path does to packets, the same in both directions: half of the round-trip time each, and each its own loss and reordering.</summary>
internal sealed record Cell(int Megabits, int RoundTripMilliseconds, double LossPercent = 0, double ReorderPercent = 0)
{
    private const int LeastQueueBytes = 45_000;
    private const double LeastQueueSeconds = 0.005;
    private const double LosslessSeconds = 5;

    private static readonly int[] s_rates = [1, 10, 100, 1000];

    private static readonly Cell[] s_paths =
    [
        new(0, 1), new(0, 20), new(0, 200),
        new(0, 1, LossPercent: 5), new(0, 20, LossPercent: 1), new(0, 200, LossPercent: 1),
        new(0, 50, ReorderPercent: 5), new(0, 100, ReorderPercent: 20),
        new(0, 50, LossPercent: 1, ReorderPercent: 5),
    ];

    /// <summary>A path that does nothing to packets and loses none: whatever is sent again over it was sent again for nothing.</summary>
    public static Cell Lossless { get; } = new(0, 0);

    /// <summary>All of them, by rate, then by path.</summary>
    public static Cell[] All { get; } = [.. s_rates.SelectMany(rate => s_paths.Select(path => path with { Megabits = rate }))];

    /// <summary>As in <c>10mbit-50ms-1%-r5%</c>.</summary>
    public string Name => this == Lossless ? "lossless" : $"{Rate}-{Path}";

    public string Rate => string.Create(CultureInfo.InvariantCulture, $"{Megabits}mbit");

    /// <summary>The name without the rate.</summary>
    public string Path => string.Create(CultureInfo.InvariantCulture, $"{RoundTripMilliseconds}ms{(LossPercent > 0 ? $"-{LossPercent:0.##}%" : "")}{(ReorderPercent > 0 ? $"-r{ReorderPercent:0.##}%" : "")}");

    public string Kind => (LossPercent > 0, ReorderPercent > 0) switch { (false, false) => "clean", (true, false) => "loss", (false, true) => "reordering", _ => "loss and reordering" };

    /// <summary>Slow transfers leave a processor idle: all of a cell's can be under way at once, which is fair, since they meet the same disturbances. Losses and overtaking make all of them slow.</summary>
    public bool RunsAtOnce => Megabits is > 0 and <= 10 || LossPercent > 0 || ReorderPercent > 0;

    /// <summary>
    /// Where packets only overtake, a transfer is slow until its sender happens to see how far they do, for Linux to Linux too: some are ten times as fast as others, and a median of few says nothing. Such a
    /// cell is measured until the mean is known well enough, and the mean is that of logarithms, for which a transfer that is twice as fast weighs as much as one that is half as fast.
    /// </summary>
    public bool IsErratic => ReorderPercent > 0 && LossPercent == 0;

    /// <summary>How many times over the seeds are taken at most, each time with new ones.</summary>
    public int MostGoes => IsErratic ? 12 : 1;

    /// <summary>How long a transfer is watched: longer where round trips or losses are few, which is no matter where all run at once.</summary>
    public double Seconds => this == Lossless ? LosslessSeconds : RoundTripMilliseconds switch { >= 200 => 5, >= 100 => 4, >= 50 => 3, _ => 2 } * (IsErratic ? 5 : RunsAtOnce ? 3 : 1);

    public CableOptions ToCable(ulong seed)
    {
        long rate = Megabits * 1_000_000L;
        double queueSeconds = Math.Max(RoundTripMilliseconds / 1000.0, LeastQueueSeconds);
        return new CableOptions
        {
            Name = "path",
            Rate = Megabits > 0 ? rate : null,
            Delay = TimeSpan.FromMilliseconds(RoundTripMilliseconds / 2.0),
            Loss = LossPercent / 100,
            Reorder = ReorderPercent / 100,
            Seed = seed,

            // What a router of that path would have: a round trip's worth. Bytes are what limits, so that it does the same for all packet sizes.
            QueueLimit = 1_000_000,
            QueueLimitBytes = Math.Max((long)(rate / 8 * queueSeconds), LeastQueueBytes),

            // On a device each packet arrives by itself, and the kernel looks at its checksum.
            SuperSegments = false,
            MergeReceived = false,
            Checksums = true,
        };
    }
}
