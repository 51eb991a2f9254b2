using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock;

/// <summary>What a stack counts, under Linux's names (<c>nstat -a</c>). <see cref="NetworkStack.GetCounter"/> reads one.</summary>
public enum StackCounter
{
    /// <summary>IP packets received.</summary>
    IpInReceives,

    /// <summary>IP packets dropped because they were malformed.</summary>
    IpInHeaderErrors,

    /// <summary>IP packets dropped because they were not for an address of this stack.</summary>
    IpInAddressErrors,

    /// <summary>IP packets for a protocol that nobody serves.</summary>
    IpInUnknownProtocols,

    /// <summary>IP packets handed to a protocol.</summary>
    IpInDelivers,

    /// <summary>Fragments received; reassembly is not supported yet, so they are dropped.</summary>
    IpInFragmentsDropped,

    /// <summary>IP packets that the stack wanted to send.</summary>
    IpOutRequests,

    /// <summary>IP packets not sent because no route led to the destination.</summary>
    IpOutNoRoutes,

    /// <summary>IP packets that a link refused or memory did not allow.</summary>
    IpOutDiscards,

    /// <summary>Received packets that a link lost for lack of memory or room.</summary>
    LinkReceiveDropped,

    /// <summary>ICMP messages received.</summary>
    IcmpInMessages,

    /// <summary>ICMP messages dropped because they were malformed.</summary>
    IcmpInErrors,

    /// <summary>ICMP messages sent.</summary>
    IcmpOutMessages,

    /// <summary>ICMP errors not sent because of the rate limit.</summary>
    IcmpOutRateLimited,

    /// <summary>ICMP errors dropped because the socket was owned (Linux: <c>LockDroppedIcmps</c>).</summary>
    LockDroppedIcmps,

    /// <summary>ICMP errors whose quoted sequence number was outside of what is in flight (Linux: <c>OutOfWindowIcmps</c>).</summary>
    OutOfWindowIcmps,

    /// <summary>Connections opened actively.</summary>
    TcpActiveOpens,

    /// <summary>Connections opened passively.</summary>
    TcpPassiveOpens,

    /// <summary>Connection attempts that failed.</summary>
    TcpAttemptFails,

    /// <summary>Established connections that were reset.</summary>
    TcpEstabResets,

    /// <summary>Connections in ESTABLISHED or CLOSE-WAIT now.</summary>
    TcpCurrEstab,

    /// <summary>Segments received, malformed ones included.</summary>
    TcpInSegs,

    /// <summary>Segments sent, retransmissions not included.</summary>
    TcpOutSegs,

    /// <summary>Segments retransmitted.</summary>
    TcpRetransSegs,

    /// <summary>Segments dropped because they were malformed.</summary>
    TcpInErrs,

    /// <summary>Resets sent.</summary>
    TcpOutRsts,

    /// <summary>Segments dropped because of a wrong checksum.</summary>
    TcpInCsumErrors,

    /// <summary>SYN cookies sent.</summary>
    SyncookiesSent,

    /// <summary>Valid SYN cookies received.</summary>
    SyncookiesRecv,

    /// <summary>Invalid SYN cookies received.</summary>
    SyncookiesFailed,

    /// <summary>Connection requests dropped because the accept queue was full.</summary>
    ListenOverflows,

    /// <summary>Connection requests dropped by a listener, for whatever reason.</summary>
    ListenDrops,

    /// <summary>Connection requests dropped because the SYN queue was full.</summary>
    TcpReqQFullDrop,

    /// <summary>Connection requests answered with a cookie because the SYN queue was full.</summary>
    TcpReqQFullDoCookies,

    /// <summary>Sockets that entered TIME-WAIT.</summary>
    TimeWaited,

    /// <summary>TIME-WAIT entries that a new connection took over.</summary>
    TimeWaitRecycled,

    /// <summary>TIME-WAIT entries not made because there were too many.</summary>
    TcpTimeWaitOverflow,

    /// <summary>Segments dropped by PAWS (RFC 7323) on an established connection.</summary>
    PawsEstab,

    /// <summary>SYNs or segments dropped by PAWS on a connection request.</summary>
    PawsActive,

    /// <summary>Delayed ACKs sent.</summary>
    DelayedACKs,

    /// <summary>Delayed ACKs that found the socket owned.</summary>
    DelayedACKLocked,

    /// <summary>Times that quick ACK mode was entered because a duplicate arrived.</summary>
    DelayedACKLost,

