using Penstock.Time;

namespace Penstock.Sockets;

/// <summary>
/// Linux's <c>struct tcp_info</c> as it is since 6.18, 280 bytes, and the 9 words of SO_MEMINFO: each field's name, place, unit and value, once, for whoever speaks to C programs and for scripts that assert on
/// them. What the stack has no figure for is 0, as it is on a kernel that has not counted any.
/// </summary>
internal static class TcpInfoLayout
{
    /// <summary>Bytes of the whole; a caller with less room gets the beginning.</summary>
    public const int Size = 280;

    /// <summary>Bytes of SO_MEMINFO.</summary>
    public const int MemorySize = 36;

    private static readonly Field[] Fields =
    [
        new("tcpi_state", 0, 1, static i => StateNumber(i.State)),
        new("tcpi_ca_state", 1, 1, static i => CongestionNumber(i.CongestionState)),
        new("tcpi_retransmits", 2, 1, static i => i.Retransmits),
        new("tcpi_probes", 3, 1, static i => i.Probes),
        new("tcpi_backoff", 4, 1, static i => i.Backoff),
        new("tcpi_options", 5, 1, Options),
        new("tcpi_snd_wscale", 6, 1, static i => Math.Max(0, i.WindowScale.Send)) { Bits = 4 },
        new("tcpi_rcv_wscale", 6, 1, static i => Math.Max(0, i.WindowScale.Receive)) { Bits = 4, Shift = 4 },
        new("tcpi_delivery_rate_app_limited", 7, 1, static i => i.DeliveryRateIsApplicationLimited ? 1 : 0) { Bits = 1 },
        new("tcpi_fastopen_client_fail", 7, 1, static _ => 0) { Bits = 2, Shift = 1 },
        new("tcpi_rto", 8, 4, static i => Micros(i.RetransmissionTimeout)),
        new("tcpi_ato", 12, 4, static i => Micros(i.AckTimeout)),
        new("tcpi_snd_mss", 16, 4, static i => i.SendMss),
        new("tcpi_rcv_mss", 20, 4, static i => i.ReceiveMss),
        new("tcpi_unacked", 24, 4, static i => i.State == TcpConnectionState.Listen ? i.ReceiveQueue : i.Unacknowledged),
        new("tcpi_sacked", 28, 4, static i => i.State == TcpConnectionState.Listen ? i.SendQueue : i.Sacked),
        new("tcpi_lost", 32, 4, static i => i.Lost),
        new("tcpi_retrans", 36, 4, static i => i.RetransmitsOut),
        new("tcpi_fackets", 40, 4, static _ => 0),
        new("tcpi_last_data_sent", 44, 4, static i => Millis(i.SinceDataSent)),
        new("tcpi_last_ack_sent", 48, 4, static _ => 0),
        new("tcpi_last_data_recv", 52, 4, static i => Millis(i.SinceDataReceived)),
        new("tcpi_last_ack_recv", 56, 4, static i => Millis(i.SinceAckReceived)),
        new("tcpi_pmtu", 60, 4, static i => i.PathMtu),
        new("tcpi_rcv_ssthresh", 64, 4, static i => i.ReceiveThreshold),
        new("tcpi_rtt", 68, 4, static i => Micros(i.RoundTripTime)),
        new("tcpi_rttvar", 72, 4, static i => Micros(i.RoundTripVariance)),
        new("tcpi_snd_ssthresh", 76, 4, static i => i.SlowStartThreshold),
        new("tcpi_snd_cwnd", 80, 4, static i => i.CongestionWindow),
        new("tcpi_advmss", 84, 4, static i => i.AdvertisedMss),
        new("tcpi_reordering", 88, 4, static i => i.Reordering),
        new("tcpi_rcv_rtt", 92, 4, static i => Micros(i.ReceiverRoundTripTime)),
        new("tcpi_rcv_space", 96, 4, static i => i.ReceiveSpace),
        new("tcpi_total_retrans", 100, 4, static i => i.TotalRetransmits),
        new("tcpi_pacing_rate", 104, 8, static i => Rate(i.PacingRate)),
        new("tcpi_max_pacing_rate", 112, 8, static i => Rate(i.MaximumPacingRate)),
        new("tcpi_bytes_acked", 120, 8, static i => i.BytesAcked),
        new("tcpi_bytes_received", 128, 8, static i => i.BytesReceived),
        new("tcpi_segs_out", 136, 4, static i => i.SegmentsOut),
        new("tcpi_segs_in", 140, 4, static i => i.SegmentsIn),
        new("tcpi_notsent_bytes", 144, 4, static i => i.NotSent),
        new("tcpi_min_rtt", 148, 4, static i => i.State == TcpConnectionState.Listen ? 0 : i.MinimumRoundTripTime == TimeSpan.Zero ? uint.MaxValue : Micros(i.MinimumRoundTripTime)),
        new("tcpi_data_segs_in", 152, 4, static i => i.DataSegmentsIn),
        new("tcpi_data_segs_out", 156, 4, static i => i.DataSegmentsOut),
        new("tcpi_delivery_rate", 160, 8, static i => i.DeliveryRate),
        new("tcpi_busy_time", 168, 8, static i => Micros(i.BusyTime)),
        new("tcpi_rwnd_limited", 176, 8, static i => Micros(i.ReceiveWindowLimitedTime)),
        new("tcpi_sndbuf_limited", 184, 8, static i => Micros(i.SendBufferLimitedTime)),
        new("tcpi_delivered", 192, 4, static i => i.Delivered),
        new("tcpi_delivered_ce", 196, 4, static i => i.DeliveredMarked),
        new("tcpi_bytes_sent", 200, 8, static i => i.BytesSent),
        new("tcpi_bytes_retrans", 208, 8, static i => i.BytesRetransmitted),
        new("tcpi_dsack_dups", 216, 4, static i => i.DuplicatesReported),
        new("tcpi_reord_seen", 220, 4, static i => i.ReorderingsSeen),
        new("tcpi_rcv_ooopack", 224, 4, static i => i.OutOfOrderSegments),
        new("tcpi_snd_wnd", 228, 4, static i => i.SendWindow),
        new("tcpi_rcv_wnd", 232, 4, static i => i.ReceiveWindow),
        new("tcpi_rehash", 236, 4, static _ => 0),
        new("tcpi_total_rto", 240, 2, static i => i.TotalTimeouts),
        new("tcpi_total_rto_recoveries", 242, 2, static i => i.TotalTimeoutRecoveries),
        new("tcpi_total_rto_time", 244, 4, static i => Millis(i.TotalTimeoutTime)),
        new("tcpi_received_ce", 248, 4, static _ => 0),
        new("tcpi_delivered_e1_bytes", 252, 4, static _ => 0),
        new("tcpi_delivered_e0_bytes", 256, 4, static _ => 0),
        new("tcpi_delivered_ce_bytes", 260, 4, static _ => 0),
        new("tcpi_received_e1_bytes", 264, 4, static _ => 0),
        new("tcpi_received_e0_bytes", 268, 4, static _ => 0),
        new("tcpi_received_ce_bytes", 272, 4, static _ => 0),
        new("tcpi_accecn_fail_mode", 276, 2, static _ => 0),
        new("tcpi_accecn_opt_seen", 278, 2, static _ => 0),
    ];

