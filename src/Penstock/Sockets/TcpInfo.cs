using System.Net;
using System.Net.Sockets;

namespace Penstock;

/// <summary>
/// What is known of a connection at one moment, with the fields of Linux's <c>TCP_INFO</c> and <c>ss -tim</c>. Taken without waiting for the connection's owner: single figures
/// are right, two of them may be a moment apart.
/// </summary>
public sealed record TcpInfo
{
    /// <summary>State of the connection.</summary>
    public required TcpConnectionState State { get; init; }

    /// <summary>Local end point.</summary>
    public required IPEndPoint Local { get; init; }

    /// <summary>Remote end point; port 0 for a listener.</summary>
    public required IPEndPoint Remote { get; init; }

    /// <summary>
    /// The last ICMP error that did not end the connection (RFC 9293 3.9.2.2); should it time out, it fails with this. <see cref="SocketError.Success"/>
    /// when there was none.
    /// </summary>
    public SocketError SoftError { get; init; }

    /// <summary>Recovery state: Open, Disorder, Reducing, Recovery or Loss (tcpi_ca_state).</summary>
    public string CongestionState { get; init; } = "Open";

    /// <summary>Congestion control in use.</summary>
    public string CongestionControl { get; init; } = "";

    /// <summary>Congestion window, segments (tcpi_snd_cwnd).</summary>
    public int CongestionWindow { get; init; }

    /// <summary>Slow-start threshold, segments; 2147483647 before the first loss (tcpi_snd_ssthresh).</summary>
    public int SlowStartThreshold { get; init; }

    /// <summary>Payload of a segment sent now, bytes (tcpi_snd_mss).</summary>
    public int SendMss { get; init; }

    /// <summary>Payload of the segments that are received, bytes (tcpi_rcv_mss).</summary>
    public int ReceiveMss { get; init; }

    /// <summary>The segment size that was advertised, bytes (tcpi_advmss).</summary>
    public int AdvertisedMss { get; init; }

    /// <summary>Path MTU, bytes (tcpi_pmtu).</summary>
    public int PathMtu { get; init; }

    /// <summary>Smoothed round-trip time (tcpi_rtt).</summary>
    public TimeSpan RoundTripTime { get; init; }

    /// <summary>Its variation (tcpi_rttvar).</summary>
    public TimeSpan RoundTripVariance { get; init; }

    /// <summary>The smallest round-trip time of the last minutes (tcpi_min_rtt).</summary>
    public TimeSpan MinimumRoundTripTime { get; init; }

    /// <summary>Receiver's estimate of the round-trip time (tcpi_rcv_rtt).</summary>
    public TimeSpan ReceiverRoundTripTime { get; init; }

    /// <summary>Retransmission timeout as it is now, backoff included (tcpi_rto).</summary>
    public TimeSpan RetransmissionTimeout { get; init; }

    /// <summary>Delayed-ACK timeout (tcpi_ato).</summary>
    public TimeSpan AckTimeout { get; init; }

    /// <summary>Segments in flight or lost (tcpi_unacked).</summary>
    public int Unacknowledged { get; init; }

    /// <summary>Segments that the peer has selectively acknowledged (tcpi_sacked).</summary>
    public int Sacked { get; init; }

    /// <summary>Segments taken for lost (tcpi_lost).</summary>
    public int Lost { get; init; }

    /// <summary>Retransmitted segments still in flight (tcpi_retrans).</summary>
    public int RetransmitsOut { get; init; }

    /// <summary>Consecutive timeouts without an answer (tcpi_retransmits).</summary>
    public int Retransmits { get; init; }

    /// <summary>Zero-window or keepalive probes without an answer (tcpi_probes).</summary>
    public int Probes { get; init; }

    /// <summary>Exponent of the timeout's backoff (tcpi_backoff).</summary>
    public int Backoff { get; init; }

    /// <summary>Segments retransmitted in all (tcpi_total_retrans).</summary>
    public long TotalRetransmits { get; init; }

    /// <summary>Degree of reordering that is expected, segments (tcpi_reordering).</summary>
    public int Reordering { get; init; }

