namespace Penstock.Telemetry;

/// <summary>One row: a counter, and the instrument that shows it.</summary>
/// <param name="Counter">What is read.</param>
/// <param name="Name">Name of the instrument.</param>
/// <param name="Unit">Unit in UCUM's form.</param>
/// <param name="Description">One sentence for people.</param>
internal readonly record struct CounterInstrument(StackCounter Counter, string Name, string Unit, string Description);

/// <summary>
/// The table from <see cref="StackCounter"/> to instruments: names are lower case with dots, as OpenTelemetry wants them. Every counter has exactly one row; a
/// test sees to it.
/// </summary>
internal static class CounterInstruments
{
    private const string Packet = "{packet}";
    private const string Segment = "{segment}";
    private const string Connection = "{connection}";
    private const string Message = "{message}";
    private const string Request = "{request}";
    private const string Ack = "{ack}";
    private const string Event = "{event}";
    private const string Block = "{block}";

    public static IReadOnlyList<CounterInstrument> All { get; } =
    [
        new(StackCounter.IpInReceives, "penstock.ip.received", Packet, "IP packets received."),
        new(StackCounter.IpInHeaderErrors, "penstock.ip.header_errors", Packet, "IP packets dropped because they were malformed."),
        new(StackCounter.IpInAddressErrors, "penstock.ip.address_errors", Packet, "IP packets dropped because they were for somebody else."),
        new(StackCounter.IpInUnknownProtocols, "penstock.ip.unknown_protocols", Packet, "IP packets for a protocol that nobody serves."),
        new(StackCounter.IpInDelivers, "penstock.ip.delivered", Packet, "IP packets handed to a protocol."),
        new(StackCounter.IpInFragmentsDropped, "penstock.ip.fragments.dropped", Packet, "Fragments dropped."),
        new(StackCounter.IpOutRequests, "penstock.ip.sent", Packet, "IP packets that the stack wanted to send."),
        new(StackCounter.IpOutNoRoutes, "penstock.ip.no_route", Packet, "IP packets not sent for lack of a route."),
        new(StackCounter.IpOutDiscards, "penstock.ip.discarded", Packet, "IP packets that a link refused or memory did not allow."),
        new(StackCounter.LinkReceiveDropped, "penstock.link.receive.dropped", Packet, "Received packets that a link lost for lack of memory or room."),
        new(StackCounter.IcmpInMessages, "penstock.icmp.received", Message, "ICMP messages received."),
        new(StackCounter.IcmpInErrors, "penstock.icmp.errors", Message, "ICMP messages dropped because they were malformed."),
        new(StackCounter.IcmpOutMessages, "penstock.icmp.sent", Message, "ICMP messages sent."),
        new(StackCounter.IcmpOutRateLimited, "penstock.icmp.rate_limited", Message, "ICMP errors not sent because of the rate limit."),
        new(StackCounter.LockDroppedIcmps, "penstock.icmp.lock_dropped", Message, "ICMP errors dropped because the socket was owned."),
        new(StackCounter.OutOfWindowIcmps, "penstock.icmp.out_of_window", Message, "ICMP errors that quoted nothing that was in flight."),
        new(StackCounter.TcpActiveOpens, "penstock.tcp.opens.active", Connection, "Connections opened actively."),
        new(StackCounter.TcpPassiveOpens, "penstock.tcp.opens.passive", Connection, "Connections opened passively."),
        new(StackCounter.TcpAttemptFails, "penstock.tcp.opens.failed", Connection, "Connection attempts that failed."),
        new(StackCounter.TcpNoRoute, "penstock.tcp.opens.no_route", Connection, "Connection attempts without a route."),
        new(StackCounter.TcpPortsExhausted, "penstock.tcp.opens.ports_exhausted", Connection, "Connection attempts that found no free port."),
        new(StackCounter.TcpEstabResets, "penstock.tcp.established.resets", Connection, "Established connections that were reset."),
        new(StackCounter.TcpCurrEstab, "penstock.tcp.established", Connection, "Connections in ESTABLISHED or CLOSE-WAIT now."),
        new(StackCounter.TcpInSegs, "penstock.tcp.received", Segment, "Segments received, malformed ones included."),
        new(StackCounter.TcpOutSegs, "penstock.tcp.sent", Segment, "Segments sent, retransmissions not included."),
        new(StackCounter.TcpOrigDataSent, "penstock.tcp.sent.data", Segment, "Data segments sent for the first time."),
        new(StackCounter.TcpRetransSegs, "penstock.tcp.retransmits", Segment, "Segments retransmitted."),
        new(StackCounter.TcpInErrs, "penstock.tcp.errors", Segment, "Segments dropped because they were malformed."),
        new(StackCounter.TcpInCsumErrors, "penstock.tcp.errors.checksum", Segment, "Segments dropped because of a wrong checksum."),
        new(StackCounter.TcpOutRsts, "penstock.tcp.resets.sent", Segment, "Resets sent."),
        new(StackCounter.SyncookiesSent, "penstock.tcp.syn_cookies.sent", Request, "SYN cookies sent."),
        new(StackCounter.SyncookiesRecv, "penstock.tcp.syn_cookies.received", Request, "Valid SYN cookies received."),
        new(StackCounter.SyncookiesFailed, "penstock.tcp.syn_cookies.failed", Request, "Invalid SYN cookies received."),
        new(StackCounter.ListenOverflows, "penstock.tcp.listen.overflows", Request, "Requests dropped because the accept queue was full."),
        new(StackCounter.ListenDrops, "penstock.tcp.listen.dropped", Request, "Requests dropped by a listener, for whatever reason."),
        new(StackCounter.TcpReqQFullDrop, "penstock.tcp.listen.syn_queue_full.dropped", Request, "Requests dropped because too many waited."),
        new(StackCounter.TcpDeferAcceptDrop, "penstock.tcp.requests.deferred", Segment, "ACKs that ended a handshake and were dropped because the listener waits for data."),
        new(StackCounter.TcpReqQFullDoCookies, "penstock.tcp.listen.syn_queue_full.cookies", Request, "Requests answered with a cookie because too many waited."),
        new(StackCounter.TcpRequestsRefused, "penstock.tcp.listen.refused", Request, "Requests that the application refused."),
        new(StackCounter.TimeWaited, "penstock.tcp.time_wait.entered", Connection, "Connections that entered TIME-WAIT, or FIN-WAIT-2 when closed."),
        new(StackCounter.TimeWaitRecycled, "penstock.tcp.time_wait.recycled", Connection, "TIME-WAIT entries that a new connection took over."),
        new(StackCounter.TcpTimeWaitOverflow, "penstock.tcp.time_wait.overflows", Connection, "TIME-WAIT entries not made because there were too many."),
        new(StackCounter.PawsEstab, "penstock.tcp.paws.established", Segment, "Segments of a connection dropped by PAWS (RFC 7323)."),
        new(StackCounter.PawsActive, "penstock.tcp.paws.requests", Segment, "Segments of a request dropped by PAWS (RFC 7323)."),
        new(StackCounter.DelayedACKs, "penstock.tcp.delayed_acks.sent", Ack, "Delayed ACKs sent."),
        new(StackCounter.DelayedACKLocked, "penstock.tcp.delayed_acks.locked", Ack, "Delayed ACKs that found the socket owned."),
        new(StackCounter.DelayedACKLost, "penstock.tcp.delayed_acks.lost", Ack, "Duplicates that led to quick ACKs."),
        new(StackCounter.TcpPureAcks, "penstock.tcp.pure_acks", Ack, "Pure ACKs received."),
        new(StackCounter.TcpBacklogEnqueued, "penstock.tcp.backlog.enqueued", Packet, "Packets put into a socket's backlog."),
        new(StackCounter.TcpBacklogCoalesce, "penstock.tcp.backlog.coalesced", Packet, "Packets merged into the last one of a backlog."),
        new(StackCounter.TcpBacklogDrop, "penstock.tcp.backlog.dropped", Packet, "Packets dropped because a backlog was full."),
        new(StackCounter.TcpBacklogFlushes, "penstock.tcp.backlog.flushes", Event, "Backlog flushes inside a send that found something to do."),
        new(StackCounter.TcpBacklogEmptyChecks, "penstock.tcp.backlog.empty_checks", Event, "Looks at the backlog inside a send that found it empty."),
        new(StackCounter.TcpBacklogReceiveFlushes, "penstock.tcp.backlog.receive_flushes", Event, "Backlog flushes of a receive that found something to do."),
        new(StackCounter.TcpRcvQDrop, "penstock.tcp.receive.dropped", Packet, "Data dropped for lack of receive memory."),
        new(StackCounter.TcpZeroWindowDrop, "penstock.tcp.receive.zero_window.dropped", Packet, "Data dropped beyond a window that was closed."),
        new(StackCounter.TcpRcvCoalesce, "penstock.tcp.receive.coalesced", Packet, "Data packets merged into the last one of a receive queue."),
        new(StackCounter.TcpRcvCollapsed, "penstock.tcp.receive.collapsed", Event, "Receive queues collapsed to save memory."),
        new(StackCounter.PruneCalled, "penstock.tcp.receive.prunes", Event, "Times that receive memory was pruned."),
        new(StackCounter.RcvPruned, "penstock.tcp.receive.prunes.failed", Event, "Times that pruning did not free enough."),
        new(StackCounter.TcpGroMerged, "penstock.tcp.receive.merged", Segment, "Segments merged before they reached a socket."),
        new(StackCounter.TcpOfoQueue, "penstock.tcp.out_of_order.queued", Packet, "Out-of-order packets queued."),
        new(StackCounter.TcpAckCompressed, "penstock.tcp.acks.compressed", Ack, "ACKs for data beyond a gap that went as one with a later one."),
        new(StackCounter.TcpOfoMerge, "penstock.tcp.out_of_order.merged", Packet, "Out-of-order data merged into what was queued already."),
        new(StackCounter.TcpOfoDrop, "penstock.tcp.out_of_order.dropped", Packet, "Out-of-order packets dropped for lack of memory."),
        new(StackCounter.TcpOfoPruned, "penstock.tcp.out_of_order.pruned", Packet, "Queued out-of-order packets dropped under memory pressure."),
        new(StackCounter.TcpChallengeACK, "penstock.tcp.challenge_acks.sent", Ack, "Challenge ACKs sent (RFC 5961)."),
        new(StackCounter.TcpAckSkippedChallenge, "penstock.tcp.challenge_acks.skipped", Ack, "Challenge ACKs not sent because of the rate limit."),
        new(StackCounter.TcpSynChallenge, "penstock.tcp.challenge_acks.syn", Segment, "SYNs received on an established connection."),
        new(StackCounter.TcpAckSkipped, "penstock.tcp.acks.skipped", Ack, "ACKs for invalid segments not sent because of the rate limit."),
        new(StackCounter.TcpFastRetrans, "penstock.tcp.retransmits.fast", Segment, "Fast retransmissions."),
        new(StackCounter.TcpSlowStartRetrans, "penstock.tcp.retransmits.slow_start", Segment, "Retransmissions in slow start after a timeout."),
        new(StackCounter.TcpSynRetrans, "penstock.tcp.retransmits.syn", Segment, "SYN and SYN-ACK retransmissions."),
        new(StackCounter.TcpRetransFail, "penstock.tcp.retransmits.failed", Segment, "Retransmissions that a link refused."),
        new(StackCounter.TcpSpuriousRtxHostQueues, "penstock.tcp.retransmits.in_device", Segment, "Retransmissions not sent because the original was still in the device."),
        new(StackCounter.TcpTimeouts, "penstock.tcp.timeouts", Event, "Retransmission timeouts."),
        new(StackCounter.TcpSackRecovery, "penstock.tcp.recoveries.sack", Event, "Recoveries begun because of SACK."),
        new(StackCounter.TcpRenoRecovery, "penstock.tcp.recoveries.reno", Event, "Recoveries begun because of duplicate ACKs."),
        new(StackCounter.TcpFullUndo, "penstock.tcp.recoveries.undone", Event, "Recoveries found to be unnecessary and undone."),
        new(StackCounter.TcpDsackUndo, "penstock.tcp.recoveries.undone.dsack", Event, "Reductions taken back because DSACKs reported every retransmission as a duplicate."),
        new(StackCounter.TcpPartialUndo, "penstock.tcp.recoveries.undone.partial", Event, "Reductions taken back by a partial ACK for what had only been late."),
        new(StackCounter.TcpLossUndo, "penstock.tcp.timeouts.undone", Event, "Timeouts found to be unnecessary and undone."),
        new(StackCounter.TcpSpuriousRtos, "penstock.tcp.timeouts.undone.frto", Event, "Unnecessary timeouts that F-RTO found."),
        new(StackCounter.TcpLossProbes, "penstock.tcp.loss_probes.sent", Segment, "Tail-loss probes sent."),
        new(StackCounter.TcpLossProbeRecovery, "penstock.tcp.loss_probes.repaired", Event, "Tail losses that a probe repaired."),
        new(StackCounter.TcpMtupSuccess, "penstock.tcp.mtu_probes.arrived", Segment, "Larger segments that the path was tried with and that arrived."),
        new(StackCounter.TcpMtupFail, "penstock.tcp.mtu_probes.lost", Segment, "Larger segments that the path was tried with and that were lost."),
        new(StackCounter.TcpLost, "penstock.tcp.lost", Segment, "Segments marked as lost."),
        new(StackCounter.TcpSackReorder, "penstock.tcp.sack.reordering", Event, "Reordering seen in SACKs."),
        new(StackCounter.TcpSackDiscard, "penstock.tcp.sack.discarded", Block, "SACK blocks discarded because they made no sense."),
        new(StackCounter.TcpSackReneging, "penstock.tcp.sack.reneging", Event, "Data that a peer dropped after acknowledging it selectively."),
        new(StackCounter.TcpSackShifted, "penstock.tcp.sack.shifted", Event, "Parts of queued buffers merged with the SACKed buffer before them."),
        new(StackCounter.TcpSackMerged, "penstock.tcp.sack.merged", Event, "Queued buffers merged with a SACKed neighbor."),
        new(StackCounter.TcpSackShiftFallback, "penstock.tcp.sack.shift_fallback", Event, "Newly SACKed buffers that could not be merged with the one before them."),
        new(StackCounter.TcpDsackOldSent, "penstock.tcp.dsack.sent.old", Block, "DSACKs sent for old duplicates."),
        new(StackCounter.TcpDsackOfoSent, "penstock.tcp.dsack.sent.out_of_order", Block, "DSACKs sent for out-of-order duplicates."),
        new(StackCounter.TcpDsackRecv, "penstock.tcp.dsack.received", Block, "DSACKs received."),
        new(StackCounter.TcpAbortOnClose, "penstock.tcp.aborts.unread", Connection, "Connections aborted on close because not everything had been read."),
        new(StackCounter.TcpAbortOnData, "penstock.tcp.aborts.data_after_close", Connection, "Connections aborted because data arrived after close."),
        new(StackCounter.TcpAbortOnTimeout, "penstock.tcp.aborts.timeout", Connection, "Connections aborted because a timer gave up."),
        new(StackCounter.TcpAbortOnMemory, "penstock.tcp.aborts.memory", Connection, "Closed connections aborted because there were too many or memory was short."),
        new(StackCounter.TcpAbortOnLinger, "penstock.tcp.aborts.linger", Connection, "Connections aborted by linger or by the application."),
        new(StackCounter.TcpKeepAlive, "penstock.tcp.keepalives", Segment, "Keepalive probes sent."),
        new(StackCounter.TcpWinProbe, "penstock.tcp.window_probes", Segment, "Zero-window probes sent."),
        new(StackCounter.TcpToZeroWindowAdv, "penstock.tcp.window.closed", Event, "The own window became zero."),
        new(StackCounter.TcpFromZeroWindowAdv, "penstock.tcp.window.opened", Event, "The own window went from zero to open."),
        new(StackCounter.TcpWantZeroWindowAdv, "penstock.tcp.window.wanted_closed", Event, "A window of zero was advertised although more was wanted."),
        new(StackCounter.TcpMemoryPressures, "penstock.tcp.memory.pressures", Event, "Times that TCP came under memory pressure."),
        new(StackCounter.TcpZeroCopySends, "penstock.tcp.zero_copy.sends", "{send}", "Zero-copy sends begun."),
        new(StackCounter.TcpZeroCopyCopied, "penstock.tcp.zero_copy.copied", "{send}", "Zero-copy sends whose data was copied on its way after all."),
        new(StackCounter.TcpZeroCopyRefused, "penstock.tcp.zero_copy.refused", "{send}", "Zero-copy sends refused for lack of notification or pinned memory."),
        new(StackCounter.TcpZeroCopyDowngrades, "penstock.tcp.zero_copy.downgrades", "{buffer}", "Buffers of zero-copy data that were charged because copied data joined them."),
    ];
}
