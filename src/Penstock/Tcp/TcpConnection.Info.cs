using System.Net;
using System.Net.Sockets;
using Penstock.Accounting;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>Snapshots and invariants: what the outside may see without owning the connection, and what tests check after each step.</summary>
internal sealed partial class TcpConnection
{
    public IPEndPoint LocalEndPoint => new(Key.Local.ToIPAddress(), Key.LocalPort);

    public IPEndPoint RemoteEndPoint => new(Key.Remote.ToIPAddress(), Key.RemotePort);

    /// <summary>What tcpi_rttvar tells before the first sample, and tcpi_rto of a socket that never was a connection (Linux: a quarter of TCP_TIMEOUT_INIT, and that).</summary>
    public const long UnmeasuredVarianceNanos = InitialRtoNanos / 4, UnmeasuredRtoNanos = InitialRtoNanos;

    /// <summary>Never waits for the owner.</summary>
    public TcpInfo Snapshot()
    {
        long now = Worker.NowNanos;
        Pacing.SendState? sending = _sending;
        TcpInfo info = Snapshot(now);
        return sending is null ? info : info with
        {
            Delivered = sending.Delivery.Delivered,
            DeliveredMarked = sending.DeliveredMarked,
            DeliveryRate = sending.Delivery.Rate(info.SendMss),
            DeliveryRateIsApplicationLimited = sending.Delivery.RateIsLimited,
            PacingRate = sending.Pacer.Rate,
            MaximumPacingRate = sending.Pacer.MaximumRate,
            TotalTimeouts = sending.Timeouts,
            TotalTimeoutRecoveries = sending.TimeoutRecoveries,
            TotalTimeoutTime = Span(sending.TimeoutNanos + (sending.TimeoutSinceNanos != 0 ? now - sending.TimeoutSinceNanos : 0)),
            BusyTime = Span(sending.Limits.SpentBusy(now)),
            ReceiveWindowLimitedTime = Span(sending.Limits.Spent(Pacing.SendLimit.ReceiveWindow, now)),
            SendBufferLimitedTime = Span(sending.Limits.Spent(Pacing.SendLimit.SendBuffer, now)),
        };
    }

