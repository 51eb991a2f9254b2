using Penstock.Time;

namespace Penstock.Tcp;

/// <summary>
/// The settings that all TCP sockets of a stack share, with Linux's defaults. <see cref="Sysctl"/> reads and writes them by Linux's names; a field is read
/// when it is needed, so a change acts on what happens next.
/// </summary>
internal sealed class TcpSettings
{
    /// <summary>net.ipv4.tcp_wmem: smallest, first and largest automatic send buffer, bytes.</summary>
    public int SendBufferMin = 4096, SendBufferDefault = 16384, SendBufferMax = 4 * 1024 * 1024;

    /// <summary>net.ipv4.tcp_rmem.</summary>
    public int ReceiveBufferMin = 4096, ReceiveBufferDefault = 131072, ReceiveBufferMax = 6 * 1024 * 1024;

    /// <summary>net.core.wmem_max and rmem_max: what an application may ask for, before doubling.</summary>
    public int CoreSendMax = 4 * 1024 * 1024, CoreReceiveMax = 4 * 1024 * 1024;

    /// <summary>net.core.optmem_max: what one socket may use for the notifications of zero-copy sends, open and unread, bytes.</summary>
    public int OptionalMemoryMax = 128 * 1024;

    /// <summary>Bytes of the application's memory that all zero-copy sends of the stack may hold at a time (Linux: RLIMIT_MEMLOCK).</summary>
    public long PinnedMax = long.MaxValue;

    /// <summary>Payload that lies in the application's pages alone is not charged to the socket (Linux since 5.16). Off, it is charged like a copy: for comparison.</summary>
    public bool PureZeroCopy = true;

    /// <summary>Memory is asked for by the pages that it is charged by (R2.26). False is Linux's gap: it asks for the bytes alone.</summary>
    public bool ScheduleSpans = true;

    /// <summary>net.core.somaxconn.</summary>
    public int SoMaxConn = 4096;

    /// <summary>net.ipv4.tcp_max_syn_backlog.</summary>
    public int MaxSynBacklog = 1024;

    /// <summary>net.ipv4.tcp_syncookies: 0 never, 1 when the SYN queue overflows, 2 always.</summary>
    public int SynCookies = 1;

    public bool AbortOnOverflow;
    public bool Sack = true;
    public bool Dsack = true;
    public bool Timestamps = true;
    public bool WindowScaling = true;
    public bool ModerateReceiveBuffer = true;

    /// <summary>net.ipv4.tcp_shrink_window.</summary>
    public bool ShrinkWindow;
    public bool SlowStartAfterIdle = true;
    public bool StandardUrgent;
    public bool Rfc1337;

    /// <summary>net.ipv4.tcp_congestion_control.</summary>
    public string CongestionControl = "cubic";

    public int SynRetries = 6;

    /// <summary>net.ipv4.tcp_syn_linear_timeouts: so many timeouts of a SYN do not double the next one, and do not count among its retries.</summary>
    public int SynLinearTimeouts = 4;
    public int SynAckRetries = 5;
    public int Retries1 = 3;
    public int Retries2 = 15;
    public int OrphanRetries;

    /// <summary>net.ipv4.tcp_early_retrans: 3 or 4 allow tail-loss probes, 0 switches them off.</summary>
    public int EarlyRetrans = 3;

    /// <summary>net.ipv4.tcp_retrans_collapse: small buffers are merged when they are sent again.</summary>
    public bool RetransmitCollapse = true;

    /// <summary>net.ipv4.tcp_reordering and tcp_max_reordering, segments.</summary>
    public int Reordering = 3, MaxReordering = 300;

    /// <summary>net.ipv4.tcp_ecn: 0 never, 1 ask and grant, 2 grant (RFC 3168).</summary>
    public int Ecn = 2;

    public const int EcnAsk = 1;

    /// <summary>net.ipv4.tcp_ecn_fallback: a SYN that is sent again asks no more.</summary>
    public bool EcnFallback = true;

    /// <summary>net.ipv4.tcp_reflect_tos: answers to a connection request carry its Diffserv code point.</summary>
    public bool ReflectTos;

    /// <summary>net.ipv4.tcp_frto (RFC 5682).</summary>
    public int ForwardRto = 2;

    /// <summary>net.ipv4.tcp_thin_linear_timeouts.</summary>
    public bool ThinLinearTimeouts;

    /// <summary>net.ipv4.tcp_min_rtt_wlen, seconds.</summary>
    public int MinimumRttWindowSeconds = 300;

    /// <summary>Round-trip times end when a segment arrived and not, as in Linux, when it was processed.</summary>
    public bool RttFromArrival;

    /// <summary>net.ipv4.tcp_recovery: bit 0 RACK, bit 1 static reordering window, bit 2 ignore the duplicate-ACK threshold.</summary>
    public int Recovery = 1;

    /// <summary>Seconds: net.ipv4.tcp_fin_timeout, tcp_keepalive_time, tcp_keepalive_intvl.</summary>
    public int FinTimeout = 60, KeepAliveTime = 7200, KeepAliveInterval = 75;

    public int KeepAliveProbes = 9;

    /// <summary>net.ipv4.tcp_max_orphans, tcp_max_tw_buckets.</summary>
    public int MaxOrphans = 65536, MaxTimeWaitBuckets = 65536;

    /// <summary>net.ipv4.tcp_tw_reuse: 0 off, 1 everywhere, 2 on loopback.</summary>
    public int TimeWaitReuse = 2;

    /// <summary>net.ipv4.tcp_rto_min_us and tcp_rto_max_ms.</summary>
    public int RtoMinMicroseconds = 200_000, RtoMaxMilliseconds = 120_000;

