namespace Penstock.Wire;

/// <summary>
/// A range of addresses that share their first bits: what a route or an interface's network is. Host bits are cleared. A prefix is of one
/// family: ::/0 does not contain IPv4 addresses, although these are held as part of ::.
/// </summary>
internal readonly struct IpPrefix : IEquatable<IpPrefix>
{
    /// <summary>The length of the prefix that all IPv4 addresses share in mapped form.</summary>
    public const int IPv4Base = 96;

    private readonly byte _length;

    /// <summary>Makes a prefix of the first <paramref name="length"/> bits, 0..128 in mapped terms: an IPv4 /24 is 120.</summary>
    public IpPrefix(IpAddress address, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, 128);
        if (address.IsIPv4)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(length, IPv4Base);
        }

        Address = address.Masked(length);
        _length = (byte)length;
    }

    /// <summary>0.0.0.0/0.</summary>
    public static IpPrefix AllIPv4 => new(IpAddress.AnyIPv4, IPv4Base);

    /// <summary>::/0.</summary>
    public static IpPrefix AllIPv6 => default;

    /// <summary>The lowest address of the range.</summary>
    public IpAddress Address { get; }

    /// <summary>Bits in mapped terms, 0..128: longer is more specific, whatever the family.</summary>
    public int Length => _length;

    /// <summary>Bits as the family writes them, 0..32 or 0..128.</summary>
    public int FamilyLength => IsIPv4 ? _length - IPv4Base : _length;

    public bool IsIPv4 => Address.IsIPv4;

    /// <summary>The highest address of the range; for an IPv4 network of 30 bits or fewer, its broadcast address.</summary>
    public IpAddress Last => _length switch
    {
        < 64 => new(Address.High | (ulong.MaxValue >> _length), ulong.MaxValue),
        < 128 => new(Address.High, Address.Low | (ulong.MaxValue >> (_length - 64))),
        _ => Address,
    };

    /// <summary>Makes a prefix from a length as the family writes it: 24 for 10.0.0.0/24.</summary>
    public static IpPrefix Of(IpAddress address, int familyLength) =>
        new(address, address.IsIPv4 ? checked(familyLength + IPv4Base) : familyLength);

    public bool Contains(IpAddress address) => address.Masked(_length) == Address && address.IsIPv4 == IsIPv4;

    public static bool operator ==(IpPrefix a, IpPrefix b) => a._length == b._length && a.Address == b.Address;

    public static bool operator !=(IpPrefix a, IpPrefix b) => !(a == b);

    public bool Equals(IpPrefix other) => this == other;

    public override bool Equals(object? obj) => obj is IpPrefix other && this == other;

    public override int GetHashCode() => Address.GetHashCode() * 31 + _length;

    public override string ToString() => $"{Address}/{FamilyLength}";
}