    private TcpInfo Snapshot(long now) => new()
    {
        State = State,
        Local = LocalEndPoint,
        Remote = RemoteEndPoint,
        SoftError = _softError,
        CongestionState = (_recovery?.State ?? LossRecovery.CongestionState.Open).ToString(),
        CongestionControl = Congestion.Name,
        CongestionWindow = Cwnd.Window,
        SlowStartThreshold = Cwnd.Threshold,
        SendMss = State == TcpConnectionState.SynSent ? SendMss : SegmentPayload(),
        ReceiveMss = _receiveMss,
        AdvertisedMss = _advertisedMss,
        PathMtu = _pathMtu,
        RoundTripTime = Span(Rtt.SmoothedNanos),
        RoundTripVariance = Span(Rtt.HasSample ? Rtt.VarianceNanos : _establishedNanos != 0 ? RtoAfterLostSynNanos / 4 : UnmeasuredVarianceNanos),
        MinimumRoundTripTime = Span(_minimumRtt.HasSample ? _minimumRtt.CurrentNanos : 0),
        ReceiverRoundTripTime = Span(_rcvRttNanos),
        RetransmissionTimeout = Span(_rtoNanos),
        AckTimeout = Span(Math.Min(_ackTimeoutNanos, LongestAckDelayNanos)),
        Unacknowledged = _packetsOut,
        Sacked = _sackedOut,
        Lost = _lostOut,
        RetransmitsOut = _retransOut,
        Retransmits = _retransmits,
        Probes = _probesOut,
        Backoff = _backoff,
        TotalRetransmits = _totalRetransmits,
        Reordering = _reordering,
        SendWindow = _sndWnd,
        ReceiveWindow = _rcvWnd,
        WindowScale = _windowScalingOk ? (_sndWscale, _rcvWscale) : (-1, -1),
        Timestamps = _timestampsOk,
        Sack = _sackOk,
        Ecn = UsesEcn,
        EcnSeen = _ecn.HasSeen,
        BytesSent = _bytesSent,
        BytesAcked = _bytesAcked,
        BytesReceived = _bytesReceived,
        BytesRetransmitted = _bytesRetransmitted,
        SegmentsOut = _segmentsOut,
        SegmentsIn = _segmentsIn,
        Delivered = IsSynchronized || _establishedNanos != 0 ? 1 : 0,
        DeliveryRateIsApplicationLimited = true,
        PacingRate = _establishedNanos != 0 ? RateOfWindow() : Pacing.Pacer.Unlimited,
        MaximumPacingRate = Pacing.Pacer.Unlimited,
        DataSegmentsOut = _dataSegmentsOut,
        DataSegmentsIn = _dataSegmentsIn,
        DuplicatesReported = _recovery?.DuplicatesReported ?? 0,
        ReorderingsSeen = _recovery?.ReorderingEvents ?? 0,
        OutOfOrderSegments = _outOfOrder?.Arrivals ?? 0,
        SinceDataSent = Since(Math.Max(_lastDataSentNanos, _establishedNanos), now),
        SinceDataReceived = Since(Math.Max(_lastDataReceivedNanos, _establishedNanos), now),
        SinceAckReceived = Since(_lastReceivedNanos, now),
        ReceiveSpace = _rcvSpace,
        ReceiveThreshold = _rcvSsthresh,
        ReceiveQueue = Math.Max(0, ReadableBytes),
        SendQueue = Math.Max(0, _writeSeq.Since(_sndUna)),
        NotSent = Math.Max(0, _writeSeq.Since(_sndNxt)),
        OutOfOrder = _outOfOrder?.Count ?? 0,
        BacklogPackets = BacklogPackets,
        MemoryGroup = Memory.Group?.Name,
        MemoryBought = Memory.Pages << ProtocolMemory.PageShift,
        ReceiveMemory = Memory.ReceiveAlloc,
        ReceiveBuffer = Memory.ReceiveBuffer,
        DeviceMemory = _device.DeviceBytes,
        SendBuffer = Memory.SendBuffer,
        ForwardAlloc = Memory.ForwardAlloc,
        WriteQueueMemory = Memory.WriteQueueBytes,
        BacklogMemory = BacklogBytes,
        Drops = _backlogDrops,
        BacklogFlushes = _flushes,
        BacklogEmptyChecks = _emptyChecks,
        BacklogReceiveFlushes = _receiveFlushes,
        FlushClockReads = _flushClockReads,
        BacklogEnqueued = _backlogEnqueued,
        BacklogCoalesced = _backlogCoalesced,
        WriteQueueCharged = Memory.WriteCharged,
        OptionalMemory = _zeroCopy?.OptionalBytes ?? 0,
    };

    /// <summary>Times that reordering was seen (tcpi_reord_seen), segments that DSACKs reported (tcpi_dsack_dups), queued buffers that ACKs and timers looked at.</summary>
    public (int Reorderings, long Duplicates, long Visited, int RackSteps) RecoveryFigures =>
        _recovery is { } recovery ? (recovery.ReorderingEvents, recovery.DuplicatesReported, recovery.Visited, recovery.Rack.Steps) : (0, 0, 0, 1);

    /// <summary>ECN was agreed on (RFC 3168; Linux: TCPI_OPT_ECN).</summary>
    public bool UsesEcn => _ecn.IsOn && IsSynchronized;

    /// <summary>What SIOCOUTQ and SIOCOUTQNSD tell, FIN included: after the end of the connection too, so that it can be seen how much never arrived (Linux: tcp_ioctl).</summary>
    public int SendQueueLength => _writeSeq.Since(_sndUna);

    /// <inheritdoc cref="SendQueueLength"/>
    public int NotSentLength => Math.Max(0, _writeSeq.Since(_sndNxt));

    /// <summary>Bytes queued and not acknowledged, FIN included.</summary>
    public int UnacknowledgedBytes => State == TcpConnectionState.Closed ? 0 : _writeSeq.Since(_sndUna);

    /// <summary>Bytes queued and not sent, FIN included.</summary>
    public int NotSentBytes => State == TcpConnectionState.Closed ? 0 : Math.Max(0, _writeSeq.Since(_sndNxt));

    /// <summary>What SIOCINQ tells: in-order bytes that were not read, up to the urgent byte unless that is part of the stream.</summary>
    public int ReadableUpToMark =>
        !_urgentInline && _urgentState != UrgentNone && _urgentSequence.AtOrAfter(_copiedSeq) && _urgentSequence.Before(_rcvNxt) ? _urgentSequence.Since(_copiedSeq) : ReadableBytes;

