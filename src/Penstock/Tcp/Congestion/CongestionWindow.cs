namespace Penstock.Tcp.Congestion;

/// <summary>
/// The figures that congestion control works on, in segments (Linux: <c>snd_cwnd</c> and kin). One for each connection; only its owner touches it.
/// </summary>
internal sealed class CongestionWindow
{
    /// <summary>RFC 6928 2: the initial window, ten segments whatever their size, as in Linux (TCP_INIT_CWND).</summary>
    public const int Initial = 10;

    public const int InfiniteThreshold = 0x7fffffff;

    /// <summary>Segments that may be in flight.</summary>
    public int Window = Initial;

    /// <summary>Slow-start threshold.</summary>
    public int Threshold = InfiniteThreshold;

    /// <summary>Acknowledged segments that have not yet moved the window (Linux: <c>snd_cwnd_cnt</c>).</summary>
    public int Counter;

    /// <summary>Upper bound set by the application or route.</summary>
    public int Clamp = int.MaxValue;

    /// <summary>The window before the last reduction, for undo (Linux: <c>prior_cwnd</c>).</summary>
    public int Prior;

    /// <summary>When the window was last used up or validated, nanoseconds (Linux: <c>snd_cwnd_stamp</c>).</summary>
    public long StampNanos;

    /// <summary>The most segments in flight in the last round while not window-limited (RFC 7661 / Linux: <c>max_packets_out</c>).</summary>
    public int MaxPacketsOut;

    /// <summary>The flight filled the window (or half of it in slow start) in this round (Linux: <c>is_cwnd_limited</c>).</summary>
    public bool IsLimited;

    public bool InSlowStart => Window < Threshold;

    /// <summary>
    /// Slow start for <paramref name="acked"/> segments; returns those left over once the threshold is reached (RFC 5681 3.1). What was acknowledged counts, not ACKs: appropriate byte counting (ABC, RFC 3465), in
    /// segments and without its limit of two an ACK, as in Linux.
    /// </summary>
    public int SlowStart(int acked)
    {
        int next = Math.Min(Window + acked, Threshold);
        int left = acked - (next - Window);
        Window = Math.Min(next, Clamp);
        return left;
    }

    /// <summary>Additive increase: one segment for each <paramref name="perSegment"/> acknowledged (RFC 3465 2.1; Linux: <c>tcp_cong_avoid_ai</c>).</summary>
    public void Increase(int perSegment, int acked)
    {
        if (Counter >= perSegment)
        {
            Counter = 0;
            Window++;
        }

        Counter += acked;
        if (Counter >= perSegment)
        {
            int delta = Counter / perSegment;
            Counter -= delta * perSegment;
            Window += delta;
        }

        Window = Math.Min(Window, Clamp);
    }
}
