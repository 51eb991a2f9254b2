namespace Penstock.Tests;

/// <summary>What the tests of "no allocation per packet" allow.</summary>
internal static class Allocations
{
    /// <summary>
    /// Bytes that the runtime may count on a test's thread without an object being made: a collection that another test causes counts the unused rest of the thread's
    /// allocation context, up to 8 KiB each. Far below what one object for each of the packets of such a test would be.
    /// </summary>
    public const long OnceOnly = 16 * 1024;
}
