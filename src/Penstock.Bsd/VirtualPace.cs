using Penstock.Time;

namespace Penstock.Bsd;

/// <summary>
/// Virtual time for callers on any number of threads. One gate is held by whoever is inside of a call, so that the stack, which knows one thread, sees one at a time. Time
/// stands still but when somebody sleeps, or the leader, the thread that made the stack, waits; it then jumps from event to event. Another thread that blocks really sleeps, and is let
/// go at the very moment at which its call can end: time stands still until it has read the clock.
/// </summary>
internal sealed class VirtualPace(VirtualTime time) : Pace
{
    /// <summary>How long, in real time, the leader waits for a thread whose call has ended to look at the clock. One that never does costs this once.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromMilliseconds(300);

    private readonly object _gate = new();
    private readonly List<Sleeper> _sleepers = [];
    private readonly HashSet<int> _returning = [];
    private readonly int _leader = Environment.CurrentManagedThreadId;
    private bool _letBreathe;

    [ThreadStatic]
    private static bool _hasWaited;

    /// <summary>Set: called at every step of time, with the gate held.</summary>
    public Action? OnStep { get; set; }

    public override long NowNanos => time.NowNanos;

    public override void Enter()
    {
        Monitor.Enter(_gate);
        Arrive();
    }

    public override void Exit()
    {
        try
        {
            time.RunReady();
            if (_hasWaited)
            {
                // Whoever lets time pass waits until this thread has read the clock.
                _hasWaited = false;
                _returning.Add(Environment.CurrentManagedThreadId);
                Monitor.PulseAll(_gate);
            }
            else
            {
                LetOthersRun();
            }
        }
        finally
        {
            Monitor.Exit(_gate);
        }
    }

    public override bool Wait(CallWaiter waiter, long deadlineNanos)
    {
        time.RunReady();
        if (Environment.CurrentManagedThreadId == _leader)
        {
            // Nobody else would make time pass.
            return WaitAsLeader(waiter, deadlineNanos);
        }

        var sleeper = new Sleeper(waiter, deadlineNanos);
        _sleepers.Add(sleeper);
        Monitor.PulseAll(_gate);
        while (!sleeper.IsDue(time.NowNanos))
        {
            Monitor.Wait(_gate);
        }

        _sleepers.Remove(sleeper);
        _hasWaited = true;
        return waiter.IsSignaled;
    }

    /// <summary>The time; each look at it costs a microsecond, so that who polls the clock gets somewhere.</summary>
    public long ReadClock()
    {
        lock (_gate)
        {
            bool returns = Arrive();
            long now = time.NowNanos;
            if (!returns)
            {
                Step(now + Nanos.PerMicrosecond);
            }

            return now;
        }
    }

    public override void Sleep(long nanos)
    {
        Breathe();
        lock (_gate)
        {
            Arrive();
            Step(time.NowNanos + nanos);
        }

        Breathe();
    }

    /// <summary>Lets time pass until <paramref name="done"/>; false when nothing is left to happen, or at <paramref name="deadlineNanos"/>.</summary>
    public bool RunUntil(Func<bool> done, long deadlineNanos)
    {
        Breathe();
        lock (_gate)
        {
            Arrive();
            while (true)
            {
                time.RunReady();
                LetOthersRun();
                if (done())
                {
                    return true;
                }

                long next = NextNanos();
                if (next == Never || next > deadlineNanos)
                {
                    return false;
                }

                time.RunUntil(next);
                OnStep?.Invoke();
            }
        }
    }

    private bool WaitAsLeader(CallWaiter waiter, long deadlineNanos)
    {
        while (!waiter.IsSignaled && time.NowNanos < deadlineNanos)
        {
            long next = Math.Min(NextNanos(), deadlineNanos);
            if (next == Never)
            {
                // Nothing is planned: only another thread can end this wait.
                Monitor.Wait(_gate);
            }
            else
            {
                time.RunUntil(next);
                OnStep?.Invoke();
            }

            time.RunReady();
            LetOthersRun();
        }

        return waiter.IsSignaled;
    }

    private void Step(long untilNanos)
    {
        while (true)
        {
            time.RunReady();
            LetOthersRun();
            long next = Math.Min(NextNanos(), untilNanos);
            if (next > time.NowNanos)
            {
                time.RunUntil(next);
                OnStep?.Invoke();
            }

            if (time.NowNanos >= untilNanos && !time.HasWork && !AnyDue())
            {
                return;
            }
        }
    }

    private long NextNanos()
    {
        long next = time.NextEventNanos;
        foreach (Sleeper sleeper in _sleepers)
        {
            next = Math.Min(next, sleeper.DeadlineNanos);
        }

        return next;
    }

    private bool AnyDue()
    {
        foreach (Sleeper sleeper in _sleepers)
        {
            if (sleeper.IsDue(time.NowNanos))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whoever can go on goes on now, at this moment of virtual time, until it waits again or has ended its call and looked at the clock.</summary>
    private void LetOthersRun()
    {
        if (!AnyDue() && _returning.Count == 0)
        {
            return;
        }

        _letBreathe = true;
        long limit = TimeProvider.System.GetTimestamp() + (long)(Grace.TotalSeconds * TimeProvider.System.TimestampFrequency);
        while (AnyDue() || _returning.Count > 0)
        {
            Monitor.PulseAll(_gate);
            if (!Monitor.Wait(_gate, Grace) || TimeProvider.System.GetTimestamp() > limit)
            {
                _returning.Clear();
                if (!AnyDue())
                {
                    return;
                }
            }
        }
    }

    /// <summary>True when the leader has waited for this.</summary>
    private bool Arrive()
    {
        bool awaited = _returning.Remove(Environment.CurrentManagedThreadId);
        if (awaited)
        {
            Monitor.PulseAll(_gate);
        }

        return awaited;
    }

    /// <summary>A thread whose call has ended in between gets a moment of real time to note that, while the leader holds nothing.</summary>
    private void Breathe()
    {
        if (_letBreathe)
        {
            _letBreathe = false;
#pragma warning disable RS0030 // real time of other threads, not the stack's
            Thread.Sleep(3);
#pragma warning restore RS0030
        }
    }

    private sealed record Sleeper(CallWaiter Waiter, long DeadlineNanos)
    {
        public bool IsDue(long now) => Waiter.IsSignaled || now >= DeadlineNanos;
    }
}
