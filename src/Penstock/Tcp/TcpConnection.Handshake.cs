using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Tcp.Congestion;
using Penstock.Telemetry;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>The beginning of a connection: the active open, the crossing of SYNs, and becoming established from a connection request (RFC 9293 3.5).</summary>
internal sealed partial class TcpConnection
{
    private SocketError _softError;
    private uint FirstSynTicks => TimestampTicks(_connectNanos);

    /// <summary>Millisecond clock of the timestamp option, offset for each connection so that it tells nothing about the host (RFC 7323 5.4).</summary>
    private uint TimestampNow(long now) => TimestampTicks(now) + _tsOffset;

    private static uint TimestampTicks(long nanos) => (uint)(nanos / Nanos.PerMillisecond);

    /// <summary>Sends the SYN. The caller owns the connection, which is in the table already.</summary>
    public void BeginConnect()
    {
        _tsOffset = _tcp.TimestampOffset(Key);
        _iss = _tcp.InitialSequence(Key, Now);
        _sndUna = _iss;
        _sndNxt = _iss;
        _writeSeq = _iss + 1;
        _pushedSeq = _writeSeq;
        _sndSml = _iss;
        _sndUp = _iss;
        RefreshRoute();
        if (_advertisedMss == 0)
        {
            _advertisedMss = 536;
        }

        SelectSynWindow(_advertisedMss, _tcp.Settings.WindowScaling);
        _timestampsOk = false;
        Cwnd.StampNanos = _connectNanos = Now;
        SetState(TcpConnectionState.SynSent);
        PacketBuffer? syn = Pool.RentBuffer(forced: true);
        if (syn is null)
        {
            Finish(SocketError.NoBufferSpaceAvailable);
            return;
        }

        syn.Sequence = _iss;
        syn.EndSequence = _iss + 1;
        syn.TcpFlags = TcpFlags.Syn;
        if (_tcp.Settings.Ecn == TcpSettings.EcnAsk)
        {
            _ecn.IsOn = true;
            syn.TcpFlags |= ExplicitCongestion.SetupSyn;
        }

        syn.SegmentCount = 1;
        QueueCharged(syn);
        if (Transmit(syn))
        {
            _writeQueue.Remove(syn);
        }
        else
        {
            // Nothing could be sent now: the timer tries again as if it had been lost.
            syn.SentNanos = Now;
            _writeQueue.Remove(syn);
        }

        _retransmitQueue.Append(syn);
        _packetsOut = 1;
        _sndNxt = syn.EndSequence;
        _stack.Counters.Add(StackCounter.TcpActiveOpens);
        RearmRetransmitTimer();
    }

    /// <summary>The connection side of a request that was answered and acknowledged: takes over what the small entry negotiated.</summary>
    public void AcceptRequest(SynReceivedEntry request, PacketBuffer ack)
    {
        _tsOffset = request.TimestampOffset;
        _iss = request.Iss;
        _irs = request.Irs;
        _sndUna = _iss;
        _sndNxt = _writeSeq = _pushedSeq = _iss + 1;
        _sndSml = _sndUp = _sndNxt;
        _rcvNxt = _rcvWup = _copiedSeq = request.RcvNxt;
        _peerMss = _userMss > 0 ? Math.Min(request.PeerMss, _userMss) : request.PeerMss;
        _windowScalingOk = request.WindowScalingOk;
        _sndWscale = request.PeerWindowScale;
        _rcvWscale = request.OwnWindowScale;
        _timestampsOk = request.TimestampsOk;
        _sackOk = request.SackOk;
        _tsRecent = request.TsRecent;
        _tsRecentNanos = Now;
        _advertisedMss = request.OwnMss;
        _rcvWnd = request.Window;
        _rcvSsthresh = (int)_rcvWnd;
        _tos = request.Tos;
        _ecn.IsOn = request.EcnOk;
        _scalingRatio = SynWindow.ScalingRatio(_tcp.Settings);
        RefreshRoute();
        _sndWl1 = ack.Sequence;
        _sndWnd = _maxWindow = ack.Window << _sndWscale;
        _rtoNanos = InitialRtoNanos;
        SetState(TcpConnectionState.SynReceived);

        _segmentsIn = 1;

        // More than the field can say is nothing to grow towards.
        _windowClamp = WindowCeiling;
        _packetsOut = 0;
        if (request.Retransmits == 0 && request.FirstSentNanos > 0)
        {
            long rtt = Now - request.FirstSentNanos;
            _minimumRtt.Update(Now, Math.Max(rtt, 1));
            Rtt.Sample(Math.Max(rtt, 1), _sndUna, _sndNxt);
            _rtoNanos = Rtt.RtoNanos;
        }

        _totalRetransmits = request.Retransmits;
        if (request.Timeouts > 0)
        {
            Sending.OnTimeoutsBefore(request.Timeouts, Now - request.FirstSentNanos);
            ReduceAfterLostSyns(request.TimestampsOk ? request.FirstTsVal - _tsOffset : null, ack.Options.HasTimestamps ? ack.Options.TsEcr - _tsOffset : null);
        }

        _stack.Counters.Add(StackCounter.TcpPassiveOpens);
    }

