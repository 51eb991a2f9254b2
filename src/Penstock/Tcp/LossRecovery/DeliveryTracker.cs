using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Tcp.LossRecovery;

/// <summary>
/// How fast one ACK shows the path to be (draft-cheng-iccrg-delivery-rate-estimation, Linux: <c>struct rate_sample</c>): segments delivered over the longer of the time it took to send
/// and the time it took to acknowledge them.
/// </summary>
internal readonly struct RateSample
{
    /// <summary>Segments delivered between the time the newest one acknowledged was sent and now; -1 when this ACK gives no sample.</summary>
    public required long Delivered { get; init; }

    /// <summary>What <see cref="Delivered"/> took, nanoseconds; -1 when this ACK gives no sample.</summary>
    public required long IntervalNanos { get; init; }

    /// <summary>The path may be faster: for part of the time there was nothing to send.</summary>
    public required bool IsApplicationLimited { get; init; }

    /// <summary>The newest segment acknowledged had been sent again.</summary>
    public required bool IsRetransmission { get; init; }

    /// <summary>Segments that this ACK newly acknowledged or SACKed, and newly showed to be lost.</summary>
    public required int Acked { get; init; }

    public required int Lost { get; init; }

    /// <summary>All that was delivered before the sample began: where a round trip of a congestion control ends.</summary>
    public required long DeliveredBefore { get; init; }
}

/// <summary>
/// Counts what was delivered, and takes delivery-rate samples from the snapshots that sent buffers carry (draft-cheng-iccrg-delivery-rate-estimation 3; Linux: tcp_rate). One sample for an ACK, from the newest segment that
/// it acknowledges. The owner's.
/// </summary>
internal struct DeliveryTracker
{
    private long _deliveredNanos;
    private long _firstSentNanos;

    /// <summary>Until so much is delivered samples are limited by the application; 0: they are not.</summary>
    private long _limitedUntil;

    // The sample that the ACK at hand is giving.
    private long _sampleDelivered, _sampleDeliveredNanos, _sampleSendNanos, _sampleOrder;
    private SequenceNumber _sampleEnd;
    private bool _sampleLimited, _sampleRetransmitted;

    public DeliveryTracker()
    {
    }

    /// <summary>Segments delivered so far, by ACK or SACK; the SYN was the first. A copy that a DSACK reports was delivered too, and without SACK a duplicate ACK stands for a delivery (Linux).</summary>
    public long Delivered { get; private set; } = 1;

    /// <summary>The figures of the latest sample that was not limited by the application, or of a faster one that was.</summary>
    public long RateDelivered { get; private set; }

    public long RateIntervalNanos { get; private set; }

    /// <summary>That sample was limited by the application (tcpi_delivery_rate_app_limited).</summary>
    public bool RateIsLimited { get; private set; } = true;

    /// <summary>There is nothing to send, by the application's will: samples of what is in flight say nothing of the path's limit.</summary>
    public readonly bool IsApplicationLimited => _limitedUntil != 0;

    /// <summary>Bytes a second, for segments of this size; 0 before there is a sample.</summary>
    public readonly long Rate(int mss) => RateIntervalNanos <= 0 ? 0 : (long)((double)RateDelivered * mss * 1e9 / RateIntervalNanos);

    /// <summary>The application leaves the path idle while so much is in flight (draft 3.4).</summary>
    public void BeginApplicationLimit(int packetsInFlight) => _limitedUntil = Math.Max(Delivered + packetsInFlight, 1);

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
        buffer.Segment = _limitedUntil != 0 ? buffer.Segment | SegmentFlags.ApplicationLimited : buffer.Segment & ~SegmentFlags.ApplicationLimited;
    }

    /// <summary>So many were delivered, nobody knows which; less than nothing: it is known now, and they count themselves.</summary>
    public void OnDelivered(int segments, long now)
    {
        Delivered += segments;
        _deliveredNanos = now;
    }

    /// <summary>So many segments of a buffer were acknowledged or SACKed. <see cref="PacketBuffer.DeliveredNanosAtSend"/> is 0 for what has given its sample.</summary>
    public void OnDelivered(PacketBuffer buffer, int segments, long now)
    {
        Delivered += segments;
        _deliveredNanos = now;
        if (buffer.DeliveredNanosAtSend == 0)
        {
            return;
        }

        if (_sampleDeliveredNanos == 0 || buffer.SentOrder > _sampleOrder || (buffer.SentOrder == _sampleOrder && buffer.EndSequence.After(_sampleEnd)))
        {
            _sampleDelivered = buffer.DeliveredAtSend;
            _sampleDeliveredNanos = buffer.DeliveredNanosAtSend;
            _sampleSendNanos = buffer.SentNanos - buffer.FirstSentNanosAtSend;
            _sampleLimited = (buffer.Segment & SegmentFlags.ApplicationLimited) != 0;
            _sampleRetransmitted = (buffer.Segment & SegmentFlags.RetransmittedOnce) != 0;
            _sampleOrder = buffer.SentOrder;
            _sampleEnd = buffer.EndSequence;
            _firstSentNanos = buffer.SentNanos;
        }

        if ((buffer.Segment & SegmentFlags.SackedAcked) != 0)
        {
            // It stays in the queue until the cumulative ACK, which is no second delivery.
            buffer.DeliveredNanosAtSend = 0;
        }
    }

    /// <summary>The ACK has been worked off: its sample.</summary>
    public RateSample EndAck(int acked, int lost, long minimumRttNanos, long now)
    {
        if (_limitedUntil != 0 && Delivered > _limitedUntil)
        {
            // What was sent while there was nothing else to send has been delivered.
            _limitedUntil = 0;
        }

        long delivered = -1, interval = -1;
        if (_sampleDeliveredNanos != 0)
        {
            // The longer of the two: neither a burst of sends nor one of ACKs may look like speed.
            delivered = Delivered - _sampleDelivered;
            interval = Math.Max(_sampleSendNanos, now - _sampleDeliveredNanos);
            if (interval < minimumRttNanos)
            {
                // Shorter than any round trip: a retransmission's sample whose original was acknowledged, for one.
                interval = -1;
            }
            else if (!_sampleLimited || (double)delivered * RateIntervalNanos >= (double)RateDelivered * interval)
            {
                RateDelivered = delivered;
                RateIntervalNanos = interval;
                RateIsLimited = _sampleLimited;
            }
        }

        var sample = new RateSample
        {
            Delivered = delivered,
            IntervalNanos = interval,
            IsApplicationLimited = _sampleLimited,
            IsRetransmission = _sampleRetransmitted,
            Acked = acked,
            Lost = lost,
            DeliveredBefore = _sampleDelivered,
        };
        _sampleDeliveredNanos = 0;
        return sample;
    }
}