    /// <summary>net.ipv4.tcp_delack_min/max in Linux's source: 40 and 200 ms.</summary>
    public const int DelayedAckMinMilliseconds = 40, DelayedAckMaxMilliseconds = 200;

    /// <summary>net.ipv4.tcp_comp_sack_nr: ACKs for data beyond a gap that wait to go as one; 0 makes none wait.</summary>
    public int CompressedSackMax = 44;

    /// <summary>net.ipv4.tcp_comp_sack_delay_ns and tcp_comp_sack_slack_ns: how long they wait, at most a twentieth of a round trip, and what a timer may be late.</summary>
    public long CompressedSackDelayNanos = Nanos.PerMillisecond, CompressedSackSlackNanos = 100 * Nanos.PerMicrosecond;

    /// <summary>net.ipv4.tcp_pingpong_thresh: answers in a row that make a connection a conversation, whose ACKs ride along.</summary>
    public int PingPongThreshold = 1;

    /// <summary>net.ipv4.tcp_challenge_ack_limit: challenge ACKs a second for the whole stack.</summary>
    public int ChallengeAckLimit = int.MaxValue;

    /// <summary>net.ipv4.tcp_invalid_ratelimit, milliseconds between ACKs for invalid segments of one connection.</summary>
    public int InvalidRateLimitMilliseconds = 500;

    /// <summary>net.ipv4.tcp_adv_win_scale: 1 makes half of the receive buffer window at first.</summary>
    public int AdvertisedWindowScale = 1;

    /// <summary>net.ipv4.tcp_notsent_lowat, bytes.</summary>
    public uint NotSentLowWater = uint.MaxValue;

    /// <summary>net.ipv4.ip_local_port_range.</summary>
    public int LocalPortFirst = 32768, LocalPortLast = 60999;

    /// <summary>net.ipv4.ip_default_ttl.</summary>
    public byte TimeToLive = 64;

    /// <summary>net.ipv4.tcp_tso_win_divisor.</summary>
    public int TsoWindowDivisor = 3;

    /// <summary>net.ipv4.tcp_min_tso_segs: what a super-segment has at least, if there is that much to send.</summary>
    public int MinTsoSegments = 2;

    /// <summary>net.ipv4.tcp_tso_rtt_log: a super-segment may be the largest below 2^this microseconds of round trip, and half of it below twice that, and so on.</summary>
    public int TsoRttLog = 9;

    /// <summary>net.ipv4.tcp_pacing_ss_ratio and tcp_pacing_ca_ratio, per cent of the rate that the window and the round-trip time amount to.</summary>
    public int PacingSlowStartRatio = 200, PacingAvoidanceRatio = 120;

    /// <summary>net.ipv4.tcp_limit_output_bytes: what one socket may have inside a device.</summary>
    public int LimitOutputBytes = 4 * 1024 * 1024;

    /// <summary>net.ipv4.tcp_min_snd_mss.</summary>
    public int MinSendMss = 48;

    /// <summary>net.ipv4.tcp_mtu_probing: 0 off, 1 once a black hole is found, 2 always.</summary>
    public int MtuProbing;

    /// <summary>net.ipv4.tcp_base_mss, where probing begins, and tcp_mtu_probe_floor, where a search for a black hole's edge ends, bytes.</summary>
    public int BaseMss = 1024, MtuProbeFloor = 48;

    /// <summary>net.ipv4.tcp_probe_interval, seconds between two searches, and tcp_probe_threshold, bytes that a search may leave open.</summary>
    public int MtuProbeInterval = 600, MtuProbeThreshold = 8;

    /// <summary>The flush policy of the send loop: new buffers between two looks at the backlog (0 never, 1 the original patch, 16 Linux today).</summary>
    public int BacklogFlushBuffers = 16;

    /// <summary>
    /// A long send also looks at the backlog as soon as this time has passed since it last did, between the chunks of one buffer too; 0 switches that off. Together with
    /// <see cref="BacklogFlushBuffers"/> this is the adaptive policy.
    /// </summary>
    public long BacklogFlushBudgetNanos = 1_000_000;

    /// <summary>One ACK for a whole backlog drain (net.ipv4.tcp_backlog_ack_defer).</summary>
    public bool BacklogAckDefer = true;

    /// <summary>Merge packets in the backlog.</summary>
    public bool BacklogCoalesce = true;

    /// <summary>Run what timers and completions deferred at each flush, not only at release.</summary>
    public bool BacklogReleaseCallback = true;

    /// <summary>A receive that has taken all there is works off the backlog before it leaves or waits.</summary>
    public bool BacklogReceiveFlush = true;

    /// <summary>Measures how long packets wait in backlogs, for the histogram; costs two looks at the clock for each packet.</summary>
    public bool BacklogWaitHistogram;

    /// <summary>Payload bytes a queued buffer is filled to; 0 leaves it to the stack (up to 64 KiB), 1 means one segment.</summary>
    public int SizeGoal;

    /// <summary>The send buffer that SO_SNDBUF with <paramref name="bytes"/> makes: doubled for overhead, within Linux's bounds.</summary>
    public int FixedSendBuffer(int bytes, int? most = null) => Math.Max((int)Math.Min((long)Math.Min(bytes, most ?? CoreSendMax) * 2, int.MaxValue), SendBufferMin);

    /// <summary>The receive buffer that SO_RCVBUF with <paramref name="bytes"/> makes.</summary>
    public int FixedReceiveBuffer(int bytes, int? most = null) => Math.Max((int)Math.Min((long)Math.Min(bytes, most ?? CoreReceiveMax) * 2, int.MaxValue), ReceiveBufferMin);
}
