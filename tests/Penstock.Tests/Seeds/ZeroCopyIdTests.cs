using System.Buffers;
using System.Net.Sockets;
using Penstock.Buffers;
using Penstock.Ownership;
using Penstock.Tcp;
using Penstock.Tcp.ZeroCopy;

namespace Penstock.Tests.Seeds;

/// <summary>The ids of zero-copy sends, the tokens that they share, the limits, and the notifications.</summary>
public class ZeroCopyIdTests
{
    private const int Page = 4096;
    private const TcpSendFlags Eor = TcpSendFlags.EndOfRecord;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    [Trait("Requirement", "R2.9")]
    public async Task Ids_are_dense_and_wrap_around()
    {
        await using HandPeer peer = Closed();
        peer.Socket.ZeroCopyNotifications = true;
        peer.Connection.ZeroCopy.NextId = uint.MaxValue - 1;
        byte[] pages = HandPeer.PinnedPages(1);
        uint[] ids = [.. Enumerable.Range(0, 4).Select(_ => peer.SendZeroCopy(pages, 0, Page, Eor).Id)];
        Assert.Equal([uint.MaxValue - 1, uint.MaxValue, 0, 1], ids);
        Assert.Equal(ZeroCopyToken.TrueSize, peer.Connection.ZeroCopy.OptionalBytes);
        peer.AckAll();
        Assert.Equal(new ZeroCopyNotification(uint.MaxValue - 1, 1, false), Single(peer));
        Assert.Equal(0, peer.Connection.ZeroCopy.OptionalBytes);
    }

    [Fact]
    [Trait("Requirement", "R2.9")]
    public async Task Notifications_whose_ids_wrap_around_merge_too()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Socket.ZeroCopyNotifications = true;
        peer.Connection.ZeroCopy.NextId = uint.MaxValue;
        byte[] pages = HandPeer.PinnedPages(1);
        for (int i = 0; i < 2; i++)
        {
            peer.SendZeroCopy(pages, 0, Page);
            peer.AckAll();
        }

