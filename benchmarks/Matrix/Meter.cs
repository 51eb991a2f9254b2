namespace Penstock.Benchmarks.Matrix;

/// <summary>Counts what a receiver reads. One thread adds, any reads.</summary>
internal sealed class Meter
{
    private readonly long _begin = TimeProvider.System.GetTimestamp();
    private long _bytes;
    private double _latest;
    private double _longestGap;

    public double Seconds => TimeProvider.System.GetElapsedTime(_begin).TotalSeconds;

    public long Bytes => Interlocked.Read(ref _bytes);

    public void Add(int bytes)
    {
        double now = Seconds;
        Volatile.Write(ref _longestGap, Math.Max(Volatile.Read(ref _longestGap), now - _latest));
        Volatile.Write(ref _latest, now);
        Interlocked.Add(ref _bytes, bytes);
    }

    /// <summary>The longest time without a byte, the time since the last one included.</summary>
    public double LongestGap(double now) => Math.Max(Volatile.Read(ref _longestGap), now - Volatile.Read(ref _latest));
}
