namespace Penstock.Bsd;

/// <summary>Somebody who wants to know when something happens at a file: a call that waits, or an epoll instance.</summary>
internal abstract class Watcher
{
    /// <summary>What it is woken for.</summary>
    public PollMask Interest { get; set; } = PollMask.Any;

    /// <summary>EPOLLEXCLUSIVE: when it has woken a waiting thread, no other exclusive one is told.</summary>
    public bool IsExclusive { get; set; }

    /// <summary>Something happened. Any thread, under no lock of the stack; only notes it. True when a waiting thread was woken.</summary>
    public abstract bool Notify(PollMask events);
}

/// <summary>One call that waits. Armed before the call looks, so that nothing slips by between looking and waiting.</summary>
internal sealed class CallWaiter : Watcher
{
    private bool _signaled;

    public bool IsSignaled
    {
        get
        {
            lock (this)
            {
                return _signaled;
            }
        }
    }

    /// <summary>To be called before looking again.</summary>
    public void Reset()
    {
        lock (this)
        {
            _signaled = false;
        }
    }

    public override bool Notify(PollMask events)
    {
        lock (this)
        {
            _signaled = true;
            Monitor.PulseAll(this);
        }

        return true;
    }

    /// <summary>Waits in real time; false when <paramref name="milliseconds"/> passed first.</summary>
    public bool Wait(int milliseconds)
    {
        lock (this)
        {
            return _signaled || Monitor.Wait(this, milliseconds);
        }
    }
}
