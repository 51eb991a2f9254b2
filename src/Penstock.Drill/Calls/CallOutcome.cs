using Penstock.Sockets;

namespace Penstock.Drill;

/// <summary>What a socket call gave back, as the kernel does: less than 0 is an error number with its sign turned.</summary>
internal sealed record CallOutcome(int Result)
{
    public Errno Error => Result < 0 ? (Errno)(-Result) : Errno.None;

    /// <summary>What the call wrote through its pointers is not what the script writes there: a sentence about the first difference, or null.</summary>
    public string? OutputMismatch { get; init; }
}
