using Penstock.Bsd;
using Penstock.Drill;
using Penstock.Time;

namespace Penstock.Tests.Drill;

/// <summary>The script and the one call that waits take turns.</summary>
public class ScriptPaceTests
{
    private readonly VirtualTime _time = new();
    private readonly ScriptPace _pace;
    private readonly CallWaiter _waiter = new();
    private readonly List<string> _log = [];

    public ScriptPaceTests() => _pace = new ScriptPace(_time);

    private void Call(long deadlineNanos = Pace.Never)
    {
        _log.Add("begins");
        try
        {
            _log.Add(_pace.Wait(_waiter, deadlineNanos) ? "woken" : "late");
        }
        finally
        {
            _log.Add("ends");
        }
    }

    [Fact]
    public void A_call_goes_on_when_it_was_woken_and_the_script_lets_it()
    {
        _pace.Begin(() => Call());
        _log.Add("script");
        Assert.False(_pace.IsDue);
        _waiter.Notify(PollMask.Any);
        Assert.True(_pace.IsDue);
        _log.Add("script");
        _pace.Continue();
        Assert.Equal(["begins", "script", "script", "woken", "ends"], _log);
        Assert.False(_pace.IsDue);
    }

    [Fact]
    public void A_call_goes_on_when_its_time_is_over()
    {
        _pace.Begin(() => Call(_time.NowNanos + 100));
        Assert.Equal(_time.NowNanos + 100, _pace.DeadlineNanos);
        _time.RunUntil(_pace.DeadlineNanos);
        Assert.True(_pace.IsDue);
        _pace.Continue();
        Assert.Equal(["begins", "late", "ends"], _log);
        Assert.Equal(Pace.Never, _pace.DeadlineNanos);
    }

    [Fact]
    public void What_a_call_throws_comes_to_the_script()
    {
        Assert.Throws<TimeZoneNotFoundException>(() => _pace.Begin(() => throw new TimeZoneNotFoundException()));
        _pace.Begin(() =>
        {
            Call();
            throw new TimeZoneNotFoundException();
        });
        _waiter.Notify(PollMask.Any);
        Assert.Throws<TimeZoneNotFoundException>(_pace.Continue);
    }

    [Fact]
    public void A_call_that_waits_is_unwound_when_the_run_is_over()
    {
        _pace.Begin(() => Call());
        _pace.GiveUp();
        Assert.Equal(["begins", "ends"], _log);
    }

    [Fact]
    public void The_scripts_own_thread_never_waits()
    {
        _waiter.Notify(PollMask.Any);
        Assert.True(_pace.Wait(_waiter, Pace.Never));
        _waiter.Reset();
        Assert.False(_pace.Wait(_waiter, _time.NowNanos));
        Assert.Throws<DrillStop>(() => _pace.Wait(_waiter, Pace.Never));
    }
}