    /// <summary>The peer's window, bytes (tcpi_snd_wnd).</summary>
    public long SendWindow { get; init; }

    /// <summary>Our window, bytes (tcpi_rcv_wnd).</summary>
    public long ReceiveWindow { get; init; }

    /// <summary>Our and the peer's window scale; -1 without scaling.</summary>
    public (int Send, int Receive) WindowScale { get; init; } = (-1, -1);

    /// <summary>Timestamps are in use.</summary>
    public bool Timestamps { get; init; }

    /// <summary>SACK is in use.</summary>
    public bool Sack { get; init; }

    /// <summary>ECN is in use (RFC 3168).</summary>
    public bool Ecn { get; init; }

    /// <summary>Data of the peer came that could be marked (TCPI_OPT_ECN_SEEN).</summary>
    internal bool EcnSeen { get; init; }

    /// <summary>Payload bytes sent, retransmissions included (tcpi_bytes_sent).</summary>
    public long BytesSent { get; init; }

    /// <summary>Payload bytes acknowledged (tcpi_bytes_acked). As in Linux the SYN of an active open counts as one, and so does the FIN.</summary>
    public long BytesAcked { get; init; }

    /// <summary>Payload bytes received in order (tcpi_bytes_received).</summary>
    public long BytesReceived { get; init; }

    /// <summary>Payload bytes retransmitted (tcpi_bytes_retrans).</summary>
    public long BytesRetransmitted { get; init; }

    /// <summary>Segments sent and received (tcpi_segs_out, tcpi_segs_in).</summary>
    public long SegmentsOut { get; init; }

    /// <summary>Segments received.</summary>
    public long SegmentsIn { get; init; }

    /// <summary>Segments delivered to the peer (tcpi_delivered).</summary>
    public long Delivered { get; init; }

    /// <summary>Those of them whose ACKs told of congestion by ECN (tcpi_delivered_ce).</summary>
    public long DeliveredMarked { get; init; }

    /// <summary>Latest delivery rate, bytes a second (tcpi_delivery_rate).</summary>
    public long DeliveryRate { get; init; }

    /// <summary>The latest delivery rate was limited by the application: the path may be faster (tcpi_delivery_rate_app_limited).</summary>
    public bool DeliveryRateIsApplicationLimited { get; init; }

    /// <summary>The rate that the congestion window and the round-trip time amount to, bytes a second (tcpi_pacing_rate); <see cref="long.MaxValue"/> while it is not known. Sending is held to it only where
    /// <see cref="TcpSocket.MaximumPacingRate"/> was set or the congestion control asks for it.</summary>
    public long PacingRate { get; init; }

    /// <summary>The limit that was set for it, bytes a second (tcpi_max_pacing_rate); <see cref="long.MaxValue"/> for none.</summary>
    public long MaximumPacingRate { get; init; }

    /// <summary>Segments with payload sent, retransmissions included (tcpi_data_segs_out).</summary>
    public long DataSegmentsOut { get; init; }

    /// <summary>Segments with payload received (tcpi_data_segs_in).</summary>
    public long DataSegmentsIn { get; init; }

    /// <summary>Segments that arrived beyond a gap, in all (tcpi_rcv_ooopack).</summary>
    public long OutOfOrderSegments { get; init; }

    /// <summary>Segments that the peer reported to have received twice (tcpi_dsack_dups).</summary>
    public long DuplicatesReported { get; init; }

    /// <summary>Times that the network was seen to reorder (tcpi_reord_seen).</summary>
    public int ReorderingsSeen { get; init; }

    /// <summary>Retransmission timeouts in all (tcpi_total_rto).</summary>
    public int TotalTimeouts { get; init; }

    /// <summary>Recoveries that began with a timeout (tcpi_total_rto_recoveries).</summary>
    public int TotalTimeoutRecoveries { get; init; }

    /// <summary>Time spent in them, one that is under way included (tcpi_total_rto_time).</summary>
    public TimeSpan TotalTimeoutTime { get; init; }

    /// <summary>Time since data was last sent, or since the connection was established (tcpi_last_data_sent).</summary>
    public TimeSpan SinceDataSent { get; init; }

