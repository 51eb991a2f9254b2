namespace Penstock.Drill;

/// <summary>A TCP option as scripts write it. The order in a packet's list is the order on the wire.</summary>
internal abstract record DrillOption : Node
{
    /// <summary>The option's kind byte.</summary>
    public abstract int Kind { get; }

    /// <summary>Bytes on the wire, kind and length bytes included.</summary>
    public abstract int WireLength { get; }
}

/// <summary><c>eol</c>, RFC 9293 3.2.</summary>
internal sealed record EolOption : DrillOption
{
    public override int Kind => 0;

    public override int WireLength => 1;
}

/// <summary><c>nop</c>, RFC 9293 3.2.</summary>
internal sealed record NopOption : DrillOption
{
    public override int Kind => 1;

    public override int WireLength => 1;
}

/// <summary><c>mss 1460</c>, RFC 9293 3.2.</summary>
internal sealed record MssOption(ushort Value) : DrillOption
{
    public override int Kind => 2;

    public override int WireLength => 4;
}

/// <summary><c>wscale 7</c>, RFC 7323 2.2.</summary>
internal sealed record WindowScaleOption(byte Shift) : DrillOption
{
    public override int Kind => 3;

    public override int WireLength => 3;
}

/// <summary><c>sackOK</c>, RFC 2018 2.</summary>
internal sealed record SackPermittedOption : DrillOption
{
    public override int Kind => 4;

    public override int WireLength => 2;
}

/// <summary>One block of a SACK option: [Start, End).</summary>
internal readonly record struct SackRange(uint Start, uint End);

/// <summary><c>sack 1:1001 2001:3001</c>, RFC 2018 3.</summary>
internal sealed record SackOption(NodeList<SackRange> Blocks) : DrillOption
{
    public override int Kind => 5;

    public override int WireLength => 2 + (8 * Blocks.Count);
}

/// <summary><c>TS val 100 ecr 200</c>, RFC 7323 3.2.</summary>
internal sealed record TimestampOption(uint Value, uint EchoReply) : DrillOption
{
    public override int Kind => 8;

    public override int WireLength => 10;
}

/// <summary><c>md5 0011...</c>: 16 bytes of digest in hexadecimal, RFC 2385.</summary>
internal sealed record Md5Option(string DigestHex) : DrillOption
{
    public override int Kind => 19;

    public override int WireLength => 18;
}

/// <summary>
/// <c>FO cookie</c> (RFC 7413) or, experimental, <c>FOEXP cookie</c> (kind 254 with magic 0xF989); lower-case hexadecimal. An empty
/// one asks for a cookie.
/// </summary>
internal sealed record FastOpenOption(string CookieHex, bool IsExperimental) : DrillOption
{
    public override int Kind => IsExperimental ? 254 : 34;

    public override int WireLength => (IsExperimental ? 4 : 2) + (CookieHex.Length / 2);
}

/// <summary>
/// <c>ECN e0b 1 ceb 0 e1b 1</c>: AccECN byte counters of 24 bits (RFC 9768 3.2.3). The order of the first and third counter tells
/// the two option kinds apart; later counters may be left out.
/// </summary>
internal sealed record AccEcnOption(bool Ect1First, NodeList<uint> Counters) : DrillOption
{
    public override int Kind => Ect1First ? 174 : 172;

    public override int WireLength => 2 + (3 * Counters.Count);
}

/// <summary><c>kind 99 0a0b</c>: an option that scripts have no name for, so that any packet can be shown.</summary>
internal sealed record UnknownOption(byte RawKind, string DataHex) : DrillOption
{
    public override int Kind => RawKind;

    public override int WireLength => 2 + (DataHex.Length / 2);
}
