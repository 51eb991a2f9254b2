using Penstock.Tcp;
using Penstock.Time;

namespace Penstock.Drill;

/// <summary>The fields of Linux's tcp_info by their names, with Linux's units (times in microseconds) and numbers.</summary>
internal static class InfoVariables
{
    /// <summary>The field's value now; null when there is no such field, or no connection to ask.</summary>
    public static long? Find(string name, TcpConnection? connection, long nowNanos)
    {
        if (connection is null || !name.StartsWith("tcpi_", StringComparison.Ordinal))
        {
            return null;
        }

        TcpInfo info = connection.Snapshot();
        return name switch
        {
            "tcpi_state" => StateNumber(info.State),
            "tcpi_ca_state" => CongestionNumber(info.CongestionState),
            "tcpi_retransmits" => info.Retransmits,
            "tcpi_probes" => info.Probes,
            "tcpi_backoff" => info.Backoff,
            "tcpi_options" => (info.Timestamps ? 1 : 0) | (info.Sack ? 2 : 0) | (info.WindowScale.Send >= 0 ? 4 : 0) | (connection.UsesEcn ? 8 : 0),
            "tcpi_snd_wscale" => Math.Max(0, info.WindowScale.Send),
            "tcpi_rcv_wscale" => Math.Max(0, info.WindowScale.Receive),
            "tcpi_rto" => Micros(info.RetransmissionTimeout),
            "tcpi_ato" => Micros(info.AckTimeout),
            "tcpi_snd_mss" => info.SendMss,
            "tcpi_rcv_mss" => info.ReceiveMss,
            "tcpi_unacked" => info.Unacknowledged,
            "tcpi_sacked" => info.Sacked,
            "tcpi_lost" => info.Lost,
            "tcpi_retrans" => info.RetransmitsOut,
            "tcpi_fackets" => 0,
            "tcpi_pmtu" => info.PathMtu,
            "tcpi_rcv_ssthresh" => connection.ReceiveThreshold,
            "tcpi_rtt" => Micros(info.RoundTripTime),
            "tcpi_rttvar" => Micros(info.RoundTripVariance),
            "tcpi_snd_ssthresh" => info.SlowStartThreshold,
            "tcpi_snd_cwnd" => info.CongestionWindow,
            "tcpi_advmss" => info.AdvertisedMss,
            "tcpi_reordering" => info.Reordering,
            "tcpi_reord_seen" => connection.RecoveryFigures.Reorderings,
            "tcpi_dsack_dups" => connection.RecoveryFigures.Duplicates,
            "tcpi_rcv_rtt" => Micros(info.ReceiverRoundTripTime),
            "tcpi_total_retrans" => info.TotalRetransmits,
            "tcpi_bytes_acked" => info.BytesAcked,
            "tcpi_bytes_received" => info.BytesReceived,
            "tcpi_segs_out" => info.SegmentsOut,
            "tcpi_segs_in" => info.SegmentsIn,
            "tcpi_notsent_bytes" => info.NotSent,
            "tcpi_min_rtt" => Micros(info.MinimumRoundTripTime),
            "tcpi_delivery_rate" => info.DeliveryRate,
            "tcpi_delivered" => info.Delivered,
            "tcpi_bytes_sent" => info.BytesSent,
            "tcpi_bytes_retrans" => info.BytesRetransmitted,
            "tcpi_snd_wnd" => info.SendWindow,
            "tcpi_rcv_wnd" => info.ReceiveWindow,
            _ => null,
        };
    }

    private static long Micros(TimeSpan span) => Nanos.From(span) / 1000;

    private static int StateNumber(TcpConnectionState state) => state switch
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

    private static int CongestionNumber(string state) => state switch
    {
        "Open" => 0,
        "Disorder" => 1,
        "Recovery" => 3,
        "Loss" => 4,
        _ => 2,
    };
}