    /// <summary>
    /// RFC 5681 3.1 wants one segment after any lost SYN or SYN-ACK; since the first timeout is one second and not three, Linux believes only the second. Not when the peer echoes the timestamp of the
    /// first one: it was not lost, but late.
    /// </summary>
    private void ReduceAfterLostSyns(uint? first, uint? echo)
    {
        if (_totalRetransmits > 1 && (first is null || first != echo))
        {
            Cwnd.Window = 1;
        }
    }

    /// <summary>Processes a segment for a connection that the caller owns because it has just made it. Takes the packet over.</summary>
    public void ReceiveOwned(PacketBuffer packet) => ProcessPacket(packet);

    private void EnterEstablished(PacketBuffer packet)
    {
        SetState(TcpConnectionState.Established);
        if (_timestampsOk)
        {
            // What segments carry from now on (Linux: tcp_sock.advmss).
            _advertisedMss -= TcpOptionsWriter.TimestampsLength;
        }

        if (!_windowScalingOk)
        {
            _rcvWscale = 0;
        }

        GuessReceiveMss();
        PenstockEventSource.Log.OnEstablished(_stack, Key, passive: Listener is not null);
        long now = Now;
        _establishedNanos = now;
        MeasureHandshake(now);
        _lastReceivedNanos = now;
        _sndWl1 = packet.Sequence;
        _cwndUsageSequence = _sndNxt;
        Congestion.Begin(now, _sndNxt);
        _sending?.EndTimeouts(now);
        BeginMtuProbing(passive: Listener is not null);
        StartReceiveSpace(now);
        _rcvRttSequence = _rcvNxt;
        ExpandSendBuffer();
        ArmKeepAlive(now);
        Notify(SocketEvents.Connected | SocketEvents.Writable);
        Listener?.OnChildEstablished(this);
    }

    /// <summary>A handshake that needed retransmissions gave no sample: the timestamp may, else data begins with three seconds (RFC 6298 5.7).</summary>
    private void MeasureHandshake(long now)
    {
        if (Rtt.HasSample)
        {
            return;
        }

        if (_timestampsOk && _sawTimestamp && _rcvTsEcr != 0 && EchoedRtt(now) is > 0 and var rtt)
        {
            _minimumRtt.Update(now, rtt);
            Rtt.Sample(rtt, _sndUna, _sndNxt);
            _rtoNanos = Rtt.RtoNanos;
            return;
        }

        _rtoNanos = Math.Min(RtoAfterLostSynNanos, MaximumRtoNanos);
    }

