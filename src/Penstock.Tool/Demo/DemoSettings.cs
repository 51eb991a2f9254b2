namespace Penstock.Tool.Demo;

/// <summary>What <c>penstock demo</c> was asked for, checked and complete. A switch that is null was not given: each experiment then chooses for itself, and varies what it is about.</summary>
internal sealed record DemoSettings
{
    /// <summary>First of the seeds; run <c>n</c> of a case uses this one plus <c>n</c>.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Runs of each case in virtual time, each with a seed of its own.</summary>
    public int Runs { get; init; } = 3;

    /// <summary>As many bytes and records as the claim was made for, not what fits a minute.</summary>
    public bool Full { get; init; }

    /// <summary>In real time, on threads.</summary>
    public bool Live { get; init; }

    /// <summary>With <see cref="Live"/>: a TUN device behind which the kernel is a peer too.</summary>
    public string? Tun { get; init; }

    public FlushPolicy? Flush { get; init; }

    public bool? ReleaseCallback { get; init; }

    public bool? AckDefer { get; init; }

    public bool? Coalesce { get; init; }

    /// <summary>True: buffers of one segment; false: of up to 64 KiB.</summary>
    public bool? OneSegment { get; init; }

    /// <summary>Ends each call's last buffer (MSG_EOR).</summary>
    public bool EndOfRecord { get; init; }

    /// <summary>Time that the first touch of a page takes.</summary>
    public int? FaultMicros { get; init; }

    /// <summary>Bytes of the send that is looked at.</summary>
    public int? Message { get; init; }

    public int? SendBuffer { get; init; }

    /// <summary>Whether the payload of pure zero-copy buffers stays uncharged.</summary>
    public bool? PureZeroCopy { get; init; }

    /// <summary>True: a pure buffer that is mixed is charged its bytes, not the pages that they touch: the patch's first form.</summary>
    public bool DowngradeByLength { get; init; }
}
