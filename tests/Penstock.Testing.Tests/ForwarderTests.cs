using System.Net;
using Penstock.Testing.Forwarding;
using Penstock.Wire;

namespace Penstock.Testing.Tests;

/// <summary>A router packet by packet: bytes in on one link, bytes out on either.</summary>
public sealed class ForwarderTests : IDisposable
{
    private static readonly IpAddress s_near = Address("10.0.0.1");
    private static readonly IpAddress s_routerNear = Address("10.0.0.2");
    private static readonly IpAddress s_far = Address("10.0.1.2");

    private readonly Forwarder _router = new("router");
    private readonly PacketLink _nearLink = new();
    private readonly PacketLink _farLink = new(new PacketLinkOptions { Mtu = 600 });

    public ForwarderTests()
    {
        RouterPort near = _router.AddPort(_nearLink, s_routerNear);
        RouterPort far = _router.AddPort(_farLink, Address("10.0.1.1"));
        _router.SetRoutes([(IpPrefix.Of(Address("10.0.0.0"), 24), near), (IpPrefix.Of(Address("10.0.1.0"), 24), far)]);
    }

    public void Dispose()
    {
        _router.Close();
        Assert.Equal(0, _router.Pool.RentedBytes);
    }

    [Theory]
    [InlineData(IpProtocol.Udp)]
    [InlineData(IpProtocol.Icmp)]
    [InlineData(IpProtocol.Tcp)]
    [InlineData((byte)200)]
    public async Task A_packet_leaves_with_its_time_to_live_counted_down_and_its_payload_as_it_was(byte protocol)
    {
        byte[] packet = Packet(s_near, s_far, ttl: 9, length: 300, protocol: protocol);
        _nearLink.Inject(packet);
        byte[] sent = await ReadAsync(_farLink);
        Assert.True(IPv4Header.TryParse(sent, out IPv4Header header, out _));
        Assert.Equal(8, header.TimeToLive);
        Assert.Equal(packet[20..], sent[20..]);
        Assert.Equal(s_far, header.Destination);
        Assert.Equal(1, _router.Forwarded);
    }

    [Fact]
    public async Task Padding_is_not_forwarded()
    {
        byte[] packet = [.. Packet(s_near, s_far, ttl: 9, length: 40), .. new byte[20]];
        _nearLink.Inject(packet);
        Assert.Equal(40, (await ReadAsync(_farLink)).Length);
    }

    [Theory]
    [InlineData("10.0.1.2", 1, 11, 0)]
    [InlineData("10.0.1.2", 0, 11, 0)]
    [InlineData("10.9.9.9", 9, 3, 0)]
    [InlineData("10.0.0.2", 1, 3, 3)]
    public async Task Who_sent_what_can_not_go_on_is_told_why(string destination, byte ttl, byte type, byte code)
    {
        byte[] packet = Packet(s_near, Address(destination), ttl, length: 100);
        _nearLink.Inject(packet);
        (IPv4Header ip, IcmpHeader icmp, byte[] quoted) = await ReadErrorAsync();
        Assert.Equal((type, code), ((byte)icmp.Type, icmp.Code));
        Assert.Equal((s_routerNear, s_near), (ip.Source, ip.Destination));
        Assert.Equal(packet, quoted);
        Assert.Equal((0, 1), (_router.Forwarded, _router.Dropped));
    }

    [Fact]
    public async Task A_packet_that_is_too_large_for_the_next_cable_is_refused_with_the_size_that_fits()
    {
        _nearLink.Inject(Packet(s_near, s_far, ttl: 9, length: 601));
        (IPv4Header ip, IcmpHeader icmp, byte[] quoted) = await ReadErrorAsync();
        Assert.Equal((IcmpType.DestinationUnreachable, IcmpUnreachable.FragmentationNeeded, (ushort)600), (icmp.Type, icmp.Code, icmp.NextHopMtu));

        // RFC 1812 4.3.2.3: as much of it as fits into 576 bytes.
        Assert.Equal(IcmpHeader.MaxErrorDatagram, ip.TotalLength);
        Assert.Equal(IcmpHeader.MaxErrorDatagram - 28, quoted.Length);
    }

