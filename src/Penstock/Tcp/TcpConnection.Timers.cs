using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Tcp.Congestion;
using Penstock.Tcp.LossRecovery;
using Penstock.Telemetry;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>What the retransmission deadline stands for now; there is one at a time (Linux: <c>icsk_pending</c>).</summary>
internal enum RetransmitTimerMode : byte
{
    None,
    Retransmit,
    LossProbe,
    Reordering,
    WindowProbe,
}

/// <summary>
/// Time: deadlines, retransmission (RFC 6298). A deadline is a field; one timer entry covers all of them, those of other files too, and files itself again when it fires
/// early.
/// </summary>
internal sealed partial class TcpConnection
{
    private const long InitialRtoNanos = Nanos.PerSecond;
    private const long RtoAfterLostSynNanos = 3 * Nanos.PerSecond;
    private const long ShortestRtoNanos = 200 * Nanos.PerMillisecond;
    private const long Never = long.MaxValue;
    private const int ThinLinearRetries = 6;

    private RetransmitTimerMode _timerMode;
    private long _retransmitAtNanos = Never;
    private long _ackAtNanos = Never;
    private long _keepAliveAtNanos = Never;
    private long _closeAtNanos = Never;

    /// <summary>The timeout as it is now: each that passes doubles it, a measured round trip brings it back (RFC 6298 5.5, 5.7; Linux: icsk_rto).</summary>
    private long _rtoNanos;

    /// <summary>How often the pause was doubled, of timeouts and of window probes: a window that shuts on lost segments goes on where they were (Linux: icsk_backoff).</summary>
    private int _backoff;
    private int _retransmits;

    private long _connectNanos;
    private long _lastDataSentNanos;

    private void Arm(ref long deadline, long at)
    {
        deadline = at;
        FileTimer(at);
    }

    private void FileTimer(long at)
    {
        if (at < Volatile.Read(ref _timer.FiledNanos))
        {
            Worker.Arm(_timer, at);
        }
    }

    private void ArmRetransmitTimer(RetransmitTimerMode mode, long at)
    {
        _timerMode = mode;
        Arm(ref _retransmitAtNanos, at);
    }

    private void StopRetransmitTimer()
    {
        _timerMode = RetransmitTimerMode.None;
        _retransmitAtNanos = Never;
    }

    /// <summary>RFC 6298 5.1-5.3: runs while anything is unacknowledged.</summary>
    private void RearmRetransmitTimer()
    {
        if (_packetsOut == 0)
        {
            StopRetransmitTimer();
            return;
        }

        long now = Now;
        long timeout = _rtoNanos;
        if (_timerMode is RetransmitTimerMode.Reordering or RetransmitTimerMode.LossProbe)
        {
            // It stood in for the timeout, which has been running since the head was sent.
            timeout = Math.Max(LeftOfRto(now), Nanos.PerMicrosecond);
        }

        ArmAfterPace(RetransmitTimerMode.Retransmit, now, timeout);
    }

    /// <summary>A time that runs from a transmission begins when the rate has made up for that (Linux: tcp_pacing_delay).</summary>
    private void ArmAfterPace(RetransmitTimerMode mode, long now, long timeout)
    {
        if (_sending is { Pacer.IsEnforced: true } sending)
        {
            now = Math.Max(now, sending.Pacer.NextNanos);
        }

        ArmRetransmitTimer(mode, now + timeout);
    }

    protected override void RunDeferred(DeferredWork work)
    {
        if ((work & DeferredWork.PathMtu) != 0)
        {
            ApplyPathMtu();
        }

        if ((work & DeferredWork.Timer) != 0)
        {
            RunTimers();
        }

        if ((work & DeferredWork.DeviceSpace) != 0)
        {
            ResumeOutput();
        }

        if ((work & DeferredWork.AckNeeded) != 0 && IsSynchronized)
        {
            FlushDeferredAck();
        }

        if ((work & DeferredWork.Returned) != 0)
        {
            TakeReturned();
        }

        if ((work & DeferredWork.Close) != 0)
        {
            OnHandleGone();
        }
    }

    private void RunTimers()
    {
        long now = Now;
        if (HeldAcksDueNanos <= now)
        {
            SendHeldAcks();
        }

        if (_ackAtNanos <= now)
        {
            OnAckTimer(now);
        }

        if (_retransmitAtNanos <= now)
        {
            OnRetransmitTimer(now);
        }

        if (_keepAliveAtNanos <= now)
        {
            OnKeepAliveTimer(now);
        }

        if (_closeAtNanos <= now)
        {
            OnCloseTimer();
        }

        if (_memoryAtNanos <= now)
        {
            OnMemoryTimer();
        }

        if (_sending is { } sending && sending.Pacer.WakeNanos <= now)
        {
            OnPaceTimer(sending);
        }

        long next = Math.Min(Math.Min(_retransmitAtNanos, _ackAtNanos), Math.Min(_keepAliveAtNanos, Math.Min(_closeAtNanos, _memoryAtNanos)));
        next = Math.Min(next, Math.Min(HeldAcksDueNanos, _sending?.Pacer.WakeNanos ?? Never));
        if (next != Never && State != TcpConnectionState.Closed)
        {
            Worker.Arm(_timer, next);
        }
    }

