using Penstock.Wire;

namespace Penstock.Tun.Tests;

/// <summary>The memory of which queue a flow is read from.</summary>
public sealed class FlowQueuesTests
{
    [Fact]
    public void A_reply_uses_the_queue_that_the_flow_was_last_read_from()
    {
        var flows = new FlowQueues(4);
        byte[] request = Packet(0x0A4D0001, 0x0A4D0002, 40000, 80);
        byte[] reply = Packet(0x0A4D0002, 0x0A4D0001, 80, 40000);

        foreach (int queue in (int[])[3, 0, 2])
        {
            flows.OnRead(request, queue);
            Assert.Equal(queue, flows.QueueOf(reply));
        }
    }

    [Fact]
    public void Flows_that_begin_here_are_spread()
    {
        var flows = new FlowQueues(2);
        int[] used = new int[2];
        for (ushort port = 32768; port < 33768; port++)
        {
            used[flows.QueueOf(Packet(0x0A4D0002, 0x0A4D0001, port, 80))]++;
        }

        Assert.All(used, count => Assert.InRange(count, 300, 700));
    }

    [Fact]
    public void Bytes_that_are_no_packet_have_a_queue_all_the_same()
    {
        var flows = new FlowQueues(3);
        byte[] longHeader = Packet(1, 2, 3, 4);
        longHeader[0] = 0x4F;
        foreach (byte[] bytes in (byte[][])[[], [0x45], new byte[19], new byte[40], longHeader])
        {
            flows.OnRead(bytes, 1);
            Assert.InRange(flows.QueueOf(bytes), 0, 2);
        }
    }

    private static byte[] Packet(uint source, uint destination, ushort sourcePort, ushort destinationPort)
    {
        byte[] packet = new byte[40];
        new IPv4Header
        {
            Source = IpAddress.FromIPv4(source),
            Destination = IpAddress.FromIPv4(destination),
            Protocol = IpProtocol.Tcp,
            TimeToLive = 64,
            TotalLength = 40,
        }.Write(packet);
        TcpHeader.Write(
            packet.AsSpan(20), new TcpSegmentHeader { SourcePort = sourcePort, DestinationPort = destinationPort, HeaderLength = 20 });
        return packet;
    }
}
