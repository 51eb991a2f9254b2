using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Tcp.Congestion;
using Penstock.Tcp.LossRecovery;
using Penstock.Tcp.Pacing;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Output: decides what of the write queue may go (congestion window, peer's window, Nagle, sizes), and is the one place that hands segments to IP. A queued buffer
/// is never written to; what goes out is a clone with headers of its own.
/// </summary>
internal sealed partial class TcpConnection
{
    private NagleMode _nagle;
    private bool _waitsForLink;
    private int _throttled;
    private ResumeItem? _resume;

    /// <summary>Sends what may be sent now; arms the probe timer when nothing is in flight and nothing may go.</summary>
    private void PushPending(int mss, NagleMode nagle)
    {
        if (State == TcpConnectionState.Closed)
        {
            return;
        }

        if (WriteTransmit(mss, nagle, pushOne: false))
        {
            CheckProbeTimer();
        }
    }

    private void PushPending() => PushPending(CurrentMss(), _nagle);

    /// <summary>The head of the write queue, unless it is the tail that a send is filling and withholds during a flush.</summary>
    private PacketBuffer? FirstToSend => _writeQueue.First is { } head && !(_tailWithheld && head == _writeQueue.Last) ? head : null;

    /// <summary>Sends the head of the write queue alone, if it may go: the first buffer of a long send goes while the rest is being copied.</summary>
    private void PushOne(int mss) => WriteTransmit(mss, NagleMode.Push, pushOne: true);

    /// <summary>
    /// The transmission loop. Returns true when nothing is in flight although something is queued, so that the caller has to see to a probe.
    /// </summary>
    private bool WriteTransmit(int mss, NagleMode nagle, bool pushOne, bool probing = false)
    {
        int sent = 0;
        bool windowLimited = false, peerLimited = false, paced = false;
        SendState sending = Sending;
        int atOnce = 0;
        if (_mtuProbing is { } mtuProbing && !pushOne && !WaitsForPace(sending))
        {
            switch (TryProbeMtu(mtuProbing, mss))
            {
                case false:
                    return false;
                case true:
                    sent = 1;
                    break;
            }
        }

        while (FirstToSend is { } buffer)
        {
            if (WaitsForPace(sending))
            {
                paced = true;
                break;
            }

            int quota = CongestionQuota();
            if (quota == 0)
            {
                if (!probing)
                {
                    windowLimited = true;
                    break;
                }

                quota = 1;
            }

            if (!PeerWindowAllows(buffer, mss))
            {
                peerLimited = true;
                break;
            }

            bool alone = buffer == _writeQueue.Last;
            if (atOnce == 0 && (buffer.Length > mss || !alone))
            {
                atOnce = SegmentsAtOnce(sending, mss);
            }

            if (!alone && FillUnsent(buffer, Math.Min(quota, atOnce) * mss, mss) && !PeerWindowAllows(buffer, mss))
            {
                peerLimited = true;
                break;
            }

            int segments = SetSegments(buffer, mss);
            if (segments == 1)
            {
                bool last = buffer == _writeQueue.Last;
                if (!NagleAllows(buffer, mss, last ? nagle : NagleMode.Push))
                {
                    break;
                }
            }
            else if (!pushOne && !probing && ShouldDefer(buffer, mss, atOnce, ref windowLimited, ref peerLimited))
            {
                break;
            }

            int limit = mss;
            if (segments > 1 && !_urgentMode)
            {
                limit = SplitPoint(buffer, mss, Math.Min(quota, atOnce), nagle);
            }

            if (buffer.Length > limit && !Split(buffer, limit, mss, inRetransmitQueue: false))
            {
                break;
            }

            if (IsDeviceFull() || !Transmit(buffer))
            {
                break;
            }

            OnNewDataSent(buffer);
            if (buffer.Length < buffer.SegmentCount * mss)
            {
                _sndSml = buffer.EndSequence;
            }

            sent += buffer.SegmentCount;
            if (pushOne || probing)
            {
                break;
            }
        }

        NotePeerLimit(sending, peerLimited);
        windowLimited |= PacketsInFlight >= Cwnd.Window;
        if (sent > 0 || windowLimited)
        {
            ValidateCongestionWindow(windowLimited);
        }

        if (sent > 0)
        {
            if (Recovery.IsReducing)
            {
                Recovery.Reduction.OnSent(sent);
            }

            if (!probing)
            {
                ScheduleLossProbe(advancing: false);
            }

            return false;
        }

        return _packetsOut == 0 && !paced && FirstToSend is not null;
    }

    /// <summary>The largest payload of a segment now: path, peer, options of this very moment (RFC 9293 3.7.1).</summary>
    private int CurrentMss()
    {
        RefreshRoute();
        int blocks = Math.Min(_outOfOrder?.SackCount ?? 0, TcpOptionsWriter.SackRoom(SteadyOptionsLength));
        return Math.Max(SegmentPayload() - TcpOptionsWriter.SackLength(blocks), 8);
    }

    /// <summary>Bytes of options that every segment carries, whatever else is to be said.</summary>
    private int SteadyOptionsLength => _timestampsOk ? TcpOptionsWriter.TimestampsLength : 0;

    /// <summary>Payload of a data segment with no more than timestamps among its options (Linux: mss_cache). They take their room first: it is the payload that half of the window bounds.</summary>
    private int SegmentPayload() => Math.Max(BoundToHalfWindow(_pathMss - SteadyOptionsLength), 8);

    /// <summary>Silly-window avoidance towards peers with tiny windows: at most half of the largest window they ever offered.</summary>
    private int BoundToHalfWindow(int size)
    {
        long cutoff = _maxWindow > 536 ? _maxWindow >> 1 : _maxWindow;
        return cutoff > 0 && size > cutoff ? (int)Math.Max(cutoff, 68 - TcpHeader.MinLength - SteadyOptionsLength) : size;
    }

    private int SetSegments(PacketBuffer buffer, int mss)
    {
        if (buffer.Length <= mss)
        {
            buffer.SegmentCount = 1;
            buffer.GsoSize = 0;
        }
        else
        {
            buffer.GsoSize = mss;
            buffer.SegmentCount = (buffer.Length + mss - 1) / mss;
        }

        return buffer.SegmentCount;
    }

    private bool PeerWindowAllows(PacketBuffer buffer, int mss)
    {
        SequenceNumber end = buffer.Length > mss ? buffer.Sequence + mss : buffer.EndSequence;
        return end.AtOrBefore(_sndUna + (int)_sndWnd);
    }

    /// <summary>RFC 9293 3.7.4 in Minshall's form: only while a small segment is unacknowledged.</summary>
    private bool NagleForbids(bool partial, NagleMode nagle) =>
        partial && ((nagle & NagleMode.Cork) != 0
            || (nagle == NagleMode.Default && _packetsOut > 0 && _sndSml.After(_sndUna) && _sndSml.AtOrBefore(_sndNxt)));

    private bool NagleAllows(PacketBuffer buffer, int mss, NagleMode nagle) =>
        (nagle & NagleMode.Push) != 0
        || _urgentMode
        || (buffer.TcpFlags & TcpFlags.Fin) != 0
        || !NagleForbids(buffer.Length < mss, nagle);

    /// <summary>
    /// A peer whose reports cut super-segments into the smallest pieces pays with our memory, a head for each (CVE-2019-11478). Beyond twice the send buffer and this, two full super-segments, only the first
    /// and the last buffer are cut, so that what waits at the front always goes (Linux).
    /// </summary>
    private const int SplitAllowance = 2 * (MaximumSuperSegment + 640);

    /// <summary>
    /// Cuts a queued buffer at <paramref name="length"/> payload bytes; the rest becomes a buffer of its own behind it. Exactly the payload that moves takes its
    /// true size along; the new head is charged (R2.21). False when there is no memory for it.
    /// </summary>
    private bool Split(PacketBuffer buffer, int length, int mss, bool inRetransmitQueue)
    {
        if (inRetransmitQueue && Memory.WriteQueueBytes / 2 > Memory.SendBuffer + SplitAllowance && buffer != _retransmitQueue.First && buffer != _retransmitQueue.Last)
        {
            return false;
        }

        PacketBuffer? rest = Pool.RentBuffer(forced: true);
        if (rest is null)
        {
            return false;
        }

        int headBefore = buffer.HeadTrueSize;
        int moved = buffer.Length - length;
        buffer.SplitPayload(length, rest);
        rest.TrueSize = rest.HeadTrueSize + moved;
        buffer.TrueSize = buffer.TrueSize - moved + (buffer.HeadTrueSize - headBefore);
        rest.Sequence = buffer.Sequence + length;
        rest.EndSequence = buffer.EndSequence;
        buffer.EndSequence = rest.Sequence;
        rest.TcpFlags = buffer.TcpFlags;
        buffer.TcpFlags &= ~(TcpFlags.Fin | TcpFlags.Psh);
        rest.Segment = (Omitted & Omission.SplitKeepsPure) != Omission.None ? buffer.Segment & ~SegmentFlags.PureZeroCopy : buffer.Segment;
        buffer.Segment &= ~SegmentFlags.EndOfRecord;
        rest.SentNanos = buffer.SentNanos;
        rest.SentOrder = buffer.SentOrder;
        rest.DeviceMark = buffer.DeviceMark;
        rest.DeliveredAtSend = buffer.DeliveredAtSend;
        rest.DeliveredNanosAtSend = buffer.DeliveredNanosAtSend;
        rest.FirstSentNanosAtSend = buffer.FirstSentNanosAtSend;
        Memory.ForceSchedule(rest.HeadTrueSize);
        Memory.ChargeSend(rest.HeadTrueSize);
        int before = buffer.SegmentCount;
        SetSegments(buffer, mss);
        SetSegments(rest, mss);
        if (inRetransmitQueue)
        {
            _retransmitQueue.InsertHalf(buffer, rest);
            AdjustCounts(buffer.Segment, buffer.SegmentCount + rest.SegmentCount - before);
        }
        else
        {
            _writeQueue.InsertAfter(buffer, rest);
        }

        return true;
    }

    /// <summary>Keeps the counts of what is in flight right when the same bytes become more or fewer segments.</summary>
    private void AdjustCounts(SegmentFlags flags, int difference)
    {
        _packetsOut += difference;
        if ((flags & SegmentFlags.SackedAcked) != 0)
        {
            _sackedOut += difference;
        }
        else if (!_sackOk && difference < 0)
        {
            // Duplicate ACKs stand for some of the segments, nobody knows which: never for more than there are.
            _sackedOut = Math.Max(0, _sackedOut + difference);
        }

        if ((flags & SegmentFlags.SackedRetransmitted) != 0)
        {
            _retransOut += difference;
        }

        if ((flags & SegmentFlags.Lost) != 0)
        {
            _lostOut += difference;
        }
    }

    private void OnNewDataSent(PacketBuffer buffer)
    {
        int before = _packetsOut;
        _sndNxt = buffer.EndSequence;
        _writeQueue.Remove(buffer);
        _retransmitQueue.Append(buffer);
        _packetsOut += buffer.SegmentCount;
        if (before == 0 || _timerMode == RetransmitTimerMode.LossProbe)
        {
            RearmRetransmitTimer();
        }
    }

    /// <summary>Hands a clone of a queued buffer to IP. False when memory or the link does not allow it now; nothing has changed then but the note to try again.</summary>
    private bool Transmit(PacketBuffer buffer)
    {
        PacketBuffer? clone = Pool.RentBufferWithHead(forced: true);
        if (clone is null)
        {
            return false;
        }

        clone.CloneFrom(buffer, borrows: LinkLetsGo);
        if (Now == _lastDataSentNanos)
        {
            // This step has sent before: that took its time.
            BeginStep();
        }

        long now = Now;
        bool first = (buffer.Segment & SegmentFlags.EverSent) == 0;
        if (buffer.Length > 0 && PacketsInFlight == 0)
        {
            OnTransmitStart(now);
        }

        // A super-segment ends with PSH, so that a receiver that merges segments does not wait for more (Linux does so).
        TcpFlags push = buffer.SegmentCount > 1 ? TcpFlags.Psh : 0;
        if (!SendSegment(clone, buffer.TcpFlags | push | (State == TcpConnectionState.SynSent && (buffer.TcpFlags & TcpFlags.Syn) != 0 ? 0 : TcpFlags.Ack)))
        {
            return false;
        }

        buffer.SentNanos = now;
        buffer.SentOrder = ++_transmissions;
        buffer.DeviceMark = buffer.Length > 0 ? _device.Given : 0;
        buffer.Segment |= SegmentFlags.EverSent;
        if (_sending is { } sending)
        {
            sending.Delivery.OnSent(buffer, now, _packetsOut == 0);
            sending.Pacer.OnSent(buffer.Length, now, _dataSegmentsOut);
        }

        if (buffer.Length > 0)
        {
            _lastDataSentNanos = now;
            _dataSegmentsOut += buffer.SegmentCount;
            _bytesSent += buffer.Length;
            OnDataSent(now);
        }

        if (first)
        {
            _stack.Counters.Add(StackCounter.TcpOutSegs, buffer.SegmentCount, StackCounter.TcpOrigDataSent, buffer.Length > 0 ? buffer.SegmentCount : 0);
        }

        return true;
    }

    /// <summary>
    /// Writes the header of a segment and gives it to IP. Takes the packet over in any case: a link that refuses it is remembered, so that output resumes when it has room.
    /// </summary>
    private bool SendSegment(PacketBuffer packet, TcpFlags flags)
    {
        RefreshRoute();
        if (_egress is null)
        {
            // No route (any more): as lost on the way; timers find out.
            _stack.Counters.Add(StackCounter.IpOutNoRoutes);
            packet.Free();
            return true;
        }

        if (!LinkLetsGo)
        {
            // Also when the route has just changed.
            packet.KeepBorrowed();
        }

        long now = Now;
        bool syn = (flags & TcpFlags.Syn) != 0;
        int optionsLength = !syn && _timestampsOk && (_outOfOrder is null || _outOfOrder.SackCount == 0)
            ? TcpOptionsWriter.WriteTimestamps(packet.PushHead(TcpOptionsWriter.TimestampsLength), TimestampNow(now), _tsRecent)
            : WriteOptions(packet, flags, now);
        ushort urgent = 0;
        if (_urgentMode && !syn && UrgentField(packet.Sequence, out urgent))
        {
            flags |= TcpFlags.Urg;
        }

        byte tos = _tos;
        if (!syn)
        {
            _ecn.Stamp(newData: packet.Length > 0 && packet.Sequence.AtOrAfter(_sndNxt), ref flags, ref tos);
        }

        ushort window = syn ? (ushort)Math.Min(_rcvWnd, 65535u) : SelectWindow();
        var header = new TcpSegmentHeader
        {
            SourcePort = Key.LocalPort,
            DestinationPort = Key.RemotePort,
            Sequence = packet.Sequence,
            Acknowledgment = (flags & TcpFlags.Ack) != 0 ? _rcvNxt : new SequenceNumber(0),
            Flags = flags,
            Window = window,
            UrgentPointer = urgent,
            HeaderLength = (byte)(TcpHeader.MinLength + optionsLength),
        };
        Span<byte> head = packet.PushHead(TcpHeader.MinLength);
        TcpHeader.Write(head, header);

        // Only the pseudo header: whoever sends it, device or LinkOutput, adds the rest.
        TcpHeader.WriteChecksum(head, Checksum.PseudoHeaderToNetwork(_pseudoHeader, packet.TotalLength));
        packet.Checksum = ChecksumState.Partial;
        if (packet.Length > 0 && !LinkLetsGo && (Omitted & Omission.DeviceCounted) == Omission.None)
        {
            packet.Device = _device;
            packet.DeviceCharge = packet.TrueSize + packet.Length;
            _device.Add(packet.DeviceCharge);
        }

        if ((flags & TcpFlags.Ack) != 0)
        {
            OnAckSent();
        }

        _segmentsOut += packet.SegmentCount;
        long spaceSignals = Volatile.Read(ref _egress.SpaceSignals);
        if (_stack.Ip.Output(packet, _egress, Key.Local, Key.Remote, IpProtocol.Tcp, _timeToLive, tos, DontFragment))
        {
            return true;
        }

        if (packet.Device is not null)
        {
            _device.TakeBack(packet.DeviceCharge);
            packet.Device = null;
        }

        packet.Free();
        WaitForLink(spaceSignals);
        return false;
    }

    /// <summary>Writes whatever options the segment has in front of what the head holds; returns their length.</summary>
    private int WriteOptions(PacketBuffer packet, TcpFlags flags, long now)
    {
        var options = default(TcpOptions);
        if ((flags & TcpFlags.Syn) != 0)
        {
            BuildSynOptions(ref options, now);
        }
        else
        {
            if (_timestampsOk)
            {
                options.HasTimestamps = true;
                options.TsVal = TimestampNow(now);
                options.TsEcr = _tsRecent;
            }

            _outOfOrder?.WriteSackBlocks(ref options);
        }

        int length = TcpOptionsWriter.LengthOf(options);
        TcpOptionsWriter.Write(packet.PushHead(length), options);
        return length;
    }

    /// <summary>What is given to the link is neither kept nor counted there.</summary>
    private bool LinkLetsGo => _egress is { LetsGoAtOnce: true };

    /// <summary>TCP small queues: beyond the limit further data waits for the device to let go of what it has.</summary>
    private bool IsDeviceFull()
    {
        if (_device.DeviceBytes <= _tcp.Settings.LimitOutputBytes)
        {
            return false;
        }

        // Set the flag, then look again: the device may have let go in between.
        Interlocked.Exchange(ref _throttled, 1);
        if (_device.DeviceBytes <= _tcp.Settings.LimitOutputBytes)
        {
            Volatile.Write(ref _throttled, 0);
            return false;
        }

        return true;
    }

    /// <summary>Whether the last transmission of a queued buffer has not left the device yet; output resumes when the device lets go of something.</summary>
    private bool IsInDevice(PacketBuffer buffer)
    {
        if (!_device.Holds(buffer.DeviceMark))
        {
            return false;
        }

        // Set the flag, then look again, as above.
        Interlocked.Exchange(ref _throttled, 1);
        return _device.Holds(buffer.DeviceMark);
    }

    private void WaitForLink(long spaceSignals)
    {
        if (!_waitsForLink)
        {
            _waitsForLink = true;
            _tcp.AddLinkWaiter(this, _egress!, spaceSignals);
        }
    }

    /// <summary>Has output resumed on the worker, at top level. Any thread.</summary>
    internal void PostResume()
    {
        ResumeItem item = Volatile.Read(ref _resume) ?? Interlocked.CompareExchange(ref _resume, new ResumeItem(this), null) ?? _resume!;
        Worker.Post(item);
    }

    private void ResumeOutput()
    {
        Volatile.Write(ref _throttled, 0);
        _waitsForLink = false;
        if (State is TcpConnectionState.Closed or TcpConnectionState.SynSent)
        {
            return;
        }

        TransmitRetransmitQueue();

        PushPending();
    }

    private sealed class ResumeItem(TcpConnection connection) : WorkItem
    {
        public override void OnWorker(Worker worker) => connection.RunOrDefer(Ownership.DeferredWork.DeviceSpace, worker);
    }
}
