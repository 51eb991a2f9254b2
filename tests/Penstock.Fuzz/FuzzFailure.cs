namespace Penstock.Fuzz;

/// <summary>The stack broke a promise under a fuzzed input.</summary>
public sealed class FuzzFailureException : Exception
{
    /// <summary>Makes an empty failure.</summary>
    public FuzzFailureException()
    {
    }

    /// <summary>Says which promise was broken.</summary>
    public FuzzFailureException(string message)
        : base(message)
    {
    }

    /// <summary>Says which promise was broken, and by what.</summary>
    public FuzzFailureException(string message, Exception inner)
        : base(message, inner)
    {
    }

    internal static void Unless(bool condition, string promise)
    {
        if (!condition)
        {
            throw new FuzzFailureException(promise);
        }
    }

    internal static void IfWrong(string? wrong)
    {
        if (wrong is not null)
        {
            throw new FuzzFailureException(wrong);
        }
    }
}