    /// <summary>Payload of a segment sent now. While the connection is being opened the peer's bound is taken to be the default and timestamps to be agreed on (Linux: tcp_sync_mss).</summary>
    public int SendMss => State switch
    {
        TcpConnectionState.SynSent => Math.Min(_userMss > 0 ? _userMss : 536, _pathMtu - IPv4Header.MinLength - TcpHeader.MinLength)
            - (_tcp.Settings.Timestamps ? TcpOptionsWriter.TimestampsLength : 0),
        TcpConnectionState.Closed when _userMss > 0 => _userMss,
        _ => SegmentPayload(),
    };

    /// <summary>The peer has said that nothing more comes.</summary>
    public bool HasReceivedFin => _finReceived;

    /// <summary>Nothing more will come from the peer, or nobody wants it (Linux: RCV_SHUTDOWN).</summary>
    public bool ReceiveEnded => _finReceived || ReceiveShutdown || State == TcpConnectionState.Closed;

    /// <summary>What is ready now, as poll(2) tells it: level, not edge. Never waits for the owner.</summary>
    public SocketEvents PollEvents
    {
        get
        {
            SocketEvents events = SocketEvents.None;
            if (State is TcpConnectionState.SynSent or TcpConnectionState.SynReceived)
            {
                return Error == SocketError.Success ? events : SocketEvents.Error;
            }

            if (HasEnoughToRead(PollLowWater) || ReceiveEnded)
            {
                events |= SocketEvents.Readable;
            }

            if (SendShutdown || (Memory.SendBuffer - Memory.WriteQueueBytes >= Memory.WriteQueueBytes >> 1
                && (ulong)Math.Max(0, _writeSeq.Since(_sndNxt)) << 1 < NotSentLowWater))
            {
                events |= SocketEvents.Writable;
            }

            if (State == TcpConnectionState.Closed || (SendShutdown && ReceiveEnded))
            {
                events |= SocketEvents.HangUp;
            }

            if (_urgentState == UrgentValid)
            {
                events |= SocketEvents.Urgent;
            }

            if (_zeroCopy is { Unread: > 0 })
            {
                // As POLLERR: there is something in the error queue, which is no error of the connection.
                events |= SocketEvents.Released;
            }

            return Error == SocketError.Success ? events : events | SocketEvents.Error;
        }
    }

    /// <summary>
    /// Checks everything that must hold between two steps: the memory ledger (R2.3), the counts of what is in flight, the order of the queues. Null when all is well. The caller owns the
    /// connection, or nothing runs.
    /// </summary>
    public string? VerifyInvariants()
    {
        string? wrong = Memory.Verify() ?? _retransmitQueue.Verify() ?? _outOfOrder?.Verify();
        if (wrong is not null)
        {
            return wrong;
        }

        int queued = 0, charged = 0;
        int packets = 0, sacked = 0, lost = 0, retransmitted = 0;
        for (PacketBuffer? buffer = _retransmitQueue.First; buffer is not null; buffer = buffer.Next)
        {
            queued += buffer.TrueSize;
            charged += ChargeOf(buffer);
            wrong ??= VerifyPayload(buffer, mayBeMerged: (buffer.Segment & SegmentFlags.EverSent) != 0);
            packets += buffer.SegmentCount;
            sacked += (buffer.Segment & SegmentFlags.SackedAcked) != 0 ? buffer.SegmentCount : 0;
            lost += (buffer.Segment & SegmentFlags.Lost) != 0 ? buffer.SegmentCount : 0;
            retransmitted += (buffer.Segment & SegmentFlags.SackedRetransmitted) != 0 ? buffer.SegmentCount : 0;
        }

        for (PacketBuffer? buffer = _writeQueue.First; buffer is not null; buffer = buffer.Next)
        {
            queued += buffer.TrueSize;
            charged += ChargeOf(buffer);
            wrong ??= VerifyPayload(buffer, mayBeMerged: (buffer.Segment & SegmentFlags.EverSent) != 0);
        }

        if (wrong is not null)
        {
            return wrong;
        }

        if (queued != Memory.WriteQueueBytes || charged != Memory.WriteCharged)
        {
            return $"the queues hold {queued} bytes, {charged} of them charged, but {Memory.WriteQueueBytes} and {Memory.WriteCharged} are accounted for";
        }

        if (packets != _packetsOut || lost != _lostOut || retransmitted != _retransOut || (_sackOk && sacked != _sackedOut))
        {
            return $"counted {packets} out, {sacked} sacked, {lost} lost, {retransmitted} retransmitted; "
                + $"expected {_packetsOut}, {_sackedOut}, {_lostOut}, {_retransOut}";
        }

        if (_sackedOut + _lostOut > _packetsOut)
        {
            return $"{_sackedOut} sacked and {_lostOut} lost are more than the {_packetsOut} out";
        }

        int received = _heldTrueSize + (_outOfOrder?.TrueSizeSum() ?? 0);
        for (PacketBuffer? buffer = _receiveQueue.First; buffer is not null; buffer = buffer.Next)
        {
            received += buffer.TrueSize;
        }

        return received == Memory.ReceiveAlloc
            ? VerifySequences()
            : $"received buffers hold {received} bytes but {Memory.ReceiveAlloc} are accounted for";
    }