    private void StopAllTimers()
    {
        StopRetransmitTimer();
        _ackAtNanos = _keepAliveAtNanos = _closeAtNanos = _memoryAtNanos = Never;
        _outOfOrder?.Compression.Take();
        if (_sending is { } sending)
        {
            sending.Pacer.WakeNanos = Never;
        }

        Worker.Timers.Cancel(_timer);
    }

    private void OnRetransmitTimer(long now)
    {
        RetransmitTimerMode mode = _timerMode;
        _timerMode = RetransmitTimerMode.None;
        _retransmitAtNanos = Never;
        switch (mode)
        {
            case RetransmitTimerMode.Reordering:
                OnReorderingTimer(now);
                break;
            case RetransmitTimerMode.LossProbe:
                SendLossProbe(now);
                break;
            case RetransmitTimerMode.Retransmit:
                OnRetransmissionTimeout(now);
                break;
            case RetransmitTimerMode.WindowProbe:
                OnProbeTimer(now);
                break;
        }
    }

    /// <summary>RFC 6298 5.4-5.7.</summary>
    private void OnRetransmissionTimeout(long now)
    {
        if (_packetsOut == 0 || _retransmitQueue.First is not { } head)
        {
            return;
        }

        if (_sndWnd == 0 && !IsOrphan && State is not (TcpConnectionState.SynSent or TcpConnectionState.SynReceived))
        {
            // The peer closed its window on data in flight: it is alive as long as it answers, so this is probing, not loss.
            // Without a word for two of the longest pauses, and having tried for as long, it is the end (Linux: tcp_rtx_probe0_timed_out). Before the first try time runs from when the head was sent.
            long limit = 2 * MaximumRtoNanos;
            long since = TriedSinceNanos;
            long tried = now - (since != Never ? since : head.SentNanos);
            if ((now - _lastReceivedNanos > limit && tried > limit) || (UserTimeoutNanos > 0 && tried >= UserTimeoutNanos))
            {
                GiveUp(SocketError.TimedOut);
                return;
            }

            EnterLoss(now);
            RetransmitBuffer(head, 1);
            BackOff(now);
            return;
        }

        _stack.Counters.Add(StackCounter.TcpTimeouts);
        PenstockEventSource.Log.OnTimeout(_stack, Key, _retransmits + 1, _rtoNanos);
        if (IsTimeoutFinal(now))
        {
            GiveUp(SocketError.TimedOut);
            return;
        }

        EnterLoss(now);
        Sending.OnTimeout(first: _retransmits == 0, now);
        _retransmits++;
        if (!RetransmitBuffer(_retransmitQueue.First!, 1) && !_device.Holds(_retransmitQueue.First!.DeviceMark))
        {
            // Refused locally: try again soon, without taking it for congestion (RFC 6298 says nothing; Linux does so). It was no try either.
            _retransmits = Math.Max(1, _retransmits - 1);
            ArmRetransmitTimer(RetransmitTimerMode.Retransmit, now + Math.Min(_rtoNanos, Nanos.PerSecond / 2));
            return;
        }

        BackOff(now);
    }

    private void BackOff(long now)
    {
        if (IsThin)
        {
            // A stream with so little in flight gets no duplicate ACKs: its losses wait for timeouts, which so do not double for the first six (sysctl tcp_thin_linear_timeouts).
            _backoff = 0;
            _rtoNanos = Rtt.RtoNanos;
        }
        else if (State != TcpConnectionState.SynSent || Sending.Timeouts > _tcp.Settings.SynLinearTimeouts)
        {
            // A lost SYN is no sign of congestion worth a pause of minutes: its first timeouts do not double (sysctl tcp_syn_linear_timeouts).
            _backoff++;
            _rtoNanos = Math.Min(_rtoNanos << 1, MaximumRtoNanos);
        }

        long timeout = _rtoNanos;
        if (UserTimeoutNanos > 0 && TriedSinceNanos is var since && since != Never)
        {
            // The last try is no later than the user's limit, so that the limit is kept to the moment (Linux does so).
            timeout = Math.Min(timeout, LeftOfUserTimeout(since, now));
        }

        ArmRetransmitTimer(RetransmitTimerMode.Retransmit, now + timeout);
    }

