using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Where a connection's search for the path's MTU stands (RFC 4821): what is known to pass, what is known not to, and the probe that is under way. Made when probing begins, by setting or because of a black hole.
/// All sizes are those of whole IP packets. The owner's.
/// </summary>
internal sealed class MtuProbing
{
    /// <summary>The largest packet that is known to pass; segments are no larger.</summary>
    public int Low { get; private set; }

    /// <summary>The largest packet that may pass.</summary>
    public int High { get; private set; }

    /// <summary>Size of the probe in flight; 0 for none.</summary>
    public int ProbeSize { get; private set; }

    public SequenceNumber ProbeStart { get; private set; }

    public SequenceNumber ProbeEnd { get; private set; }

    /// <summary>
    /// <see cref="Low"/> bounds segments. On a passive open Linux begins with the path's MTU and bounds it only when something changes: the first probe, the path or the peer's largest window (measured).
    /// </summary>
    public bool IsBounding { get; private set; }

    /// <summary>When the search began.</summary>
    public long SinceNanos { get; private set; }

    /// <summary>Halfway between what passes and what may.</summary>
    public int NextSize => (High + Low) >> 1;

    public int Interval => High - Low;

    public void Begin(int low, int high, long now)
    {
        Low = low;
        High = high;
        ProbeSize = 0;
        SinceNanos = now;
    }

    public void Bound() => IsBounding = true;

    public void BoundHigh(int mtu) => High = Math.Min(High, mtu);

    public void OnSent(int size, SequenceNumber start, SequenceNumber end)
    {
        ProbeSize = size;
        ProbeStart = start;
        ProbeEnd = end;
    }

    /// <summary>The probe arrived: so much passes.</summary>
    public void OnArrived()
    {
        Low = ProbeSize;
        ProbeSize = 0;
        IsBounding = true;
    }

    /// <summary>The probe, and nothing else, was lost: so much does not pass.</summary>
    public void OnLost()
    {
        High = ProbeSize - 1;
        ProbeSize = 0;
        IsBounding = true;
    }

    /// <summary>Something had to be sent again before it was known what became of the probe: that says nothing.</summary>
    public void Abandon() => ProbeSize = 0;

    /// <summary>Not even this passes any more, or so it seems.</summary>
    public void Lower(int low) => Low = low;
}