    /// <summary>The fields in the order of the structure: name, first byte, bytes, bits.</summary>
    public static IEnumerable<(string Name, int Offset, int Bytes, int Bits)> Places => Fields.Select(static row => (row.Name, row.Offset, row.Bytes, row.Bits));

    /// <summary>One field as C code reads it, without sign; null when there is no such field.</summary>
    public static long? Read(string name, TcpInfo info)
    {
        foreach (Field field in Fields)
        {
            if (field.Name == name)
            {
                return field.Of(info);
            }
        }

        return null;
    }

    /// <summary>Writes the structure, in the machine's byte order, as far as there is room. Returns the bytes written.</summary>
    public static int Write(TcpInfo info, Span<byte> destination)
    {
        Span<byte> whole = stackalloc byte[Size];
        whole.Clear();
        foreach (Field field in Fields)
        {
            ulong value = (ulong)field.Of(info);
            Span<byte> place = whole[field.Offset..];
            switch (field.Bytes)
            {
                case 1:
                    place[0] |= (byte)(value << field.Shift);
                    break;
                case 2:
                    System.Runtime.InteropServices.MemoryMarshal.Write(place, (ushort)value);
                    break;
                case 4:
                    System.Runtime.InteropServices.MemoryMarshal.Write(place, (uint)value);
                    break;
                default:
                    System.Runtime.InteropServices.MemoryMarshal.Write(place, value);
                    break;
            }
        }

        int length = Math.Min(Size, destination.Length);
        whole[..length].CopyTo(destination);
        return length;
    }