    /// <summary>
    /// RFC 6069 4: that the path is down, said of the oldest segment, means that its loss was no congestion. One doubling of the timeout is taken back, counted from when the segment was last sent; if that is over, it
    /// goes again at once (Linux: tcp_ld_RTO_revert).
    /// </summary>
    private void TakeBackoffBack(SequenceNumber quoted)
    {
        if (quoted != _sndUna || _retransmits == 0 || _backoff == 0 || _retransmitQueue.First is not { } head)
        {
            return;
        }

        _backoff--;
        _rtoNanos = Math.Min((Rtt.HasSample ? Rtt.RtoNanos : InitialRtoNanos) << Math.Min(_backoff, 16), MaximumRtoNanos);
        long now = Now;
        if (head.SentNanos + _rtoNanos > now)
        {
            ArmRetransmitTimer(RetransmitTimerMode.Retransmit, head.SentNanos + _rtoNanos);
            return;
        }

        StopRetransmitTimer();
        OnRetransmissionTimeout(now);
    }

    private bool IsThin => (_tcp.Settings.ThinLinearTimeouts || ThinLinearTimeouts) && State == TcpConnectionState.Established && _packetsOut < 4
        && Cwnd.Threshold < CongestionWindow.InfiniteThreshold && _retransmits <= ThinLinearRetries;

    /// <summary>
    /// From when on limits of time count; <see cref="Never"/> while nothing is tried again. An open counts from connect; all else from the first retransmission, a fast one too, of a loss that is not mended yet: what is
    /// acknowledged of it meanwhile does not begin the time anew (Linux: retrans_stamp).
    /// </summary>
    private long TriedSinceNanos
    {
        get
        {
            if (State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived)
            {
                return _connectNanos;
            }

            // A link that lets nothing go again does not stretch the time: from the first timeout then.
            long since = _recovery is { FirstRetransmitNanos: not 0 } recovery ? recovery.FirstRetransmitNanos : Never;
            return _sending is { TimeoutSinceNanos: not 0 } sending ? Math.Min(since, sending.TimeoutSinceNanos) : since;
        }
    }

    /// <summary>Timeouts without progress have gone on for so long. The first since some progress is never the last.</summary>
    private bool HasTriedFor(long now, long time) => _retransmits > 0 && TriedSinceNanos is var since && since != Never && now - since >= time;

    private long LeftOfUserTimeout(long since, long now) => Math.Max(since + UserTimeoutNanos - now, Nanos.PerMillisecond);

    /// <summary>RFC 9293 3.8.3 (R1, R2): how often to try before the connection is given up.</summary>
    private bool IsTimeoutFinal(long now)
    {
        bool opening = State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived;

        // The application's own limit stands in place of the stack's, for an orphan too (Linux).
        long limit = UserTimeoutNanos > 0 ? UserTimeoutNanos : TimeOfTries(TriesAllowed(), opening ? InitialRtoNanos : ShortestRtoNanos);
        if (opening)
        {
            int linear = State == TcpConnectionState.SynSent ? _tcp.Settings.SynLinearTimeouts : 0;
            return _retransmits >= TriesAllowed() + linear || HasTriedFor(now, limit);
        }

        if (HasTriedFor(now, TimeOfTries(_tcp.Settings.Retries1, ShortestRtoNanos)))
        {
            OnPossibleBlackHole();
            InvalidateRoute();
        }

        return (IsOrphan && _tcp.TooManyOrphans) || HasTriedFor(now, limit);
    }

    private int TriesAllowed()
    {
        TcpSettings settings = _tcp.Settings;
        return State switch
        {
            TcpConnectionState.SynSent => SynRetries,
            TcpConnectionState.SynReceived => settings.SynAckRetries,
            _ when IsOrphan => OrphanTries(alive: _rtoNanos < MaximumRtoNanos),
            _ => settings.Retries2,
        };
    }

    /// <summary>tcp_orphan_retries; by default 8 while the pauses still grow, and none once they are the longest there may be, or a router said that something is wrong (Linux).</summary>
    private int OrphanTries(bool alive)
    {
        int retries = _softError != SocketError.Success && !alive ? 0 : _tcp.Settings.OrphanRetries;
        return retries == 0 && alive ? 8 : retries;
    }

    /// <summary>
    /// How long it takes until so many retransmissions have had their timeouts, each twice the one before, the first one's own included. Limits are kept in this time, with the shortest first timeout there is, so
    /// that a long path or a link that refuses does not stretch them (measured on Linux 6.18: two retransmissions, not three, with a timeout of 1 s and tcp_retries2 of 3; four with one of 200 ms).
    /// </summary>
    private long TimeOfTries(int tries, long firstTimeout)
    {
        long sum = 0;
        for (int i = 0; i <= tries; i++)
        {
            sum += Math.Min(firstTimeout << Math.Min(i, 16), MaximumRtoNanos);
        }

        return sum;
    }

    private void GiveUp(SocketError error)
    {
        _stack.Counters.Add(StackCounter.TcpAbortOnTimeout);
        if (State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived)
        {
            _stack.Counters.Add(StackCounter.TcpAttemptFails);
        }

        Finish(_softError != SocketError.Success ? _softError : error);
    }
}