    /// <summary>Pure ACKs received.</summary>
    TcpPureAcks,

    /// <summary>Packets put into a socket's backlog.</summary>
    TcpBacklogEnqueued,

    /// <summary>Packets merged into the last one of a backlog.</summary>
    TcpBacklogCoalesce,

    /// <summary>Packets dropped because a backlog was full.</summary>
    TcpBacklogDrop,

    /// <summary>Backlog flushes inside a send that found something to do.</summary>
    TcpBacklogFlushes,

    /// <summary>Looks at the backlog inside a send that found it empty.</summary>
    TcpBacklogEmptyChecks,

    /// <summary>Data dropped because there was no receive memory.</summary>
    TcpRcvQDrop,

    /// <summary>Data dropped because it was beyond the window while the receive buffer was full (Linux: <c>TCPZeroWindowDrop</c>).</summary>
    TcpZeroWindowDrop,

    /// <summary>Packets dropped from the out-of-order queue under memory pressure.</summary>
    TcpOfoPruned,

    /// <summary>Out-of-order packets queued.</summary>
    TcpOfoQueue,

    /// <summary>Out-of-order packets dropped for lack of memory.</summary>
    TcpOfoDrop,

    /// <summary>ACKs for data beyond a gap that went as one with a later ACK (Linux: <c>TCPAckCompressed</c>).</summary>
    TcpAckCompressed,

    /// <summary>Out-of-order data merged into what was queued already.</summary>
    TcpOfoMerge,

    /// <summary>Received data packets merged into the last one of the receive queue.</summary>
    TcpRcvCoalesce,

    /// <summary>Receive queues collapsed to save memory.</summary>
    TcpRcvCollapsed,

    /// <summary>Times that receive memory was pruned.</summary>
    PruneCalled,

    /// <summary>Times that pruning did not free enough.</summary>
    RcvPruned,

    /// <summary>Challenge ACKs sent (RFC 5961).</summary>
    TcpChallengeACK,

    /// <summary>Challenge ACKs not sent because of the rate limit.</summary>
    TcpAckSkippedChallenge,

    /// <summary>ACKs for out-of-window or PAWS-failed segments not sent because of the rate limit.</summary>
    TcpAckSkipped,

    /// <summary>SYNs received on an established connection.</summary>
    TcpSynChallenge,

    /// <summary>Fast retransmissions.</summary>
    TcpFastRetrans,

    /// <summary>Retransmissions in slow start after a timeout.</summary>
    TcpSlowStartRetrans,

    /// <summary>Retransmission timeouts.</summary>
    TcpTimeouts,

    /// <summary>Recoveries begun because of SACK.</summary>
    TcpSackRecovery,

    /// <summary>Recoveries begun because of duplicate ACKs without SACK.</summary>
    TcpRenoRecovery,

    /// <summary>Recoveries found to be unnecessary and undone.</summary>
    TcpFullUndo,

    /// <summary>Tail-loss probes sent.</summary>
    TcpLossProbes,

    /// <summary>Tail losses that a probe repaired.</summary>
    TcpLossProbeRecovery,

    /// <summary>Segments that the loss detection marked as lost.</summary>
    TcpLost,

    /// <summary>Reordering seen in SACKs.</summary>
    TcpSackReorder,

    /// <summary>SACK blocks discarded because they made no sense.</summary>
    TcpSackDiscard,

    /// <summary>The peer dropped data it had selectively acknowledged.</summary>
    TcpSackReneging,

    /// <summary>Parts of a queued buffer that a SACK cut off and that were merged with the SACKed buffer before them (Linux: <c>TCPSackShifted</c>).</summary>
    TcpSackShifted,

    /// <summary>Whole queued buffers that were merged with a SACKed neighbor (Linux: <c>TCPSackMerged</c>).</summary>
    TcpSackMerged,

    /// <summary>Newly SACKed buffers that could not be merged with the one before them (Linux: <c>TCPSackShiftFallback</c>).</summary>
    TcpSackShiftFallback,

    /// <summary>DSACKs sent for old duplicates.</summary>
    TcpDsackOldSent,

    /// <summary>DSACKs sent for out-of-order duplicates.</summary>
    TcpDsackOfoSent,

    /// <summary>DSACKs received.</summary>
    TcpDsackRecv,

    /// <summary>Retransmissions not sent because the original was still in the device.</summary>
    TcpSpuriousRtxHostQueues,

    /// <summary>Retransmissions that a link refused.</summary>
    TcpRetransFail,

