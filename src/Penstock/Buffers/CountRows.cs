namespace Penstock.Buffers;

/// <summary>
/// Sums to which every packet adds. A thread has a row of its own, found by its managed id, which no other living thread has: to add is a plain addition, and no two processors count in one line of memory.
/// Threads that came late share a row with interlocked additions.
/// </summary>
internal sealed class CountRows(int columns)
{
    private const int Rows = 128;

    /// <summary>Places left free at both ends of a row: a line of memory between it and what the runtime puts beside it.</summary>
    private const int Margin = 8;

    private readonly long[]?[] _rows = new long[Rows][];
    private readonly long[] _shared = new long[columns];

    public long this[int column]
    {
        get
        {
            long sum = Volatile.Read(ref _shared[column]);
            foreach (long[]? row in _rows)
            {
                sum += row is null ? 0 : Volatile.Read(ref row[column + Margin]);
            }

            return sum;
        }
    }

    public void Add(int column, long count)
    {
        int thread = CurrentThread.Id;
        long[]?[] rows = _rows;
        if ((uint)thread >= (uint)rows.Length)
        {
            Interlocked.Add(ref _shared[column], count);
            return;
        }

        long[] row = rows[thread] ?? Begin(thread);
        row[column + Margin] += count;
    }

    /// <summary>Adds to two columns in one go.</summary>
    public void Add(int first, long firstCount, int second, long secondCount)
    {
        int thread = CurrentThread.Id;
        long[]?[] rows = _rows;
        if ((uint)thread >= (uint)rows.Length)
        {
            Interlocked.Add(ref _shared[first], firstCount);
            Interlocked.Add(ref _shared[second], secondCount);
            return;
        }

        long[] row = rows[thread] ?? Begin(thread);
        row[first + Margin] += firstCount;
        row[second + Margin] += secondCount;
    }

    /// <summary>Adds one to three columns in one go.</summary>
    public void AddOneTo(int first, int second, int third)
    {
        int thread = CurrentThread.Id;
        long[]?[] rows = _rows;
        if ((uint)thread >= (uint)rows.Length)
        {
            Interlocked.Increment(ref _shared[first]);
            Interlocked.Increment(ref _shared[second]);
            Interlocked.Increment(ref _shared[third]);
            return;
        }

        long[] row = rows[thread] ?? Begin(thread);
        row[first + Margin]++;
        row[second + Margin]++;
        row[third + Margin]++;
    }

    private long[] Begin(int thread) => _rows[thread] = new long[columns + (2 * Margin)];
}
