namespace Penstock.Tests;

/// <summary>
/// What the tests of "no allocation per packet" measure: the same round several times, of which one has to be free. What is allocated for each packet is allocated in every round. Two things are not:
/// a collection that another test causes counts the unused rest of this thread's allocation context, up to 8 KiB each time, and on a busy machine several fall into one round; and a pool grows
/// by a few blocks when chance, many rounds later, asks for more at once than ever before.
/// </summary>
internal static class Allocations
{
    /// <summary>Bytes that a round may allocate: its own state machines and one collection or two. Far below one object for each of its packets.</summary>
    public const long OnceOnly = 16 * 1024;

    private const int MostRounds = 8;

    /// <summary>Bytes allocated in the first round that is within <see cref="OnceOnly"/>, or else in the least of all.</summary>
    public static long Least(Action round) => Least(round, GC.GetAllocatedBytesForCurrentThread, OnceOnly);

    /// <summary>Bytes allocated in the first round that is within <paramref name="allowed"/>, or else in the least of all; <paramref name="soFar"/> says what the thread that does the work has allocated.</summary>
    public static long Least(Action round, Func<long> soFar, long allowed)
    {
        long least = long.MaxValue;
        for (int i = 0; i < MostRounds && least > allowed; i++)
        {
            long before = soFar();
            round();
            least = Math.Min(least, soFar() - before);
        }

        return least;
    }

    /// <inheritdoc cref="Least(Action)"/>
    /// <remarks>All of it has to run on one thread, as it does in virtual time.</remarks>
    public static async Task<long> LeastAsync(Func<Task> round)
    {
        long least = long.MaxValue;
        for (int i = 0; i < MostRounds && least > OnceOnly; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            await round();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }
}
