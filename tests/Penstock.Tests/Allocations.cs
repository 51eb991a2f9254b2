namespace Penstock.Tests;

/// <summary>What the tests of "no allocation per packet" allow.</summary>
internal static class Allocations
{
    /// <summary>
    /// Bytes that the runtime itself may allocate on a test's thread, once, when it recompiles or loads something in the middle of it. Far below what one object for each of the
    /// packets of such a test would be.
    /// </summary>
    public const long OnceOnly = 4096;
}
