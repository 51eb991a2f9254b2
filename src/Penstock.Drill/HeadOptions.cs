using System.Globalization;

namespace Penstock.Drill;

/// <summary>One <c>--name</c> or <c>--name=value</c> at a script's head.</summary>
internal sealed record HeadOption(string Name, string? Value) : Node;

/// <summary>
/// The options at a script's head. The last of equals wins. Names and numbers are checked by the parser, so the readers here
/// never fail.
/// </summary>
internal sealed record HeadOptions(NodeList<HeadOption> All)
{
    /// <summary>Options that only other runners need (wire modes, dlopen) are listed too: a script that names them still parses.</summary>
    private static readonly Dictionary<string, OptionKind> Known = new(StringComparer.Ordinal)
    {
        ["ip_version"] = OptionKind.IpVersion,
        ["bind_port"] = OptionKind.Number,
        ["connect_port"] = OptionKind.Number,
        ["code_command"] = OptionKind.Text,
        ["code_format"] = OptionKind.Text,
        ["code_sockopt"] = OptionKind.Text,
        ["remote_ip"] = OptionKind.Address,
        ["local_ip"] = OptionKind.Address,
        ["gateway_ip"] = OptionKind.Address,
        ["netmask_ip"] = OptionKind.Address,
        ["speed"] = OptionKind.Text,
        ["mss"] = OptionKind.Number,
        ["mtu"] = OptionKind.Number,
        ["init_scripts"] = OptionKind.Text,
        ["tolerance_usecs"] = OptionKind.Number,
        ["tolerance_percent"] = OptionKind.Decimal,
        ["wire_client"] = OptionKind.Flag,
        ["wire_server"] = OptionKind.Flag,
        ["wire_server_ip"] = OptionKind.Text,
        ["wire_server_at"] = OptionKind.Text,
        ["wire_server_port"] = OptionKind.Text,
        ["wire_client_dev"] = OptionKind.Text,
        ["wire_server_dev"] = OptionKind.Text,
        ["so_filename"] = OptionKind.Text,
        ["so_flags"] = OptionKind.Text,
        ["tcp_ts_ecr_scaled"] = OptionKind.Flag,
        ["tcp_ts_tick_usecs"] = OptionKind.Number,
        ["strict_segments"] = OptionKind.Flag,
        ["non_fatal"] = OptionKind.Text,
        ["dry_run"] = OptionKind.Flag,
        ["is_anyip"] = OptionKind.Flag,
        ["send_omit_free"] = OptionKind.Flag,
        ["psp_udp_port"] = OptionKind.Number,
        ["debug"] = OptionKind.Flag,
        ["define"] = OptionKind.Define,
        ["verbose"] = OptionKind.Flag,
    };

    private enum OptionKind
    {
        Flag,
        Text,
        Number,
        Decimal,
        Address,
        IpVersion,
        Define,
    }

    /// <summary>True when <c>--name</c> stands at the head, with or without a value.</summary>
    public bool Has(string name) => Find(name) is not null;

    /// <summary>The option's value as written, without quotes; null when it is absent.</summary>
    public string? GetText(string name) => Find(name)?.Value;

    /// <summary>The option's value as a number; null when it is absent.</summary>
    public long? GetLong(string name) =>
        GetText(name) is { } text && long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value)
            ? value
            : null;

    /// <summary>The <c>--define=NAME=value</c> options, in order.</summary>
    public IEnumerable<KeyValuePair<string, string>> Defines
    {
        get
        {
            foreach (HeadOption option in All)
            {
                if (option.Name == "define" && option.Value is { } value)
                {
                    int equals = value.IndexOf('=', StringComparison.Ordinal);
                    yield return new(value[..equals], value[(equals + 1)..]);
                }
            }
        }
    }

    /// <summary>Null when the option is fine, else a sentence that says what is wrong with it.</summary>
    public static string? Check(string name, string? value)
    {
        if (!Known.TryGetValue(name, out OptionKind kind))
        {
            string? near = NearestName.Find(name, Known.Keys);
            return near is null ? $"there is no option --{name}" : $"there is no option --{name}; did you mean --{near}?";
        }

        if (kind == OptionKind.Flag)
        {
            return value is null ? null : $"--{name} takes no value";
        }

        if (string.IsNullOrEmpty(value))
        {
            return $"--{name} needs a value, as in --{name}={Example(kind)}";
        }

        bool good = kind switch
        {
            OptionKind.Number => long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out _),
            OptionKind.Decimal => double.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double d)
                && d is >= 0 and <= 100,
            OptionKind.Address => System.Net.IPAddress.TryParse(value, out _),
            OptionKind.IpVersion => value is "ipv4" or "ipv6" or "ipv4-mapped-ipv6",
            OptionKind.Define => value.IndexOf('=', StringComparison.Ordinal) > 0,
            _ => true,
        };
        return good ? null : $"'{value}' is not a value for --{name}, which wants something like --{name}={Example(kind)}";
    }

    private static string Example(OptionKind kind) => kind switch
    {
        OptionKind.Number => "1460",
        OptionKind.Decimal => "12.5",
        OptionKind.Address => "192.0.2.1",
        OptionKind.IpVersion => "ipv4 (or ipv6, ipv4-mapped-ipv6)",
        OptionKind.Define => "NAME=value",
        _ => "text",
    };

    private HeadOption? Find(string name)
    {
        for (int i = All.Count - 1; i >= 0; i--)
        {
            if (All[i].Name == name)
            {
                return All[i];
            }
        }

        return null;
    }
}
