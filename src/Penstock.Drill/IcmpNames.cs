using System.Globalization;

namespace Penstock.Drill;

/// <summary>The names scripts use for ICMP types and codes (RFC 792, RFC 1122, RFC 1812; RFC 4443 for IPv6), and their numbers.</summary>
internal static class IcmpNames
{
    private static readonly (string Name, byte Type)[] Types4 =
    [
        ("echo_reply", 0), ("unreachable", 3), ("source_quench", 4), ("redirect", 5), ("echo_request", 8), ("time_exceeded", 11),
        ("parameter_problem", 12), ("timestamp_request", 13), ("timestamp_reply", 14), ("information_request", 15),
        ("information_reply", 16), ("address_mask_request", 17), ("address_mask_reply", 18),
    ];

    private static readonly (string Name, byte Type)[] Types6 =
    [
        ("unreachable", 1), ("packet_too_big", 2), ("time_exceeded", 3), ("parameter_problem", 4), ("echo_request", 128),
        ("echo_reply", 129),
    ];

    private static readonly string[] Unreachable4 =
    [
        "net_unreachable", "host_unreachable", "protocol_unreachable", "port_unreachable", "frag_needed", "source_route_failed",
        "net_unknown", "host_unknown", "source_host_isolated", "net_prohibited", "host_prohibited", "net_unreachable_for_tos",
        "host_unreachable_for_tos", "packet_filtered", "precedence_violation", "precedence_cutoff",
    ];

    private static readonly string[] Unreachable6 =
        ["no_route", "admin_prohibited", "not_neighbour", "address_unreachable", "port_unreachable"];

    private static readonly string[] TimeExceeded6 = ["exceeded_hop_limit", "exceeded_frag_time"];

    private static readonly string[] ParameterProblem6 = ["header_field", "unknown_next_header", "unknown_option"];

    /// <summary>Null when the names are known in either IP version, else a sentence that says which is not.</summary>
    public static string? Check(string type, string? code)
    {
        if (TryResolve(false, type, code, out _, out _) || TryResolve(true, type, code, out _, out _))
        {
            return null;
        }

        var types = new SortedSet<string>(StringComparer.Ordinal);
        foreach ((string name, _) in (IEnumerable<(string, byte)>)[.. Types4, .. Types6])
        {
            types.Add(name);
        }

        if (TryResolve(false, type, null, out _, out _) || TryResolve(true, type, null, out _, out _))
        {
            string? nearCode = NearestName.Find(code!, [.. Unreachable4, .. Unreachable6, .. TimeExceeded6, .. ParameterProblem6]);
            return $"ICMP {type} has no code '{code}'{(nearCode is null ? "; code_N works for any number" : $"; did you mean {nearCode}?")}";
        }

        return $"there is no ICMP type '{type}'; known are {string.Join(", ", types)}, and type_N for any number";
    }

    /// <summary>Finds the numbers in one IP version; a type without a code has code 0.</summary>
    public static bool TryResolve(bool isIpv6, string type, string? code, out byte typeNumber, out byte codeNumber)
    {
        codeNumber = 0;
        return TryType(isIpv6 ? Types6 : Types4, type, out typeNumber)
            && (code is null || TryNumber(code, "code_", out codeNumber) || TryCode(isIpv6, type, code, out codeNumber));
    }

    /// <summary>The names of a real message, as a script writes them.</summary>
    public static (string Type, string? Code) NameOf(bool isIpv6, byte type, byte code)
    {
        string typeName = string.Create(CultureInfo.InvariantCulture, $"type_{type}");
        foreach ((string name, byte number) in isIpv6 ? Types6 : Types4)
        {
            if (number == type)
            {
                typeName = name;
            }
        }

        string[] codes = Codes(isIpv6, typeName);
        string? codeName = code < codes.Length ? codes[code] : code == 0 ? null : string.Create(CultureInfo.InvariantCulture, $"code_{code}");
        return (typeName, codeName);
    }

    private static bool TryType((string Name, byte Type)[] types, string name, out byte number)
    {
        foreach ((string known, byte type) in types)
        {
            if (known == name)
            {
                number = type;
                return true;
            }
        }

        return TryNumber(name, "type_", out number);
    }

    private static bool TryCode(bool isIpv6, string type, string name, out byte number)
    {
        int index = Array.IndexOf(Codes(isIpv6, type), name);

        // Scripts for both versions say net_unreachable; in IPv6 that is code 0, "no route".
        if (index < 0 && isIpv6 && type == "unreachable" && name == "net_unreachable")
        {
            index = 0;
        }

        number = (byte)Math.Max(0, index);
        return index >= 0;
    }

    private static string[] Codes(bool isIpv6, string type) => (isIpv6, type) switch
    {
        (false, "unreachable") => Unreachable4,
        (true, "unreachable") => Unreachable6,
        (true, "time_exceeded") => TimeExceeded6,
        (true, "parameter_problem") => ParameterProblem6,
        _ => [],
    };

    private static bool TryNumber(string name, string prefix, out byte number)
    {
        number = 0;
        return name.StartsWith(prefix, StringComparison.Ordinal)
            && byte.TryParse(name.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }
}
