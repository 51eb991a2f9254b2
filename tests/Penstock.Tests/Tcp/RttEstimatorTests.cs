using CsCheck;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Tcp;

public class RttEstimatorTests
{
    private const long Millisecond = 1_000_000;

    private uint _sequence = uint.MaxValue - 2500;

    [Fact]
    public void Before_the_first_sample_the_timeout_is_one_second()
    {
        var rtt = new RttEstimator();
        Assert.False(rtt.HasSample);
        Assert.Equal(0, rtt.SmoothedNanos);
        Assert.Equal(1000 * Millisecond, rtt.RtoNanos);
    }

    [Theory]
    [InlineData(10, 210)] // the floor of 200 ms is one of the variance term, not of the sum
    [InlineData(100, 300)] // R + 4 * R/2 = 300: the floor and the term meet here
    [InlineData(200, 600)]
    [InlineData(1000, 3000)]
    [InlineData(50_000, 120_000)] // the ceiling
    public void The_first_sample_gives_the_timeout_of_rfc_6298(int sample, int timeout)
    {
        var rtt = new RttEstimator();
        Sample(rtt, sample * Millisecond);
        Assert.Equal(sample * Millisecond, rtt.SmoothedNanos);
        Assert.Equal(sample * Millisecond / 2, rtt.VarianceNanos);
        Assert.Equal(timeout * Millisecond, rtt.RtoNanos);
    }

    [Fact]
    public void Rising_samples_give_the_worked_numbers_of_rfc_6298()
    {
        // RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R|, then SRTT = 7/8 SRTT + 1/8 R, by hand from R = 400, 800, 900, 1000 ms.
        var rtt = new RttEstimator();
        Sample(rtt, 400 * Millisecond);
        (int R, double Smoothed, double Variance)[] table =
        [
            (800, 450, 250),
            (900, 506.25, 300),
            (1000, 567.96875, 348.4375),
        ];
        foreach ((int r, double smoothed, double variance) in table)
        {
            Sample(rtt, r * Millisecond);
            Assert.Equal((long)(smoothed * Millisecond), rtt.SmoothedNanos);
            Assert.Equal((long)(variance * Millisecond), rtt.VarianceNanos);
            Assert.Equal((long)((smoothed + (4 * variance)) * Millisecond), rtt.RtoNanos);
        }
    }

    [Fact]
    public void A_path_that_becomes_faster_does_not_make_the_timeout_longer()
    {
        var rtt = new RttEstimator();
        for (int i = 0; i < 200; i++)
        {
            Sample(rtt, 1000 * Millisecond);
        }

        long before = rtt.RtoNanos;
        Assert.InRange(before, 1200 * Millisecond, 1202 * Millisecond);
        for (int i = 0; i < 100; i++)
        {
            Sample(rtt, 100 * Millisecond);
            Assert.InRange(rtt.RtoNanos, 300 * Millisecond, before + (2 * Millisecond));
        }
    }

    [Fact]
    public void A_rise_is_not_forgotten_within_its_round_and_fades_by_quarters_of_rounds()
    {
        var rtt = new RttEstimator();
        Sample(rtt, 100 * Millisecond);
        for (int i = 0; i < 100; i++)
        {
            Sample(rtt, 100 * Millisecond);
        }

        // A spike, then many samples of the same round: the deviation sinks, the timeout's share does not.
        SampleInRound(rtt, 900 * Millisecond);
        long term = rtt.RtoNanos - rtt.SmoothedNanos;
        Assert.InRange(term, 799 * Millisecond, 801 * Millisecond);
        for (int i = 0; i < 50; i++)
        {
            SampleInRound(rtt, rtt.SmoothedNanos);
        }

        Assert.InRange(rtt.VarianceNanos, 0, Millisecond);
        Assert.Equal(term, rtt.RtoNanos - rtt.SmoothedNanos);

        // The round of the spike ends without decay; each later, quiet one takes a quarter of the way to the floor.
        Sample(rtt, rtt.SmoothedNanos);
        Assert.Equal(term, rtt.RtoNanos - rtt.SmoothedNanos);
        double expected = term;
        for (int i = 0; i < 5; i++)
        {
            Sample(rtt, rtt.SmoothedNanos);
            expected -= (expected - (200 * Millisecond)) / 4;
            Assert.Equal(expected, rtt.RtoNanos - rtt.SmoothedNanos, 10.0);
        }
    }

