namespace Penstock.Links;

/// <summary>Which way a captured packet went, seen from the stack. The values are those of pcapng's epb_flags.</summary>
internal enum PacketDirection : uint
{
    Unknown = 0,
    Inbound = 1,
    Outbound = 2,
}
