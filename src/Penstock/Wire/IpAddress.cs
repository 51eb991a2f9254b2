using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Penstock.Wire;

/// <summary>
/// An IP address of either family in 16 bytes; an IPv4 address is held as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that one table and one
/// comparison serve both. It has no scope: which link a link-local address belongs to is known by who holds it. Never allocates, but for
/// <see cref="ToIPAddress"/> and <see cref="ToString"/>.
/// </summary>
internal readonly struct IpAddress(ulong high, ulong low) : IEquatable<IpAddress>
{
    private const ulong MappedMark = 0xFFFF_0000_0000;

    /// <summary>The first eight bytes as a number, the first byte on the wire being the highest.</summary>
    public readonly ulong High = high;

    /// <summary>The last eight bytes as a number.</summary>
    public readonly ulong Low = low;

    /// <summary>0.0.0.0, which is not the default value: that is ::.</summary>
    public static IpAddress AnyIPv4 => FromIPv4(0);

    public static IpAddress LoopbackIPv4 => FromIPv4(0x7F00_0001);

    public static IpAddress LoopbackIPv6 => new(0, 1);

    /// <summary>The limited broadcast address, 255.255.255.255.</summary>
    public static IpAddress Broadcast => FromIPv4(uint.MaxValue);

    public bool IsIPv4 => High == 0 && Low >> 32 == 0xFFFF;

    /// <summary>The IPv4 address as a number, 127.0.0.1 being 0x7f000001. Means nothing for IPv6.</summary>
    public uint IPv4Value => (uint)Low;

    /// <summary>Bytes that the address takes in a header of its family: 4 or 16.</summary>
    public int WireLength => IsIPv4 ? 4 : 16;

    public bool IsAny => High == 0 && (Low == 0 || Low == MappedMark);

    /// <summary>127.0.0.0/8 (RFC 1122 3.2.1.3 (g)) or ::1.</summary>
    public bool IsLoopback => IsIPv4 ? IPv4Value >> 24 == 127 : this == LoopbackIPv6;

    /// <summary>224.0.0.0/4 or ff00::/8.</summary>
    public bool IsMulticast => IsIPv4 ? IPv4Value >> 28 == 0xE : High >> 56 == 0xFF;

    /// <summary>The limited broadcast; a subnet's broadcast address is known only to who knows the prefix.</summary>
    public bool IsBroadcast => Low == (MappedMark | uint.MaxValue) && High == 0;

    /// <summary>169.254.0.0/16 (RFC 3927) or fe80::/10.</summary>
    public bool IsLinkLocal => IsIPv4 ? IPv4Value >> 16 == 0xA9FE : High >> 54 == 0x3FA;

    public static IpAddress FromIPv4(uint value) => new(0, MappedMark | value);

    /// <summary>Takes a BCL address over. A mapped IPv6 address becomes the IPv4 address it stands for; the scope is left behind.</summary>
    public static IpAddress From(IPAddress address)
    {
        ArgumentNullException.ThrowIfNull(address);
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out int written);
        return written == 4 ? ReadIPv4(bytes) : ReadIPv6(bytes);
    }

    public static IpAddress ReadIPv4(ReadOnlySpan<byte> bytes) => FromIPv4(BinaryPrimitives.ReadUInt32BigEndian(bytes));

    public static IpAddress ReadIPv6(ReadOnlySpan<byte> bytes) =>
        new(BinaryPrimitives.ReadUInt64BigEndian(bytes), BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]));

    /// <summary>Writes the address as a header of its own family holds it and returns how many bytes that took.</summary>
    public int Write(Span<byte> destination)
    {
        if (IsIPv4)
        {
            BinaryPrimitives.WriteUInt32BigEndian(destination, IPv4Value);
            return 4;
        }

        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], Low);
        BinaryPrimitives.WriteUInt64BigEndian(destination, High);
        return 16;
    }

    public IPAddress ToIPAddress()
    {
        Span<byte> bytes = stackalloc byte[16];
        return new IPAddress(bytes[..Write(bytes)]);
    }

    /// <summary>This address with all but its first <paramref name="length"/> bits (0..128, mapped) cleared.</summary>
    public IpAddress Masked(int length) => length switch
    {
        <= 0 => default,
        < 64 => new(High & ~(ulong.MaxValue >> length), 0),
        64 => new(High, 0),
        < 128 => new(High, Low & ~(ulong.MaxValue >> (length - 64))),
        _ => this,
    };

    public static bool operator ==(IpAddress a, IpAddress b) => a.Low == b.Low && a.High == b.High;

    public static bool operator !=(IpAddress a, IpAddress b) => !(a == b);

    public bool Equals(IpAddress other) => this == other;

    public override bool Equals(object? obj) => obj is IpAddress other && this == other;

    /// <summary>
    /// The same in every process, for the sake of runs that repeat exactly; so a table that strangers can fill has to mix in a key of
    /// the stack's own.
    /// </summary>
    public override int GetHashCode()
    {
        ulong mixed = (High ^ (Low * 0x9E37_79B9_7F4A_7C15)) * 0xD6E8_FEB8_6659_FD93;
        return (int)(mixed >> 32) ^ (int)Low;
    }

    public override string ToString() => ToIPAddress().ToString();
}
