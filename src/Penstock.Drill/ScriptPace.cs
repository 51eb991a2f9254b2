using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;
using Penstock.Bsd;
using Penstock.Time;

namespace Penstock.Drill;

/// <summary>
/// How the calls of a script wait. One at a time may: it has a thread of its own, and that thread and the script's take turns, so that only one of them ever runs and every run is
/// the same. Any other call that has to wait ends the run.
/// </summary>
internal sealed class ScriptPace(VirtualTime time) : Pace
{
    private readonly object _gate = new();
    private bool _isCallsTurn;
    private int _callThread;
    private CallWaiter? _waiter;
    private long _deadlineNanos;
    private bool _isGivenUp;
    private ExceptionDispatchInfo? _thrown;

    public override long NowNanos => time.NowNanos;

    /// <summary>When the call that waits will wait no longer; <see cref="Pace.Never"/> also when none does.</summary>
    public long DeadlineNanos => _waiter is null ? Never : _deadlineNanos;

    /// <summary>The call that waits can go on.</summary>
    public bool IsDue => _waiter is { } waiter && IsOver(waiter, _deadlineNanos);

    /// <summary>Makes a call that may wait; returns when it does, or has ended.</summary>
    public void Begin(Action call)
    {
        var thread = new Thread(() => Run(call)) { IsBackground = true, Name = "drill call" };
        _callThread = thread.ManagedThreadId;
        thread.Start();
        Continue();
    }

    /// <summary>Lets the call that waits go on; returns when it waits again, or has ended.</summary>
    public void Continue()
    {
        _waiter = null;
        Pass(toCall: true);
        if (Interlocked.Exchange(ref _thrown, null) is { } thrown)
        {
            thrown.Throw();
        }
    }

    /// <summary>The run is over: a call that waits ends now, with nothing done.</summary>
    public void GiveUp()
    {
        _isGivenUp = true;
        if (_waiter is not null)
        {
            Continue();
        }
    }

    public override bool Wait(CallWaiter waiter, long deadlineNanos)
    {
        if (!IsOver(waiter, deadlineNanos))
        {
            if (_isGivenUp)
            {
                throw new OperationCanceledException();
            }

            if (Environment.CurrentManagedThreadId != _callThread)
            {
                throw DrillStop.Failed("the call would wait here; if it should, write when it returns, as in 0...0.1");
            }

            (_waiter, _deadlineNanos) = (waiter, deadlineNanos);
            Pass(toCall: false);
            if (_isGivenUp)
            {
                throw new OperationCanceledException();
            }
        }

        return waiter.IsSignaled;
    }

    public override void Sleep(long nanos) => time.RunUntil(time.NowNanos + nanos);

    private bool IsOver(CallWaiter waiter, long deadlineNanos) => waiter.IsSignaled || time.NowNanos >= deadlineNanos;

    /// <summary>Gives the turn to the other thread, and waits until it comes back.</summary>
    private void Pass(bool toCall)
    {
        lock (_gate)
        {
            _isCallsTurn = toCall;
            Monitor.PulseAll(_gate);
            WaitForTurn(!toCall);
        }
    }

    private void WaitForTurn(bool calls)
    {
        while (_isCallsTurn != calls)
        {
            Monitor.Wait(_gate);
        }
    }

    [SuppressMessage("Design", "CA1031", Justification = "Whatever it is, it is thrown on the script's thread.")]
    private void Run(Action call)
    {
        lock (_gate)
        {
            WaitForTurn(calls: true);
        }

        try
        {
            call();
        }
        catch (OperationCanceledException) when (_isGivenUp)
        {
        }
        catch (Exception thrown)
        {
            _thrown = ExceptionDispatchInfo.Capture(thrown);
        }

        lock (_gate)
        {
            _isCallsTurn = false;
            Monitor.PulseAll(_gate);
        }
    }
}
