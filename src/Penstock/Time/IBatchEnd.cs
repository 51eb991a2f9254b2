namespace Penstock.Time;

/// <summary>Something that may keep packets back while a worker's batch lasts, and is told when it ends.</summary>
internal interface IBatchEnd
{
    /// <summary>The batch is over: nothing may be kept back any longer. Runs on the worker, at top level, owning nothing.</summary>
    void OnBatchEnd(Worker worker);
}
