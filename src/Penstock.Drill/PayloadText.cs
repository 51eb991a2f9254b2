using System.Globalization;
using System.Text;

namespace Penstock.Drill;

/// <summary>Compares payloads, and shows them: printable bytes as they are, others as escapes.</summary>
internal static class PayloadText
{
    /// <summary>Bytes shown around a difference.</summary>
    private const int Shown = 48;

    /// <summary>Null when they are equal, else where they differ, with both.</summary>
    public static string? Compare(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        int at = expected.CommonPrefixLength(actual);
        if (at == expected.Length && at == actual.Length)
        {
            return null;
        }

        int from = Math.Max(0, at - (Shown / 2));
        return string.Create(
            CultureInfo.InvariantCulture,
            $"the payload differs from byte {at} on\nexpected: {Show(expected, from)}\nactual:   {Show(actual, from)}");
    }

    private static string Show(ReadOnlySpan<byte> bytes, int from)
    {
        var text = new StringBuilder(from > 0 ? "...\"" : "\"");
        int to = Math.Min(bytes.Length, from + Shown);
        for (int i = Math.Min(from, bytes.Length); i < to; i++)
        {
            text.Append(bytes[i] switch
            {
                (byte)'\n' => "\\n",
                (byte)'\r' => "\\r",
                (byte)'"' => "\\\"",
                (byte)'\\' => @"\\",
                >= 32 and < 127 => ((char)bytes[i]).ToString(),
                _ => string.Create(CultureInfo.InvariantCulture, $"\\x{bytes[i]:x2}"),
            });
        }

        return text.Append(to < bytes.Length ? "\"..." : "\"").ToString();
    }
}