    /// <summary>Connections aborted on close because the application had not read everything.</summary>
    TcpAbortOnClose,

    /// <summary>Connections aborted because data arrived after close.</summary>
    TcpAbortOnData,

    /// <summary>Connections aborted because a timer gave up.</summary>
    TcpAbortOnTimeout,

    /// <summary>Orphaned connections aborted because there were too many or memory was short.</summary>
    TcpAbortOnMemory,

    /// <summary>Connections aborted by linger.</summary>
    TcpAbortOnLinger,

    /// <summary>Keepalive probes sent.</summary>
    TcpKeepAlive,

    /// <summary>Zero-window probes sent.</summary>
    TcpWinProbe,

    /// <summary>The own window went from zero to open.</summary>
    TcpFromZeroWindowAdv,

    /// <summary>The own window became zero.</summary>
    TcpToZeroWindowAdv,

    /// <summary>A window of zero was advertised although more was wanted.</summary>
    TcpWantZeroWindowAdv,

    /// <summary>Times that the memory limits (<c>tcp_mem</c>) put TCP under pressure.</summary>
    TcpMemoryPressures,

    /// <summary>Zero-copy sends begun.</summary>
    TcpZeroCopySends,

    /// <summary>Zero-copy sends whose data was copied on its way after all.</summary>
    TcpZeroCopyCopied,

    /// <summary>Zero-copy sends refused because the socket's optional memory or the stack's limit of pinned memory was used up.</summary>
    TcpZeroCopyRefused,

    /// <summary>Buffers of pure zero-copy data that were charged after all because copied data joined them.</summary>
    TcpZeroCopyDowngrades,

    /// <summary>Segments carried by the original transmissions, for the retransmission share.</summary>
    TcpOrigDataSent,

    /// <summary>SYN retransmissions of either side.</summary>
    TcpSynRetrans,

    /// <summary>Segments that a merging receive path saved.</summary>
    TcpGroMerged,

    /// <summary>Connection attempts that were told a name or route does not exist.</summary>
    TcpNoRoute,

    /// <summary>Connections refused because of a full table or port range.</summary>
    TcpPortsExhausted,

    /// <summary>Backlog flushes of a receive that found something to do.</summary>
    TcpBacklogReceiveFlushes,

    /// <summary>ACKs that ended a handshake and were dropped, because the listener waits for data (Linux: <c>TCPDeferAcceptDrop</c>).</summary>
    TcpDeferAcceptDrop,

    /// <summary>Larger segments that the path was tried with and that arrived (Linux: <c>TCPMTUPSuccess</c>).</summary>
    TcpMtupSuccess,

    /// <summary>Larger segments that the path was tried with and that were lost (Linux: <c>TCPMTUPFail</c>).</summary>
    TcpMtupFail,

    /// <summary>Reductions taken back because DSACKs reported every retransmission as a duplicate.</summary>
    TcpDsackUndo,

    /// <summary>Reductions taken back by a partial ACK for what had only been late.</summary>
    TcpPartialUndo,

    /// <summary>Timeouts found to be unnecessary and undone.</summary>
    TcpLossUndo,

    /// <summary>Those of them that F-RTO found (RFC 5682).</summary>
    TcpSpuriousRtos,

    /// <summary>Connection requests that the application refused, with a reset or in silence (<see cref="TcpConnectionRequest.Refuse"/>).</summary>
    TcpRequestsRefused,
}

/// <summary>The counters of one stack. Any thread adds; readers may see one value before another.</summary>
internal sealed class Counters
{
    private readonly CountRows _values = new(Enum.GetValues<StackCounter>().Length);
    private readonly long[] _malformed = new long[Enum.GetValues<MalformedReason>().Length];

    public long this[StackCounter counter] => _values[(int)counter];

    public void Add(StackCounter counter) => _values.Add((int)counter, 1);

    public void Add(StackCounter counter, int count) => _values.Add((int)counter, count);

    /// <summary>Adds to two counters in one go.</summary>
    public void Add(StackCounter first, int firstCount, StackCounter second, int secondCount) => _values.Add((int)first, firstCount, (int)second, secondCount);

    /// <summary>Adds one to three counters in one go.</summary>
    public void AddOneTo(StackCounter first, StackCounter second, StackCounter third) => _values.AddOneTo((int)first, (int)second, (int)third);

    public void AddMalformed(MalformedReason reason) => Interlocked.Increment(ref _malformed[(int)reason]);

    public long Malformed(MalformedReason reason) => Volatile.Read(ref _malformed[(int)reason]);
}
