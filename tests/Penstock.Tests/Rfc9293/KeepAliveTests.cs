using System.Net.Sockets;
using Penstock.Wire;

namespace Penstock.Tests.Rfc9293;

/// <summary>RFC 9293 3.8.4: keepalive.</summary>
public class KeepAliveTests
{
    [Fact]
    public void Nothing_is_probed_unless_asked_for()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.ExpectNothing(24 * 3600_000.0);
        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
    }

    [Fact]
    public void An_idle_peer_is_probed_after_two_hours_without_data_and_given_up_after_nine_probes()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(), options => options.KeepAlive = true);
        double start = peer.NowMilliseconds;
        Segment probe = peer.Expect(TcpFlags.Ack, 0, 1, 0, within: 7_300_000);
        Assert.Equal(7_200_000, probe.Milliseconds - start, 1000.0);
        for (int i = 1; i < 9; i++)
        {
            Segment next = peer.Expect(TcpFlags.Ack, 0, 1, 0, within: 80_000);
            Assert.Equal(75_000, next.Milliseconds - probe.Milliseconds, 100.0);
            probe = next;
        }

        peer.Expect(TcpFlags.RstAck, 1, within: 80_000);
        Assert.Equal(SocketError.TimedOut, peer.ReadError());
    }

    [Fact]
    public void The_interval_can_be_set_and_one_answer_after_lost_ones_is_enough()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(), options =>
        {
            options.KeepAlive = true;
            options.KeepAliveIdle = TimeSpan.FromSeconds(60);
            options.KeepAliveInterval = TimeSpan.FromSeconds(10);
            options.KeepAliveProbes = 3;
        });
        for (int round = 0; round < 3; round++)
        {
            peer.Expect(TcpFlags.Ack, 0, 1, 0, within: 61_000);
            peer.Expect(TcpFlags.Ack, 0, 1, 0, within: 11_000);
            peer.Send(TcpFlags.Ack, 1, 1);
            peer.ExpectNothing(59_000);
        }

        Assert.Equal(TcpConnectionState.Established, peer.Socket.State);
    }

    [Fact]
    public void Data_or_ACKs_put_the_probe_off()
    {
        using var peer = new RawPeer();
        peer.Accepted(RawPeer.SynOptions(), options =>
        {
            options.KeepAlive = true;
            options.KeepAliveIdle = TimeSpan.FromSeconds(60);
        });
        uint next = 1;
        for (int i = 0; i < 10; i++)
        {
            peer.Wait(50_000);
            peer.Send(TcpFlags.Ack, next, 1, length: 1);
            next++;
            Assert.All(peer.All(1000), segment => Assert.Equal(1u, segment.Sequence));
        }
    }

    [Fact]
    public void The_peers_probes_are_answered()
    {
        using var peer = new RawPeer();
        peer.Accepted();
        peer.Send(TcpFlags.Ack, 0, 1);
        peer.Expect(TcpFlags.Ack, 1, 1);
        peer.Wait(1000);
        peer.Send(TcpFlags.Ack, 0, 1, length: 1);
        peer.Expect(TcpFlags.Ack, 1, 1);
    }
}