    /// <summary>Our SYN was acknowledged: it leaves the queue, and if it was sent once it measured the path. Losses of before, if any, are no part of the connection's story.</summary>
    private void TakeSynAck(long now)
    {
        if (_retransmitQueue.First is { } syn)
        {
            if ((syn.Segment & SegmentFlags.RetransmittedOnce) == 0)
            {
                UpdateMinimumRtt(now - syn.SentNanos, now);
                TakeRttSample(now - syn.SentNanos);
            }

            _retransmitQueue.Remove(syn);
            FreeQueued(syn);
            Memory.Reclaim();
        }

        // The SYN counts, as a FIN will (Linux).
        _bytesAcked++;
        _recovery = null;
        _packetsOut = _lostOut = _retransOut = _sackedOut = 0;
    }

    /// <summary>Of a SYN, and of the SYN-ACK where two SYNs have crossed: that says again what the SYN said, whatever the peer's did not (Linux).</summary>
    private void BuildSynOptions(ref TcpOptions options, long now)
    {
        TcpSettings settings = _tcp.Settings;
        options.HasMss = true;
        options.Mss = (ushort)_advertisedMss;
        if (settings.Timestamps)
        {
            options.HasTimestamps = true;
            options.TsVal = TimestampNow(now);
            options.TsEcr = _timestampsOk ? _tsRecent : 0;
        }

        options.SackPermitted = settings.Sack;
        if (settings.WindowScaling)
        {
            options.HasWindowScale = true;
            options.WindowScale = _rcvWscale;
        }
    }

    private void TakePeerOptions(in TcpOptions options, long now)
    {
        TcpSettings settings = _tcp.Settings;
        _peerMss = options.HasMss && options.Mss > 0 ? Math.Max(options.Mss, (ushort)settings.MinSendMss) : 536;
        if (_userMss > 0)
        {
            _peerMss = Math.Min(_peerMss, _userMss);
        }

        _windowScalingOk = options.HasWindowScale && settings.WindowScaling;
        _sndWscale = _windowScalingOk ? options.WindowScale : (byte)0;
        if (!_windowScalingOk)
        {
            _windowClamp = Math.Min(_windowClamp, 65535);
        }

        _timestampsOk = options.HasTimestamps && settings.Timestamps;
        if (_timestampsOk)
        {
            _tsRecent = options.TsVal;
            _tsRecentNanos = now;
            _sawTimestamp = true;
            _rcvTsVal = options.TsVal;
            _rcvTsEcr = options.TsEcr != 0 ? options.TsEcr - _tsOffset : 0;
        }

        _sackOk = options.SackPermitted && settings.Sack;
        InvalidateRoute();
        RefreshRoute();
    }