    [Fact]
    public void Snapshot_of_a_path_that_congests_and_clears()
    {
        var rtt = new RttEstimator();
        var table = new List<string>();
        foreach (int ms in new[] { 20, 22, 21, 60, 140, 300, 300, 120, 40, 20, 20, 20 })
        {
            Sample(rtt, ms * Millisecond);
            table.Add($"{ms,3}: {rtt.SmoothedNanos / 1000,6} {rtt.VarianceNanos / 1000,6} {rtt.RtoNanos / 1000,7}");
        }

        Assert.Equal(Snapshot, table);
    }

    [Fact]
    public void The_smallest_timeout_can_be_lowered_and_the_largest_too()
    {
        var rtt = new RttEstimator { RtoMinNanos = 5 * Millisecond, RtoMaxNanos = 400 * Millisecond };
        Assert.Equal(400 * Millisecond, rtt.RtoNanos);
        for (int i = 0; i < 100; i++)
        {
            Sample(rtt, Millisecond);
        }

        Assert.InRange(rtt.RtoNanos, 6 * Millisecond, (6 * Millisecond) + 1000);
        Sample(rtt, 10_000 * Millisecond);
        Assert.Equal(400 * Millisecond, rtt.RtoNanos);
    }

    [Fact]
    public void Whatever_the_samples_the_timeout_stays_within_its_bounds_and_above_the_smoothed_time()
    {
        Gen.Select(Gen.Long[0, 100_000_000_000], Gen.Int[0, 3000]).Array[1, 100].Sample(samples =>
        {
            var rtt = new RttEstimator();
            long least = long.MaxValue, most = 1;
            uint sequence = 0;
            foreach ((long nanos, int advance) in samples)
            {
                sequence += (uint)advance;
                rtt.Sample(nanos, new SequenceNumber(sequence), new SequenceNumber(sequence + 5000));
                least = Math.Min(least, Math.Max(nanos, 1));
                most = Math.Max(most, nanos);
                Assert.True(rtt.HasSample);
                Assert.InRange(rtt.SmoothedNanos, Math.Max(least - 8, 0), most);
                long floor = Math.Min(rtt.SmoothedNanos + RttEstimator.DefaultRtoMinNanos, RttEstimator.DefaultRtoMaxNanos);
                Assert.InRange(rtt.RtoNanos, floor, RttEstimator.DefaultRtoMaxNanos);
            }
        });
    }

    /// <summary>Sample in ms; smoothed time, deviation and timeout in us. Agrees with the same rules worked in floating point.</summary>
    private static readonly string[] Snapshot =
    [
        " 20:  20000  10000  220000",
        " 22:  20250   8000  220250",
        " 21:  20343   6187  220343",
        " 60:  25300  14554  225300",
        "140:  39638  39590  239638",
        "300:  72183  94783  451317",
        "300: 100660 128041  612827",
        "120: 103077 100866  588069",
        " 40:  95193  91419  550356",
        " 20:  85794  87362  514528",
        " 20:  77569  81970  481091",
        " 20:  70373  75870  448885",
    ];

    /// <summary>A sample that ends a round: one in flight at a time.</summary>
    private void Sample(RttEstimator rtt, long nanos)
    {
        _sequence += 1000;
        rtt.Sample(nanos, new SequenceNumber(_sequence + 1), new SequenceNumber(_sequence + 1000));
    }

    /// <summary>A sample of the round that is under way.</summary>
    private void SampleInRound(RttEstimator rtt, long nanos) =>
        rtt.Sample(nanos, new SequenceNumber(_sequence + 1), new SequenceNumber(_sequence + 1000));
}
