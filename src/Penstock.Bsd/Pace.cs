using Penstock.Time;

namespace Penstock.Bsd;

/// <summary>How calls wait and what time it is: real, or virtual.</summary>
internal abstract class Pace
{
    /// <summary>No deadline.</summary>
    public const long Never = long.MaxValue;

    public abstract long NowNanos { get; }

    /// <summary>A call begins.</summary>
    public virtual void Enter()
    {
    }

    /// <summary>A call ends.</summary>
    public virtual void Exit()
    {
    }

    /// <summary>Waits until the waiter was signaled, true, or the deadline has passed, false. Between <see cref="Enter"/> and <see cref="Exit"/>.</summary>
    public abstract bool Wait(CallWaiter waiter, long deadlineNanos);

    /// <summary>Lets time pass for the caller.</summary>
    public abstract void Sleep(long nanos);

    /// <summary>The deadline of a wait of <paramref name="milliseconds"/>; a negative number waits for ever.</summary>
    public long After(long milliseconds) => milliseconds < 0 ? Never : NowNanos + (milliseconds * Nanos.PerMillisecond);
}

/// <summary>Real time: the stack runs on threads of its own, and calls wait for them.</summary>
internal sealed class RealPace : Pace
{
    private readonly long _start = TimeProvider.System.GetTimestamp();

    public override long NowNanos => TimeProvider.System.GetElapsedTime(_start).Ticks * 100;

    public override bool Wait(CallWaiter waiter, long deadlineNanos)
    {
        while (true)
        {
            int milliseconds = Timeout.Infinite;
            if (deadlineNanos != Never)
            {
                long left = deadlineNanos - NowNanos;
                if (left <= 0)
                {
                    return waiter.IsSignaled;
                }

                milliseconds = (int)Math.Min(int.MaxValue, (left + Nanos.PerMillisecond - 1) / Nanos.PerMillisecond);
            }

            if (waiter.Wait(milliseconds))
            {
                return true;
            }
        }
    }

    public override void Sleep(long nanos)
    {
        long end = NowNanos + nanos;
        for (long left = nanos; left > 0; left = end - NowNanos)
        {
            if (left >= 2 * Nanos.PerMillisecond)
            {
#pragma warning disable RS0030 // usleep is what its caller asks for
                Thread.Sleep((int)(left / Nanos.PerMillisecond) - 1);
#pragma warning restore RS0030
            }
            else
            {
                Thread.SpinWait(50);
            }
        }
    }
}
