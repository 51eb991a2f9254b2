namespace Penstock.Tool.Serve;

/// <summary>One connection with the figures of <c>ss -tim</c>, flat, as the page and scripts want them. Times are microseconds, sizes bytes.</summary>
internal sealed record ConnectionStatus
{
    public required string State { get; init; }

    public required string Local { get; init; }

    public required string Remote { get; init; }

    public int ReceiveQueue { get; init; }

    public int SendQueue { get; init; }

    public int NotSent { get; init; }

    public int OutOfOrder { get; init; }

    public int BacklogPackets { get; init; }

    public int BacklogFlushes { get; init; }

    public int BacklogEmptyChecks { get; init; }

    public int BacklogReceiveFlushes { get; init; }

    public int BacklogEnqueued { get; init; }

    public int BacklogCoalesced { get; init; }

    public string CongestionControl { get; init; } = "";

    public string CongestionState { get; init; } = "";

    public int Cwnd { get; init; }

    /// <summary>Null before the first loss.</summary>
    public int? Ssthresh { get; init; }

    public int SendMss { get; init; }

    public int ReceiveMss { get; init; }

    public int AdvertisedMss { get; init; }

    public int PathMtu { get; init; }

    public double Rtt { get; init; }

    public double RttVariance { get; init; }

    public double RttMinimum { get; init; }

    public double ReceiverRtt { get; init; }

    public double Rto { get; init; }

    public double AckTimeout { get; init; }

    public int Unacknowledged { get; init; }

    public int Sacked { get; init; }

    public int Lost { get; init; }

    public int RetransmitsOut { get; init; }

    public int Retransmits { get; init; }

    public int Backoff { get; init; }

    public int Probes { get; init; }

    public long TotalRetransmits { get; init; }

    public int Reordering { get; init; }

    public long SendWindow { get; init; }

    public long ReceiveWindow { get; init; }

    public int SendScale { get; init; }

    public int ReceiveScale { get; init; }

    public bool Timestamps { get; init; }

    public bool Sack { get; init; }

    public long BytesSent { get; init; }

    public long BytesAcked { get; init; }

    public long BytesReceived { get; init; }

    public long BytesRetransmitted { get; init; }

    public long SegmentsOut { get; init; }

    public long SegmentsIn { get; init; }

    public long Delivered { get; init; }

    /// <summary>Bytes a second.</summary>
    public long DeliveryRate { get; init; }

    public MemoryStatus Memory { get; init; } = new(0, 0, 0, 0, 0, 0, 0, 0);

    public static ConnectionStatus Of(TcpInfo info) => new()
    {
        State = info.State.ToString(),
        Local = info.Local.ToString(),
        Remote = info.Remote.ToString(),
        ReceiveQueue = info.ReceiveQueue,
        SendQueue = info.SendQueue,
        NotSent = info.NotSent,
        OutOfOrder = info.OutOfOrder,
        BacklogPackets = info.BacklogPackets,
        BacklogFlushes = info.BacklogFlushes,
        BacklogEmptyChecks = info.BacklogEmptyChecks,
        BacklogReceiveFlushes = info.BacklogReceiveFlushes,
        BacklogEnqueued = info.BacklogEnqueued,
        BacklogCoalesced = info.BacklogCoalesced,
        CongestionControl = info.CongestionControl,
        CongestionState = info.CongestionState,
        Cwnd = info.CongestionWindow,
        Ssthresh = info.SlowStartThreshold == int.MaxValue ? null : info.SlowStartThreshold,
        SendMss = info.SendMss,
        ReceiveMss = info.ReceiveMss,
        AdvertisedMss = info.AdvertisedMss,
        PathMtu = info.PathMtu,
        Rtt = info.RoundTripTime.TotalMicroseconds,
        RttVariance = info.RoundTripVariance.TotalMicroseconds,
        RttMinimum = info.MinimumRoundTripTime.TotalMicroseconds,
        ReceiverRtt = info.ReceiverRoundTripTime.TotalMicroseconds,
        Rto = info.RetransmissionTimeout.TotalMicroseconds,
        AckTimeout = info.AckTimeout.TotalMicroseconds,
        Unacknowledged = info.Unacknowledged,
        Sacked = info.Sacked,
        Lost = info.Lost,
        RetransmitsOut = info.RetransmitsOut,
        Retransmits = info.Retransmits,
        Backoff = info.Backoff,
        Probes = info.Probes,
        TotalRetransmits = info.TotalRetransmits,
        Reordering = info.Reordering,
        SendWindow = info.SendWindow,
        ReceiveWindow = info.ReceiveWindow,
        SendScale = info.WindowScale.Send,
        ReceiveScale = info.WindowScale.Receive,
        Timestamps = info.Timestamps,
        Sack = info.Sack,
        BytesSent = info.BytesSent,
        BytesAcked = info.BytesAcked,
        BytesReceived = info.BytesReceived,
        BytesRetransmitted = info.BytesRetransmitted,
        SegmentsOut = info.SegmentsOut,
        SegmentsIn = info.SegmentsIn,
        Delivered = info.Delivered,
        DeliveryRate = info.DeliveryRate,
        Memory = new MemoryStatus(
            info.ReceiveMemory,
            info.ReceiveBuffer,
            info.DeviceMemory,
            info.SendBuffer,
            info.ForwardAlloc,
            info.WriteQueueMemory,
            info.BacklogMemory,
            info.Drops),
    };
}

/// <summary>The figures of <c>skmem:(r,rb,t,tb,f,w,bl,d)</c> under their names there.</summary>
internal sealed record MemoryStatus(long R, long Rb, long T, long Tb, long F, long W, long Bl, long D);
