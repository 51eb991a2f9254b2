using Penstock.Tcp;
using Penstock.Tcp.Congestion;
using Penstock.Time;

namespace Penstock;

/// <summary>
/// Every setting, a row each: name, meaning, range, field. What has a name in Linux has that, the rest begins with <c>penstock.</c>. Ranges are what Linux 6.18 takes, narrowed where a value would make no
/// sense. docs/tuning.md shows this table; a test compares the two.
/// </summary>
internal static class SysctlTable
{
    private const string V4 = "net.ipv4.";

    /// <summary>For what Linux has no name.</summary>
    private const string Own = "penstock.";

    /// <summary>What Linux keeps in eight bits.</summary>
    private const int Byte = 255;

    /// <summary>Seconds that still fit an <c>int</c> of milliseconds.</summary>
    private const int Seconds = int.MaxValue / 1000;

    public static IReadOnlyList<SysctlEntry> Entries { get; } =
    [
        // Buffers and memory.
        Numbers("net.core.rmem_max", "Largest SO_RCVBUF that a socket may ask for, before it is doubled, bytes.", 2304, int.MaxValue, s => ref s.CoreReceiveMax),
        Numbers("net.core.wmem_max", "Largest SO_SNDBUF that a socket may ask for, before it is doubled, bytes.", 4608, int.MaxValue, s => ref s.CoreSendMax),
        Numbers("net.core.optmem_max", "Memory for the notifications of one socket's zero-copy sends, open and unread, bytes.", 0, int.MaxValue, s => ref s.OptionalMemoryMax),
        Numbers(V4 + "tcp_rmem", "Smallest, first and largest automatic receive buffer, bytes.", 1, int.MaxValue,
            s => ref s.ReceiveBufferMin, s => ref s.ReceiveBufferDefault, s => ref s.ReceiveBufferMax),
        Numbers(V4 + "tcp_wmem", "Smallest, first and largest automatic send buffer, bytes.", 1, int.MaxValue,
            s => ref s.SendBufferMin, s => ref s.SendBufferDefault, s => ref s.SendBufferMax),
        new NumbersEntry(V4 + "tcp_mem", "Memory of all TCP sockets, in pages of 4096 bytes: pressure ends at, pressure begins at, limit.", 3, 0, 1L << 40,
            t => [t.Memory.LowPages, t.Memory.PressurePages, t.Memory.HighPages], (t, v) => t.Memory.SetLimits(v[0], v[1], v[2]), ascending: true),
        Flag(V4 + "tcp_moderate_rcvbuf", "Lets the receive buffer grow with the rate at which the application reads.", s => ref s.ModerateReceiveBuffer),
        Numbers(V4 + "tcp_adv_win_scale", "Share of the receive buffer that is window at first: 1 is half, 2 three quarters, up to 7; any other half.", -31, 31, s => ref s.AdvertisedWindowScale),
        Flag(V4 + "tcp_shrink_window", "Takes back a window that memory can no longer keep (RFC 7323 2.4), where windows are scaled.", s => ref s.ShrinkWindow),
        new NumbersEntry(V4 + "tcp_notsent_lowat", "A socket is writable while fewer bytes than this wait to be sent.", 1, 0, uint.MaxValue,
            t => [t.Settings.NotSentLowWater], (t, v) => t.Settings.NotSentLowWater = (uint)v[0]),
        Numbers(V4 + "tcp_limit_output_bytes", "Bytes that one socket may have inside a device.", 0, int.MaxValue, s => ref s.LimitOutputBytes),

        // Listening.
        Numbers("net.core.somaxconn", "Upper limit of a listener's backlog, connections.", 0, int.MaxValue, s => ref s.SoMaxConn),
        Numbers(V4 + "tcp_max_syn_backlog", "Without SYN cookies: requests that a listener keeps while it waits for their ACK, of which a quarter stays free. With them its backlog bounds them.", 0, int.MaxValue, s => ref s.MaxSynBacklog),
        Numbers(V4 + "tcp_syncookies", "SYN cookies: 0 never, 1 when too many requests wait, 2 always.", 0, 2, s => ref s.SynCookies),
        Flag(V4 + "tcp_abort_on_overflow", "Resets a connection that finds the accept queue full, instead of letting the client try again.", s => ref s.AbortOnOverflow),
        Numbers(V4 + "tcp_synack_retries", "Times that a SYN-ACK is sent again.", 0, Byte, s => ref s.SynAckRetries),

        // Connecting.
        new NumbersEntry(V4 + "ip_local_port_range", "First and last local port that the stack chooses for a connection.", 2, 1, ushort.MaxValue,
            t => [t.Settings.LocalPortFirst, t.Settings.LocalPortLast],
            (t, v) => (t.Settings.LocalPortFirst, t.Settings.LocalPortLast) = ((int)v[0], (int)v[1]),
            ascending: true),
        Numbers(V4 + "tcp_syn_retries", "Times that a SYN is sent again before connecting fails.", 1, 127, s => ref s.SynRetries),
        Numbers(V4 + "tcp_syn_linear_timeouts", "Timeouts of a SYN that do not double the next one; they come on top of tcp_syn_retries.", 0, 127, s => ref s.SynLinearTimeouts),
        Numbers(V4 + "tcp_tw_reuse", "New connections may take over one in TIME-WAIT: 0 never, 1 always, 2 on loopback.", 0, 2, s => ref s.TimeWaitReuse),

        // What is negotiated.
        Flag(V4 + "tcp_sack", "Selective acknowledgments (RFC 2018).", s => ref s.Sack),
        Flag(V4 + "tcp_dsack", "Tells the peer of duplicates in SACKs (RFC 2883).", s => ref s.Dsack),
        Flag(V4 + "tcp_timestamps", "Timestamps (RFC 7323).", s => ref s.Timestamps),
        Flag(V4 + "tcp_window_scaling", "Window scaling (RFC 7323).", s => ref s.WindowScaling),
        Numbers(V4 + "tcp_ecn", "Explicit congestion notification (RFC 3168): 0 never, 1 asked for and granted, 2 granted.", 0, 2, s => ref s.Ecn),
        Flag(V4 + "tcp_ecn_fallback", "A SYN that is sent again no longer asks for ECN (RFC 3168 6.1.1.1).", s => ref s.EcnFallback),
        Flag(V4 + "tcp_reflect_tos", "The answer to a SYN, and all that follows it, carries the SYN's Diffserv code point.", s => ref s.ReflectTos),

        // Sending and congestion.
        new WordEntry(V4 + "tcp_congestion_control", "Congestion control of new connections.", CongestionControl.Available,
            t => t.Settings.CongestionControl, (t, v) => t.Settings.CongestionControl = v),
        new WordEntry(V4 + "tcp_available_congestion_control", "The congestion controls there are.", CongestionControl.Available,
            _ => string.Join(' ', CongestionControl.Available), write: null),
        Flag(V4 + "tcp_slow_start_after_idle", "Shrinks the congestion window after an idle time (RFC 2861).", s => ref s.SlowStartAfterIdle),
        Numbers(V4 + "tcp_min_snd_mss", "Smallest segment payload that a peer can make us use, bytes.", 48, ushort.MaxValue, s => ref s.MinSendMss),
        Numbers(V4 + "tcp_tso_win_divisor", "A super-segment takes at most one in so many parts of the congestion window; 0 lets it take all.", 0, Byte, s => ref s.TsoWindowDivisor),
        Numbers(V4 + "tcp_min_tso_segs", "Segments that a super-segment has at least, if there is so much to send.", 1, Byte, s => ref s.MinTsoSegments),
        Numbers(V4 + "tcp_tso_rtt_log", "Below 2 to this microseconds of round trip a super-segment may be the largest there is, below twice that half of it, and so on.", 0, Byte, s => ref s.TsoRttLog),
        Numbers(V4 + "tcp_pacing_ss_ratio", "Pacing rate in slow start, per cent of window over round-trip time.", 0, 1000, s => ref s.PacingSlowStartRatio),
        Numbers(V4 + "tcp_pacing_ca_ratio", "Pacing rate otherwise, per cent of window over round-trip time.", 0, 1000, s => ref s.PacingAvoidanceRatio),
        Numbers(V4 + "tcp_mtu_probing", "Finds the path MTU by larger segments (RFC 4821): 0 never, 1 once large ones are found to vanish, 2 always.", 0, 2, s => ref s.MtuProbing),
        Numbers(V4 + "tcp_base_mss", "Segment payload that such probing begins with, bytes.", 48, ushort.MaxValue, s => ref s.BaseMss),
        Numbers(V4 + "tcp_mtu_probe_floor", "Segment payload that the search goes down to when large segments vanish, bytes.", 48, ushort.MaxValue, s => ref s.MtuProbeFloor),
        Numbers(V4 + "tcp_probe_threshold", "Difference at which the search ends, bytes.", 0, ushort.MaxValue, s => ref s.MtuProbeThreshold),
        Numbers(V4 + "tcp_probe_interval", "Time after which a finished search begins again, seconds.", 0, Seconds, s => ref s.MtuProbeInterval),
        Numbers(V4 + "ip_default_ttl", "Time to live of packets sent.", 1, Byte, t => t.Settings.TimeToLive, (t, v) => t.Settings.TimeToLive = (byte)v),

        // Loss recovery.
        Numbers(V4 + "tcp_recovery", "Loss detection, a sum: 1 RACK (RFC 8985; always on, as in Linux), 2 a fixed reordering window, 4 no waiting for three duplicate ACKs.", 0, Byte, s => ref s.Recovery),
        Numbers(V4 + "tcp_frto", "Tests whether a timeout was necessary before more is sent again (RFC 5682): 0 never, any other number always.", 0, Byte, s => ref s.ForwardRto),
        Numbers(V4 + "tcp_early_retrans", "Tail-loss probes (RFC 8985 7): 3 and 4 on, others off.", 0, 4, s => ref s.EarlyRetrans),
        Flag(V4 + "tcp_retrans_collapse", "Sends small segments that are sent again as fewer full ones.", s => ref s.RetransmitCollapse),
        Numbers(V4 + "tcp_reordering", "Reordering that a new connection expects, segments.", 1, int.MaxValue, s => ref s.Reordering),
        Numbers(V4 + "tcp_max_reordering", "Most reordering that a connection learns to expect, segments.", 1, int.MaxValue, s => ref s.MaxReordering),
        Flag(V4 + "tcp_thin_linear_timeouts", "The first six timeouts of a stream with fewer than four segments in flight do not double.", s => ref s.ThinLinearTimeouts),
        Numbers(V4 + "tcp_min_rtt_wlen", "Time for which the smallest round-trip time is remembered, seconds.", 0, 86_400, s => ref s.MinimumRttWindowSeconds),
        Numbers(V4 + "tcp_rto_min_us", "Smallest retransmission timeout, microseconds.", 1, int.MaxValue, s => ref s.RtoMinMicroseconds),
        Numbers(V4 + "tcp_rto_max_ms", "Largest retransmission timeout, milliseconds.", 1000, 120_000, s => ref s.RtoMaxMilliseconds),
        Numbers(V4 + "tcp_retries1", "Timeouts of one segment before the route is doubted (RFC 1122 4.2.3.5).", 0, Byte, s => ref s.Retries1),
        Numbers(V4 + "tcp_retries2", "Timeouts of one segment before the connection is given up (RFC 1122 4.2.3.5), counted in the time they take from a first one of 200 ms, as in Linux.", 0, Byte, s => ref s.Retries2),

        // Acknowledging.
        Numbers(V4 + "tcp_pingpong_thresh", "Answers in a row that make a connection a conversation, in which ACKs wait for data to ride on.", 1, Byte, s => ref s.PingPongThreshold),
        Numbers(V4 + "tcp_comp_sack_nr", "ACKs for data beyond a gap that wait to go as one (the first three never wait); 0 makes none wait.", 0, Byte, s => ref s.CompressedSackMax),
        Numbers(V4 + "tcp_comp_sack_delay_ns", "How long they wait at most, nanoseconds; never longer than a twentieth of a round trip.", 0, int.MaxValue,
            t => t.Settings.CompressedSackDelayNanos, (t, v) => t.Settings.CompressedSackDelayNanos = v),
        Numbers(V4 + "tcp_comp_sack_slack_ns", "What is added to that, nanoseconds.", 0, int.MaxValue,
            t => t.Settings.CompressedSackSlackNanos, (t, v) => t.Settings.CompressedSackSlackNanos = v),

        // Idle and closing.
        Numbers(V4 + "tcp_keepalive_time", "Idle time before the first keepalive probe, seconds.", 1, Seconds, s => ref s.KeepAliveTime),
        Numbers(V4 + "tcp_keepalive_intvl", "Time between keepalive probes, seconds.", 1, Seconds, s => ref s.KeepAliveInterval),
        Numbers(V4 + "tcp_keepalive_probes", "Keepalive probes without an answer before the connection is given up.", 0, Byte, s => ref s.KeepAliveProbes),
        Numbers(V4 + "tcp_fin_timeout", "Time that a closed connection waits for the peer's FIN, seconds; as in Linux three and a half retransmission timeouts at least, and beyond a minute twice what is beyond.", 0, Seconds, s => ref s.FinTimeout),
        Numbers(V4 + "tcp_orphan_retries", "Timeouts before a closed connection is given up, counted in time as those of tcp_retries2; 0 is 8, as in Linux.", 0, Byte, s => ref s.OrphanRetries),
        Numbers(V4 + "tcp_max_orphans", "Closed connections that may still have something to send.", 0, int.MaxValue, s => ref s.MaxOrphans),
        Numbers(V4 + "tcp_max_tw_buckets", "Connections in TIME-WAIT, and closed ones in FIN-WAIT-2.", 0, int.MaxValue, s => ref s.MaxTimeWaitBuckets),
        Flag(V4 + "tcp_rfc1337", "A reset does not end TIME-WAIT (RFC 1337).", s => ref s.Rfc1337),

        // Answers and odd segments.
        Numbers(V4 + "tcp_challenge_ack_limit", "Challenge ACKs a second, for the whole stack (RFC 5961).", 0, int.MaxValue,
            t => t.Settings.ChallengeAckLimit, (t, v) => t.SetChallengeAckLimit((int)v)),
        Numbers(V4 + "tcp_invalid_ratelimit", "Least time between two ACKs for invalid segments of a connection, milliseconds.", 0, int.MaxValue, s => ref s.InvalidRateLimitMilliseconds),
        Flag(V4 + "tcp_backlog_ack_defer", "Sends one ACK for all that waited in the backlog.", s => ref s.BacklogAckDefer),
        Flag(V4 + "tcp_stdurg", "A received urgent pointer points at the urgent byte (RFC 1122) instead of behind it.", s => ref s.StandardUrgent),

        // What Linux has no setting for: what a round-trip time is, the backlog of a socket that is in use, and the size of queued buffers.
        Flag(Own + "tcp_rtt_from_arrival", "A round-trip time ends when the ACK arrived, not when it was processed; time in the backlog then counts for nothing.", s => ref s.RttFromArrival),
        Numbers(Own + "tcp_backlog_flush_buffers", "A long send looks at its backlog before each so many new buffers: 1 as Linux 4.7, 16 as Linux today, 0 never.", 0, int.MaxValue, s => ref s.BacklogFlushBuffers),
        Numbers(Own + "tcp_backlog_flush_budget_us", "It also looks when this time would pass since it last did, in mid-buffer too, microseconds; 0 switches that off.", 0, 1_000_000,
            t => t.Settings.BacklogFlushBudgetNanos / Nanos.PerMicrosecond, (t, v) => t.Settings.BacklogFlushBudgetNanos = v * Nanos.PerMicrosecond),
        Flag(Own + "tcp_backlog_release_callback", "A flush also does what timers and devices left for the socket's release.", s => ref s.BacklogReleaseCallback),
        Flag(Own + "tcp_backlog_coalesce", "Merges packets in the backlog.", s => ref s.BacklogCoalesce),
        Flag(Own + "tcp_backlog_receive_flush", "A receive works off the backlog before it leaves or waits.", s => ref s.BacklogReceiveFlush),
        Flag(Own + "tcp_backlog_wait_histogram", "Measures how long packets wait in backlogs, for `penstock.tcp.backlog.wait`.", s => ref s.BacklogWaitHistogram),
        Numbers(Own + "tcp_size_goal", "Payload that a queued buffer is filled to, bytes: 0 as Linux, up to 64 KiB, 1 one segment.", 0, ushort.MaxValue, s => ref s.SizeGoal),
    ];

    private static NumbersEntry Numbers(string key, string meaning, int minimum, int maximum, params SettingField[] fields) =>
        new(key, meaning, fields.Length, minimum, maximum,
            t => Array.ConvertAll(fields, f => (long)f(t.Settings)),
            (t, v) =>
            {
                for (int i = 0; i < fields.Length; i++)
                {
                    fields[i](t.Settings) = (int)v[i];
                }
            });

    private static NumbersEntry Numbers(string key, string meaning, int minimum, int maximum, Func<TcpLayer, long> read, Action<TcpLayer, long> write) =>
        new(key, meaning, 1, minimum, maximum, t => [read(t)], (t, v) => write(t, v[0]));

    private static NumbersEntry Flag(string key, string meaning, SettingSwitch field) =>
        new(key, meaning, 1, 0, 1, t => [field(t.Settings) ? 1 : 0], (t, v) => field(t.Settings) = v[0] != 0);
}
