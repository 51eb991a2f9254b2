using Penstock.Tcp;
using Penstock.Time;

namespace Penstock.Tool.Demo.Lab;

/// <summary>
/// What a copy costs in virtual time: each byte its share of the memory's speed, and the first touch of each page a fault that goes to a disk or to another process. Faults vary by a tenth, by the seed.
/// Fed through the send loop's own seam, so the send path that runs is the one that ships.
/// </summary>
internal sealed class CopyModel(VirtualTime time, int faultMicros, double nanosPerByte, ulong seed) : ICopySeam
{
    public const int Page = 4096;

    /// <summary>Memory that copies 10 GB a second.</summary>
    public const double WarmNanosPerByte = 0.1;

    private readonly Random _random = new((int)seed);
    private long _copied;

    /// <summary>Called before each copy's time passes.</summary>
    public Action? OnChunk { get; init; }

    public void OnCopied(int bytes)
    {
        OnChunk?.Invoke();
        long pages = PagesBelow(_copied + bytes) - PagesBelow(_copied);
        _copied += bytes;
        double nanos = bytes * nanosPerByte;
        for (long i = 0; i < pages; i++)
        {
            nanos += faultMicros * (900 + (_random.NextDouble() * 200));
        }

        time.Elapse((long)nanos);
    }

    private static long PagesBelow(long offset) => (offset + Page - 1) / Page;
}
