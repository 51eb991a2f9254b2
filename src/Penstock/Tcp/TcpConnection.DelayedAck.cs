using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// When to acknowledge: at once for every second segment, for what is unusual, and while the peer is in slow start (quick mode); else delayed by an adaptive time of 40 to 200 ms (RFC 5681 4.2,
/// RFC 9293 3.8.6.3), or together with data that goes the other way. Beyond a gap <see cref="SackCompression"/> decides.
/// </summary>
internal sealed partial class TcpConnection
{
    private const long AckTimeoutMin = TcpSettings.DelayedAckMinMilliseconds * Nanos.PerMillisecond;
    private const long AckTimeoutMax = TcpSettings.DelayedAckMaxMilliseconds * Nanos.PerMillisecond;

    private long _ackTimeoutNanos;
    private long _lastDataReceivedNanos;
    private uint _lastEchoMeasured;
    private int _quickAcks;
    private int _pingPong;
    private bool _ackScheduled;
    private bool _ackNow;
    private bool _draining;
    private bool _ackDeferred;

    /// <summary>Interactive: our data goes out soon after theirs came in, so an ACK can ride along.</summary>
    private bool IsInteractive => _pingPong >= _tcp.Settings.PingPongThreshold;

    private void ScheduleAck() => _ackScheduled = true;

    /// <summary>The next so many ACKs go at once, unless this is a conversation (Linux: tcp_incr_quickack).</summary>
    private void AllowQuickAcks(int most)
    {
        uint segments = _rcvWnd / (2u * (uint)Math.Max(_receiveMss, 1));
        _quickAcks = Math.Max(_quickAcks, (int)Math.Min(segments > 0 ? segments : 2, (uint)most));
    }

    /// <summary>The next so many ACKs go at once: something is odd, and the peer waits to hear of it.</summary>
    private void EnterQuickAck(int most)
    {
        AllowQuickAcks(most);
        _pingPong = 0;
        _ackTimeoutNanos = AckTimeoutMin;
    }

    /// <summary>In-order payload arrived: adapts the delay to the spacing of the peer's segments.</summary>
    private void OnDataReceived(PacketBuffer packet)
    {
        long now = Now;
        int length = packet.Length;
        ScheduleAck();
        MeasureReceived(packet);
        MeasureReceiverRtt(now);
        if (_ackTimeoutNanos == 0)
        {
            // The first data of a connection: the peer is in slow start and wants every ACK.
            AllowQuickAcks(16);
            _ackTimeoutNanos = AckTimeoutMin;
        }
        else
        {
            long gap = now - _lastDataReceivedNanos;
            if (gap <= AckTimeoutMin / 2)
            {
                _ackTimeoutNanos = (_ackTimeoutNanos >> 1) + (AckTimeoutMin / 2);
            }
            else if (gap < _ackTimeoutNanos)
            {
                _ackTimeoutNanos = Math.Min((_ackTimeoutNanos >> 1) + gap, _rtoNanos);
            }
            else if (gap > _rtoNanos)
            {
                // The peer was idle, and begins slowly again.
                AllowQuickAcks(16);
            }
        }

        _lastDataReceivedNanos = now;
        if (_timestampsOk && _sawTimestamp && _rcvTsEcr != 0 && _rcvTsEcr != _lastEchoMeasured)
        {
            // Each echo once: those that come later tell more of the peer's sending than of the path.
            _lastEchoMeasured = _rcvTsEcr;
            uint elapsed = TimestampTicks(now) - _rcvTsEcr;
            if (length >= _receiveMss && elapsed is > 0 and < 3_600_000)
            {
                UpdateReceiverRtt(elapsed * Nanos.PerMillisecond, fromTimestamps: true);
            }
        }

        if (length >= 128)
        {
            GrowWindow(length, packet.TrueSize);
        }
    }

    /// <summary>After a segment was processed: an ACK now, later, or not at all.</summary>
    private void CheckAckNeeded()
    {
        if (!_ackScheduled)
        {
            return;
        }

        bool moreThanOne = _rcvNxt.Since(_rcvWup) > _receiveMss
            && (FreeWindowMoved() || ReadableBytes < ReceiveLowWater);
        if (moreThanOne || _quickAcks > 0 && !IsInteractive || _ackNow)
        {
            SendAckOrDefer();
            return;
        }

        if (_outOfOrder is { IsEmpty: false } beyond)
        {
            HoldAck(beyond);
            return;
        }

        ScheduleDelayedAck();
    }

    /// <summary>Data waits beyond a gap: without SACK each ACK of it goes at once, with SACK only the first do.</summary>
    private void HoldAck(OutOfOrderQueue beyond)
    {
        long roundTrip = Rtt.HasSample ? Math.Min(_rcvRttNanos, Rtt.SmoothedNanos) : _rcvRttNanos;
        if (_sackOk && beyond.Compression.TryHold(_rcvNxt, roundTrip, Now, _tcp.Settings))
        {
            FileTimer(beyond.Compression.DueNanos);
            return;
        }

        SendAckNow();
    }

    private long HeldAcksDueNanos => _outOfOrder?.Compression.DueNanos ?? Never;

    /// <summary>Sends one ACK for those that wait.</summary>
    private void SendHeldAcks()
    {
        int held = _outOfOrder?.Compression.Take() ?? 0;
        if (held > 0)
        {
            _stack.Counters.Add(StackCounter.TcpAckCompressed, held - 1);
            SendAckNow();
        }
    }

    /// <summary>True when the window we would offer now is no less than the last one was: the application keeps up. Where it does not, the ACK waits for it to read (Linux).</summary>
    private bool FreeWindowMoved() => ComputeWindow() >= _rcvWnd;

