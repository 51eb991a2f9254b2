using System.Globalization;
using System.Text;

namespace Penstock.Drill;

/// <summary>
/// The shell commands of scripts, by a table: settings, queueing disciplines that change nothing, test files, and files with more of these. Nothing is
/// ever run: a command that is not in the table makes the script one that cannot be run, and so does one whose effect the stack does not have.
/// </summary>
internal sealed class ShellCommands(Sysctl sysctl, VirtualFiles files, Func<string, string?>? readFile)
{
    private const int DeepestFile = 4;

    /// <summary>Does what the command would do. Null when it was understood, else a sentence that says what is not.</summary>
    public string? Run(string text) => Run(text, 0);

    private string? Run(string text, int depth)
    {
        foreach (string line in text.Replace("\\\n", " ", StringComparison.Ordinal).Split('\n'))
        {
            foreach (string[] words in ShellWords.Split(line))
            {
                if (RunOne(words, depth) is { } unknown)
                {
                    return unknown;
                }
            }
        }

        return null;
    }

    private string? RunOne(string[] words, int depth)
    {
        string program = words[0][(words[0].LastIndexOf('/') + 1)..];
        string line = string.Join(' ', words);
        return program switch
        {
            "true" or ":" => null,
            "sysctl" or "set_sysctls.py" or "set_sysctls.sh" => SetAll(line, words),
            "ip" => words is [_, "tcp_metrics", "flush", ..] ? null : Refused(line, "the stack has no routes that scripts can change yet"),
            "tc" => RunDiscipline(line, words),
            "ethtool" => RunDevice(line, words),
            "dd" => RunCopy(line, words),
            "rm" => Remove(words),
            "echo" => RunEcho(line, words),
            _ when program.StartsWith("sysctl_restore_", StringComparison.Ordinal) => null, // every run has a stack of its own
            _ when program.EndsWith(".sh", StringComparison.Ordinal) => RunFile(words[0], program, depth),
            _ => $"the command '{words[0]}' is not known here",
        };
    }

    private static string Refused(string line, string why) => $"'{line}' is not run: {why}";

    private string? RunFile(string path, string name, int depth)
    {
        if (depth < DeepestFile && readFile?.Invoke(path) is { } text)
        {
            return Run(text, depth + 1);
        }

        // Scripts of the public suites begin with it; what it sets is what the stack begins with.
        return name == "defaults.sh" ? null : $"there is no file '{path}' beside the script that can be read";
    }

    /// <summary>Reads <c>a.b=c</c>, <c>/proc/sys/a/b=c</c> and <c>a/b=c</c>.</summary>
    private string? SetAll(string line, string[] words)
    {
        for (int i = 1; i < words.Length; i++)
        {
            if (words[i].StartsWith('-'))
            {
                continue;
            }

            int equals = words[i].IndexOf('=', StringComparison.Ordinal);
            if (equals < 0)
            {
                return $"'{line}' sets nothing that can be read here";
            }

            string key = words[i][..equals].Replace("/proc/sys/", "", StringComparison.Ordinal).Replace('/', '.');
            if (Set(key, words[i][(equals + 1)..]) is { } wrong)
            {
                return wrong;
            }
        }

        return null;
    }

    private string? Set(string key, string value)
    {
        if (!sysctl.TryGet(key, out _))
        {
            return IsSoAnyway(key) ? null : $"the setting {key}={value} is not known here";
        }

        try
        {
            sysctl.Set(key, value);
            return null;
        }
        catch (Exception wrong) when (wrong is ArgumentException or InvalidOperationException)
        {
            return wrong.Message;
        }
    }

    /// <summary>What scripts set and no packet would show.</summary>
    private static bool IsSoAnyway(string key) => key switch
    {
        "net.ipv4.tcp_ecn_option" => true, // acts only where AccECN was agreed
        "net.ipv4.tcp_fastopen" or "net.ipv4.tcp_fastopen_key" => true, // a script that uses Fast Open is skipped for its options
        "net.ipv4.tcp_no_metrics_save" => true, // nothing is saved from one connection to the next
        "net.ipv4.tcp_fack" => true, // gone from Linux too; kept for old scripts
        "net.ipv4.tcp_autocorking" => true, // holds back only while a device still has what was sent before; the wire of a drill takes all at once
        "net.ipv4.tcp_early_demux" or "net.ipv4.tcp_low_latency" => true, // ways to look sockets up, and nothing; no packet shows them
        _ => false,
    };

    /// <summary>Offloads of the device: the wire of a drill has none, and TCP builds super-segments all the same, as Linux does.</summary>
    private static string? RunDevice(string line, string[] words)
    {
        bool known = words is [_, "-K", _, ..] && words.Length > 3 && words.Length % 2 == 1;
        for (int i = 3; known && i < words.Length; i += 2)
        {
            known = words[i] is "tso" or "gso" or "gro" or "lro" or "sg" or "tx" or "rx" && words[i + 1] is "on" or "off";
        }

        return known ? null : Refused(line, "this is no offload of a device");
    }

    private static string? RunDiscipline(string line, string[] words)
    {
        if (Array.IndexOf(words, "limit") >= 0)
        {
            return Refused(line, "the wire of a drill has no queue that could overflow");
        }

        int root = Array.IndexOf(words, "root");
        string kind = root >= 0 && root + 1 < words.Length ? words[root + 1] : "";
        return words is [_, "qdisc", "add" or "replace" or "del" or "delete", ..] && kind is "pfifo" or "pfifo_fast" or "bfifo" or "fq_codel" or "noqueue" or ""
            ? null
            : Refused(line, $"the wire of a drill has no such queue ('{kind}')");
    }

