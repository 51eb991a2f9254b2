namespace Penstock.Drill;

/// <summary>The TCP flags in the order of the header's bits; AE is RFC 9768's.</summary>
[Flags]
internal enum DrillFlags
{
    None = 0,
    Fin = 1,
    Syn = 2,
    Rst = 4,
    Psh = 8,
    Ack = 16,
    Urg = 32,
    Ece = 64,
    Cwr = 128,
    Ae = 256,

    /// <summary>The three bits that are the ACE counter once AccECN is negotiated: AE is 4, CWR 2, ECE 1 (RFC 9768 3.2.2).</summary>
    AceBits = Ece | Cwr | Ae,
}

/// <summary>What a script says of the traffic class byte.</summary>
internal enum TosCheck
{
    /// <summary>Nothing: injected as 0, not compared.</summary>
    Unchecked,

    /// <summary><c>[noecn]</c>, <c>[ect0]</c>, <c>[ect1]</c>, <c>[ce]</c>: the two ECN bits (RFC 3168 5).</summary>
    Ecn,

    /// <summary><c>[ect01]</c>: ECT(0) or ECT(1).</summary>
    Ect01,

    /// <summary><c>[tos 0x10]</c>: the whole byte.</summary>
    WholeByte,
}

/// <summary>What a script says in brackets about the IP header. <see cref="Tos"/> holds the byte, or the two ECN bits.</summary>
internal readonly record struct IpMark(TosCheck Check, byte Tos = 0, byte? HopLimit = null, uint? FlowLabel = null);

/// <summary><c>1234 &gt; 80</c>.</summary>
internal readonly record struct PortPair(ushort Source, ushort Destination);

/// <summary>A packet as a script writes it: to be injected, or to be matched.</summary>
internal abstract record PacketPattern : Node
{
    public IpMark Ip { get; init; }

    /// <summary>Null: the connection the script is about.</summary>
    public PortPair? Ports { get; init; }
}

/// <summary>
/// A TCP segment. Absent acknowledgment and urgent pointer mean 0, an absent window is not compared, absent options mean none,
/// <see cref="Options"/> null means <c>&lt;...&gt;</c>: any.
/// </summary>
internal sealed record TcpPattern(DrillFlags Flags, uint Sequence, int Length) : PacketPattern
{
    /// <summary>The ACE counter, when the script writes a digit among the flags; <see cref="Flags"/> holds its bits as well.</summary>
    public byte? Ace { get; init; }

    public uint? Ack { get; init; }

    public ushort? Window { get; init; }

    public ushort? Urgent { get; init; }

    public NodeList<DrillOption>? Options { get; init; } = [];

    /// <summary>The sequence number behind the payload. SYN and FIN do not count in it, as scripts write it.</summary>
    public uint End => Sequence + (uint)Length;
}

/// <summary>A UDP datagram with that many payload bytes.</summary>
internal sealed record UdpPattern(int Length) : PacketPattern;

/// <summary>An ICMP message. Which numbers the names stand for depends on the IP version; see <see cref="IcmpNames"/>.</summary>
internal sealed record IcmpPattern(string Type, string? CodeName) : PacketPattern
{
    public int? Mtu { get; init; }

    public ushort? EchoId { get; init; }

    public EchoedPacket? Echoed { get; init; }
}

/// <summary>What an ICMP error quotes.</summary>
internal enum EchoedProtocol
{
    Tcp,
    Udp,
    Raw,
}

/// <summary><c>[1:1001(1000)]</c>, <c>[udp (100)]</c> or <c>[raw (100)]</c>: the packet an ICMP error quotes.</summary>
internal readonly record struct EchoedPacket(EchoedProtocol Protocol, uint Sequence, int Length);
