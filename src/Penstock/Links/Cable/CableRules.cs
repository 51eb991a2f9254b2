namespace Penstock.Links;

/// <summary>A direction's options in the units that the packet path works with. Immutable: an update replaces it.</summary>
internal sealed class CableRules(CableOptions options)
{
    private const long NanosPerTick = 100;

    private readonly bool _holdReferences = options.HoldReferences;

    public readonly int Mtu = options.Mtu;
    public readonly long DelayNanos = options.Delay.Ticks * NanosPerTick;
    public readonly long JitterNanos = options.Jitter.Ticks * NanosPerTick;
    public readonly double Loss = options.Loss;
    public readonly double Reorder = options.Reorder;
    public readonly double Duplicate = options.Duplicate;
    public readonly double Corrupt = options.Corrupt;

    /// <summary>Bits per second; 0 is without limit.</summary>
    public readonly long Rate = options.Rate ?? 0;
    public readonly int QueueLimit = options.QueueLimit;
    public readonly long QueueLimitBytes = options.QueueLimitBytes ?? long.MaxValue;

    /// <summary>Checksums are computed here and verified by the receiver.</summary>
    public readonly bool RealChecksums = options.Checksums || options.Corrupt > 0;

    /// <summary>Super-segments cross in one piece.</summary>
    public readonly bool Whole = options.SuperSegments && options.Jitter == TimeSpan.Zero && options.Loss == 0 && options.Reorder == 0
        && options.Duplicate == 0 && options.Corrupt == 0 && options.Rate is null;

    /// <summary>What is sent arrives at once: no choice depends on the time.</summary>
    public readonly bool AtOnce = options.Delay == TimeSpan.Zero && options.Jitter == TimeSpan.Zero && options.Rate is null;

    /// <summary>Nothing happens to packets but that they arrive, at once.</summary>
    public readonly bool IsPlain = options.Delay == TimeSpan.Zero && options.Jitter == TimeSpan.Zero && options.Rate is null && options.Loss == 0
        && options.Reorder == 0 && options.Duplicate == 0 && options.Corrupt == 0;

    /// <summary>The receiver gets references to what an application lent. Only where a packet crosses as it is: what is cut up or summed is gone through byte by byte anyway.</summary>
    public bool PassesReferences => Whole && !RealChecksums && _holdReferences;
}
