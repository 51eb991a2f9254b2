using Penstock.Tcp.LossRecovery;

namespace Penstock.Tcp.Pacing;

/// <summary>What a connection keeps about its own sending. Made when it first has something to send, so that one that never does costs nothing. The owner's.</summary>
internal sealed class SendState
{
    /// <summary>Delivery-rate samples.</summary>
    public DeliveryTracker Delivery = new();

    public Pacer Pacer = new();

    public Chronograph Limits;

    /// <summary>Segments delivered by ACKs that told of congestion (tcpi_delivered_ce).</summary>
    public long DeliveredMarked;

    /// <summary>Retransmission timeouts in all, and recoveries that began with one (tcpi_total_rto, tcpi_total_rto_recoveries).</summary>
    public int Timeouts, TimeoutRecoveries;

    /// <summary>Time from the first timeout of a recovery to its end, of all that ended (tcpi_total_rto_time).</summary>
    public long TimeoutNanos;

    /// <summary>When the recovery that is under way had its first timeout; 0 when there is none.</summary>
    public long TimeoutSinceNanos;

    /// <summary>Counts a retransmission timeout; <paramref name="first"/> of those without an answer in between.</summary>
    public void OnTimeout(bool first, long now)
    {
        Timeouts++;
        if (first)
        {
            // What went before, and had no end yet, is not counted (Linux).
            TimeoutRecoveries++;
            TimeoutSinceNanos = now;
        }
    }

    /// <summary>Counts the timeouts of the SYN-ACK that this connection came from.</summary>
    public void OnTimeoutsBefore(int timeouts, long nanos)
    {
        Timeouts = timeouts;
        TimeoutRecoveries = 1;
        TimeoutNanos = nanos;
    }

    /// <summary>What followed a timeout is over.</summary>
    public void EndTimeouts(long now)
    {
        if (TimeoutSinceNanos != 0)
        {
            TimeoutNanos += now - TimeoutSinceNanos;
            TimeoutSinceNanos = 0;
        }
    }
}
