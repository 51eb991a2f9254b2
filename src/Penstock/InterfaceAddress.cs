using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Penstock;

/// <summary>
/// An address of an interface together with the prefix of the network it stands in, written <c>10.77.0.2/24</c>. Unlike
/// <see cref="IPNetwork"/> it keeps the host part.
/// </summary>
public sealed class InterfaceAddress : IEquatable<InterfaceAddress>
{
    /// <summary>Creates an address with a prefix.</summary>
    /// <param name="address">The interface's own address.</param>
    /// <param name="prefixLength">Bits of the network part: 0-32 for IPv4, 0-128 for IPv6.</param>
    /// <exception cref="ArgumentOutOfRangeException">The prefix length does not suit the address family.</exception>
    public InterfaceAddress(IPAddress address, int prefixLength)
    {
        ArgumentNullException.ThrowIfNull(address);
        int bits = address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128;
        if (prefixLength < 0 || prefixLength > bits)
        {
            throw new ArgumentOutOfRangeException(nameof(prefixLength), prefixLength, $"The prefix of {address} has between 0 and {bits} bits.");
        }

        Address = address;
        PrefixLength = prefixLength;
    }

    /// <summary>The interface's own address.</summary>
    public IPAddress Address { get; }

    /// <summary>Bits of the network part.</summary>
    public int PrefixLength { get; }

    /// <summary>Parses <c>address/length</c>; without a length the prefix is the whole address.</summary>
    /// <exception cref="FormatException">The text is not an address with a prefix.</exception>
    public static InterfaceAddress Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return TryParse(text, out InterfaceAddress? result)
            ? result
            : throw new FormatException($"'{text}' is not an interface address. Write it as 10.77.0.2/24.");
    }

    /// <summary>Parses <c>address/length</c> without throwing.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, [NotNullWhen(true)] out InterfaceAddress? result)
    {
        result = null;
        if (string.IsNullOrEmpty(text))
        {
            return false;
        }

        int slash = text.IndexOf('/', StringComparison.Ordinal);
        ReadOnlySpan<char> host = slash < 0 ? text : text.AsSpan(0, slash);
        if (!IPAddress.TryParse(host, out IPAddress? address))
        {
            return false;
        }

        int bits = address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128;

        // IPAddress.Parse takes "10.77" and "1" too; an interface address is written in full.
        if (bits == 32 && host.Count('.') != 3)
        {
            return false;
        }

        int length = bits;
        if (slash >= 0 && (!int.TryParse(text.AsSpan(slash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out length) || length > bits))
        {
            return false;
        }

        result = new InterfaceAddress(address, length);
        return true;
    }

    /// <inheritdoc/>
    public bool Equals(InterfaceAddress? other) => other is not null && Address.Equals(other.Address) && PrefixLength == other.PrefixLength;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as InterfaceAddress);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Address, PrefixLength);

    /// <summary>The address as <see cref="Parse"/> reads it.</summary>
    public override string ToString() => $"{Address}/{PrefixLength}";
}