    /// <summary>Writes SO_MEMINFO as far as there is room: what is received, its limit, what is in devices, the send limit, bought and unused, queued, optional, backlog, drops. Returns the bytes written.</summary>
    public static int WriteMemory(TcpInfo info, Span<byte> destination)
    {
        ReadOnlySpan<uint> words =
        [
            (uint)info.ReceiveMemory, (uint)info.ReceiveBuffer, (uint)info.DeviceMemory, (uint)info.SendBuffer, (uint)info.ForwardAlloc,
            (uint)info.WriteQueueMemory, (uint)info.OptionalMemory, (uint)info.BacklogMemory, (uint)info.Drops,
        ];
        ReadOnlySpan<byte> whole = System.Runtime.InteropServices.MemoryMarshal.AsBytes(words);
        int length = Math.Min(MemorySize, destination.Length);
        whole[..length].CopyTo(destination);
        return length;
    }

    private static long Options(TcpInfo info)
    {
        const int Timestamps = 1, Sack = 2, WindowScale = 4, Ecn = 8, EcnSeen = 16;
        return (info.Timestamps ? Timestamps : 0) | (info.Sack ? Sack : 0) | (info.WindowScale.Send >= 0 ? WindowScale : 0)
            | (info.Ecn ? Ecn : 0) | (info.EcnSeen ? EcnSeen : 0);
    }

    private static long Micros(TimeSpan span) => span.Ticks / TimeSpan.TicksPerMicrosecond;

    private static long Millis(TimeSpan span) => span.Ticks / TimeSpan.TicksPerMillisecond;

    private static long Rate(long rate) => rate == Tcp.Pacing.Pacer.Unlimited ? -1 : rate;

    private static long StateNumber(TcpConnectionState state) => state switch
    {
        TcpConnectionState.Established => 1,
        TcpConnectionState.SynSent => 2,
        TcpConnectionState.SynReceived => 3,
        TcpConnectionState.FinWait1 => 4,
        TcpConnectionState.FinWait2 => 5,
        TcpConnectionState.TimeWait => 6,
        TcpConnectionState.CloseWait => 8,
        TcpConnectionState.LastAck => 9,
        TcpConnectionState.Listen => 10,
        TcpConnectionState.Closing => 11,
        _ => 7,
    };

    private static long CongestionNumber(string state) => state switch
    {
        "Open" => 0,
        "Disorder" => 1,
        "Recovery" => 3,
        "Loss" => 4,
        _ => 2,
    };

    /// <summary>A field: its place, and its value of which only as many bits count as it has.</summary>
    private sealed record Field(string Name, int Offset, int Bytes, Func<TcpInfo, long> Value)
    {
        public int Bits { get; init; } = Bytes * 8;

        public int Shift { get; init; }

        public long Of(TcpInfo info) => Bits == 64 ? Value(info) : Value(info) & ((1L << Bits) - 1);
    }
}
