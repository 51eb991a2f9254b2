using System.Net;
using Penstock.Buffers;
using Penstock.Tcp;
using Penstock.Tests.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>How long a zero-copy send holds its memory, whatever becomes of the connection, and what may be copied after all.</summary>
public class ZeroCopyLifeTests
{
    private const int Page = 4096;
    private const int Mss = HandPeer.Mss;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    [Trait("Requirement", "R2.11")]
    public async Task Memory_is_released_when_the_last_byte_is_acknowledged_and_the_device_has_let_go()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Link.Holds = true;
        var lent = new LentMemory(10 * Page);
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(lent, 10 * Page, cancellationToken: Stop);
        Task released = sent.Released.AsTask();
        peer.AckAll();
        Assert.Equal(0, peer.Connection.UnacknowledgedBytes);
        Assert.Equal(0, peer.Connection.Memory.WriteQueueBytes);
        Assert.False(released.IsCompleted);
        Assert.Equal((1, 0), (lent.Pinned, lent.Disposals));
        peer.Link.LetGo();
        Assert.False(released.IsCompleted, "only at top level");
        peer.Time.RunReady();
        Assert.True(released.IsCompletedSuccessfully);
        Assert.Equal((0, 1), (lent.Pinned, lent.Disposals));
    }

    [Fact]
    [Trait("Requirement", "R2.11")]
    public async Task Closing_waits_until_the_device_has_let_go_too()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Link.Holds = true;
        var lent = new LentMemory(Page);
        await peer.Socket.SendZeroCopyAsync(lent, Page, cancellationToken: Stop);
        Task closing = peer.Socket.CloseAsync(Stop).AsTask();
        peer.AckAll();
        Assert.False(closing.IsCompleted);
        Assert.Equal(0, lent.Disposals);
        peer.Link.LetGo();
        peer.Time.RunReady();
        Assert.True(closing.IsCompletedSuccessfully);
        Assert.Equal(1, lent.Disposals);
    }

    [Fact]
    [Trait("Requirement", "R2.20")]
    public async Task A_partial_ACK_inside_of_a_run_takes_its_bytes_and_keeps_the_memory()
    {
        await using HandPeer peer = new HandPeer().Open();
        var lent = new LentMemory(6 * Page);
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(lent, 4 * Mss, cancellationToken: Stop);
        (int queued, int charged) = (peer.Connection.Memory.WriteQueueBytes, peer.Connection.Memory.WriteCharged);
        Assert.Equal(PacketBuffer.ObjectSize, charged);
        uint first = peer.First;
        peer.Ack(first + (uint)(2 * Mss));
        Assert.Equal(queued - (2 * Mss), peer.Connection.Memory.WriteQueueBytes);
        Assert.Equal(charged, peer.Connection.Memory.WriteCharged);
        peer.Check();

        // In the middle of a segment: nothing is cut until it is retransmitted.
        peer.Ack(first + (uint)((2 * Mss) + 100));
        peer.Check();
        peer.Time.RunFor(TimeSpan.FromSeconds(3));
        Assert.Equal(first + (uint)((2 * Mss) + 100), peer.Link.Sent[^1].Sequence);
        Assert.Equal(queued - (2 * Mss) - 100, peer.Connection.QueuedBuffers().Sum(b => b.TrueSize - b.HeadTrueSize) + charged);
        Assert.Equal(peer.Connection.QueuedBuffers().Sum(b => b.HeadTrueSize), peer.Connection.Memory.WriteCharged);
        Assert.Equal((1, 0), (lent.Pinned, lent.Disposals));
        Assert.False(sent.Released.IsCompleted);
        peer.Check();
        peer.AckAll();
        Assert.Equal((0, 0L), (peer.Connection.Memory.WriteQueueBytes, peer.Connection.Memory.Pages));
        Assert.Equal(1, lent.Disposals);
    }

    [Fact]
    [Trait("Requirement", "R2.21")]
    public async Task Halves_of_a_pure_buffer_are_pure_share_the_token_and_take_exactly_their_bytes()
    {
        await using HandPeer peer = new HandPeer().Open(3);
        var lent = new LentMemory(15 * Page);
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(lent, 15 * Page, cancellationToken: Stop);
        peer.Check();
        List<QueuedBuffer> halves = peer.Connection.QueuedBuffers();
        Assert.True(halves.Count >= 2);
        Assert.All(halves, b => Assert.Equal(SegmentFlags.PureZeroCopy | SegmentFlags.ZeroCopy, b.Flags & (SegmentFlags.PureZeroCopy | SegmentFlags.ZeroCopy)));
        int payload = peer.Connection.Memory.WriteQueueBytes - (halves.Count * PacketBuffer.ObjectSize);
        Assert.InRange(payload, 15 * Page, 16 * Page);
        Assert.Equal(halves.Count * PacketBuffer.ObjectSize, peer.Connection.Memory.WriteCharged);

        // A smaller path cuts what was sent and is sent again.
        peer.Connection.OnPathMtuReport(new SequenceNumber(peer.First), 700, null!);
        peer.Time.RunFor(TimeSpan.FromSeconds(1));
        peer.Check();
        List<QueuedBuffer> cut = peer.Connection.QueuedBuffers();
        Assert.True(cut.Count > halves.Count);
        Assert.Equal(cut.Count * PacketBuffer.ObjectSize, peer.Connection.Memory.WriteCharged);
        Assert.Equal((cut.Count * PacketBuffer.ObjectSize) + payload, peer.Connection.Memory.WriteQueueBytes);
        Assert.False(sent.Released.IsCompleted);
        peer.AckAll();
        Assert.Equal(1, lent.Disposals);
        Assert.Equal(0, peer.Connection.Memory.Pages);
    }

    [Fact]
    [Trait("Requirement", "R2.15")]
    public async Task A_retransmission_sends_the_memory_as_it_is_then()
    {
        await using HandPeer peer = new HandPeer().Open();
        var lent = new LentMemory(1000);
        await peer.Socket.SendZeroCopyAsync(lent, 1000, cancellationToken: Stop);
        Assert.Equal(lent.Array, peer.Link.Sent[^1].Payload);
        int sent = peer.Link.Sent.Count;
        lent.Array[500] = 77;
        peer.Time.RunFor(TimeSpan.FromSeconds(2));
        Assert.True(peer.Link.Sent.Count > sent);
        Assert.Equal(77, peer.Link.Sent[^1].Payload[500]);
        peer.AckAll();
    }

    [Fact]
    [Trait("Requirement", "R2.15")]
    public async Task Memory_that_changes_during_a_send_goes_out_as_it_is_when_it_goes()
    {
        await using HandPeer peer = new HandPeer().Open(1).SendBuffer(20_000);
        var lent = new LentMemory(200_000);
        Task<ZeroCopySend> sending = peer.Socket.SendZeroCopyAsync(lent, 200_000, cancellationToken: Stop).AsTask();
        Assert.False(sending.IsCompleted);
        Assert.Equal((byte)(100_000 % 199), lent.Array[100_000]);
        lent.Array.AsSpan(100_000).Fill(201);
        while (!sending.IsCompleted || peer.Connection.UnacknowledgedBytes > 0)
        {
            peer.AckAll();
        }

        byte[] arrived = Arrived(peer, 200_000);
        Assert.Equal(1, lent.Disposals);
        Assert.Equal((byte)(99_999 % 199), arrived[99_999]);
        Assert.Equal(-1, arrived.AsSpan(100_000).IndexOfAnyExcept((byte)201));
    }

    [Theory]
    [Trait("Requirement", "R2.11")]
    [InlineData("abort")]
    [InlineData("reset")]
    [InlineData("close")]
    [InlineData("timeout")]
    [InlineData("link")]
    [InlineData("stack")]
    public async Task However_a_connection_ends_each_send_is_released_once_and_its_memory_never_used_again(string end)
    {
        HandPeer peer = new HandPeer().Open(4).SendBuffer(100_000);
        peer.Socket.ZeroCopyNotifications = true;
        LentMemory[] lent = [.. Enumerable.Range(0, 8).Select(i => new LentMemory(i % 2 == 0 ? 3000 : 40_000))];
        Task<ZeroCopySend>[] sends = [.. lent.Select(l => peer.Socket.SendZeroCopyAsync(l, l.Array.Length, cancellationToken: Stop).AsTask())];
        Task[] released = [.. sends.Where(s => s.IsCompleted).Select(s => s.Result.Released.AsTask())];
        Assert.InRange(released.Length, 2, 7);
        peer.Link.Holds = true;
        peer.Ack(peer.First + 2000);
        peer.Check();
        switch (end)
        {
            case "abort":
                peer.Socket.Abort();
                break;
            case "reset":
                peer.Reset();
                break;
            case "close":
                peer.Socket.Dispose();
                peer.AckAll();
                break;
            case "timeout":
                peer.Link.LetGo();
                peer.Link.Holds = false;
                peer.Time.RunFor(TimeSpan.FromMinutes(30));
                break;
            case "link":
                peer.Link.Client!.OnFailed(new IOException("unplugged"));
                peer.Time.RunFor(TimeSpan.FromMinutes(30));
                peer.Link.LetGo();
                break;
            default:
                break;
        }

        // What a device still has of it is not let go of early.
        peer.Time.RunReady();
        peer.Link.Holds = false;
        peer.Link.LetGo();
        if (end != "stack")
        {
            peer.Time.RunReady();
            Assert.False(peer.Connection.ZeroCopy.HoldsMemory);
            Assert.All(lent, l => Assert.Equal((1, 0), (l.Disposals, l.Pinned)));
        }

        await peer.DisposeAsync();
        Assert.All(sends, s => Assert.True(s.IsCompleted));
        Assert.All(released, r => Assert.True(r.IsCompletedSuccessfully));
        Assert.All(lent, l => Assert.Equal((1, 0), (l.Disposals, l.Pinned)));
        Assert.DoesNotContain(peer.Link.Sent, s => s.Payload.AsSpan().Contains(LentMemory.Spoiled));
        uint expected = 0;
        while (peer.Socket.TryReadZeroCopyNotification(out ZeroCopyNotification next))
        {
            Assert.Equal(expected, next.First);
            expected = next.Last + 1;
        }

        Assert.Equal((uint)sends.Count(s => s.IsCompletedSuccessfully && s.Result.BytesQueued > 0), expected);
        Assert.Equal(peer.Connection.ZeroCopy.NextId, expected);
        Assert.Equal(0, peer.Connection.ZeroCopy.OptionalBytes);
    }

    [Fact]
    [Trait("Requirement", "R2.11")]
    public async Task Nobody_has_to_wait_for_a_release_and_who_waits_late_or_twice_is_told_at_once()
    {
        await using HandPeer peer = new HandPeer().Open();
        byte[] pages = HandPeer.PinnedPages(1);
        ZeroCopySend late = peer.SendZeroCopy(pages, 0, Page);
        peer.AckAll();
        Assert.True(late.Released.IsCompletedSuccessfully);
        await late.Released;
        await late.Released;

        // The object behind it serves the next send; the old handle does not follow it.
        ZeroCopySend next = peer.SendZeroCopy(pages, 0, Page);
        Assert.True(late.Released.IsCompletedSuccessfully);
        Assert.NotEqual(late, next);
        Task released = next.Released.AsTask();
        Assert.False(released.IsCompleted);
        Assert.Throws<InvalidOperationException>(() => next.Released.GetAwaiter().GetResult());
        peer.AckAll();
        await released;
        await next.Released;
        ZeroCopySend last = peer.SendZeroCopy(pages, 0, Page);
        Assert.False(last.Released.IsCompleted);
        peer.AckAll();
        Assert.True(last.Released.IsCompletedSuccessfully);
    }

    [Fact]
    [Trait("Requirement", "R2.11")]
    public async Task An_owner_that_fails_to_take_its_memory_back_fails_who_waits_and_nobody_else()
    {
        await using HandPeer peer = new HandPeer().Open();
        LentMemory[] lent = [new(Page), new(Page) { DisposeFails = true }, new(Page)];
        Task[] released = new Task[3];
        for (int i = 0; i < 3; i++)
        {
            ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(lent[i], Page, cancellationToken: Stop);
            released[i] = sent.Released.AsTask();
        }

        var unheard = new LentMemory(Page) { DisposeFails = true };
        await peer.Socket.SendZeroCopyAsync(unheard, Page, cancellationToken: Stop);
        peer.AckAll();
        Assert.Equal([TaskStatus.RanToCompletion, TaskStatus.Faulted, TaskStatus.RanToCompletion], released.Select(r => r.Status));
        await Assert.ThrowsAsync<InvalidOperationException>(() => released[1]);
        Assert.All([.. lent, unheard], l => Assert.Equal((1, 0), (l.Disposals, l.Pinned)));
        Assert.False(peer.Connection.ZeroCopy.HoldsMemory);
        Assert.Equal(0, peer.Stack.Tcp.PinnedBytes);
    }

    [Fact]
    [Trait("Requirement", "R2.11")]
    public async Task A_part_that_fails_to_be_unpinned_keeps_none_of_the_others_pinned()
    {
        await using HandPeer peer = new HandPeer().Open();
        LentMemory[] lent = [new(Page), new(Page) { UnpinFails = true }, new(Page), new(Page) { UnpinFails = true }, new(Page)];
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(
            LentMemory.Sequence([.. lent.Select(l => (ReadOnlyMemory<byte>)l.Memory)]), cancellationToken: Stop);
        Task released = sent.Released.AsTask();
        peer.AckAll();
        await Assert.ThrowsAsync<InvalidOperationException>(() => released);
        Assert.All(lent, l => Assert.Equal((1, 0), (l.Pins, l.Pinned)));
    }

    [Fact]
    [Trait("Requirement", "R2.13")]
    public async Task A_device_that_takes_the_pages_copies_nothing()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Socket.ZeroCopyNotifications = true;
        for (int i = 0; i < 10; i++)
        {
            var lent = new LentMemory(50_000);
            await peer.Socket.SendZeroCopyAsync(lent, 50_000, cancellationToken: Stop);
            Assert.Equal(1, lent.Pinned);
            peer.AckAll();
        }

        Assert.Equal(new ZeroCopyNotification(0, 9, false), Read(peer.Socket));
        Assert.Equal((10L, 0L), (peer.Stack.GetCounter(StackCounter.TcpZeroCopySends), peer.Stack.GetCounter(StackCounter.TcpZeroCopyCopied)));
    }

    [Fact]
    [Trait("Requirement", "R2.13")]
    public async Task Without_scatter_gather_the_send_copies_and_says_so_at_once()
    {
        await using HandPeer peer = new HandPeer().Open().CloseWindow();
        peer.Socket.ZeroCopyNotifications = true;
        peer.Link.ScatterGather = false;
        var lent = new LentMemory(5000);
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(lent, 5000, cancellationToken: Stop);
        peer.Time.RunReady();
        Assert.Equal((5000, 0, 1), (sent.BytesQueued, lent.Pins, lent.Disposals));
        Assert.Equal(PacketBuffer.ObjectSize + 5000, peer.Connection.Memory.WriteCharged);
        Assert.Equal(new ZeroCopyNotification(0, 0, true), Read(peer.Socket));
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpZeroCopyCopied));
        peer.AckAll();
        Assert.Equal(new LentMemory(5000).Array, Arrived(peer, 5000));
    }

    [Fact]
    [Trait("Requirement", "R2.13")]
    [Trait("Requirement", "R2.23")]
    public async Task A_capture_copies_what_crosses_and_changes_nothing_about_what_is_queued()
    {
        await using var peer = new HandPeer(decorate: inner => new CaptureLink(inner, Stream.Null));
        peer.Open();
        peer.Socket.ZeroCopyNotifications = true;
        var lent = new LentMemory(30_000);
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(lent, 30_000, cancellationToken: Stop);
        Assert.All(peer.Connection.QueuedBuffers(), b => Assert.Equal(SegmentFlags.PureZeroCopy, b.Flags & SegmentFlags.PureZeroCopy));
        Assert.Equal(peer.Connection.QueuedBuffers().Sum(b => b.HeadTrueSize), peer.Connection.Memory.WriteCharged);
        Assert.Equal(1, lent.Pinned);
        Assert.False(sent.Released.IsCompleted);
        peer.Check();
        peer.AckAll();
        Assert.Equal(new ZeroCopyNotification(0, 0, true), Read(peer.Socket));
    }

    [Theory]
    [Trait("Requirement", "R2.13")]
    [InlineData(false)]
    [InlineData(true)]
    public void Over_a_cable_and_the_loopback_all_of_it_is_copied_on_its_way_and_the_bytes_arrive(bool loopback)
    {
        var net = new TwoStacks();
        Proof.Apply(net.Client);
        net.Run(async () =>
        {
            NetworkStack server = loopback ? net.Client : net.Server;
            var at = new IPEndPoint(IPAddress.Parse(loopback ? "127.0.0.1" : "10.1.0.2"), 80);
            await using TcpSocketListener listener = server.ListenTcp(at);
            await using TcpSocket near = await net.Client.ConnectTcpAsync(at);
            await using TcpSocket far = await listener.AcceptAsync();
            near.ZeroCopyNotifications = true;
            for (int i = 0; i < 5; i++)
            {
                var lent = new LentMemory(20_000);
                byte[] before = [.. lent.Array];
                ZeroCopySend sent = await near.SendZeroCopyAsync(lent, 20_000);
                byte[] got = new byte[20_000];
                for (int at2 = 0; at2 < got.Length;)
                {
                    at2 += await far.ReceiveAsync(got.AsMemory(at2));
                }

                await sent.Released;
                Assert.Equal(before, got);
                Assert.Equal((1, 0), (lent.Disposals, lent.Pinned));
            }

            Assert.Equal(new ZeroCopyNotification(0, 4, true), Read(near));
            Assert.Equal(5, net.Client.GetCounter(StackCounter.TcpZeroCopyCopied));
        });
    }

    [Fact]
    [Trait("Requirement", "R2.23")]
    public async Task A_clone_says_nothing_about_charges_and_its_end_gives_nothing_back()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Link.Holds = true;
        var lent = new LentMemory(30_000);
        await peer.Socket.SendZeroCopyAsync(lent, 30_000, cancellationToken: Stop);
        (int queued, int charged) = (peer.Connection.Memory.WriteQueueBytes, peer.Connection.Memory.WriteCharged);
        Assert.Equal(SegmentFlags.ZeroCopy, Assert.Single(peer.Link.Held, p => p.Length > 0).Segment);
        peer.Link.LetGo();
        Assert.Equal((queued, charged), (peer.Connection.Memory.WriteQueueBytes, peer.Connection.Memory.WriteCharged));
        Assert.All(peer.Connection.QueuedBuffers(), b => Assert.Equal(SegmentFlags.PureZeroCopy, b.Flags & SegmentFlags.PureZeroCopy));
        peer.Check();
        peer.Link.Holds = false;
        peer.AckAll();
    }

    private static ZeroCopyNotification Read(TcpSocket socket)
    {
        Assert.True(socket.TryReadZeroCopyNotification(out ZeroCopyNotification notification));
        Assert.False(socket.TryReadZeroCopyNotification(out _));
        return notification;
    }

    /// <summary>The stream as the wire saw it first.</summary>
    private static byte[] Arrived(HandPeer peer, int bytes)
    {
        byte[] stream = new byte[bytes];
        int to = 0;
        foreach (SentSegment segment in peer.Link.Sent)
        {
            if (segment.Length > 0 && segment.Sequence == peer.First + (uint)to)
            {
                segment.Payload.CopyTo(stream.AsSpan(to));
                to += segment.Length;
            }
        }

        Assert.Equal(bytes, to);
        return stream;
    }
}
