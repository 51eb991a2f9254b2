using Penstock.Time;

namespace Penstock.Drill;

/// <summary>What an application under a drill has: the stack, and virtual time.</summary>
public sealed class DrillApplication
{
    private readonly VirtualTime _time;
    private readonly long _startNanos;

    internal DrillApplication(NetworkStack stack, VirtualTime time, long startNanos, CancellationToken stop)
    {
        Stack = stack;
        _time = time;
        _startNanos = startNanos;
        Stop = stop;
    }

    /// <summary>The stack, at address 192.168.0.1 unless the script's head says otherwise; the script's peer is 192.0.2.1.</summary>
    public NetworkStack Stack { get; }

    /// <summary>Canceled when the run is over.</summary>
    public CancellationToken Stop { get; }

    /// <summary>Virtual time since the script began.</summary>
    public TimeSpan Elapsed => TimeSpan.FromTicks((_time.NowNanos - _startNanos) / 100);

    /// <summary>Completes after <paramref name="duration"/> of virtual time. <c>Task.Delay</c> never would: nothing happens outside of the run.</summary>
    public Task Delay(TimeSpan duration)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(duration, TimeSpan.Zero);
        return _time.Delay(duration);
    }
}

/// <summary>Thrown by <see cref="DrillResult.EnsurePassed"/>; the message is the run's whole report.</summary>
public sealed class DrillFailedException : Exception
{
    internal DrillFailedException(DrillResult result)
        : base(result.ToString()) => Result = result;

    /// <summary>What happened.</summary>
    public DrillResult Result { get; }
}
