namespace Penstock.Drill;

/// <summary>What a run may be told besides the script. The script's own head options win.</summary>
public sealed class DrillRunOptions
{
    /// <summary>Seed of the stack's random choices; equal seeds give equal packets. 1 by default.</summary>
    public ulong Seed { get; set; } = 1;

    /// <summary>
    /// How far from its written time an event may happen, unless the script says so itself (<c>--tolerance_usecs</c>). Zero by default: virtual time is
    /// exact. Scripts written for a real clock want packetdrill's 4 ms.
    /// </summary>
    public TimeSpan Tolerance { get; set; }

    /// <summary>Fails a script when the stack has sent packets that it has not looked at when it ends. False by default, as packetdrill does it.</summary>
    public bool FailOnUnreadPackets { get; set; }

    /// <summary>Compares the echoed timestamps too. False by default, as packetdrill does it.</summary>
    public bool CompareEchoedTimestamps { get; set; }

    /// <summary>Takes every packet as a pcapng capture with virtual time stamps; null for none. Left open.</summary>
    public Stream? Capture { get; set; }
}

/// <summary>
/// Runs packet scripts against a fresh stack in virtual time: milliseconds of real time a script, no root, no network, the same packets every time.
/// </summary>
/// <remarks>Thread-safe: any number of scripts may run side by side; they share nothing.</remarks>
public static class DrillRunner
{
    /// <summary>Runs a script to its end or its first failure. Never throws for what a script does.</summary>
    /// <param name="script">The parsed script.</param>
    /// <param name="options">Null for the defaults.</param>
    public static DrillResult Run(Script script, DrillRunOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(script);
        return new ScriptRun(script, options ?? new DrillRunOptions()).Run();
    }
}
