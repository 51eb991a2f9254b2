namespace Penstock.Drill;

/// <summary>
/// The shell commands that scripts begin with, as far as they only set what <c>sysctl</c> sets. Nothing is ever run: a line that is not known here makes
/// the script one that cannot be run.
/// </summary>
internal static class CommandTable
{
    /// <summary>Does what the command line would do. Null when it was understood, else a sentence that says what is not.</summary>
    public static string? Run(string line, NetworkStack stack)
    {
        foreach (string part in line.Split(['\n', ';', '&'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            string[] words = part.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            string program = words[0][(words[0].LastIndexOf('/') + 1)..];
            string? unknown = program switch
            {
                "defaults.sh" => null,
                "sysctl" or "set_sysctls.py" or "set_sysctls.sh" => SetAll(part, words.AsSpan(1), stack.Sysctl),
                "true" or ":" => null,
                _ => $"the command '{words[0]}' is not known here",
            };
            if (unknown is not null)
            {
                return unknown;
            }
        }

        return null;
    }

    /// <summary>Reads <c>a.b=c</c> and <c>/proc/sys/a/b=c</c>; a value may hold spaces when it is in quotes.</summary>
    private static string? SetAll(string line, ReadOnlySpan<string> words, Sysctl sysctl)
    {
        for (int i = 0; i < words.Length; i++)
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

            string key = words[i][..equals].Replace("/proc/sys/", "", StringComparison.Ordinal).Replace('/', '.').Trim('"', '\'');
            string value = words[i][(equals + 1)..];
            while (value.StartsWith('"') && (value.Length == 1 || !value.EndsWith('"')) && i + 1 < words.Length)
            {
                value += " " + words[++i];
            }

            if (Set(sysctl, key, value.Trim('"', '\'')) is { } wrong)
            {
                return wrong;
            }
        }

        return null;
    }

    /// <summary>What scripts set and the stack does in any case, as Linux does with these values.</summary>
    private static bool IsSoAnyway(string key, string value) => key switch
    {
        "net.ipv4.tcp_ecn" => value is "0" or "2",
        "net.ipv4.tcp_fastopen" or "net.ipv4.tcp_no_metrics_save" => true,
        "net.ipv4.tcp_mtu_probing" => value is "0",
        _ => false,
    };

    private static string? Set(Sysctl sysctl, string key, string value)
    {
        if (!sysctl.TryGet(key, out _))
        {
            return IsSoAnyway(key, value) ? null : $"the setting {key} is not known here";
        }

        try
        {
            sysctl.Set(key, value);
            return null;
        }
        catch (ArgumentException wrong)
        {
            return wrong.Message;
        }
    }
}