    private static string? RunEcho(string line, string[] words)
    {
        // echo VALUE > FILE, with the value that the stack has anyway.
        return words is [_, var value, ">", var path]
            && (path.EndsWith("/tcp_cubic/parameters/hystart_detect", StringComparison.Ordinal) ? value == "3"
                : path.EndsWith("/tcp_cubic/parameters/hystart", StringComparison.Ordinal) && value == "1")
            ? null
            : Refused(line, "this is no setting that the stack has");
    }

    /// <summary><c>dd if=/dev/zero of=FILE bs=N count=N</c>: a file of zeros for sendfile, which exists in the run only.</summary>
    private string? RunCopy(string line, string[] words)
    {
        string? target = null;
        long size = 512, count = 1;
        foreach (string word in words.AsSpan(1))
        {
            int equals = word.IndexOf('=', StringComparison.Ordinal);
            (string key, string value) = equals < 0 ? (word, "") : (word[..equals], word[(equals + 1)..]);
            bool understood = key switch
            {
                "if" => value == "/dev/zero",
                "of" => (target = value).Length > 0,
                "bs" => long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out size),
                "count" => long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out count),
                "status" => true,
                _ => false,
            };
            if (!understood)
            {
                return Refused(line, $"'{word}' is not understood");
            }
        }

        return target is not null && files.TryWrite(target, size, count) ? null : Refused(line, "a file of a script has a name and at most 64 MiB");
    }

    private string? Remove(string[] words)
    {
        foreach (string word in words.AsSpan(1))
        {
            files.Remove(word);
        }

        return null;
    }
}

/// <summary>Files that a script made, by name. They hold zeros and exist in its run only: a drill touches no disk.</summary>
internal sealed class VirtualFiles
{
    private const long Largest = 64 << 20;

    private readonly Dictionary<string, long> _sizes = new(StringComparer.Ordinal);

    public bool TryWrite(string path, long size, long count)
    {
        if (size is < 0 or > Largest || count is < 0 or > Largest || size * count > Largest)
        {
            return false;
        }

        _sizes[path] = size * count;
        return true;
    }

    public void Remove(string path) => _sizes.Remove(path);

    public long? SizeOf(string path) => _sizes.TryGetValue(path, out long size) ? size : null;
}

/// <summary>
/// Splits a line of shell into commands and words: quotes, comments, <c>;</c>, <c>&amp;&amp;</c>, redirections to nowhere, and <c>$((1024*1024))</c>.
/// </summary>
internal static class ShellWords
{
    public static List<string[]> Split(string line)
    {
        var commands = new List<string[]>();
        var words = new List<string>();
        var word = new StringBuilder();
        bool inWord = false;
        char quote = '\0';
        string text = Computed(line);
        for (int i = 0; i <= text.Length; i++)
        {
            char c = i < text.Length ? text[i] : ';';
            if (quote != '\0' && i < text.Length)
            {
                if (c == quote)
                {
                    quote = '\0';
                }
                else
                {
                    word.Append(c);
                }

                continue;
            }

            switch (c)
            {
                case '"' or '\'':
                    quote = c;
                    inWord = true;
                    break;
                case '#' when !inWord:
                    i = text.Length - 1;
                    break;
                case ' ' or '\t' or '\r' or ';' or '&' when !(c == '&' && word.ToString() is ['2', '>', ..]):
                    if (inWord)
                    {
                        words.Add(word.ToString());
                        word.Clear();
                        inWord = false;
                    }

                    if (c is ';' or '&' && words.Count > 0)
                    {
                        commands.Add(WithoutRedirections(words));
                        words.Clear();
                    }

                    break;
                default:
                    word.Append(c);
                    inWord = true;
                    break;
            }
        }

        commands.RemoveAll(command => command.Length == 0);
        return commands;
    }

    private static string[] WithoutRedirections(List<string> words)
    {
        var kept = new List<string>();
        for (int i = 0; i < words.Count; i++)
        {
            if (words[i] is ">" or "2>" && i + 1 < words.Count && words[i + 1] == "/dev/null")
            {
                i++;
            }
            else if (words[i] is not ("2>&1" or ">/dev/null" or "2>/dev/null"))
            {
                kept.Add(words[i]);
            }
        }

        return [.. kept];
    }

    /// <summary>Replaces products, <c>$((15*1024*1024))</c>, by their values. Anything else is left as it stands.</summary>
    private static string Computed(string line)
    {
        int start;
        int from = 0;
        while ((start = line.IndexOf("$((", from, StringComparison.Ordinal)) >= 0)
        {
            int end = line.IndexOf("))", start, StringComparison.Ordinal);
            if (end < 0)
            {
                return line;
            }

            long product = 1;
            bool good = true;
            foreach (string factor in line[(start + 3)..end].Split('*'))
            {
                good &= long.TryParse(factor, NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out long value)
                    && (product = unchecked(product * value)) >= 0;
            }

            string replaced = good ? product.ToString(CultureInfo.InvariantCulture) : line[start..(end + 2)];
            line = line[..start] + replaced + line[(end + 2)..];
            from = start + replaced.Length;
        }

        return line;
    }
}
