namespace Penstock.Drill;

/// <summary>How a run of a script ended.</summary>
public enum DrillOutcome
{
    /// <summary>The stack did all that the script expects.</summary>
    Passed,

    /// <summary>It did something else; <see cref="DrillResult.Message"/> says what and where.</summary>
    Failed,

    /// <summary>The script needs something that this runner or the stack does not have; <see cref="DrillResult.Message"/> says what.</summary>
    Skipped,
}

/// <summary>The result of one run. Immutable.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Message">Null when it passed, else the place in the script, what was expected and what happened.</param>
/// <param name="Packets">Every packet until then, in order, with its time, as script lines.</param>
/// <param name="Output">What the script printed.</param>
/// <param name="Duration">The virtual time the script took.</param>
public sealed record DrillResult(
    DrillOutcome Outcome, string? Message, IReadOnlyList<string> Packets, IReadOnlyList<string> Output, TimeSpan Duration)
{
    /// <summary>Gives the result back when the script passed, and throws otherwise, also when it was skipped: a test that shows nothing is no test.</summary>
    /// <exception cref="DrillFailedException">It failed or was skipped; the message is the whole report.</exception>
    public DrillResult EnsurePassed() => Outcome == DrillOutcome.Passed ? this : throw new DrillFailedException(this);

    /// <summary>The message, and below it the packets so far: everything somebody needs to see why a script failed.</summary>
    public override string ToString() => Outcome == DrillOutcome.Passed
        ? "passed"
        : Packets.Count == 0 ? Message ?? "" : $"{Message}\npackets so far:\n    {string.Join("\n    ", Packets)}";
}
