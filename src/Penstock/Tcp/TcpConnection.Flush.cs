namespace Penstock.Tcp;

/// <summary>A long send's look at its backlog: whether it is time, and what it does. When it is time is <see cref="FlushPolicy"/>'s to say.</summary>
internal sealed partial class TcpConnection
{
    private void BeginFlushPolicy(long remaining)
    {
        TcpSettings settings = _tcp.Settings;
        _flush.Begin(
            settings.BacklogFlushBuffers, (Omitted & Omission.BudgetFlush) == 0 ? settings.BacklogFlushBudgetNanos : 0, remaining);
    }

    private long ReadFlushClock()
    {
        _flushClockReads++;
        return Now;
    }

    private bool IsFlushDue(bool beforeNewBuffer) =>
        _flush.IsDue(beforeNewBuffer)
        || (beforeNewBuffer && _tcp.Settings.BacklogFlushBuffers > 0 && (Omitted & Omission.ProgressBetweenFlushes) != 0);

    /// <summary>
    /// Works off what waits, keeping the socket; true when there was something, and everything has to be read again. The partial tail of a send that is in mid-buffer is held back meanwhile as if more were coming, and so it
    /// is: neither Nagle's rule nor a probe may send it in pieces. What is before it may go.
    /// </summary>
    private bool LookAtBacklog(bool withholdTail)
    {
        bool late = _flush.IsLate;
        _flush.OnLook();
        bool callback = _tcp.Settings.BacklogReleaseCallback;
        _tailWithheld = withholdTail && (Omitted & Omission.TailWithheld) == 0;
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
        if (late && callback && _ackScheduled && (Omitted & Omission.OwedAckLeaves) == 0)
        {
            // The source is slow: the data that this ACK could ride on is far away.
            SendAckNow();
        }

        return (Omitted & (Omission.RestartAfterFlush | Omission.NoPointerAcrossFlush)) == 0;
    }
}
