using System.Buffers.Binary;
using System.Net;

namespace Penstock.Tool.Serve;

/// <summary>Chooses the kernel's address on a TUN device, next to the stack's own. Pure.</summary>
internal static class HostAddress
{
    /// <summary>
    /// <paramref name="wanted"/>, checked, or the first host of the network that is not the stack itself. A network of two addresses has no network or
    /// broadcast address (RFC 3021).
    /// </summary>
    /// <exception cref="ToolFailure">The two addresses do not fit together.</exception>
    public static InterfaceAddress Choose(InterfaceAddress own, IPAddress? wanted)
    {
        int hostBits = 32 - own.PrefixLength;
        if (hostBits is 0 or 32)
        {
            throw ToolFailure.Usage($"--address {own} has no room for the kernel's side. Choose a network of 1 to 31 bits, as in {own.Address}/24.");
        }

        uint address = Number(own.Address);
        uint hosts = (1u << hostBits) - 1;
        uint first = address & ~hosts;
        uint last = first | hosts;
        if (hostBits > 1)
        {
            first++;
            last--;
        }

        if (address < first || address > last)
        {
            throw ToolFailure.Usage($"--address {own} is the network's own or its broadcast address. Choose a host's, as in {Address(first + 1)}/{own.PrefixLength}.");
        }

        uint host = wanted is null ? first == address ? first + 1 : first : Number(wanted);
        if (host == address)
        {
            throw ToolFailure.Usage($"--host-address {wanted} is the stack's own address. Choose another host of {own}, or leave it out.");
        }

        if (host < first || host > last)
        {
            throw ToolFailure.Usage($"--host-address {wanted} is not a host of {own}. Choose one between {Address(first)} and {Address(last)}, or leave it out.");
        }

        return new InterfaceAddress(Address(host), own.PrefixLength);
    }

    private static uint Number(IPAddress address) => BinaryPrimitives.ReadUInt32BigEndian(address.GetAddressBytes());

    private static IPAddress Address(uint number)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, number);
        return new IPAddress(bytes);
    }
}
