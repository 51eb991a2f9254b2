using Penstock.Sockets;

namespace Penstock.Drill;

/// <summary>What a socket call gave back: a result, or -1 and an error; and what it wrote through its pointers, by argument.</summary>
internal sealed record CallOutcome(long Result, Errno Error = Errno.None)
{
    /// <summary>Values the call wrote, to be compared with what the script writes in the argument's place: a sentence about the first difference, or null.</summary>
    public string? OutputMismatch { get; init; }

    public static CallOutcome Fail(Errno error) => new(-1, error);
}

/// <summary>A call that has been made and may have to wait: it is tried again whenever something has happened.</summary>
/// <param name="attempt">Gives the outcome, or null while the call has to wait. Keeps what it has done so far.</param>
internal sealed class SystemCallAttempt(Func<CallOutcome?> attempt)
{
    private readonly Func<CallOutcome?> _attempt = attempt;
    private readonly Func<CallOutcome?>? _onTimeout;

    /// <summary>How long the call itself wants to wait (poll's timeout); null for ever.</summary>
    public long? TimeoutNanos { get; init; }

    /// <summary>What it gives back when that time is over.</summary>
    public Func<CallOutcome?> OnTimeout
    {
        get => _onTimeout ?? _attempt;
        init => _onTimeout = value;
    }

    public CallOutcome? Try() => _attempt();
}
