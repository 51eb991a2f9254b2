using System.Globalization;
using Penstock.Tcp;

namespace Penstock;

/// <summary>An <c>int</c> among the settings.</summary>
internal delegate ref int SettingField(TcpSettings settings);

/// <summary>An on/off switch among the settings.</summary>
internal delegate ref bool SettingSwitch(TcpSettings settings);

/// <summary>
/// One row of the sysctl table: a name of Linux's, what it means here, how its text is read, checked and applied. Reading and checking never change anything;
/// the caller holds the gate while a value is applied.
/// </summary>
internal abstract class SysctlEntry(string key, string meaning)
{
    public string Key => key;

    /// <summary>One sentence for people.</summary>
    public string Meaning => meaning;

    /// <summary>What values are taken, for messages and documentation.</summary>
    public abstract string Range { get; }

    public abstract string Read(TcpLayer tcp);

    /// <summary>Checks a value and returns what applies it.</summary>
    /// <exception cref="ArgumentException">The value is not one of <see cref="Range"/>.</exception>
    public abstract Action<TcpLayer> Prepare(string value);

    protected ArgumentException NotOneOfRange(string value) =>
        new ArgumentOutOfRangeException(nameof(value), value, $"{key} takes {Range}.");
}

/// <summary>A row of one or more whole numbers, written as Linux does: separated by tabs.</summary>
internal sealed class NumbersEntry(
    string key, string meaning, int count, long minimum, long maximum, Func<TcpLayer, long[]> read, Action<TcpLayer, long[]> write, bool ascending = false)
    : SysctlEntry(key, meaning)
{
    public override string Range =>
        (count, ascending) switch
        {
            (1, _) when (minimum, maximum) == (0, 1) => "0 or 1",
            (1, _) => $"a number from {minimum} to {maximum}",
            (_, false) => $"{count} numbers from {minimum} to {maximum}",
            (_, true) => $"{count} numbers from {minimum} to {maximum}, none smaller than the one before",
        };

    public override string Read(TcpLayer tcp) => string.Join('\t', read(tcp));

    public override Action<TcpLayer> Prepare(string value)
    {
        string[] words = value.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        if (words.Length != count)
        {
            throw NotOneOfRange(value);
        }

        long[] numbers = new long[count];
        for (int i = 0; i < count; i++)
        {
            if (!long.TryParse(words[i], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out numbers[i])
                || numbers[i] < minimum || numbers[i] > maximum || (ascending && i > 0 && numbers[i] < numbers[i - 1]))
            {
                throw NotOneOfRange(value);
            }
        }

        return tcp => write(tcp, numbers);
    }
}

/// <summary>A row that names one of several things; read-only without a way to write it.</summary>
internal sealed class WordEntry(string key, string meaning, IReadOnlyList<string> words, Func<TcpLayer, string> read, Action<TcpLayer, string>? write)
    : SysctlEntry(key, meaning)
{
    public override string Range => write is null ? "no value, it is read-only" : "one of " + string.Join(", ", words);

    public override string Read(TcpLayer tcp) => read(tcp);

    public override Action<TcpLayer> Prepare(string value)
    {
        string word = value.Trim();
        if (write is null)
        {
            throw new InvalidOperationException($"{Key} is read-only.");
        }

        return words.Contains(word) ? tcp => write(tcp, word) : throw NotOneOfRange(value);
    }
}
