using CsCheck;
using Penstock.Tcp;

namespace Penstock.Tests.Tcp;

public class MinimumRttTests
{
    private const long Second = 1_000_000_000;

    [Fact]
    public void It_knows_nothing_before_the_first_sample()
    {
        var minimum = default(MinimumRtt);
        Assert.False(minimum.HasSample);
        Assert.Equal(MinimumRtt.Unknown, minimum.CurrentNanos);
        Assert.Equal(7, minimum.Update(0, 7));
        Assert.True(minimum.HasSample);
        Assert.Equal(7, minimum.CurrentNanos);
    }

    [Fact]
    public void A_smaller_sample_counts_at_once_and_for_five_minutes()
    {
        var minimum = default(MinimumRtt);
        minimum.Update(0, 50);
        minimum.Update(Second, 20);
        for (int second = 2; second <= 301; second++)
        {
            Assert.Equal(20, minimum.Update(second * Second, 40));
        }

        Assert.Equal(40, minimum.Update(302 * Second, 40));
    }

    [Fact]
    public void After_a_long_silence_only_the_new_sample_counts()
    {
        var minimum = default(MinimumRtt);
        minimum.Update(0, 20);
        minimum.Update(100 * Second, 25);
        Assert.Equal(90, minimum.Update(1000 * Second, 90));
    }

    [Fact]
    public void With_samples_that_rise_steadily_it_is_old_by_one_window_at_most()
    {
        var minimum = default(MinimumRtt);
        for (int second = 0; second < 3000; second++)
        {
            long current = minimum.Update(second * Second, 1000 + second);
            Assert.InRange(current, 1000 + Math.Max(second - 300, 0), 1000 + Math.Max(second - 150, 0) + 1);
        }
    }

    [Fact]
    public void It_is_nearly_always_the_minimum_of_a_naive_sliding_window()
    {
        // The filter is an approximation; how good a one is measured here on noise, the hardest input, with about 100 samples in a window.
        const int Window = 1000, Samples = 20_000;
        var random = new Random(9438);
        var minimum = default(MinimumRtt);
        var all = new List<(long At, long Rtt)>();
        long now = 0;
        int exact = 0;
        double excess = 0;
        for (int i = 0; i < Samples; i++)
        {
            now += random.Next(1, 20);
            long rtt = 1000 + random.Next(1000);
            all.Add((now, rtt));
            long current = minimum.Update(now, rtt, Window);
            long least = Least(all, now - Window);
            Assert.True(current >= least);
            exact += current == least ? 1 : 0;
            excess += (double)(current - least) / least;
        }

        Assert.InRange((double)exact / Samples, 0.90, 1.0);
        Assert.InRange(excess / Samples, 0.0, 0.005);
    }

    [Fact]
    public void Whatever_the_gaps_it_was_measured_within_the_window_and_nothing_newer_is_smaller()
    {
        const int Window = 1000;
        Gen.Select(Gen.Int[1, 700], Gen.Int[1, 50]).Array[1, 200].Sample(steps =>
        {
            var minimum = default(MinimumRtt);
            var all = new List<(long At, long Rtt)>();
            long now = 0;
            foreach ((int wait, int rtt) in steps)
            {
                now += wait;
                all.Add((now, rtt));
                long current = minimum.Update(now, rtt, Window);
                Assert.True(current <= rtt);
                (long at, _) = all.FindLast(sample => sample.Rtt == current);
                Assert.True(at >= now - Window);
                Assert.True(current == Least(all, at));
            }
        });
    }

    private static long Least(List<(long At, long Rtt)> samples, long since)
    {
        long least = long.MaxValue;
        for (int i = samples.Count - 1; i >= 0 && samples[i].At >= since; i--)
        {
            least = Math.Min(least, samples[i].Rtt);
        }

        return least;
    }
}
