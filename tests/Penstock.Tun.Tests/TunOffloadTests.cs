using System.Net;
using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Tun.Tests;

/// <summary>Super-segments and partial checksums in both directions, with the kernel's TCP as the judge.</summary>
public sealed class TunOffloadTests
{
    private static readonly IPAddress HostAddress = IPAddress.Parse("10.77.0.1");
    private static readonly IPEndPoint Own = new(IPAddress.Parse("10.77.0.2"), 9);

    [Theory]
    [InlineData(65160, 1460, 1)]
    [InlineData(65160, 1460, 17)]
    [InlineData(2921, 1460, 3)]
    [InlineData(1000, 0, 2)]
    public void A_super_segment_to_a_closed_port_is_answered_by_a_reset(int length, int segmentSize, int fragments)
    {
        using NetworkNamespace net = Enter();
        using var client = new RecordingClient(Open(net, offloads: true));

        client.SendTcp(Own, new IPEndPoint(HostAddress, 5555), TcpFlags.Syn, 1000, 0, new byte[length], segmentSize, fragments);

        // RFC 9293 3.10.7.1: the reset acknowledges all of the segment, and the SYN counts one: so the kernel took it whole, checksum
        // and all.
        Arrival reset = client.Next(IsTcp);
        Assert.Equal(TcpFlags.Rst | TcpFlags.Ack, reset.Tcp.Flags);
        Assert.Equal((uint)(1000 + length + 1), reset.Tcp.Acknowledgment.Value);
        AssertChecksumHolds(reset);
    }

    [Fact]
    public void Without_offloads_checksums_are_complete_both_ways()
    {
        using NetworkNamespace net = Enter();
        using var client = new RecordingClient(Open(net, offloads: false));

        client.SendTcp(Own, new IPEndPoint(HostAddress, 5555), TcpFlags.Syn, 1000, 0, new byte[777], fragments: 3);

        Arrival reset = client.Next(IsTcp);
        Assert.Equal(1778u, reset.Tcp.Acknowledgment.Value);
        Assert.Equal(ChecksumState.None, reset.Checksum);
        AssertChecksumHolds(reset);
    }

    [Fact]
    public async Task The_kernels_bulk_arrives_in_super_segments()
    {
        using NetworkNamespace net = Enter();
        using var client = new RecordingClient(Open(net, offloads: true));
        using Socket socket = net.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        Task connecting = socket.ConnectAsync(Own, TestContext.Current.CancellationToken).AsTask();
        Arrival syn = client.Next(IsTcp);
        var peer = new IPEndPoint(HostAddress, syn.Tcp.SourcePort);

        // Options: a segment size of 1460 and nothing else, so that every segment carries that much.
        client.SendTcp(
            Own, peer, TcpFlags.Syn | TcpFlags.Ack, 5000, syn.Tcp.Sequence.Value + 1, [], options: [2, 4, 0x05, 0xB4]);
        await connecting;
        byte[] data = new byte[14600];
        new Random(1).NextBytes(data);
        await socket.SendAsync(data, TestContext.Current.CancellationToken);

        // Linux's initial window is ten segments, and with TSO they come as one read, or as two.
        Arrival first = client.Next(a => IsTcp(a) && a.GsoSize > 0);
        int payload = first.Bytes.Length - first.Ip.HeaderLength - first.Tcp.HeaderLength;
        Assert.Equal(1460, first.GsoSize);
        Assert.Equal((payload + 1459) / 1460, first.SegmentCount);
        Assert.True(payload > 1460);
        Assert.Equal(ChecksumState.Verified, first.Checksum);
        int offset = (int)(first.Tcp.Sequence.Value - syn.Tcp.Sequence.Value - 1);
        Assert.Equal(data.AsSpan(offset, payload), first.Bytes.AsSpan(first.Bytes.Length - payload));
    }

    [Fact]
    public void Every_queue_of_a_device_delivers_and_a_flow_stays_where_it_is()
    {
        using NetworkNamespace net = Enter();
        using var client = new RecordingClient(Open(net, offloads: true, queues: 2));
        var queueOf = new Dictionary<ushort, int>();

        for (int flow = 0; flow < 32; flow++)
        {
            using Socket socket = net.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
            _ = socket.ConnectAsync(Own, CancellationToken.None).AsTask().ContinueWith(t => _ = t.Exception, TaskScheduler.Default);
            Arrival syn = client.Next(a => IsTcp(a) && a.Tcp.Flags == TcpFlags.Syn);
            ushort port = syn.Tcp.SourcePort;
            queueOf.TryAdd(port, syn.Queue);
            client.SendTcp(Own, new IPEndPoint(HostAddress, port), TcpFlags.Syn | TcpFlags.Ack, 5000, syn.Tcp.Sequence.Value + 1, []);
            Arrival ack = client.Next(a => IsTcp(a) && a.Tcp.SourcePort == port && a.Tcp.Flags == TcpFlags.Ack);
            Assert.Equal(syn.Queue, ack.Queue);
        }

        Assert.Equal([0, 1], queueOf.Values.Distinct().Order());
    }

    /// <summary>A reset without a socket is complete even on a device with offloads.</summary>
    private static void AssertChecksumHolds(Arrival arrival) =>
        Assert.True(TcpHeader.ChecksumHolds(arrival.Bytes.AsSpan(arrival.Ip.HeaderLength), arrival.Ip.Source, arrival.Ip.Destination));

    private static bool IsTcp(Arrival arrival) => arrival.Version == 4 && arrival.Ip.Protocol == IpProtocol.Tcp;

    private static NetworkNamespace Enter()
    {
        NetworkNamespace.SkipUnlessPossible();
        return new NetworkNamespace();
    }

    private static TunLink Open(NetworkNamespace net, bool offloads, int queues = 1) => net.Run(() => TunLink.Open(
        "stack0", new TunOptions { HostAddress = new InterfaceAddress(HostAddress, 24), Offloads = offloads, Queues = queues }));
}
