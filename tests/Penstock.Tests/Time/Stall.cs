using Penstock.Time;

namespace Penstock.Tests.Time;

/// <summary>Has a worker stand still at the end of its batch, as one whose thread gets no processor does: time passes for everybody else.</summary>
internal sealed class Stall(VirtualTime time, TimeSpan duration, Action? begins = null) : WorkItem, IWakeTarget
{
    IWakeTarget? IWakeTarget.NextWake { get; set; }

    bool IWakeTarget.WakeCollected { get; set; }

    public override void OnWorker(Worker worker) => worker.CollectWake(this);

    public void FireWake()
    {
        begins?.Invoke();
        time.Elapse(duration.Ticks * 100);
    }
}
