using Penstock.Tcp.LossRecovery;
using Penstock.Wire;

namespace Penstock.Tcp.Congestion;

/// <summary>
/// One congestion-control algorithm of one connection. It decides how the window grows and what a loss makes of it; when to send, what is lost and when
/// a recovery is over is not its matter. Only the connection's owner calls it.
/// </summary>
internal abstract class CongestionControl(CongestionWindow window)
{
    protected CongestionWindow Cwnd { get; } = window;

    /// <summary>Linux's name, as in <c>net.ipv4.tcp_congestion_control</c>.</summary>
    public abstract string Name { get; }

    /// <summary>The slow-start threshold after a loss, segments, at least 2. Called once when a reduction begins.</summary>
    public abstract int ThresholdOnLoss();

    /// <summary>New data was acknowledged and the window may grow.</summary>
    public abstract void OnAck(in AckSample sample);

    /// <summary>The window to go back to when a reduction turns out to have been unnecessary.</summary>
    public virtual int UndoWindow() => Math.Max(Cwnd.Window, Cwnd.Prior);

    /// <summary>
    /// Every ACK that covered or SACKed something, whether or not the window may grow (delay measurements); comes before <see cref="OnAck"/>. The handshake's
    /// own sample is not among them.
    /// </summary>
    public virtual void OnRttSample(in DelaySample sample)
    {
    }

    /// <summary>
    /// The connection is established, or begins anew after a retransmission timeout, then after <see cref="ThresholdOnLoss"/>: what was learned of the path is forgotten. <paramref name="nextToSend"/> is what
    /// follows all that was sent before.
    /// </summary>
    public virtual void Begin(long nowNanos, SequenceNumber nextToSend)
    {
    }

    /// <summary>Sending starts again after nothing was in flight.</summary>
    public virtual void OnTransmitStart(long nowNanos, long idleNanos)
    {
    }

    /// <summary>Sending is to be held to the pacing rate, which it may well set itself (Linux: <c>SK_PACING_NEEDED</c>).</summary>
    public virtual bool WantsPacing => false;

    /// <summary>The delivery rate that an ACK shows; comes last of all, for each ACK that found something in flight.</summary>
    public virtual void OnRateSample(in RateSample sample)
    {
    }

    /// <summary>Makes the algorithm that <paramref name="name"/> stands for; null when there is none of that name.</summary>
    public static CongestionControl? Create(string name, CongestionWindow window) => name switch
    {
        "reno" => new Reno(window),
        "cubic" => new Cubic(window),
        _ => null,
    };

    /// <summary>The names that <see cref="Create"/> knows.</summary>
    public static IReadOnlyList<string> Available { get; } = ["reno", "cubic"];
}

/// <summary>What an ACK brought, as congestion control sees it.</summary>
internal readonly struct AckSample
{
    /// <summary>Segments newly acknowledged or SACKed.</summary>
    public required int Acked { get; init; }

    public required long MinimumRttNanos { get; init; }

    public required long NowNanos { get; init; }

    /// <summary>Sender is limited by the window, not by the application; growth is only allowed then (RFC 7661).</summary>
    public required bool WindowLimited { get; init; }
}

/// <summary>The delay that an ACK shows, as congestion control sees it.</summary>
internal readonly struct DelaySample
{
    /// <summary>The round-trip time of this ACK in nanoseconds, or -1 (Karn: no sample from retransmitted data).</summary>
    public required long RttNanos { get; init; }

    public required long NowNanos { get; init; }

    /// <summary>First sequence number not acknowledged after this ACK, and the next one to be sent.</summary>
    public required SequenceNumber Unacknowledged { get; init; }

    public required SequenceNumber NextToSend { get; init; }

    /// <summary>The rate that the window and the round-trip time amount to, bytes a second, whether or not sending is held to it; 0 when it is not known
    /// (Linux: <c>sk_pacing_rate</c>).</summary>
    public long PacingRate { get; init; }

    /// <summary>Sending is held to <see cref="PacingRate"/>.</summary>
    public bool Paced { get; init; }
}
