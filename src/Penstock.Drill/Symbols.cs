using System.Collections.Frozen;
using System.Globalization;

namespace Penstock.Drill;

/// <summary>
/// The C constants that scripts name, with Linux's values on x86-64: address families, socket types, levels and options, message,
/// poll and epoll flags, errno names, ioctl requests. A lookup table only: it holds no state and decides nothing.
/// </summary>
internal static partial class Symbols
{
    private static readonly FrozenDictionary<string, long> Values = Read(Constants + " " + ErrorNumbers);

    private static readonly FrozenDictionary<long, string> ErrorNames = Reverse(ErrorNumbers);

    /// <summary>All names, for "did you mean".</summary>
    public static IEnumerable<string> Names => Values.Keys;

    public static bool TryGet(string name, out long value) => Values.TryGetValue(name, out value);

    /// <summary>True for errno macros such as <c>ECONNRESET</c>.</summary>
    public static bool IsErrorName(string name) =>
        Values.TryGetValue(name, out long value) && ErrorNames.ContainsKey(value) && name[0] == 'E'
        && !name.StartsWith("EPOLL", StringComparison.Ordinal);

    /// <summary>The usual name of an error number (EAGAIN, not EWOULDBLOCK), or the number itself as text.</summary>
    public static string ErrorName(long number) =>
        ErrorNames.TryGetValue(number, out string? name) ? name : number.ToString(CultureInfo.InvariantCulture);

    private static FrozenDictionary<string, long> Read(string table)
    {
        var values = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach ((string name, long value) in Entries(table))
        {
            values.Add(name, value);
        }

        return values.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private static FrozenDictionary<long, string> Reverse(string table)
    {
        var names = new Dictionary<long, string>();
        foreach ((string name, long value) in Entries(table))
        {
            names.TryAdd(value, name); // The table lists the usual name first.
        }

        return names.ToFrozenDictionary();
    }

    private static IEnumerable<(string Name, long Value)> Entries(string table)
    {
        foreach (string entry in table.Split([' ', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = entry.IndexOf('=', StringComparison.Ordinal);
            yield return (entry[..equals], long.Parse(entry.AsSpan(equals + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture));
        }
    }
}
