namespace Penstock.Drill;

/// <summary>Which protocol a <see cref="DrillPacket"/> carries.</summary>
internal enum DrillProtocol
{
    Tcp,
    Udp,
    Icmp,
}

/// <summary>
/// A real packet, in the fields that scripts speak of. Numbers are in the script's space: sequence numbers count from the script's
/// initial ones. It holds no payload bytes, only whether they are what scripts send: zeros.
/// </summary>
internal readonly record struct DrillPacket()
{
    public DrillProtocol Protocol { get; init; }

    public bool IsIpv6 { get; init; }

    /// <summary>The traffic class byte, ECN bits included.</summary>
    public byte Tos { get; init; }

    public byte HopLimit { get; init; } = 64;

    public uint FlowLabel { get; init; }

    /// <summary>False when the IPv4 header's checksum is wrong, or its lengths do not fit the packet.</summary>
    public bool IsIpHeaderGood { get; init; } = true;

    public ushort SourcePort { get; init; }

    public ushort DestinationPort { get; init; }

    public DrillFlags Flags { get; init; }

    public uint Sequence { get; init; }

    public uint Ack { get; init; }

    public ushort Window { get; init; }

    public ushort Urgent { get; init; }

    public NodeList<DrillOption> Options { get; init; } = [];

    public int Length { get; init; }

    /// <summary>True when every payload byte is zero.</summary>
    public bool IsPayloadZero { get; init; } = true;

    public byte IcmpType { get; init; }

    public byte IcmpCode { get; init; }

    /// <summary>The MTU field of a "fragmentation needed" or "packet too big".</summary>
    public int IcmpMtu { get; init; }

    public ushort IcmpEchoId { get; init; }

    public byte Ace => (byte)(((int)(Flags & DrillFlags.AceBits)) >> 6);

    /// <summary>
    /// The segment a script line describes, exactly: what an executor injects. Unnamed fields are 0; <c>[ect01]</c> gives ECT(0)'s bits.
    /// </summary>
    public static DrillPacket From(TcpPattern pattern, bool isIpv6 = false) => new()
    {
        Protocol = DrillProtocol.Tcp,
        IsIpv6 = isIpv6,
        Tos = pattern.Ip.Check == TosCheck.Ect01 ? (byte)2 : pattern.Ip.Tos,
        HopLimit = pattern.Ip.HopLimit ?? 64,
        FlowLabel = pattern.Ip.FlowLabel ?? 0,
        SourcePort = pattern.Ports?.Source ?? 0,
        DestinationPort = pattern.Ports?.Destination ?? 0,
        Flags = pattern.Flags,
        Sequence = pattern.Sequence,
        Ack = pattern.Ack ?? 0,
        Window = pattern.Window ?? 0,
        Urgent = pattern.Urgent ?? 0,
        Options = pattern.Options ?? [],
        Length = pattern.Length,
    };

    /// <summary>The script line that describes this segment fully; what "actual:" shows.</summary>
    public TcpPattern ToTcpPattern(bool withPorts = false) => new(Flags, Sequence, Length)
    {
        Ip = new(
            Tos == 0 ? TosCheck.Unchecked : TosCheck.WholeByte,
            Tos,
            HopLimit == 64 ? null : HopLimit,
            FlowLabel == 0 ? null : FlowLabel),
        Ports = withPorts ? new(SourcePort, DestinationPort) : null,
        Ack = Flags.HasFlag(DrillFlags.Ack) || Ack != 0 ? Ack : null,
        Window = Window,
        Urgent = Urgent == 0 ? null : Urgent,
        Options = Options,
    };
}
