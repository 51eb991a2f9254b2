namespace Penstock.Drill;

/// <summary>Ends a run: the script failed, or cannot be run here. Never leaves <see cref="ScriptRun"/>.</summary>
internal sealed class DrillStop(DrillOutcome outcome, SourcePosition? at, string message) : Exception(message)
{
    public DrillOutcome Outcome { get; } = outcome;

    /// <summary>Null: where the event being run stands.</summary>
    public SourcePosition? At { get; } = at;

    public static DrillStop Failed(string message) => new(DrillOutcome.Failed, null, message);

    public static DrillStop Skipped(string message) => new(DrillOutcome.Skipped, null, message);
}