    [Fact]
    public async Task Errors_answer_neither_errors_nor_later_fragments_nor_those_who_can_not_be_answered()
    {
        // An ICMP error that lives too long, a later fragment, a broadcast, a multicast, a loopback source: silence. Then one that is answered, to see that they were all looked at.
        byte[] error = Packet(s_near, s_far, ttl: 1, length: 60, protocol: IpProtocol.Icmp);
        IcmpHeader.Write(error.AsSpan(20), IcmpType.TimeExceeded, 0, 0);
        _nearLink.Inject(error);
        _nearLink.Inject(Packet(s_near, s_far, ttl: 1, length: 60, fragment: 0x0010));
        _nearLink.Inject(Packet(s_near, IpAddress.Broadcast, ttl: 9, length: 60));
        _nearLink.Inject(Packet(s_near, Address("224.0.0.1"), ttl: 9, length: 60));
        _nearLink.Inject(Packet(Address("127.0.0.1"), s_far, ttl: 9, length: 60));
        _nearLink.Inject(Packet(s_near, s_far, ttl: 1, length: 99));
        (_, _, byte[] quoted) = await ReadErrorAsync();
        Assert.Equal(99, quoted.Length);
        Assert.Equal((0, 6), (_router.Forwarded, _router.Dropped));
        Assert.Equal(0, _nearLink.QueuedPackets + _farLink.QueuedPackets);
    }

    [Fact]
    public async Task Hostile_bytes_end_in_the_router()
    {
        var random = new Random(17);
        const int Count = 20_000;
        for (int i = 0; i < Count; i++)
        {
            // Half of it noise, half of it a good packet with a few bytes changed or cut off.
            byte[] bytes = Packet(s_near, s_far, ttl: 9, length: random.Next(20, 200), protocol: IpProtocol.Tcp);
            bytes = random.Next(3) == 0 ? bytes[..random.Next(1, bytes.Length + 1)] : bytes;
            if ((i & 1) == 0)
            {
                random.NextBytes(bytes);
            }

            for (int change = random.Next(4); change > 0; change--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            while (!_nearLink.Inject(bytes))
            {
                await Task.Yield();
            }

            while (_farLink.TryRead(new byte[600], out _) || _nearLink.TryRead(new byte[1500], out _))
            {
            }
        }

        // Longer than any before it: the router still works, and has seen all of them.
        byte[] good = Packet(s_near, s_far, ttl: 9, length: 400);
        _nearLink.Inject(good);
        byte[] last;
        do
        {
            last = await ReadAsync(_farLink);
        }
        while (last.Length != good.Length);
        Assert.Equal(good[20..], last[20..]);
        Assert.True(_router.Dropped > Count / 2);
        Assert.True(_router.Forwarded > Count / 20);
    }

    private static IpAddress Address(string text) => IpAddress.From(IPAddress.Parse(text));

    private static byte[] Packet(IpAddress from, IpAddress to, byte ttl, int length, byte protocol = IpProtocol.Udp, ushort fragment = 0)
    {
        byte[] packet = new byte[length];
        new Random(length).NextBytes(packet);
        new IPv4Header { Source = from, Destination = to, TimeToLive = ttl, Protocol = protocol, TotalLength = (ushort)length, FragmentField = fragment }.Write(packet);
        return packet;
    }

    private static async Task<byte[]> ReadAsync(PacketLink link)
    {
        byte[] buffer = new byte[1500];
        int length = await link.ReadAsync(buffer, Exchange.Limit);
        return buffer[..length];
    }

    private async Task<(IPv4Header Ip, IcmpHeader Icmp, byte[] Quoted)> ReadErrorAsync()
    {
        byte[] packet = await ReadAsync(_nearLink);
        Assert.True(IPv4Header.TryParse(packet, out IPv4Header ip, out _));
        Assert.Equal(IpProtocol.Icmp, ip.Protocol);
        Assert.True(IcmpHeader.TryParse(packet.AsSpan(20), out IcmpHeader icmp, out _));
        return (ip, icmp, packet[28..]);
    }
}
