using System.Globalization;
using System.Net;

namespace Penstock.Native;

/// <summary>How a C program says what stack it wants: <c>key=value</c> parts with commas between. docs/libpenstock.md lists the keys.</summary>
internal sealed class StackText
{
    private static readonly string[] Keys =
    [
        "address", "host", "link", "memory", "mtu", "name", "offloads", "patience", "procfs", "route", "seed", "time", "tun",
    ];

    public bool IsVirtual { get; private set; }

    /// <summary>A TUN device's name; null for a wire whose other end is the caller.</summary>
    public string? Tun { get; private set; }

    public InterfaceAddress? Host { get; private set; }

    public List<InterfaceAddress> Addresses { get; } = [];

    public List<IPNetwork> Routes { get; } = [];

    public int Mtu { get; private set; } = 1500;

    public bool? Offloads { get; private set; }

    public string Name { get; private set; } = "libpenstock";

    public ulong? Seed { get; private set; }

    public long? Memory { get; private set; }

    /// <summary>Settings are read from the kernel's /proc/sys whenever a socket is made.</summary>
    public bool ReadsProcfs { get; private set; }

    /// <summary>How long a packet is waited for when nothing says how long.</summary>
    public TimeSpan Patience { get; private set; } = TimeSpan.FromMinutes(20);

    /// <summary>Settings by Linux's names.</summary>
    public List<(string Key, string Value)> Settings { get; } = [];

    /// <exception cref="ArgumentException">A part is wrong; the message says which, and what would be right.</exception>
    public static StackText Parse(string text)
    {
        var parsed = new StackText();
        foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                throw new ArgumentException($"'{part}' is not of the form key=value.");
            }

            parsed.Take(part[..equals].Trim(), part[(equals + 1)..].Trim());
        }

        return parsed;
    }

    private void Take(string key, string value)
    {
        switch (key)
        {
            case "address":
                Addresses.Add(InterfaceAddress.Parse(value));
                break;
            case "host":
                Host = InterfaceAddress.Parse(value);
                break;
            case "link":
                if (value != "packets")
                {
                    throw new ArgumentException($"There is no link '{value}'. Write link=packets, or tun=NAME for a device.");
                }

                Tun = null;
                break;
            case "memory":
                Memory = Number(key, value);
                break;
            case "mtu":
                Mtu = (int)Number(key, value);
                break;
            case "name":
                Name = value;
                break;
            case "offloads":
                Offloads = Flag(key, value);
                break;
            case "patience":
                Patience = TimeSpan.FromSeconds(Number(key, value));
                break;
            case "procfs":
                ReadsProcfs = Flag(key, value);
                break;
            case "route":
                Routes.Add(value == "default" ? new IPNetwork(IPAddress.Any, 0) : IPNetwork.Parse(value));
                break;
            case "seed":
                Seed = (ulong)Number(key, value);
                break;
            case "time":
                IsVirtual = value switch
                {
                    "virtual" => true,
                    "real" => false,
                    _ => throw new ArgumentException($"time={value}: write time=real or time=virtual."),
                };
                break;
            case "tun":
                Tun = value.Length > 0 ? value : throw new ArgumentException("tun= needs the name of a device.");
                break;
            default:
                if (!key.Contains('.', StringComparison.Ordinal))
                {
                    throw new ArgumentException($"There is no key '{key}'. Known are {string.Join(", ", Keys)}, and the names of settings such as net.ipv4.tcp_sack.");
                }

                Settings.Add((key, value));
                break;
        }
    }

    private static long Number(string key, string value) =>
        long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : throw new ArgumentException($"{key}={value}: a number is expected.");

    private static bool Flag(string key, string value) => value switch
    {
        "1" or "yes" or "true" => true,
        "0" or "no" or "false" => false,
        _ => throw new ArgumentException($"{key}={value}: write 1 or 0."),
    };
}
