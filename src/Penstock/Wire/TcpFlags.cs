namespace Penstock.Wire;

/// <summary>The control bits of a TCP header, where the wire has them in bytes 12 and 13 (RFC 9293 3.1, RFC 3168, RFC 9768).</summary>
[Flags]
internal enum TcpFlags : ushort
{
    None = 0,
    Fin = 0x001,
    Syn = 0x002,
    Rst = 0x004,
    Psh = 0x008,
    Ack = 0x010,
    Urg = 0x020,

    /// <summary>ECN echo.</summary>
    Ece = 0x040,

    /// <summary>Congestion window reduced.</summary>
    Cwr = 0x080,

    /// <summary>Accurate ECN; once the nonce sum.</summary>
    Ae = 0x100,

    SynAck = Syn | Ack,
    FinAck = Fin | Ack,
    RstAck = Rst | Ack,
}
