using System.Diagnostics.CodeAnalysis;
using Penstock.Tcp;

namespace Penstock;

/// <summary>
/// A stack's settings by Linux's names, with Linux's values: <c>stack.Sysctl.Set("net.ipv4.tcp_rmem", "4096 131072 6291456")</c>. A change acts on what happens
/// next; sizes, retries and options of connections that exist already stay as they were begun where Linux reads them only at the beginning.
/// </summary>
/// <remarks>
/// All members are thread-safe. Names are written with dots or slashes; several numbers of one value are separated by blanks or tabs, and read back with tabs.
/// What Linux has no setting for has a name that begins with <c>penstock.</c>. docs/tuning.md lists the names, their ranges and defaults.
/// </remarks>
public sealed class Sysctl
{
    private static readonly Dictionary<string, SysctlEntry> Table = SysctlTable.Entries.ToDictionary(e => e.Key, StringComparer.Ordinal);
    private static readonly string[] SortedKeys = [.. Table.Keys.Order(StringComparer.Ordinal)];

    private readonly object _gate = new();
    private readonly TcpLayer _tcp;

    internal Sysctl(TcpLayer tcp) => _tcp = tcp;

    /// <summary>The names there are, with dots, sorted.</summary>
    public IReadOnlyList<string> Keys { get; } = Array.AsReadOnly(SortedKeys);

    /// <summary>Reads a setting, in the form that Linux's <c>/proc/sys</c> shows.</summary>
    /// <exception cref="KeyNotFoundException">There is no such setting; the message names the nearest.</exception>
    public string Get(string key) => Read(Find(key));

    /// <summary>Reads a setting; false when there is none of that name.</summary>
    public bool TryGet(string key, [NotNullWhen(true)] out string? value)
    {
        ArgumentNullException.ThrowIfNull(key);
        value = Table.TryGetValue(Normalize(key), out SysctlEntry? entry) ? Read(entry) : null;
        return value is not null;
    }

    /// <summary>Changes a setting.</summary>
    /// <exception cref="KeyNotFoundException">There is no such setting; the message names the nearest.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The setting does not take this value; the message says which it takes.</exception>
    /// <exception cref="InvalidOperationException">The setting is read-only.</exception>
    public void Set(string key, string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        Action<TcpLayer> apply = Find(key).Prepare(value);
        lock (_gate)
        {
            apply(_tcp);
        }
    }

    /// <summary>Reads settings from a file in the syntax of <c>sysctl.conf</c>.</summary>
    /// <inheritdoc cref="Load(TextReader)"/>
    /// <param name="path">The file.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public void Load(string path)
    {
        using var reader = new StreamReader(path);
        Load(reader);
    }

    /// <summary>
    /// Reads settings in the syntax of <c>sysctl.conf</c>: a <c>key = value</c> a line; <c>#</c> or <c>;</c> begins a comment line; a <c>-</c> in front of a key skips
    /// the line if it is wrong, also if the key is unknown. Nothing is changed unless all of the text is right.
    /// </summary>
    /// <param name="reader">The text; it is read to its end and not disposed.</param>
    /// <exception cref="InvalidDataException">A line is wrong. The message gives its number and what is wrong with it.</exception>
    public void Load(TextReader reader)
    {
        ArgumentNullException.ThrowIfNull(reader);
        var changes = new List<Action<TcpLayer>>();
        for (int number = 1; reader.ReadLine() is { } line; number++)
        {
            line = line.Trim();
            if (line.Length == 0 || line[0] is '#' or ';')
            {
                continue;
            }

            bool optional = line[0] == '-';
            try
            {
                changes.Add(PrepareLine(optional ? line[1..] : line));
            }
            catch (Exception wrong) when (wrong is KeyNotFoundException or ArgumentException or InvalidOperationException or FormatException)
            {
                if (!optional)
                {
                    throw new InvalidDataException($"Line {number}: {wrong.Message}", wrong);
                }
            }
        }

        lock (_gate)
        {
            changes.ForEach(apply => apply(_tcp));
        }
    }

    private static Action<TcpLayer> PrepareLine(string line)
    {
        int equals = line.IndexOf('=', StringComparison.Ordinal);
        return equals < 0
            ? throw new FormatException($"'{line}' is not of the form key = value.")
            : Find(line[..equals]).Prepare(line[(equals + 1)..].Trim());
    }

    private string Read(SysctlEntry entry)
    {
        lock (_gate)
        {
            return entry.Read(_tcp);
        }
    }

    private static SysctlEntry Find(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        string name = Normalize(key);
        return Table.TryGetValue(name, out SysctlEntry? entry)
            ? entry
            : throw new KeyNotFoundException(
                $"There is no setting '{key.Trim()}'. The nearest are: {string.Join(", ", NearestName.FindSeveral(name, SortedKeys, 3))}.");
    }

    private static string Normalize(string key) => key.Trim().Replace('/', '.');
}