    /// <summary>The sequence space has no holes and no overlaps: what is queued is what the numbers say.</summary>
    private string? VerifySequences()
    {
        int readable = 0;
        for (PacketBuffer? buffer = _receiveQueue.First; buffer is not null; buffer = buffer.Next)
        {
            readable += buffer.Length;
        }

        if (readable != ReadableBytes)
        {
            return $"{readable} bytes can be read but the numbers say {ReadableBytes}";
        }

        if (State is TcpConnectionState.Closed)
        {
            return null;
        }

        Wire.SequenceNumber at = _sndUna;
        for (PacketBuffer? buffer = _retransmitQueue.First; buffer is not null; buffer = buffer.Next)
        {
            bool first = buffer == _retransmitQueue.First;
            if (first ? buffer.Sequence.After(at) || buffer.EndSequence.AtOrBefore(at) : buffer.Sequence != at)
            {
                return $"the retransmit queue has {buffer.Sequence}..{buffer.EndSequence} where {at} is due";
            }

            at = buffer.EndSequence;
        }

        if (at != _sndNxt)
        {
            return $"the retransmit queue ends at {at}, SND.NXT is {_sndNxt}";
        }

        for (PacketBuffer? buffer = _writeQueue.First; buffer is not null; buffer = buffer.Next)
        {
            if (buffer.Sequence != at)
            {
                return $"the write queue has {buffer.Sequence}..{buffer.EndSequence} where {at} is due";
            }

            at = buffer.EndSequence;
        }

        return at == _writeSeq ? null : $"the write queue ends at {at}, the stream at {_writeSeq}";
    }

    /// <summary>The buffers of both send queues, oldest first: what was sent and not acknowledged, then what was not sent. For tests and snapshots; the caller owns the connection, or nothing runs.</summary>
    internal List<QueuedBuffer> QueuedBuffers()
    {
        var all = new List<QueuedBuffer>();
        for (PacketBuffer? buffer = _retransmitQueue.First; buffer is not null; buffer = buffer.Next)
        {
            all.Add(new QueuedBuffer(buffer, true));
        }

        for (PacketBuffer? buffer = _writeQueue.First; buffer is not null; buffer = buffer.Next)
        {
            all.Add(new QueuedBuffer(buffer, false));
        }

        return all;
    }

    private static TimeSpan Since(long then, long now) => then == 0 ? TimeSpan.Zero : Span(now - then);

    private static TimeSpan Span(long nanos) => TimeSpan.FromTicks(Math.Max(0, nanos) / 100);
}

/// <summary>What a queued buffer was when a snapshot was taken.</summary>
internal readonly struct QueuedBuffer(PacketBuffer buffer, bool sent)
{
    public readonly uint Sequence = buffer.Sequence.Value;
    public readonly int Length = buffer.Length;
    public readonly int TrueSize = buffer.TrueSize;
    public readonly int HeadTrueSize = buffer.HeadTrueSize;
    public readonly int Fragments = buffer.FragmentCount;
    public readonly int Segments = buffer.SegmentCount;
    public readonly SegmentFlags Flags = buffer.Segment;
    public readonly Wire.TcpFlags TcpFlags = buffer.TcpFlags;
    public readonly bool IsSent = sent;
}