    /// <summary>Time since data was last received, or since the connection was established (tcpi_last_data_recv).</summary>
    public TimeSpan SinceDataReceived { get; init; }

    /// <summary>Time since an acknowledgment was last received (tcpi_last_ack_recv).</summary>
    public TimeSpan SinceAckReceived { get; init; }

    /// <summary>Time with something queued or in flight (tcpi_busy_time).</summary>
    public TimeSpan BusyTime { get; init; }

    /// <summary>Time of it in which the peer's window held sending back (tcpi_rwnd_limited).</summary>
    public TimeSpan ReceiveWindowLimitedTime { get; init; }

    /// <summary>Time of it in which the send buffer was the bottleneck: the application would have given more (tcpi_sndbuf_limited).</summary>
    public TimeSpan SendBufferLimitedTime { get; init; }

    /// <summary>The most bytes that the application took in one round trip; what automatic receive buffers grow by (tcpi_rcv_space).</summary>
    public int ReceiveSpace { get; init; }

    /// <summary>The ceiling of the offered window as it grows, bytes (tcpi_rcv_ssthresh).</summary>
    public int ReceiveThreshold { get; init; }

    /// <summary>Bytes that wait to be read (Recv-Q).</summary>
    public int ReceiveQueue { get; init; }

    /// <summary>Bytes that are not acknowledged, sent or not (Send-Q).</summary>
    public int SendQueue { get; init; }

    /// <summary>Bytes not sent yet (tcpi_notsent_bytes).</summary>
    public int NotSent { get; init; }

    /// <summary>Buffers that arrived beyond a gap.</summary>
    public int OutOfOrder { get; init; }

    /// <summary>Packets in the backlog now.</summary>
    public int BacklogPackets { get; init; }

    /// <summary>Name of the <see cref="Penstock.MemoryGroup"/> that the memory below is charged to; null for none.</summary>
    public string? MemoryGroup { get; init; }

    /// <summary>Bytes bought from the stack and the group, in whole pages: what is charged and <see cref="ForwardAlloc"/>.</summary>
    public long MemoryBought { get; init; }

    /// <summary>Receive memory in use, true size (skmem r).</summary>
    public int ReceiveMemory { get; init; }

    /// <summary>Receive buffer limit (skmem rb).</summary>
    public int ReceiveBuffer { get; init; }

    /// <summary>Bytes inside devices (skmem t).</summary>
    public int DeviceMemory { get; init; }

    /// <summary>Send buffer limit (skmem tb).</summary>
    public int SendBuffer { get; init; }

    /// <summary>Bought and unused memory (skmem f).</summary>
    public int ForwardAlloc { get; init; }

    /// <summary>True size of the write queues (skmem w).</summary>
    public int WriteQueueMemory { get; init; }

    /// <summary>True size of the backlog (skmem bl).</summary>
    public long BacklogMemory { get; init; }

    /// <summary>Packets dropped because the backlog was full (skmem d).</summary>
    public int Drops { get; init; }

    /// <summary>Times that a send worked off its backlog before it went on.</summary>
    public int BacklogFlushes { get; init; }

    /// <summary>Times that a send looked at its backlog and found it empty.</summary>
    public int BacklogEmptyChecks { get; init; }

    /// <summary>Times that a receive worked off the backlog before it left or waited.</summary>
    public int BacklogReceiveFlushes { get; init; }

    /// <summary>Times that sends read the clock for the sake of the flush policy's budget.</summary>
    public long FlushClockReads { get; init; }

    /// <summary>Packets that had to wait in the backlog.</summary>
    public int BacklogEnqueued { get; init; }

    /// <summary>Packets merged in the backlog.</summary>
    public int BacklogCoalesced { get; init; }

    /// <summary>The part of <see cref="WriteQueueMemory"/> that is charged to the stack; the rest is zero-copy payload in the application's own memory.</summary>
    public int WriteQueueCharged { get; init; }

    /// <summary>Optional memory in use, for notifications of zero-copy sends that are open or not read yet (skmem o).</summary>
    public int OptionalMemory { get; init; }
}
