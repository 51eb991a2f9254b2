using System.Net;
using CsCheck;
using Penstock.Wire;

namespace Penstock.Tests.Wire;

public class IpAddressTests
{
    private static IpAddress Of(string text) => IpAddress.From(IPAddress.Parse(text));

    [Theory]
    [InlineData("10.77.0.2")]
    [InlineData("255.255.255.255")]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    [InlineData("::1")]
    [InlineData("2001:db8::8a2e:370:7334")]
    [InlineData("fe80::1")]
    public void An_address_survives_the_way_there_and_back(string text)
    {
        IpAddress address = Of(text);
        Assert.Equal(text, address.ToString());
        Assert.Equal(IPAddress.Parse(text), address.ToIPAddress());
        Assert.Equal(!text.Contains(':'), address.IsIPv4);
        Span<byte> bytes = stackalloc byte[16];
        int length = address.Write(bytes);
        Assert.Equal(address.WireLength, length);
        Assert.Equal(address, length == 4 ? IpAddress.ReadIPv4(bytes) : IpAddress.ReadIPv6(bytes));
    }

    [Fact]
    public void A_mapped_address_is_the_IPv4_address_it_stands_for()
    {
        Assert.Equal(Of("10.1.2.3"), Of("::ffff:10.1.2.3"));
        Assert.Equal(0x0A010203u, Of("::ffff:10.1.2.3").IPv4Value);
        Assert.NotEqual(Of("0.0.0.0"), Of("::"));
        Assert.False(Of("::10.1.2.3").IsIPv4);
    }

    [Fact]
    public void Kinds_of_addresses_are_told_apart_in_both_families()
    {
        Assert.True(Of("0.0.0.0").IsAny && Of("::").IsAny && !Of("0.0.0.1").IsAny && !Of("::1").IsAny);
        Assert.True(Of("127.0.0.1").IsLoopback && Of("127.255.255.254").IsLoopback && Of("::1").IsLoopback);
        Assert.False(Of("128.0.0.1").IsLoopback || Of("126.255.255.255").IsLoopback || Of("::2").IsLoopback);
        Assert.True(Of("224.0.0.1").IsMulticast && Of("239.255.255.255").IsMulticast && Of("ff02::1").IsMulticast);
        Assert.False(Of("223.255.255.255").IsMulticast || Of("240.0.0.0").IsMulticast || Of("fe80::1").IsMulticast);
        Assert.True(Of("255.255.255.255").IsBroadcast);
        Assert.False(Of("255.255.255.254").IsBroadcast || Of("::ffff:ffff").IsBroadcast);
        Assert.True(Of("169.254.1.1").IsLinkLocal && Of("fe80::1").IsLinkLocal && Of("febf::").IsLinkLocal);
        Assert.False(Of("169.253.1.1").IsLinkLocal || Of("fec0::1").IsLinkLocal);
        Assert.Equal(IpAddress.LoopbackIPv4, Of("127.0.0.1"));
        Assert.Equal(IpAddress.Broadcast, Of("255.255.255.255"));
    }

    [Fact]
    public void Neighboring_addresses_hash_apart()
    {
        var seen = new HashSet<int>();
        for (uint i = 0; i < 1_000; i++)
        {
            seen.Add(IpAddress.FromIPv4(0x0A000000 + i).GetHashCode());
            seen.Add(new IpAddress(0x20010db8_00000000, i).GetHashCode());
        }

        Assert.True(seen.Count > 1_990, $"{seen.Count} of 2000");
    }

    [Fact]
    public void A_prefix_contains_what_the_BCL_network_contains() =>
        Gen.Select(Gen.Byte.Array[16], Gen.Byte.Array[16], Gen.Int[0, 128], Gen.Int[0, 128], Gen.Bool).Sample(
            (network, host, length, common, four) =>
            {
                // The host shares its first bits with the network, so that both answers turn up.
                int bytes = four ? 4 : 16;
                length = Math.Min(length, bytes * 8);
                for (int bit = 0; bit < common; bit++)
                {
                    int mask = 0x80 >> (bit % 8);
                    host[bit / 8] = (byte)((host[bit / 8] & ~mask) | (network[bit / 8] & mask));
                }

                var baseAddress = new IPAddress(network.AsSpan(0, bytes));
                var address = new IPAddress(host.AsSpan(0, bytes));
                var expected = new IPNetwork(IpAddress.From(baseAddress).Masked(four ? 96 + length : length).ToIPAddress(), length);
                IpPrefix prefix = IpPrefix.Of(IpAddress.From(baseAddress), length);
                return prefix.Contains(IpAddress.From(address)) == expected.Contains(address)
                    && prefix.FamilyLength == length
                    && prefix.IsIPv4 == four
                    && prefix.Contains(prefix.Last)
                    && prefix.Contains(prefix.Address)
                    && prefix.ToString() == expected.ToString();
            },
            iter: 3_000);

    [Fact]
    public void Prefixes_keep_to_their_family()
    {
        Assert.True(IpPrefix.AllIPv4.Contains(Of("1.2.3.4")));
        Assert.False(IpPrefix.AllIPv4.Contains(Of("::1")));
        Assert.True(IpPrefix.AllIPv6.Contains(Of("2001:db8::1")));
        Assert.False(IpPrefix.AllIPv6.Contains(Of("1.2.3.4")));
        Assert.Equal(96, IpPrefix.AllIPv4.Length);
        Assert.Equal(0, IpPrefix.AllIPv4.FamilyLength);
        Assert.Equal(Of("10.1.2.255"), IpPrefix.Of(Of("10.1.2.3"), 24).Last);
        Assert.Equal("10.1.2.0/24", IpPrefix.Of(Of("10.1.2.3"), 24).ToString());
        Assert.Throws<ArgumentOutOfRangeException>(() => IpPrefix.Of(Of("10.0.0.0"), 33));
        Assert.Throws<ArgumentOutOfRangeException>(() => IpPrefix.Of(Of("10.0.0.0"), -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => IpPrefix.Of(Of("::"), 129));
    }
}
