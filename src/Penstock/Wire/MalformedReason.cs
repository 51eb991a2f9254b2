namespace Penstock.Wire;

/// <summary>
/// Why a packet was not believed. Each value is counted by itself, so that "packets are lost" can be answered with a reason. The numbers
/// are dense from zero and index the counters.
/// </summary>
internal enum MalformedReason : byte
{
    /// <summary>Nothing is wrong.</summary>
    None,

    /// <summary>Fewer bytes than the shortest IPv4 header.</summary>
    IPv4TooShort,

    /// <summary>The version field is not 4.</summary>
    IPv4BadVersion,

    /// <summary>The header length is below 20 bytes or beyond the packet.</summary>
    IPv4BadHeaderLength,

    /// <summary>The header's checksum is wrong.</summary>
    IPv4BadChecksum,

    /// <summary>The total length is less than the header's.</summary>
    IPv4BadTotalLength,

    /// <summary>The link delivered fewer bytes than the total length says.</summary>
    IPv4Truncated,

    /// <summary>Fewer bytes than the shortest TCP header.</summary>
    TcpTooShort,

    /// <summary>The data offset is below 20 bytes or beyond the segment.</summary>
    TcpBadDataOffset,

    /// <summary>The segment's checksum is wrong.</summary>
    TcpBadChecksum,

    /// <summary>
    /// An option has an impossible length. The segment is processed all the same, without that option (and those behind it).
    /// </summary>
    TcpBadOptions,

    /// <summary>Fewer bytes than a UDP header.</summary>
    UdpTooShort,

    /// <summary>The length field is below 8 bytes or beyond the datagram.</summary>
    UdpBadLength,

    /// <summary>The datagram's checksum is wrong, or absent over IPv6.</summary>
    UdpBadChecksum,

    /// <summary>Fewer bytes than an ICMP header.</summary>
    IcmpTooShort,

    /// <summary>The message's checksum is wrong.</summary>
    IcmpBadChecksum,

    /// <summary>An ICMP error does not hold a believable IP header and 8 bytes of what it complains about.</summary>
    IcmpBadOriginal,
}
