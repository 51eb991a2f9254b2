namespace Penstock.Wire;

/// <summary>ICMPv4 message types (RFC 792, IANA "ICMP Parameters"). Any other value may come from the wire too.</summary>
internal enum IcmpType : byte
{
    EchoReply = 0,
    DestinationUnreachable = 3,

    /// <summary>Obsolete and ignored (RFC 6633).</summary>
    SourceQuench = 4,

    Redirect = 5,
    EchoRequest = 8,
    TimeExceeded = 11,
    ParameterProblem = 12,
}

/// <summary>Codes of <see cref="IcmpType.DestinationUnreachable"/> (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1).</summary>
internal static class IcmpUnreachable
{
    public const byte Network = 0;
    public const byte Host = 1;
    public const byte Protocol = 2;
    public const byte Port = 3;

    /// <summary>Fragmentation was needed and DF was set: path MTU discovery (RFC 1191).</summary>
    public const byte FragmentationNeeded = 4;

    public const byte SourceRouteFailed = 5;
    public const byte NetworkProhibited = 9;
    public const byte HostProhibited = 10;
    public const byte CommunicationProhibited = 13;
}

/// <summary>Codes of <see cref="IcmpType.TimeExceeded"/> (RFC 792).</summary>
internal static class IcmpTimeExceeded
{
    public const byte InTransit = 0;
    public const byte Reassembly = 1;
}
