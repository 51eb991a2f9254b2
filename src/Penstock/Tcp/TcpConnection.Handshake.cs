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
        _receiveMss = Math.Min(Math.Max(88, Math.Min(_advertisedMss, 536)), _advertisedMss);
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
        if (request.Retransmits == 0 && request.SentNanos > 0)
        {
            long rtt = Now - request.SentNanos;
            _minimumRtt.Update(Now, Math.Max(rtt, 1));
            Rtt.Sample(Math.Max(rtt, 1), _sndUna, _sndNxt);
            _rtoNanos = Rtt.RtoNanos;
        }

        if (request.Retransmits > 1)
        {
            // RFC 5681 3.1 wants one segment after any lost SYN-ACK; since the first timeout is one second and not three, Linux believes only the second.
            Cwnd.Window = 1;
        }

        _stack.Counters.Add(StackCounter.TcpPassiveOpens);
    }

    /// <summary>Processes a segment for a connection that the caller owns because it has just made it. Takes the packet over.</summary>
    public void ReceiveOwned(PacketBuffer packet) => ProcessPacket(packet);

    private void EnterEstablished(PacketBuffer packet)
    {
        SetState(TcpConnectionState.Established);
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

        _recovery = null;
        _packetsOut = _lostOut = _retransOut = _sackedOut = 0;
    }

    private void BuildSynOptions(ref TcpOptions options, bool isSynAck, long now)
    {
        TcpSettings settings = _tcp.Settings;
        options.HasMss = true;
        options.Mss = (ushort)_advertisedMss;
        bool timestamps = isSynAck ? _timestampsOk : settings.Timestamps;
        if (timestamps)
        {
            options.HasTimestamps = true;
            options.TsVal = TimestampNow(now);
            options.TsEcr = isSynAck ? _tsRecent : 0;
        }

        options.SackPermitted = isSynAck ? _sackOk : settings.Sack;
        if (isSynAck ? _windowScalingOk : settings.WindowScaling)
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
            _rcvWscale = 0;
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
                if ((flags & TcpFlags.Rst) == 0)
                {
                    SendResetSegment(packet.Acknowledgment);
                }

                packet.Free();
                return;
            }

            if (packet.Options.HasTimestamps && packet.Options.TsEcr != 0 && _retransmits == 0
                && (int)(packet.Options.TsEcr - _tsOffset - TimestampTicks(now)) > 0)
            {
                _stack.Counters.Add(StackCounter.PawsActive);
                SendResetSegment(packet.Acknowledgment);
                packet.Free();
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
        _receiveMss = Math.Min(Math.Max(88, Math.Min(_advertisedMss, 536)), _advertisedMss);
        if ((flags & TcpFlags.Ack) != 0)
        {
            bool retransmitted = _retransmits > 1;
            _sndUna = packet.Acknowledgment;
            TakeSynAck(now);
            StopRetransmitTimer();
            _retransmits = 0;
            _backoff = 0;
            Cwnd.Threshold = CongestionWindow.InfiniteThreshold;
            Cwnd.Window = retransmitted ? 1 : CongestionWindow.Initial;
            _ecn.OnSynAck(flags);
            EnterEstablished(packet);

            bool waits = (DefersAck || IsInteractive || _writeQueue.First is not null) && packet.Length == 0 && (flags & TcpFlags.Fin) == 0;

            // Data or FIN may ride on a SYN-ACK (RFC 9293 3.10.7.3): processed as behind it.
            packet.Sequence += 1;
            packet.TcpFlags &= ~TcpFlags.Syn;
            ScheduleAck();
            if (packet.Length > 0 || (flags & TcpFlags.Fin) != 0)
            {
                QueueData(packet);
            }
            else
            {
                packet.Free();
            }

            if (_ackScheduled && waits)
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
        if (_retransmitQueue.First is { } syn)
        {
            RetransmitBuffer(syn, 1);
        }

        packet.Free();
    }

    /// <summary>An ICMP error about a connection that is being opened ends it; about an open one it is only remembered (RFC 5927 6, RFC 9293 3.9.2.2).</summary>
    internal void OnIcmpError(SequenceNumber quoted, SocketError error)
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
        }
        else
        {
            _softError = error;
        }
    }
}
