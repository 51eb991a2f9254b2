using System.Diagnostics.Metrics;
using System.Net;
using Penstock.Buffers;
using Penstock.Tcp;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>The receive path's own flush, and what can be seen of backlogs from outside.</summary>
public class BacklogViewTests
{
    [Theory]
    [InlineData(true, 15)]
    [InlineData(false, 5)]
    public async Task A_receive_with_room_left_takes_what_waits_in_the_backlog_too(bool flush, int expected)
    {
        await using HandPeer peer = new HandPeer(s => s.BacklogReceiveFlush = flush).Open();
        peer.Data(5);
        peer.Connection.Own();
        peer.Data(10);
        byte[] read = new byte[100];
        Assert.Equal(expected, peer.Connection.TryReceive(read, TcpReceiveFlags.None));
        Assert.Equal(TcpConnection.WouldBlock, peer.Connection.TryReceive(read, TcpReceiveFlags.None));
        peer.Connection.Release();
        Assert.Equal(flush ? 1 : 0, peer.Connection.Snapshot().BacklogReceiveFlushes);
        Assert.Equal(flush ? 1 : 0, peer.Stack.GetCounter(StackCounter.TcpBacklogReceiveFlushes));
        Assert.Equal(flush ? 0 : 10, peer.Socket.Available);
        peer.Check();
    }

    [Fact]
    public async Task A_receive_that_finds_nothing_looks_into_the_backlog_before_it_waits()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Connection.Own();
        peer.Data(10);
        Assert.Equal(10, peer.Connection.TryReceive(new byte[100], TcpReceiveFlags.None));
        peer.Connection.Release();
        Assert.Equal(1, peer.Connection.Snapshot().BacklogReceiveFlushes);
    }

    [Fact]
    public async Task A_flood_without_data_does_not_keep_a_reader()
    {
        await using HandPeer peer = new HandPeer(s => { s.BacklogCoalesce = false; s.BacklogAckDefer = false; }).Open();
        peer.Data(5);
        int flood = 10_000;
        peer.Link.OnSent = _ =>
        {
            // Each answer brings another segment that wants one: old data.
            if (flood-- > 0)
            {
                peer.Deliver(TcpFlags.Ack, peer.Next - 3, peer.Acked, 2);
            }
        };
        peer.Connection.Own();
        peer.Deliver(TcpFlags.Ack, peer.Next - 3, peer.Acked, 2);
        Assert.Equal(5, peer.Connection.TryReceive(new byte[100], TcpReceiveFlags.None));
        peer.Connection.Release();
        Assert.Equal(1, peer.Connection.Snapshot().BacklogReceiveFlushes);
        Assert.True(flood > 0, "the flood ended before the reader did");
        peer.Link.OnSent = null;
    }

    [Fact]
    public async Task A_receive_that_flushes_still_stops_at_the_mark()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Data(5);
        peer.Connection.Own();
        PacketBuffer urgent = peer.Make(TcpFlags.Ack | TcpFlags.Urg, peer.Next, peer.Acked, 3)!;
        urgent.UrgentPointer = 1;
        peer.Connection.ReceivePacket(urgent, null!);
        byte[] read = new byte[100];
        Assert.Equal(5, peer.Connection.TryReceive(read, TcpReceiveFlags.None));
        Assert.True(peer.Connection.IsAtMark);
        Assert.Equal(2, peer.Connection.TryReceive(read, TcpReceiveFlags.None));
        peer.Connection.Release();
    }

    [Fact]
    public async Task Everything_about_a_backlog_is_counted_for_the_socket_and_the_stack()
    {
        await using HandPeer peer = new HandPeer(s => { s.SizeGoal = 1; s.BacklogFlushBuffers = 1; }).Open().SendBuffer(1 << 30);
        peer.InCopy = copy =>
        {
            if (copy is 2 or 5)
            {
                peer.Data(10);
                peer.Data(10);
            }
        };
        peer.Send(10 * HandPeer.Mss);
        TcpInfo info = peer.Socket.GetInfo();
        Assert.Equal((2, 2, 2, 7, 0), (info.BacklogEnqueued, info.BacklogCoalesced, info.BacklogFlushes, info.BacklogEmptyChecks, info.Drops));
        long[] stack =
        [
            .. new[] { StackCounter.TcpBacklogEnqueued, StackCounter.TcpBacklogCoalesce, StackCounter.TcpBacklogFlushes, StackCounter.TcpBacklogEmptyChecks, StackCounter.TcpBacklogDrop }
                .Select(peer.Stack.GetCounter),
        ];
        Assert.Equal([2, 2, 2, 7, 0], stack);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_time_that_packets_wait_goes_into_a_histogram_when_that_is_switched_on(bool on)
    {
        await using var peer = new HandPeer(name: $"waits-{on}");
        peer.Open();
        peer.Stack.Sysctl.Set("penstock.tcp_backlog_wait_histogram", on ? "1" : "0");
        using var listener = new MeterListener();
        var waits = new List<double>(4096);
        listener.InstrumentPublished = (instrument, to) =>
        {
            if (instrument.Name == "penstock.tcp.backlog.wait" && instrument.Meter.Tags!.Any(t => (string?)t.Value == peer.Stack.Name))
            {
                to.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<double>((_, seconds, _, _) => waits.Add(seconds));
        listener.Start();
        byte[] read = new byte[100];
        Wait();
        Assert.Equal(on ? [0.004, 0.001] : [], waits);

        // What found the socket free did not wait.
        peer.Data(1);
        Assert.Equal(on ? 2 : 0, waits.Count);
        long allocated = Allocations.Least(() =>
        {
            for (int i = 0; i < 4000; i++)
            {
                waits.Clear();
                peer.Stack.Meter!.OnBacklogWait(i);
            }
        });
        Assert.InRange(allocated, 0, Allocations.OnceOnly);

        void Wait()
        {
            peer.Connection.Own();
            peer.Data(10);
            peer.Time.Elapse(1_000_000);

            // Merged into the first: it tells of that one.
            peer.Data(10);
            peer.Time.Elapse(2_000_000);

            // A gap: not merged.
            peer.Next += 5;
            peer.Data(10);
            peer.Next -= 15;
            peer.Time.Elapse(1_000_000);
            peer.Connection.Release();
            peer.Data(15);
            while (peer.Socket.TryReceive(read, TcpReceiveFlags.None, out _) > 0)
            {
            }
        }
    }

    [Fact]
    public async Task Both_ends_take_a_policy_from_their_options()
    {
        var time = new VirtualTime();
        var stack = new NetworkStack(new NetworkStackOptions { Driver = time, Seed = 1 });
        time.Run(async () =>
        {
            var at = new IPEndPoint(IPAddress.Loopback, 80);
            await using TcpSocketListener listener = stack.ListenTcp(new TcpListenOptions(at) { FlushPolicy = TcpFlushPolicy.Every(3) });
            await using TcpSocket client = await stack.ConnectTcpAsync(at, new TcpConnectOptions { FlushPolicy = TcpFlushPolicy.Off });
            await using TcpSocket server = await listener.AcceptAsync();
            Assert.Equal(TcpFlushPolicy.Off, client.FlushPolicy);
            Assert.Equal(TcpFlushPolicy.Every(3), server.FlushPolicy);
        }, TimeSpan.FromSeconds(10));
        time.Run(async () => await stack.DisposeAsync(), TimeSpan.FromMinutes(1));
        await Task.CompletedTask;
    }
}
