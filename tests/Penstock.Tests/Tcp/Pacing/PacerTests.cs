using Penstock.Tcp.Pacing;
using Penstock.Time;

namespace Penstock.Tests.Tcp.Pacing;

public class PacerTests
{
    [Fact]
    public void The_rate_is_the_window_over_the_round_trip_times_its_share()
    {
        // 10 segments of 1000 bytes in 100 ms are 100 kB/s; slow start may double it.
        Assert.Equal(200_000, Pacer.RateOf(1000, 10, 200, 100 * Nanos.PerMillisecond));
        Assert.Equal(120_000, Pacer.RateOf(1000, 10, 120, 100 * Nanos.PerMillisecond));
        Assert.Equal(Pacer.Unlimited, Pacer.RateOf(1000, 10, 200, 0));
    }

    [Fact]
    public void The_largest_rate_there_can_be_does_not_overflow()
    {
        Assert.InRange(Pacer.RateOf(65495, int.MaxValue, 1000, 1), 1, Pacer.Unlimited - 1);
    }

    [Fact]
    public void Nothing_is_held_back_unless_somebody_asked_for_pacing()
    {
        var pacer = new Pacer();
        pacer.SetRate(1000);
        pacer.OnSent(100_000, 0, 100);
        Assert.False(pacer.Holds(0));
    }

    [Fact]
    public void A_packet_holds_the_next_one_back_for_the_time_that_it_takes_at_the_rate()
    {
        Pacer pacer = Limited(20_000);
        pacer.OnSent(2000, Nanos.PerSecond, 10);
        pacer.OnSent(2000, pacer.NextNanos, 12);
        long before = pacer.NextNanos;
        pacer.OnSent(2000, before, 14);
        Assert.Equal(100 * Nanos.PerMillisecond, pacer.NextNanos - before);
        Assert.True(pacer.Holds(pacer.NextNanos - 1));
        Assert.False(pacer.Holds(pacer.NextNanos));
    }

    [Fact]
    public void A_late_timer_is_made_up_for_by_half_a_packet_at_most()
    {
        Pacer pacer = Limited(20_000);
        pacer.OnSent(2000, Nanos.PerSecond, 10);
        long late = pacer.NextNanos + (10 * Nanos.PerMillisecond);
        pacer.OnSent(2000, late, 12);
        Assert.Equal(90 * Nanos.PerMillisecond, pacer.NextNanos - late);
        late = pacer.NextNanos + Nanos.PerSecond;
        pacer.OnSent(2000, late, 14);
        Assert.Equal(50 * Nanos.PerMillisecond, pacer.NextNanos - late);
    }

    [Fact]
    public void The_first_ten_segments_go_at_once()
    {
        Pacer pacer = Limited(20_000);
        pacer.OnSent(2000, 1, 9);
        Assert.False(pacer.Holds(1));
    }

    [Fact]
    public void A_limit_bounds_the_rate_and_pacing_stays_when_it_is_taken_away()
    {
        var pacer = new Pacer();
        pacer.SetRate(1_000_000);
        pacer.SetMaximum(5000);
        Assert.Equal(5000, pacer.Rate);
        pacer.SetMaximum(Pacer.Unlimited);
        pacer.SetRate(1_000_000);
        Assert.Equal(1_000_000, pacer.Rate);
        Assert.True(pacer.IsEnforced);
    }

    private static Pacer Limited(long rate)
    {
        var pacer = new Pacer();
        pacer.SetMaximum(rate);
        return pacer;
    }
}