    /// <summary>RFC 9293 3.10.7.3.</summary>
    private void ProcessInSynSent(PacketBuffer packet)
    {
        TcpFlags flags = packet.TcpFlags;
        long now = Now;
        if ((flags & TcpFlags.Ack) != 0)
        {
            if (!packet.Acknowledgment.After(_sndUna) || packet.Acknowledgment.After(_sndNxt))
            {
                if (_retransmits == 0)
                {
                    // An old connection answers, and the reset ends it: the SYN need not wait long to be tried again (Linux).
                    ArmRetransmitTimer(RetransmitTimerMode.Retransmit, now + SynAgainNanos);
                }

                RefuseInSynSent(packet);
                return;
            }

            // It echoes none of the timestamps that our SYNs have had.
            if (packet.Options.HasTimestamps && packet.Options.TsEcr != 0
                && packet.Options.TsEcr - _tsOffset - FirstSynTicks > TimestampTicks(now) - FirstSynTicks)
            {
                _stack.Counters.Add(StackCounter.PawsActive);
                RefuseInSynSent(packet);
                return;
            }
        }

        if ((flags & TcpFlags.Rst) != 0)
        {
            if ((flags & TcpFlags.Ack) != 0)
            {
                OnReset();
            }

            packet.Free();
            return;
        }

        if ((flags & TcpFlags.Syn) == 0)
        {
            packet.Free();
            return;
        }

        _irs = packet.Sequence;
        _rcvNxt = _rcvWup = _copiedSeq = _irs + 1;
        TakePeerOptions(packet.Options, now);
        _sndWnd = packet.Window;
        _maxWindow = Math.Max(_maxWindow, _sndWnd);
        _sndWl1 = packet.Sequence;
        if ((flags & TcpFlags.Ack) != 0)
        {
            _sndUna = packet.Acknowledgment;
            TakeSynAck(now);
            StopRetransmitTimer();
            _retransmits = 0;
            _backoff = 0;
            Cwnd.Threshold = CongestionWindow.InfiniteThreshold;
            Cwnd.Window = CongestionWindow.Initial;
            ReduceAfterLostSyns(FirstSynTicks, _timestampsOk ? _rcvTsEcr : null);
            _ecn.OnSynAck(flags);
            EnterEstablished(packet);

            bool waits = DefersAck || IsInteractive || _writeQueue.First is not null;

            // Data or FIN on a SYN-ACK that nobody asked for by Fast Open is not taken in; the peer sends it again (Linux).
            ScheduleAck();
            packet.Free();
            if (waits)
            {
                // Data is expected soon: it saves an ACK (Linux: TCP_DEFER_ACCEPT or TCP_QUICKACK switched off before connect), and makes this a conversation when it goes within 40 ms.
                EnterQuickAck(16);
                _lastDataReceivedNanos = now;
                Arm(ref _ackAtNanos, now + AckTimeoutMax);
            }

            if (_writeQueue.First is not null)
            {
                PushPending();
            }

            if (_ackScheduled && !waits)
            {
                // The third segment of the handshake goes at once, unless data has carried it.
                SendAckNow();
            }

            return;
        }

        // Simultaneous open: our SYN goes again, now with an ACK.
        _ecn.IsOn &= ExplicitCongestion.IsAskedFor(flags, packet.Tos);
        SetState(TcpConnectionState.SynReceived);
        if (_retransmitQueue.First is { } syn && !IsInDevice(syn))
        {
            // It is another segment, sent for the first time: what it takes to be acknowledged measures the path. It grants ECN where both have asked for it (RFC 3168 6.1.1).
            syn.TcpFlags &= ~ExplicitCongestion.SetupSyn;
            syn.TcpFlags |= _ecn.IsOn ? TcpFlags.Ece : 0;
            Transmit(syn);
        }

        packet.Free();
    }

    /// <summary>Linux: TCP_TIMEOUT_MIN.</summary>
    private const long SynAgainNanos = 2 * Nanos.PerMillisecond;

    private void RefuseInSynSent(PacketBuffer packet)
    {
        _tcp.ReplyToUnknown(packet, Worker);
        packet.Free();
    }

    /// <summary>
    /// An ICMP error about a connection that is being opened ends it; about an open one it is only remembered, unless the application wants to hear of it at once (RFC 5927 6, RFC 9293 3.9.2.2; Linux:
    /// IP_RECVERR). <paramref name="isPathDown"/>: nothing reaches the peer for now.
    /// </summary>
    internal void OnIcmpError(SequenceNumber quoted, SocketError error, bool isPathDown)
    {
        if (State is TcpConnectionState.Closed or TcpConnectionState.Listen)
        {
            return;
        }

        if (!quoted.Between(_sndUna, _sndNxt))
        {
            _stack.Counters.Add(StackCounter.OutOfWindowIcmps);
            return;
        }

        if (State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived)
        {
            _stack.Counters.Add(StackCounter.TcpAttemptFails);
            Finish(error);
            return;
        }

        if (isPathDown)
        {
            TakeBackoffBack(quoted);
        }

        if (_rare is not { ReportsIcmpErrors: true })
        {
            _softError = error;
            return;
        }

        Error = error;
        Notify(SocketEvents.Error);
    }
}
