namespace Penstock.Ip;

/// <summary>Whatever is found by a <see cref="FlowKey"/>: a connection, or the small entries that stand for one before and after its life.</summary>
internal abstract class FlowEntry
{
    internal FlowKey Key;
    internal uint KeyHash;

    /// <summary>Chain of the hash bucket; its gate guards it.</summary>
    internal FlowEntry? NextInBucket;

    /// <summary>True while the table holds this entry; the bucket's gate guards it. Whoever has found it before may look without (<see cref="FlowTable.Find(in FlowKey, ref FlowEntry)"/>).</summary>
    internal bool IsFiled;
}