    /// <summary>During a drain of the backlog ACKs are collected into one for all of it (tcp_backlog_ack_defer).</summary>
    private void SendAckOrDefer()
    {
        if (_draining && _tcp.Settings.BacklogAckDefer)
        {
            _ackDeferred = true;
            return;
        }

        SendAckNow();
    }

    protected override void OnDrainBegins() => _draining = true;

    protected override bool OnDrainEnds()
    {
        _draining = false;
        return _ackDeferred;
    }

    private void FlushDeferredAck()
    {
        if (_ackDeferred)
        {
            _ackDeferred = false;
            if (_ackScheduled || _ackNow)
            {
                SendAckNow();
            }
        }
    }

    private void ScheduleDelayedAck()
    {
        long now = Now;
        long delay = _ackTimeoutNanos;
        if (delay == 0)
        {
            // No data has come yet, so there is no rhythm to wait for: a FIN that comes first is acknowledged at once.
            SendAckNow();
            return;
        }

        if (delay > AckTimeoutMin)
        {
            long most = Nanos.PerSecond / 2;
            if (IsInteractive)
            {
                most = AckTimeoutMax;
            }

            if (Rtt.HasSample)
            {
                most = Math.Min(most, Math.Max(Rtt.SmoothedNanos, AckTimeoutMin));
            }

            delay = Math.Min(delay, most);
        }

        delay = Math.Min(delay, LongestAckDelayNanos);
        long at = now + delay;
        if (_ackAtNanos != Never)
        {
            if (_ackAtNanos <= now + (delay >> 2))
            {
                SendAckNow();
                return;
            }

            at = Math.Min(at, _ackAtNanos);
        }

        Arm(ref _ackAtNanos, at);
    }

    /// <summary>TCP_DELACK_MAX_US, and less than the shortest timeout, by a tick of a millisecond: who chose a short one does not want the peer to choose it in vain (Linux: tcp_delack_max).</summary>
    private long LongestAckDelayNanos => Math.Min(DelayedAckMaximumNanos, Math.Max(MinimumRtoNanos - Nanos.PerMillisecond, Nanos.PerMillisecond));

    private void OnAckTimer(long now)
    {
        _ackAtNanos = Never;
        if (Memory.UnderPressure && (Omitted & Omission.PressureReclaims) == Omission.None)
        {
            // R2.5: what a send bought and did not use, because its source failed, goes back even if the socket does nothing more.
            Memory.Reclaim();
        }

        if (!_ackScheduled || !IsSynchronized)
        {
            return;
        }

        if (!IsInteractive)
        {
            // It was missed: the estimate was too short for this peer.
            _ackTimeoutNanos = Math.Min(_ackTimeoutNanos << 1, _rtoNanos);
        }
        else
        {
            _pingPong = 0;
            _ackTimeoutNanos = AckTimeoutMin;
        }

        _stack.Counters.Add(StackCounter.DelayedACKs);
        SendAckNow();
    }

    protected override void OnDeferred(DeferredWork work)
    {
        if ((work & DeferredWork.Timer) != 0 && _ackAtNanos <= Now)
        {
            _stack.Counters.Add(StackCounter.DelayedACKLocked);
        }
    }

    /// <summary>A segment with ACK has just gone out.</summary>
    private void OnAckSent()
    {
        // Only what acknowledges something new uses quick mode up, once however many segments carry it (Linux).
        if (_quickAcks > 0 && _ackScheduled)
        {
            _quickAcks--;
            if (_quickAcks == 0)
            {
                _ackTimeoutNanos = AckTimeoutMin;
            }
        }

        if (_outOfOrder is { Compression.Held: > 0 } beyond)
        {
            _stack.Counters.Add(StackCounter.TcpAckCompressed, beyond.Compression.Take());
        }

        _ackScheduled = false;
        _ackNow = false;
        _ackDeferred = false;
        _writeEnds = 0;
        _ackAtNanos = Never;
    }

    /// <summary>Data went out: if theirs came in shortly before, this is a conversation.</summary>
    private void OnDataSent(long now)
    {
        if (now - _lastDataReceivedNanos < _ackTimeoutNanos)
        {
            _pingPong = Math.Min(_pingPong + 1, 255);
        }
    }

    private void SendAckNow()
    {
        if (State is TcpConnectionState.Closed or TcpConnectionState.SynSent or TcpConnectionState.Listen)
        {
            return;
        }

        if (!SendControl(TcpFlags.Ack, AcceptableSequence))
        {
            // No memory for an ACK: try again with the next delayed one.
            ScheduleAck();
            Arm(ref _ackAtNanos, Now + AckTimeoutMax);
        }
    }

    /// <summary>
    /// The sequence number of a segment that carries nothing. A window that has shrunk leaves what was sent last beyond it, and the peer would not look at a segment from there (RFC 9293 3.10.7.4); by less than the
    /// scale's grain it may only be rounded down. As Linux has it.
    /// </summary>
    private SequenceNumber AcceptableSequence
    {
        get
        {
            SequenceNumber end = _sndUna + (int)_sndWnd;
            int beyond = _sndNxt.Since(end);
            return beyond <= 0 || (_windowScalingOk && beyond < 1 << _rcvWscale) ? _sndNxt : end;
        }
    }

    /// <summary>Sends a segment without payload. False when there was no memory for it or the link refused it.</summary>
    private bool SendControl(TcpFlags flags, SequenceNumber sequence)
    {
        PacketBuffer? packet = Pool.RentBufferWithHead(forced: true);
        if (packet is null)
        {
            return false;
        }

        packet.Sequence = packet.EndSequence = sequence;
        packet.SegmentCount = 1;
        _stack.Counters.Add(StackCounter.TcpOutSegs);
        return SendSegment(packet, flags);
    }
}
