namespace Penstock.Tcp;

/// <summary>A long send's look at its backlog: whether it is time, and what it does. When it is time is <see cref="FlushPolicy"/>'s to say.</summary>
internal sealed partial class TcpConnection
{
    /// <summary>The socket's own policy; null while it follows the stack's settings.</summary>
    public TcpFlushPolicy? FlushPolicy { get; set; }

    private void BeginFlushPolicy(long remaining)
    {
        TcpSettings settings = _tcp.Settings;
        TcpFlushPolicy? own = FlushPolicy;
        long budget = own?.BudgetNanos ?? settings.BacklogFlushBudgetNanos;
        _flush.Begin(own?.Buffers ?? settings.BacklogFlushBuffers, (Omitted & Omission.BudgetFlush) == Omission.None ? budget : 0, remaining);
    }

    private long ReadFlushClock()
    {
        _flushClockReads++;
        BeginStep();
        return Now;
    }

    private bool IsFlushDue(bool beforeNewBuffer) =>
        _flush.IsDue(beforeNewBuffer) || (beforeNewBuffer && !_flush.IsOff && (Omitted & Omission.ProgressBetweenFlushes) != Omission.None);

    /// <summary>
    /// Works off what waits, keeping the socket; true when there was something, and everything has to be read again. The partial tail of a send that is in mid-buffer is held back meanwhile as if more were coming, and so it
    /// is: neither Nagle's rule nor a probe may send it in pieces. What is before it may go.
    /// </summary>
    private bool LookAtBacklog(bool withholdTail)
    {
        bool late = _flush.IsLate;
        _flush.OnLook();
        bool callback = _tcp.Settings.BacklogReleaseCallback;
        _tailWithheld = withholdTail && (Omitted & Omission.TailWithheld) == Omission.None;
        bool worked = FlushBacklog(callback);
        _tailWithheld = false;
        if (!worked)
        {
            _emptyChecks++;
            _stack.Counters.Add(StackCounter.TcpBacklogEmptyChecks);
            return false;
        }

        _flushes++;
        _stack.Counters.Add(StackCounter.TcpBacklogFlushes);
        if (late && callback && _ackScheduled && (Omitted & Omission.OwedAckLeaves) == Omission.None)
        {
            // The source is slow: the data that this ACK could ride on is far away.
            SendAckNow();
        }

        return (Omitted & (Omission.RestartAfterFlush | Omission.NoPointerAcrossFlush)) == Omission.None;
    }

    /// <summary>A reader has taken all there is: works off what waits before it leaves or sleeps. True when there was something (Linux: recvmsg flushes instead of releasing the socket).</summary>
    private bool FlushForReader()
    {
        if (!_tcp.Settings.BacklogReceiveFlush || !FlushBacklog(_tcp.Settings.BacklogReleaseCallback))
        {
            return false;
        }

        _receiveFlushes++;
        _stack.Counters.Add(StackCounter.TcpBacklogReceiveFlushes);
        return true;
    }

    protected override bool MeasuresWaits => _tcp.Settings.BacklogWaitHistogram;

    protected override void OnWaited(long queuedNanos) => _stack.Meter?.OnBacklogWait(Now - queuedNanos);
}
