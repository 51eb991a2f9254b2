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

    /// <summary>
    /// What packetdrill allows by default: 4 ms, or an eighth of the time since the event before if that is more. For <see cref="Tolerance"/> with scripts
    /// that were written for a real clock.
    /// </summary>
    public static TimeSpan PacketdrillTolerance { get; } = TimeSpan.FromMilliseconds(4);

    /// <summary>Settings of the stack by Linux's names, made before the script's own commands. Empty by default.</summary>
    public IDictionary<string, string> Sysctls { get; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>
    /// Reads a file that a script's command names, as <c>../common/defaults.sh</c>, relative to the script; gives null when there is none. Its lines are looked
    /// up in the same table as commands are, and never run. Null by default: there are no such files.
    /// </summary>
    public Func<string, string?>? ReadFile { get; set; }

    /// <summary>Takes every packet as a pcapng capture with virtual time stamps; null for none. Left open.</summary>
    public Stream? Capture { get; set; }

    /// <summary>Rules that the stack does without, to prove that scripts notice.</summary>
    internal Omission Omitted { get; set; }
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
    /// <exception cref="KeyNotFoundException">One of the <see cref="DrillRunOptions.Sysctls"/> does not exist; the message names the nearest.</exception>
    /// <exception cref="ArgumentOutOfRangeException">One of them does not take its value; the message says which it takes.</exception>
    public static DrillResult Run(Script script, DrillRunOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(script);
        return new ScriptRun(script, options ?? new DrillRunOptions()).Run();
    }
}
