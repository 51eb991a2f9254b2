namespace Penstock.Wire;

/// <summary>The values of a TCP header without its options, apart from the bytes they came from.</summary>
internal readonly struct TcpSegmentHeader
{
    public SequenceNumber Sequence { get; init; }

    /// <summary>Means something only with <see cref="TcpFlags.Ack"/>.</summary>
    public SequenceNumber Acknowledgment { get; init; }

    public ushort SourcePort { get; init; }

    public ushort DestinationPort { get; init; }

    public TcpFlags Flags { get; init; }

    /// <summary>As the wire has it: not scaled.</summary>
    public ushort Window { get; init; }

    /// <summary>Means something only with <see cref="TcpFlags.Urg"/>.</summary>
    public ushort UrgentPointer { get; init; }

    /// <summary>Bytes of the header, options included: 20..60.</summary>
    public byte HeaderLength { get; init; }

    public bool Has(TcpFlags flag) => (Flags & flag) != 0;

    /// <summary>The options' bytes in the segment that this header was parsed from.</summary>
    public ReadOnlySpan<byte> Options(ReadOnlySpan<byte> segment) => segment[TcpHeader.MinLength..HeaderLength];

    /// <summary>The number after this segment: SYN and FIN take one each (RFC 9293 3.4).</summary>
    public SequenceNumber End(int payloadLength) => Sequence + (payloadLength + (Has(TcpFlags.Syn) ? 1 : 0) + (Has(TcpFlags.Fin) ? 1 : 0));
}
