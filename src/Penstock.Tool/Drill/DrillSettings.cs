using Penstock.Drill;

namespace Penstock.Tool.Drill;

/// <summary>What a run of <c>penstock drill</c> was asked for.</summary>
internal sealed record DrillSettings
{
    public required IReadOnlyList<ScriptFile> Scripts { get; init; }

    public IReadOnlyDictionary<string, string> Defines { get; init; } = new Dictionary<string, string>();

    public IReadOnlyList<KeyValuePair<string, string>> Sysctls { get; init; } = [];

    /// <summary>The folder for captures; null keeps none.</summary>
    public string? Captures { get; init; }

    public bool KeepsAllCaptures { get; init; }

    public bool Verbose { get; init; }

    public bool Quiet { get; init; }

    public ulong Seed { get; init; } = 1;

    /// <summary>Null: packetdrill's.</summary>
    public TimeSpan? Tolerance { get; init; }

    public bool Strict { get; init; }

    /// <summary>A setting that does not exist is said once, before anything runs.</summary>
    public void CheckSysctls()
    {
        try
        {
            DrillRunner.Run(Script.Parse("0 `true`"), RunOptions());
        }
        catch (Exception wrong) when (wrong is ArgumentException or KeyNotFoundException or InvalidOperationException)
        {
            throw ToolFailure.Usage(wrong.Message);
        }
    }

    public DrillRunOptions RunOptions()
    {
        var options = new DrillRunOptions
        {
            Seed = Seed,
            Tolerance = Tolerance ?? DrillRunOptions.PacketdrillTolerance,
            FailOnUnreadPackets = Strict,
            CompareEchoedTimestamps = Strict,
        };
        foreach ((string key, string value) in Sysctls)
        {
            options.Sysctls[key] = value;
        }

        return options;
    }
}
