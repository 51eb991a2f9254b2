using Penstock.Buffers;
using Penstock.Tcp.LossRecovery;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Tcp.Pacing;

public sealed class DeliveryTrackerTests
{
    private const long Millisecond = Nanos.PerMillisecond;

    private readonly PacketPool _pool = new(1 << 20);
    private DeliveryTracker _tracker = new();
    private long _order;

    [Fact]
    public void A_sample_is_what_was_delivered_over_the_longer_of_sending_and_acknowledging()
    {
        // Ten segments sent in a burst; their ACKs come spread over 9 ms after a round trip of 100 ms.
        PacketBuffer[] sent = [.. Enumerable.Range(0, 10).Select(_ => Send(1000 * Millisecond, first: _order == 0))];
        RateSample sample = default;
        for (int i = 0; i < 10; i++)
        {
            sample = Ack(sent[i], (1100 + i) * Millisecond);
        }

        Assert.Equal(10, sample.Delivered);
        Assert.Equal(109 * Millisecond, sample.IntervalNanos);
        Assert.Equal(10 * 1000 * 1000 / 109, _tracker.Rate(1000));
    }

    [Fact]
    public void ACKs_in_a_burst_are_no_faster_than_the_sends_were()
    {
        PacketBuffer first = Send(1000 * Millisecond, first: true);
        PacketBuffer second = Send(1050 * Millisecond, first: false);
        Ack(first, 1100 * Millisecond);
        PacketBuffer third = Send(1100 * Millisecond, first: false);
        PacketBuffer fourth = Send(1190 * Millisecond, first: false);
        Ack(second, 1200 * Millisecond);
        Ack(third, 1200 * Millisecond);
        RateSample sample = Ack(fourth, 1200 * Millisecond, minimumRtt: 10 * Millisecond);

        // Sent 140 ms after the one whose ACK began the sample, acknowledged 100 ms after it.
        Assert.Equal(3, sample.Delivered);
        Assert.Equal(Math.Max(1190 - 1000, 1200 - 1100) * Millisecond, sample.IntervalNanos);
    }

    [Fact]
    public void A_slower_sample_that_the_application_limited_does_not_replace_a_faster_one()
    {
        PacketBuffer[] flight = [.. Enumerable.Range(0, 10).Select(_ => Send(1000 * Millisecond, first: _order == 0))];
        foreach (PacketBuffer buffer in flight)
        {
            Ack(buffer, 1100 * Millisecond);
        }

        Assert.False(_tracker.RateIsLimited);
        long rate = _tracker.Rate(1000);
        _tracker.BeginApplicationLimit(0);
        RateSample sample = Ack(Send(1200 * Millisecond, first: true), 1300 * Millisecond);
        Assert.True(sample.IsApplicationLimited);
        Assert.Equal(rate, _tracker.Rate(1000));
        Assert.False(_tracker.RateIsLimited);
    }

    [Fact]
    public void The_limit_ends_when_what_was_in_flight_then_has_been_delivered()
    {
        PacketBuffer first = Send(1000 * Millisecond, first: true);
        _tracker.BeginApplicationLimit(1);
        PacketBuffer second = Send(1010 * Millisecond, first: false);
        Ack(first, 1100 * Millisecond);
        Assert.True(_tracker.IsApplicationLimited);
        Ack(second, 1110 * Millisecond);
        Assert.False(_tracker.IsApplicationLimited);
    }

    [Fact]
    public void An_interval_below_the_shortest_round_trip_is_no_sample()
    {
        RateSample sample = Ack(Send(1000 * Millisecond, first: true), 1005 * Millisecond, minimumRtt: 100 * Millisecond);
        Assert.Equal(-1, sample.IntervalNanos);
        Assert.Equal(0, _tracker.Rate(1000));
    }

    [Fact]
    public void An_ACK_that_delivers_nothing_gives_no_sample()
    {
        RateSample sample = _tracker.EndAck(0, 0, 0, 1000 * Millisecond);
        Assert.Equal(-1, sample.Delivered);
        Assert.Equal(-1, sample.IntervalNanos);
    }

    private PacketBuffer Send(long now, bool first)
    {
        PacketBuffer buffer = _pool.RentBuffer()!;
        buffer.SentNanos = now;
        buffer.SentOrder = ++_order;
        buffer.EndSequence = new SequenceNumber((uint)_order * 1000);
        _tracker.OnSent(buffer, now, first);
        return buffer;
    }

    private RateSample Ack(PacketBuffer buffer, long now, long minimumRtt = 0)
    {
        _tracker.OnDelivered(buffer, 1, now);
        return _tracker.EndAck(1, 0, minimumRtt, now);
    }
}
