using Penstock.Time;

namespace Penstock.Tool.Demo.Lab;

/// <summary>Does something again and again on a worker, also while an application's call lasts: application code can not run then, timers can.</summary>
internal sealed class Ticker : TimerEntry
{
    private readonly Worker _worker;
    private readonly long _everyNanos;
    private readonly Action<long> _tick;
    private volatile bool _stopped;

    private Ticker(Worker worker, long everyNanos, Action<long> tick)
    {
        _worker = worker;
        _everyNanos = everyNanos;
        _tick = tick;
    }

    /// <summary>The first tick comes one interval from now.</summary>
    public static Ticker Start(Worker worker, long everyNanos, Action<long> tick)
    {
        var ticker = new Ticker(worker, everyNanos, tick);
        worker.Arm(ticker, worker.NowNanos + everyNanos);
        return ticker;
    }

    public void Stop() => _stopped = true;

    public override void OnTimer(long nowNanos)
    {
        if (!_stopped)
        {
            _tick(nowNanos);
            _worker.Arm(this, nowNanos + _everyNanos);
        }
    }
}
