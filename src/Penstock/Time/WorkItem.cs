namespace Penstock.Time;

/// <summary>Something to be done once on a worker, at top level, owning nothing. Posted again only after it ran.</summary>
internal abstract class WorkItem
{
    internal WorkItem? NextItem;
    internal int Posted;

    public abstract void OnWorker(Worker worker);
}
