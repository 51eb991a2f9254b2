using Penstock.Buffers;

namespace Penstock.Tcp.LossRecovery;

/// <summary>Counts what was delivered, and takes delivery-rate samples from the snapshots that sent buffers carry (draft-cheng-iccrg-delivery-rate-estimation).</summary>
internal sealed class DeliveryTracker
{
    private long _deliveredNanos;
    private long _firstSentNanos;

    /// <summary>Segments delivered so far, by ACK or SACK.</summary>
    public long Delivered { get; private set; }

    /// <summary>The latest sample in segments per second; 0 before there is one.</summary>
    public double RatePerSecond { get; private set; }

    public void OnSent(PacketBuffer buffer, long now, bool nothingInFlight)
    {
        if (nothingInFlight)
        {
            _firstSentNanos = now;
            _deliveredNanos = now;
        }

        buffer.FirstSentNanosAtSend = _firstSentNanos;
        buffer.DeliveredNanosAtSend = _deliveredNanos;
        buffer.DeliveredAtSend = Delivered;
    }

    public void OnDelivered(PacketBuffer buffer, int segments, long now)
    {
        Delivered += segments;
        _deliveredNanos = now;
        if ((buffer.Segment & SegmentFlags.EverSent) == 0 || buffer.DeliveredNanosAtSend == 0)
        {
            return;
        }

        // The longer of the send and the ACK interval: neither a burst of sends nor one of ACKs may look like speed.
        long sendInterval = buffer.SentNanos - buffer.FirstSentNanosAtSend;
        long ackInterval = now - buffer.DeliveredNanosAtSend;
        long interval = Math.Max(sendInterval, ackInterval);
        _firstSentNanos = buffer.SentNanos;
        if (interval > 0)
        {
            RatePerSecond = (Delivered - buffer.DeliveredAtSend) * 1e9 / interval;
        }
    }
}
