using System.Globalization;
using Penstock.Tcp;

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
                "sysctl" or "set_sysctls.py" or "set_sysctls.sh" => SetAll(part, words.AsSpan(1), stack.Tcp.Settings),
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
    private static string? SetAll(string line, ReadOnlySpan<string> words, TcpSettings settings)
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

            if (!Set(settings, key, value.Trim('"', '\'')))
            {
                return $"the setting {key} is not known here";
            }
        }

        return null;
    }

    private static bool Set(TcpSettings settings, string key, string value)
    {
        int[] numbers = [.. value.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)
            .Select(word => int.TryParse(word, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) ? number : 0)];
        int first = numbers.Length > 0 ? numbers[0] : 0;
        bool on = first != 0;
        switch (key)
        {
            case "net.ipv4.tcp_sack": settings.Sack = on; return true;
            case "net.ipv4.tcp_dsack": settings.Dsack = on; return true;
            case "net.ipv4.tcp_timestamps": settings.Timestamps = on; return true;
            case "net.ipv4.tcp_window_scaling": settings.WindowScaling = on; return true;
            case "net.ipv4.tcp_moderate_rcvbuf": settings.ModerateReceiveBuffer = on; return true;
            case "net.ipv4.tcp_slow_start_after_idle": settings.SlowStartAfterIdle = on; return true;
            case "net.ipv4.tcp_stdurg": settings.StandardUrgent = on; return true;
            case "net.ipv4.tcp_rfc1337": settings.Rfc1337 = on; return true;
            case "net.ipv4.tcp_abort_on_overflow": settings.AbortOnOverflow = on; return true;
            case "net.ipv4.tcp_congestion_control": settings.CongestionControl = value; return true;
            case "net.ipv4.tcp_syn_retries": settings.SynRetries = first; return true;
            case "net.ipv4.tcp_synack_retries": settings.SynAckRetries = first; return true;
            case "net.ipv4.tcp_retries1": settings.Retries1 = first; return true;
            case "net.ipv4.tcp_retries2": settings.Retries2 = first; return true;
            case "net.ipv4.tcp_orphan_retries": settings.OrphanRetries = first; return true;
            case "net.ipv4.tcp_early_retrans": settings.EarlyRetrans = first; return true;
            case "net.ipv4.tcp_reordering": settings.Reordering = first; return true;
            case "net.ipv4.tcp_recovery": settings.Recovery = first; return true;
            case "net.ipv4.tcp_fin_timeout": settings.FinTimeout = first; return true;
            case "net.ipv4.tcp_keepalive_time": settings.KeepAliveTime = first; return true;
            case "net.ipv4.tcp_keepalive_intvl": settings.KeepAliveInterval = first; return true;
            case "net.ipv4.tcp_keepalive_probes": settings.KeepAliveProbes = first; return true;
            case "net.ipv4.tcp_rto_min_us": settings.RtoMinMicroseconds = first; return true;
            case "net.ipv4.tcp_rto_max_ms": settings.RtoMaxMilliseconds = first; return true;
            case "net.ipv4.tcp_syncookies": settings.SynCookies = first; return true;
            case "net.ipv4.tcp_max_syn_backlog": settings.MaxSynBacklog = first; return true;
            case "net.core.somaxconn": settings.SoMaxConn = first; return true;
            case "net.ipv4.tcp_challenge_ack_limit": settings.ChallengeAckLimit = first; return true;
            case "net.ipv4.tcp_invalid_ratelimit": settings.InvalidRateLimitMilliseconds = first; return true;
            case "net.ipv4.tcp_min_tso_segs": settings.MinTsoSegments = first; return true;
            case "net.ipv4.tcp_tso_win_divisor": settings.TsoWindowDivisor = first; return true;
            case "net.ipv4.tcp_notsent_lowat": settings.NotSentLowWater = (uint)first; return true;
            case "net.ipv4.tcp_rmem" when numbers.Length == 3:
                (settings.ReceiveBufferMin, settings.ReceiveBufferDefault, settings.ReceiveBufferMax) = (numbers[0], numbers[1], numbers[2]);
                return true;
            case "net.ipv4.tcp_wmem" when numbers.Length == 3:
                (settings.SendBufferMin, settings.SendBufferDefault, settings.SendBufferMax) = (numbers[0], numbers[1], numbers[2]);
                return true;

            // What the stack does in any case: as Linux with these values.
            case "net.ipv4.tcp_ecn": return first is 0 or 2;
            case "net.ipv4.tcp_fastopen": return true;
            case "net.ipv4.tcp_no_metrics_save": return true;
            case "net.ipv4.tcp_mtu_probing": return first == 0;
            default: return false;
        }
    }
}
