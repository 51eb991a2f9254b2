namespace Penstock.Time;

/// <summary>
/// Something that wants to be called at a time. A connection has one entry for all of its deadlines: arming a later one is a
/// write to the connection, and an entry that fires early re-files itself from <see cref="OnTimer"/>.
/// </summary>
internal abstract class TimerEntry
{
    /// <summary>Position in the queue's heap, or -1.</summary>
    internal int HeapIndex = -1;

    /// <summary>When the queue will fire this entry; meaningful while it is filed.</summary>
    internal long FiledNanos = long.MaxValue;

    /// <summary>Order of filing, so that equal deadlines fire in the same order in every run.</summary>
    internal long FiledOrder;

    /// <summary>Runs on the worker at top level, owning nothing. The entry is no longer filed.</summary>
    public abstract void OnTimer(long nowNanos);
}
