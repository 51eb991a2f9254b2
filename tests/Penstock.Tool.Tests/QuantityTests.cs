namespace Penstock.Tool.Tests;

/// <summary>The quantities of the command line: what is read, and what is refused rather than guessed.</summary>
public sealed class QuantityTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("50ms", 50_000)]
    [InlineData("2s", 2_000_000)]
    [InlineData("1.5s", 1_500_000)]
    [InlineData("250us", 250)]
    [InlineData("0.5ms", 500)]
    [InlineData("1min", 60_000_000)]
    [InlineData("24h", 86_400_000_000)]
    [InlineData("10 MS", 10_000)]
    public void A_time_is_a_number_with_a_unit(string text, long microseconds)
    {
        Assert.True(Quantity.TryParseTime(text, out TimeSpan time));
        Assert.Equal(microseconds, time.TotalMicroseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("50")]
    [InlineData("ms")]
    [InlineData("-1ms")]
    [InlineData("+1ms")]
    [InlineData("1e3ms")]
    [InlineData("1,5s")]
    [InlineData("25h")]
    [InlineData("5ns")]
    [InlineData("99999999999999999999s")]
    public void Anything_else_is_no_time(string text) => Assert.False(Quantity.TryParseTime(text, out _));

    [Theory]
    [InlineData("2%", 0.02)]
    [InlineData("0.02", 0.02)]
    [InlineData("0", 0)]
    [InlineData("1", 1)]
    [InlineData("100%", 1)]
    [InlineData("0.1%", 0.001)]
    public void A_share_is_a_percentage_or_a_fraction(string text, double expected)
    {
        Assert.True(Quantity.TryParseShare(text, out double share));
        Assert.Equal(expected, share, 12);
    }

    [Theory]
    [InlineData("")]
    [InlineData("%")]
    [InlineData("2")]
    [InlineData("101%")]
    [InlineData("-1%")]
    [InlineData("NaN")]
    [InlineData("2percent")]
    public void Anything_else_is_no_share(string text) => Assert.False(Quantity.TryParseShare(text, out _));

    [Theory]
    [InlineData("10mbit", 10_000_000)]
    [InlineData("1gbit", 1_000_000_000)]
    [InlineData("1.5Mbit", 1_500_000)]
    [InlineData("500kbit", 500_000)]
    [InlineData("64bit", 64)]
    [InlineData("1000tbit", 1_000_000_000_000_000)]
    public void A_rate_is_in_bits_a_second(string text, long expected)
    {
        Assert.True(Quantity.TryParseRate(text, out long rate));
        Assert.Equal(expected, rate);
    }

    [Theory]
    [InlineData("")]
    [InlineData("10")]
    [InlineData("10m")]
    [InlineData("10mbps")]
    [InlineData("0mbit")]
    [InlineData("-1mbit")]
    [InlineData("1001tbit")]
    public void Anything_else_is_no_rate(string text) => Assert.False(Quantity.TryParseRate(text, out _));

    [Theory]
    [InlineData("1", 1)]
    [InlineData("65536", 65536)]
    [InlineData("64k", 65536)]
    [InlineData("1.5M", 1572864)]
    [InlineData("1g", 1073741824)]
    public void A_size_is_read(string text, int bytes)
    {
        Assert.True(Quantity.TryParseSize(text, out int read));
        Assert.Equal(bytes, read);
    }

    [Theory]
    [InlineData("")]
    [InlineData("k")]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("1025m")]
    [InlineData("16mb")]
    [InlineData("1e3")]
    public void What_is_no_size_is_refused(string text) => Assert.False(Quantity.TryParseSize(text, out _));
}