        Assert.Equal(new ZeroCopyNotification(uint.MaxValue, 0, false), Single(peer));
    }

    [Fact]
    [Trait("Requirement", "R2.9")]
    public async Task A_send_joins_the_token_of_the_tail_up_to_512_KiB_and_only_with_the_next_id()
    {
        await using HandPeer peer = Closed();
        ZeroCopySends sends = peer.Connection.ZeroCopy;
        byte[] pages = HandPeer.PinnedPages(64);
        peer.SendZeroCopy(pages, 0, 64 * Page);
        peer.SendZeroCopy(pages, 0, 64 * Page);
        Assert.Equal(ZeroCopyToken.TrueSize, sends.OptionalBytes);
        int buffers = peer.Connection.QueuedBuffers().Count;
        peer.SendZeroCopy(pages, 0, 1);
        Assert.Equal(2 * ZeroCopyToken.TrueSize, sends.OptionalBytes);
        Assert.Equal(buffers + 1, peer.Connection.QueuedBuffers().Count);
        peer.SendZeroCopy(pages, 0, 1);
        Assert.Equal(2 * ZeroCopyToken.TrueSize, sends.OptionalBytes);
        sends.NextId++;
        peer.SendZeroCopy(pages, 0, 1);
        Assert.Equal(3 * ZeroCopyToken.TrueSize, sends.OptionalBytes);
        peer.Check();
        peer.AckAll();
        Assert.Equal(0, sends.OptionalBytes);
    }

    [Fact]
    [Trait("Requirement", "R2.9")]
    public async Task A_token_takes_65534_sends_and_no_more()
    {
        await using HandPeer peer = Closed();
        ZeroCopySends sends = peer.Connection.ZeroCopy;
        byte[] pages = HandPeer.PinnedPages(20);
        for (int i = 0; i < ZeroCopyToken.MaximumCalls; i++)
        {
            peer.SendZeroCopy(pages, i, 1);
        }

        Assert.Equal(65534, ZeroCopyToken.MaximumCalls);
        Assert.Equal(ZeroCopyToken.TrueSize, sends.OptionalBytes);
        peer.SendZeroCopy(pages, ZeroCopyToken.MaximumCalls, 1);
        Assert.Equal(2 * ZeroCopyToken.TrueSize, sends.OptionalBytes);
        peer.Check();
        peer.AckAll();
        Assert.Equal(0, sends.OptionalBytes);
        Assert.False(sends.HoldsMemory);
    }

    [Fact]
    [Trait("Requirement", "R2.9")]
    public async Task Nothing_to_send_needs_no_id_and_is_never_refused()
    {
        await using HandPeer peer = new HandPeer(s => s.OptionalMemoryMax = 0).Open();
        var lent = new LentMemory(1);
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(lent, 0, cancellationToken: Stop);
        Assert.Equal(0, sent.BytesQueued);
        Assert.True(sent.Released.IsCompletedSuccessfully);
        Assert.Equal((0u, 1, 0), (peer.Connection.ZeroCopy.NextId, lent.Disposals, lent.Pins));
        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpZeroCopyRefused));
    }

    [Fact]
    [Trait("Requirement", "R2.10")]
    public async Task One_MiB_sends_are_refused_when_the_optional_memory_is_used_up_and_go_on_when_it_is_free()
    {
        await using HandPeer peer = Closed();
        byte[] pages = HandPeer.PinnedPages(256);
        int sends = 0;
        SocketException? refused = null;
        while (refused is null && sends < 1000)
        {
            ValueTask<ZeroCopySend> sending = peer.Socket.SendZeroCopyAsync(pages.AsMemory(HandPeer.PageStart(pages), 1 << 20), Stop);
            refused = (SocketException?)sending.AsTask().Exception?.InnerException;
            sends += refused is null ? 1 : 0;
        }

        Assert.Equal(SocketError.NoBufferSpaceAvailable, refused?.SocketErrorCode);
        Assert.Equal(131072 / ZeroCopyToken.TrueSize, sends);
        Assert.Equal(sends * ZeroCopyToken.TrueSize, peer.Connection.Snapshot().OptionalMemory);
        Assert.Equal((uint)sends, peer.Connection.ZeroCopy.NextId);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpZeroCopyRefused));

        // All of that waits, and the machine's TCP memory is that of the heads.
        List<QueuedBuffer> queued = peer.Connection.QueuedBuffers();
        Assert.True(peer.Connection.Memory.WriteQueueBytes >= sends << 20);
        Assert.Equal(queued.Sum(b => b.HeadTrueSize), peer.Connection.Memory.WriteCharged);
        peer.AckAll();
        Assert.Equal(0, peer.Connection.ZeroCopy.OptionalBytes);
        Assert.Equal((uint)sends, peer.SendZeroCopy(pages, 0, Page).Id);
    }

    [Fact]
    [Trait("Requirement", "R2.10")]
    public async Task Unread_notifications_use_the_optional_memory_up_too()
    {
        await using HandPeer peer = new HandPeer(s => s.OptionalMemoryMax = 3 * ZeroCopyToken.TrueSize).Open();
        peer.Socket.ZeroCopyNotifications = true;
        byte[] pages = HandPeer.PinnedPages(1);
        for (int i = 0; i < 3; i++)
        {
            // Unequal codes, so that they do not merge.
            peer.Link.ScatterGather = i != 1;
            peer.SendZeroCopy(pages, 0, Page);
            peer.AckAll();
        }

        Assert.Equal(3, peer.Connection.ZeroCopy.Unread);
        Assert.Equal(SocketError.NoBufferSpaceAvailable, Refused(peer, pages.AsMemory(0, 1)));
        Assert.True(peer.Socket.TryReadZeroCopyNotification(out ZeroCopyNotification first));
        Assert.Equal(new ZeroCopyNotification(0, 0, false), first);
        Assert.Equal(3u, peer.SendZeroCopy(pages, 0, Page).Id);
        Assert.Equal(SocketError.NoBufferSpaceAvailable, Refused(peer, pages.AsMemory(0, 1), "a send of its own"));
        peer.AckAll();
    }

    [Fact]
    [Trait("Requirement", "R2.10")]
    public async Task A_reader_that_never_reads_holds_one_notification_for_any_number_of_sends()
    {
        await using HandPeer peer = new HandPeer(s => s.OptionalMemoryMax = 2 * ZeroCopyToken.TrueSize).Open();
        peer.Socket.ZeroCopyNotifications = true;
        byte[] pages = HandPeer.PinnedPages(1);
        for (int i = 0; i < 1000; i++)
        {
            peer.SendZeroCopy(pages, 0, Page);
            peer.AckAll();
            peer.Link.Sent.RemoveRange(1, peer.Link.Sent.Count - 2);
        }

        Assert.Equal(ZeroCopyToken.TrueSize, peer.Connection.ZeroCopy.OptionalBytes);
        Assert.Equal(new ZeroCopyNotification(0, 999, false), Single(peer));
    }

    [Fact]
    [Trait("Requirement", "R2.10")]
    public async Task Pinned_memory_is_limited_for_the_whole_stack_until_it_is_unpinned()
    {
        await using HandPeer peer = new HandPeer(s => s.PinnedMax = 5 * Page).Open();
        byte[] pages = HandPeer.PinnedPages(4);
        peer.CloseWindow();

        // As many pages as it may touch at worst, with one to spare, as Linux counts.
        peer.SendZeroCopy(pages, 0, Page);
        Assert.Equal(3 * Page, peer.Stack.Tcp.PinnedBytes);
        Assert.Equal(SocketError.NoBufferSpaceAvailable, Refused(peer, pages.AsMemory(0, Page)));
        Assert.Equal(SocketError.NoBufferSpaceAvailable, Refused(peer, new byte[1 << 20]));
        Assert.Equal(1u, peer.SendZeroCopy(pages, 0, 1).Id);
        Assert.Equal(5 * Page, peer.Stack.Tcp.PinnedBytes);
        peer.Window = 65535;
        peer.Ack(peer.SentEnd);
        peer.Ack(peer.SentEnd);
        Assert.Equal(0, peer.Connection.UnacknowledgedBytes);
        Assert.Equal(0, peer.Stack.Tcp.PinnedBytes);
        peer.SendZeroCopy(pages, 0, Page);
        peer.AckAll();
    }

    [Fact]
    [Trait("Requirement", "R2.10")]
    public async Task Each_segment_of_a_sequence_pins_pages_of_its_own()
    {
        await using HandPeer peer = new HandPeer(s => s.PinnedMax = 7 * Page).Open();
        byte[] one = new byte[1];
        Assert.Equal(SocketError.NoBufferSpaceAvailable, Refused(peer, LentMemory.Sequence(one, one, one, one)));
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(LentMemory.Sequence(one, default, one, one), cancellationToken: Stop);
        Assert.Equal(3, sent.BytesQueued);
        Assert.Equal(6 * Page, peer.Stack.Tcp.PinnedBytes);
        peer.AckAll();
    }

    [Fact]
    [Trait("Requirement", "R2.11")]
    public async Task A_canceled_send_that_queued_nothing_gives_its_id_back()
    {
        await using HandPeer peer = Closed();
        peer.Socket.ZeroCopyNotifications = true;
        byte[] pages = HandPeer.PinnedPages(1);
        peer.SendZeroCopy(pages, 0, Page, Eor);
        peer.SendBuffer(1);
        var lent = new LentMemory(Page);
        using var cancel = new CancellationTokenSource();
        Task<ZeroCopySend> waiting = peer.Socket.SendZeroCopyAsync(lent, Page, Eor, cancel.Token).AsTask();
        Assert.False(waiting.IsCompleted);
        Assert.Equal(2u, peer.Connection.ZeroCopy.NextId);
        cancel.Cancel();
        peer.Time.RunReady();
        Assert.True(waiting.IsCanceled);
        AssertNothingOf(peer, lent, nextId: 1);

        // The next one takes the number, in the same token.
        peer.SendBuffer(1 << 20);
        Assert.Equal(1u, peer.SendZeroCopy(pages, 0, Page).Id);
        Assert.Equal(ZeroCopyToken.TrueSize, peer.Connection.ZeroCopy.OptionalBytes);
        peer.AckAll();
        Assert.Equal(new ZeroCopyNotification(0, 1, false), Single(peer));
    }

    [Theory]
    [Trait("Requirement", "R2.11")]
    [InlineData("shutdown")]
    [InlineData("reset")]
    [InlineData("abort")]
    [InlineData("dispose")]
    public async Task A_send_that_waits_when_the_connection_ends_gives_its_id_back(string end)
    {
        await using HandPeer peer = Closed();
        peer.Socket.ZeroCopyNotifications = true;
        byte[] pages = HandPeer.PinnedPages(1);
        peer.SendZeroCopy(pages, 0, Page, Eor);
        peer.SendBuffer(1);
        LentMemory first = new(Page), second = new(Page);
        Task<ZeroCopySend> waiting = peer.Socket.SendZeroCopyAsync(first, Page, Eor, Stop).AsTask();
        Task<ZeroCopySend> behind = peer.Socket.SendZeroCopyAsync(second, Page, Eor, Stop).AsTask();
        switch (end)
        {
            case "shutdown":
                peer.Socket.Shutdown(SocketShutdown.Send);
                break;
            case "reset":
                peer.Reset();
                break;
            case "abort":
                peer.Socket.Abort();
                break;
            default:
                peer.Socket.Dispose();
                break;
        }

        peer.Time.RunReady();
        Assert.True(waiting.IsFaulted);
        Assert.True(behind.IsFaulted);
        AssertNothingOf(peer, first, nextId: 1);
        AssertNothingOf(peer, second, nextId: 1);
        if (end is "shutdown" or "dispose")
        {
            peer.AckAll();
        }

        Assert.Equal(new ZeroCopyNotification(0, 0, false), Single(peer));
    }

    [Fact]
    [Trait("Requirement", "R2.11")]
    public async Task Memory_that_can_not_be_pinned_gives_the_id_back()
    {
        await using HandPeer peer = Closed();
        var lent = new LentMemory(Page) { PinFails = true };
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await peer.Socket.SendZeroCopyAsync(lent, Page, cancellationToken: Stop));
        AssertNothingOf(peer, lent, nextId: 0);
        Assert.Equal(0, peer.Connection.ZeroCopy.OptionalBytes);
        Assert.Empty(peer.Connection.QueuedBuffers());
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.11")]
    public async Task A_sequence_whose_second_part_can_not_be_pinned_gives_the_count_of_the_first()
    {
        await using HandPeer peer = Closed();
        peer.Socket.ZeroCopyNotifications = true;
        LentMemory good = new(100_000), bad = new(Page) { PinFails = true };
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(LentMemory.Sequence(good.Memory, bad.Memory), cancellationToken: Stop);
        Assert.Equal(100_000, sent.BytesQueued);
        Assert.Equal(100_000, peer.Connection.UnacknowledgedBytes);
        Assert.All(peer.Connection.QueuedBuffers(), b => Assert.NotEqual(0, b.Length));
        peer.Check();
        peer.AckAll();
        Assert.True(sent.Released.IsCompletedSuccessfully);
        Assert.Equal((1, 0), (good.Pins, good.Pinned));
        Assert.Equal(new ZeroCopyNotification(0, 0, false), Single(peer));
    }

    [Fact]
    [Trait("Requirement", "R2.12")]
    public async Task Notifications_merge_with_the_one_before_only_when_the_ids_are_neighbors_and_the_codes_equal()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Socket.ZeroCopyNotifications = true;
        byte[] pages = HandPeer.PinnedPages(1);
        for (int i = 0; i < 6; i++)
        {
            peer.Link.ScatterGather = i is not (2 or 3);
            peer.SendZeroCopy(pages, 0, Page);
            peer.AckAll();
        }

        Assert.Equal(
            [new ZeroCopyNotification(0, 1, false), new ZeroCopyNotification(2, 3, true), new ZeroCopyNotification(4, 5, false)], All(peer));
    }

    [Fact]
    [Trait("Requirement", "R2.12")]
    public async Task Sends_that_are_released_out_of_order_are_notified_in_the_order_of_release()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Socket.ZeroCopyNotifications = true;
        byte[] pages = HandPeer.PinnedPages(1);
        peer.Link.Holds = true;
        peer.SendZeroCopy(pages, 0, Page);
        peer.AckAll();
        peer.Link.Holds = false;
        peer.SendZeroCopy(pages, 0, Page);
        peer.AckAll();
        Assert.Equal(1, peer.Connection.ZeroCopy.Unread);
        peer.Link.LetGo();
        peer.Time.RunReady();
        Assert.Equal([new ZeroCopyNotification(1, 1, false), new ZeroCopyNotification(0, 0, false)], All(peer));
    }

    [Fact]
    [Trait("Requirement", "R2.12")]
    public async Task A_notification_can_be_polled_for_never_waits_and_fails_no_other_call()
    {
        await using HandPeer peer = new HandPeer().Open();
        Assert.False(peer.Socket.TryReadZeroCopyNotification(out _));
        peer.Socket.ZeroCopyNotifications = true;
        Assert.False(peer.Socket.TryReadZeroCopyNotification(out _));
        byte[] pages = HandPeer.PinnedPages(1);
        peer.SendZeroCopy(pages, 0, Page);
        Assert.Equal(SocketEvents.None, peer.Connection.PollEvents & SocketEvents.Released);
        NotingWaiter noting = NotingWaiter.Add(peer.Connection, SocketEvents.Released);
        peer.AckAll();
        Assert.Equal(1, noting.Fired);
        Assert.Equal(SocketEvents.Released, peer.Connection.PollEvents & (SocketEvents.Released | SocketEvents.Error));
        Assert.Equal(100, peer.Send(100));
        peer.Data(10);
        Assert.Equal(10, peer.Socket.TryReceive(new byte[100], TcpReceiveFlags.None, out _));
        Assert.Equal(new ZeroCopyNotification(0, 0, false), Single(peer));
        Assert.Equal(SocketEvents.None, peer.Connection.PollEvents & SocketEvents.Released);
    }

    [Fact]
    [Trait("Requirement", "R2.12")]
    public async Task What_is_not_asked_for_is_not_kept()
    {
        await using HandPeer peer = new HandPeer().Open();
        byte[] pages = HandPeer.PinnedPages(1);
        peer.SendZeroCopy(pages, 0, Page);
        peer.AckAll();
        Assert.Equal((0, 0), (peer.Connection.ZeroCopy.Unread, peer.Connection.ZeroCopy.OptionalBytes));
        peer.Socket.ZeroCopyNotifications = true;
        peer.SendZeroCopy(pages, 0, Page);
        peer.AckAll();
        Assert.Equal(new ZeroCopyNotification(1, 1, false), Single(peer));
    }

    [Fact]
    [Trait("Requirement", "R2.14")]
    public async Task A_buffer_carries_one_token()
    {
        await using HandPeer peer = Closed();
        byte[] pages = HandPeer.PinnedPages(126);
        peer.SendZeroCopy(pages, 0, 126 * Page);
        QueuedBuffer tail = peer.Connection.QueuedBuffers()[^1];

        // Beyond 512 KiB it has a token of its own, and so a buffer of its own, although the tail has room.
        peer.SendZeroCopy(pages, 0, 3 * Page);
        Assert.Equal(tail.Length, peer.Connection.QueuedBuffers()[^2].Length);
        Assert.Equal(3 * Page, peer.Connection.QueuedBuffers()[^1].Length);

        // With the same token it joins the buffer too.
        peer.SendZeroCopy(pages, 0, 3 * Page);
        Assert.Equal(6 * Page, peer.Connection.QueuedBuffers()[^1].Length);
        peer.Check();
        peer.AckAll();
    }

    [Fact]
    [Trait("Requirement", "R2.14")]
    public async Task The_eighteenth_fragment_starts_a_new_buffer()
    {
        await using HandPeer peer = Closed();
        byte[] pages = HandPeer.PinnedPages(40);
        int start = HandPeer.PageStart(pages);
        ReadOnlyMemory<byte>[] parts = [.. Enumerable.Range(0, 20).Select(i => (ReadOnlyMemory<byte>)pages.AsMemory(start + (i * 2 * Page), 100))];
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(LentMemory.Sequence(parts), cancellationToken: Stop);
        Assert.Equal(2000, sent.BytesQueued);
        List<QueuedBuffer> queued = peer.Connection.QueuedBuffers();
        Assert.Equal([17, 3], queued.Select(b => b.Fragments));
        int heads = (2 * PacketBuffer.ObjectSize) + PacketBuffer.OverflowSize;
        Assert.Equal((heads + (20 * Page), heads), (peer.Connection.Memory.WriteQueueBytes, peer.Connection.Memory.WriteCharged));
        peer.Check();
        peer.AckAll();
        Assert.Equal(0, peer.Connection.Memory.Pages);
    }

    private static HandPeer Closed() => new HandPeer().Open().SendBuffer(1 << 30).CloseWindow();

    private static void AssertNothingOf(HandPeer peer, LentMemory lent, uint nextId)
    {
        Assert.Equal(nextId, peer.Connection.ZeroCopy.NextId);
        Assert.Equal((1, 0), (lent.Disposals, lent.Pinned));
    }

    private static SocketError? Refused(HandPeer peer, ReadOnlyMemory<byte> data, string why = "") => Refused(peer, new ReadOnlySequence<byte>(data), why);

    private static SocketError? Refused(HandPeer peer, ReadOnlySequence<byte> data, string why = "")
    {
        uint next = peer.Connection.ZeroCopy.NextId;
        Task<ZeroCopySend> sending = peer.Socket.SendZeroCopyAsync(data, TcpSendFlags.EndOfRecord).AsTask();
        Assert.True(sending.IsFaulted, why);
        Assert.Equal(next, peer.Connection.ZeroCopy.NextId);
        return (sending.Exception.InnerException as SocketException)?.SocketErrorCode;
    }

    private static List<ZeroCopyNotification> All(HandPeer peer)
    {
        var all = new List<ZeroCopyNotification>();
        while (peer.Socket.TryReadZeroCopyNotification(out ZeroCopyNotification next))
        {
            all.Add(next);
        }

        return all;
    }

    private static ZeroCopyNotification Single(HandPeer peer) => Assert.Single(All(peer));
}
