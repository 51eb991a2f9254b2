namespace Penstock.Tool;

/// <summary>A failure that the user can do something about: one line for stderr that says what, and the exit code.</summary>
internal sealed class ToolFailure : Exception
{
    private ToolFailure(string message, int exitCode, Exception? inner)
        : base(message, inner) => ExitCode = exitCode;

    public int ExitCode { get; }

    /// <summary>The arguments are wrong: exit code 2.</summary>
    public static ToolFailure Usage(string message) => new(message, PenstockCommand.UsageError, null);

    /// <summary>The machine does not allow it, as a busy port or a missing privilege: exit code 1.</summary>
    public static ToolFailure Environment(string message, Exception? inner = null) => new(message, PenstockCommand.Failure, inner);
}
