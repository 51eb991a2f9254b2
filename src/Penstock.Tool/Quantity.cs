using System.Globalization;

namespace Penstock.Tool;

/// <summary>
/// Reads the quantities of the command line: times (<c>50ms</c>, <c>2s</c>), shares (<c>2%</c>, <c>0.02</c>) and bit rates (<c>10mbit</c>), spelled as Linux's
/// <c>tc</c> spells them. Pure functions; never guesses a unit.
/// </summary>
internal static class Quantity
{
    /// <summary>What to write for a time.</summary>
    public const string TimeForm = "Write a number with a unit, as in 50ms, 2s or 250us.";

    /// <summary>What to write for a share.</summary>
    public const string ShareForm = "Write a percentage or a fraction between 0 and 1, as in 2% or 0.02.";

    /// <summary>What to write for a rate.</summary>
    public const string RateForm = "Write bits a second, as in 10mbit, 1gbit or 500kbit.";

    /// <summary>What to write for a size.</summary>
    public const string SizeForm = "Write bytes up to 1g, as in 65536, 64k or 16m.";

    private static readonly (string Unit, decimal Ticks)[] s_times =
    [
        ("us", 10), ("ms", TimeSpan.TicksPerMillisecond), ("min", TimeSpan.TicksPerMinute), ("s", TimeSpan.TicksPerSecond), ("h", TimeSpan.TicksPerHour),
    ];

    private static readonly (string Unit, decimal Bits)[] s_rates =
    [
        ("kbit", 1e3m), ("mbit", 1e6m), ("gbit", 1e9m), ("tbit", 1e12m), ("bit", 1m),
    ];

    /// <summary>A time from zero to one day; only zero needs no unit.</summary>
    public static bool TryParseTime(string text, out TimeSpan time)
    {
        time = default;
        if (text == "0")
        {
            return true;
        }

        if (!TryScale(text, s_times, out decimal ticks) || ticks > TimeSpan.TicksPerDay)
        {
            return false;
        }

        time = TimeSpan.FromTicks((long)ticks);
        return true;
    }

    /// <summary>A share from 0 to 1.</summary>
    public static bool TryParseShare(string text, out double share)
    {
        bool percent = text.EndsWith('%');
        bool read = TryNumber(percent ? text[..^1] : text, out decimal number);
        share = (double)(percent ? number / 100 : number);
        return read && share <= 1;
    }

    /// <summary>A rate from 1 bit to 1000 tbit a second; the unit is required, because kilobits and kilobytes are too easily confused.</summary>
    public static bool TryParseRate(string text, out long bitsPerSecond)
    {
        bitsPerSecond = 0;
        if (!TryScale(text, s_rates, out decimal bits) || bits < 1 || bits > 1e15m)
        {
            return false;
        }

        bitsPerSecond = (long)bits;
        return true;
    }

    /// <summary>A size from one byte to 1 GiB; <c>k</c>, <c>m</c> and <c>g</c> are powers of 1024, none is bytes.</summary>
    public static bool TryParseSize(string text, out int bytes)
    {
        bytes = 0;
        int shift = text.Length == 0 ? 0 : char.ToLowerInvariant(text[^1]) switch { 'k' => 10, 'm' => 20, 'g' => 30, _ => 0 };
        if (!TryNumber(shift == 0 ? text : text[..^1], out decimal number) || number * (1L << shift) is < 1 or > 1 << 30)
        {
            return false;
        }

        bytes = (int)(number * (1L << shift));
        return true;
    }

    /// <summary>A time as <see cref="TryParseTime"/> reads it, for messages.</summary>
    public static string Text(TimeSpan time) => time.Ticks switch
    {
        0 => "0",
        < TimeSpan.TicksPerMillisecond => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMicroseconds:0.#} us"),
        < TimeSpan.TicksPerSecond => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.###} ms"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.###} s"),
    };

    /// <summary>A rate in the largest unit that it fills, for messages.</summary>
    public static string Text(long bitsPerSecond) => bitsPerSecond switch
    {
        >= 1_000_000_000 => string.Create(CultureInfo.InvariantCulture, $"{bitsPerSecond / 1e9:0.###} Gbit/s"),
        >= 1_000_000 => string.Create(CultureInfo.InvariantCulture, $"{bitsPerSecond / 1e6:0.###} Mbit/s"),
        >= 1_000 => string.Create(CultureInfo.InvariantCulture, $"{bitsPerSecond / 1e3:0.###} kbit/s"),
        _ => $"{bitsPerSecond} bit/s",
    };

    private static bool TryScale(string text, (string Unit, decimal Factor)[] units, out decimal scaled)
    {
        foreach ((string unit, decimal factor) in units)
        {
            // "ms" and "min" stand before "s" and "kbit" before "bit", so that the longer unit is found first.
            if (text.EndsWith(unit, StringComparison.OrdinalIgnoreCase))
            {
                bool read = TryNumber(text[..^unit.Length].TrimEnd(), out decimal number);
                scaled = number * factor;
                return read;
            }
        }

        scaled = 0;
        return false;
    }

    /// <summary>A plain decimal below a billion: no sign, no exponent, no separators.</summary>
    private static bool TryNumber(string text, out decimal number) =>
        decimal.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out number) && number < 1_000_000_000;
}
