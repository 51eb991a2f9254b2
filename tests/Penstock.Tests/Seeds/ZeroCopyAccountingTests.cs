using System.IO.Pipelines;
using Penstock.Accounting;
using Penstock.Buffers;
using Penstock.Tcp;
using Penstock.Tcp.ZeroCopy;

namespace Penstock.Tests.Seeds;

/// <summary>What zero-copy data costs, byte by byte: the table that was measured on Linux (E11), with this stack's own size of a buffer's head in place of Linux's 832.</summary>
public class ZeroCopyAccountingTests
{
    private const int Page = 4096;
    private const int Head = PacketBuffer.ObjectSize;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    [Trait("Requirement", "R2.8")]
    [Trait("Requirement", "R2.17")]
    public async Task Pages_are_queued_by_the_page_and_only_the_head_is_charged()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        peer.SendZeroCopy(Pages(1), 0, Page);
        Assert.Equal((Head + Page, Head), (memory.WriteQueueBytes, memory.WriteCharged));
        peer.Check();
    }

    [Theory]
    [Trait("Requirement", "R2.8")]
    [InlineData(0, 32768, 32768)]
    [InlineData(Page - 50, 100, 2 * Page)]
    [InlineData(1, 1, Page)]
    [InlineData(0, Page + 1, 2 * Page)]
    public async Task A_run_costs_the_pages_it_touches(int offset, int count, int span)
    {
        await using HandPeer peer = Closed();
        peer.SendZeroCopy(Pages(10), offset, count);
        Assert.Equal(Head + span, peer.Connection.Memory.WriteQueueBytes);
        Assert.Equal(Head, peer.Connection.Memory.WriteCharged);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.17")]
    public async Task Pages_appended_to_a_pure_buffer_change_neither_charge_nor_notification_memory()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        byte[] pages = Pages(10);
        peer.SendZeroCopy(pages, 0, 4 * Page);
        (int queued, int charged, int forward) = (memory.WriteQueueBytes, memory.WriteCharged, memory.ForwardAlloc);
        int optional = peer.Connection.ZeroCopy.OptionalBytes;
        peer.SendZeroCopy(pages, 4 * Page, 2 * Page);
        Assert.Equal((queued + (2 * Page), charged, forward), (memory.WriteQueueBytes, memory.WriteCharged, memory.ForwardAlloc));
        Assert.Equal(optional, peer.Connection.ZeroCopy.OptionalBytes);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.18")]
    public async Task Copied_bytes_in_a_pure_buffer_have_all_of_it_charged_by_true_size()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        peer.SendZeroCopy(Pages(10), Page - 10, (5 * Page) + 20);
        Assert.Equal(Head + (7 * Page), memory.WriteQueueBytes);
        peer.Send(100);
        Assert.Equal(Head + (7 * Page) + 100, memory.WriteQueueBytes);
        Assert.Equal(memory.WriteQueueBytes, memory.WriteCharged);
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpZeroCopyDowngrades));
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.16")]
    public async Task Pages_appended_to_copied_bytes_are_charged()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        peer.Send(1000);
        Assert.Equal(Head + 1000, memory.WriteQueueBytes);
        peer.SendZeroCopy(Pages(2), 0, 2 * Page);
        Assert.Equal(Head + 1000 + (2 * Page), memory.WriteQueueBytes);
        Assert.Equal(memory.WriteQueueBytes, memory.WriteCharged);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.18")]
    public async Task The_downgrade_of_whole_pages_charges_them_to_the_byte()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        peer.SendZeroCopy(Pages(10), 0, 6 * Page);
        Assert.Equal((Head + (6 * Page), Head, 1), (memory.WriteQueueBytes, memory.WriteCharged, (int)memory.Pages));
        int forward = memory.ForwardAlloc;
        peer.Send(100);

        // As on Linux: what is bought for the pages is charged at once, the 100 bytes come out of what was free.
        Assert.Equal((Head + (6 * Page) + 100, Head + (6 * Page) + 100), (memory.WriteQueueBytes, memory.WriteCharged));
        Assert.Equal((forward - 100, 7), (memory.ForwardAlloc, (int)memory.Pages));
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.18")]
    public async Task Attached_slabs_have_a_pure_buffer_charged_too()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        peer.SendZeroCopy(Pages(2), 100, Page);
        PipeWriter pipe = peer.Socket.AsPipe().Output;
        pipe.GetSpan(500)[..500].Fill(7);
        pipe.Advance(500);
        await pipe.FlushAsync(Stop);
        QueuedBuffer buffer = Assert.Single(peer.Connection.QueuedBuffers());
        Assert.Equal(SegmentFlags.ZeroCopy, buffer.Flags & (SegmentFlags.ZeroCopy | SegmentFlags.PureZeroCopy));
        Assert.Equal((Head + (2 * Page) + 500, Head + (2 * Page) + 500), (memory.WriteQueueBytes, memory.WriteCharged));
        Assert.Equal(1, peer.Stack.GetCounter(StackCounter.TcpZeroCopyDowngrades));
        peer.Check();
        await pipe.CompleteAsync();
    }

    [Theory]
    [Trait("Requirement", "R2.18")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_downgrade_that_memory_is_short_for_keeps_the_buffer_pure_and_the_sender_waits(bool attached)
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        peer.SendZeroCopy(Pages(10), 0, 10 * Page);
        peer.Stack.Tcp.Memory.SetLimits(0, 0, 1);
        Task sending;
        if (attached)
        {
            PipeWriter pipe = peer.Socket.AsPipe().Output;
            pipe.GetSpan(500)[..500].Fill(7);
            pipe.Advance(500);
            sending = pipe.FlushAsync(Stop).AsTask();
        }
        else
        {
            sending = peer.Socket.SendAsync(new byte[500], Stop).AsTask();
        }

        Assert.False(sending.IsCompleted);
        QueuedBuffer buffer = Assert.Single(peer.Connection.QueuedBuffers());
        Assert.Equal((SegmentFlags.PureZeroCopy, 10 * Page), (buffer.Flags & SegmentFlags.PureZeroCopy, buffer.Length));
        Assert.Equal((Head + (10 * Page), Head), (memory.WriteQueueBytes, memory.WriteCharged));
        peer.Check();
        peer.Time.RunFor(TimeSpan.FromSeconds(1));
        Assert.False(sending.IsCompleted);
        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpZeroCopyDowngrades));
        peer.Stack.Tcp.Memory.SetLimits(1000, 2000, 3000);
        peer.Time.RunFor(TimeSpan.FromSeconds(1));
        Assert.True(sending.IsCompletedSuccessfully);
        Assert.Equal((Head + (10 * Page) + 500, Head + (10 * Page) + 500), (memory.WriteQueueBytes, memory.WriteCharged));
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.16")]
    public async Task A_buffer_that_became_mixed_never_becomes_pure_again()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        byte[] pages = Pages(10);
        peer.SendZeroCopy(pages, 0, Page);
        peer.Send(100);
        peer.SendZeroCopy(pages, Page, 2 * Page);
        Assert.Single(peer.Connection.QueuedBuffers());
        Assert.Equal((Head + (3 * Page) + 100, Head + (3 * Page) + 100), (memory.WriteQueueBytes, memory.WriteCharged));

        // Behind the end of a record there is a new buffer, which is empty.
        peer.SendZeroCopy(pages, 0, Page, TcpSendFlags.EndOfRecord);
        peer.SendZeroCopy(pages, 0, Page);
        Assert.Equal((2 * Head) + (4 * Page) + 100, memory.WriteCharged);
        Assert.Equal((2 * Head) + (5 * Page) + 100, memory.WriteQueueBytes);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.17")]
    public async Task The_send_buffer_bounds_what_is_not_charged_too()
    {
        await using HandPeer peer = Closed();
        byte[] pages = Pages(16);
        peer.SendBuffer(64 * Page);
        int sends = 0;
        Task<ZeroCopySend> sending;
        do
        {
            sending = peer.Socket.SendZeroCopyAsync(pages.AsMemory(HandPeer.PageStart(pages), 8 * Page), TcpSendFlags.EndOfRecord, Stop).AsTask();
            sends++;
        }
        while (sending.IsCompleted && sends < 100);

        // Eight sends with their heads are just beyond 64 pages; the ninth waits.
        Assert.Equal(9, sends);
        Assert.Equal(8 * ((8 * Page) + Head), peer.Connection.Memory.WriteQueueBytes);
        Assert.Equal(8 * Head, peer.Connection.Memory.WriteCharged);
        peer.AckAll();
        Assert.True(sending.IsCompletedSuccessfully);
    }

    [Fact]
    [Trait("Requirement", "R2.17")]
    public async Task Five_thousand_sends_of_a_byte_share_a_token_and_cost_a_page_and_a_head_each()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        byte[] pages = Pages(2);
        for (int i = 0; i < 5000; i++)
        {
            peer.SendZeroCopy(pages, i, 1, TcpSendFlags.EndOfRecord);
        }

        Assert.Equal((5000 * (Head + Page), 5000 * Head), (memory.WriteQueueBytes, memory.WriteCharged));
        Assert.Equal(ZeroCopyToken.TrueSize, peer.Connection.ZeroCopy.OptionalBytes);
        Assert.Equal(5000u, peer.Connection.ZeroCopy.NextId);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.19")]
    public async Task A_pure_buffer_gives_back_the_head_that_it_really_has()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        byte[] pages = Pages(40);
        for (int i = 0; i < 10; i++)
        {
            peer.SendZeroCopy(pages, i * 3 * Page, Page);
        }

        Assert.Equal(10, Assert.Single(peer.Connection.QueuedBuffers()).Fragments);
        Assert.Equal((Head + PacketBuffer.OverflowSize + (10 * Page), Head + PacketBuffer.OverflowSize), (memory.WriteQueueBytes, memory.WriteCharged));
        peer.AckAll();
        Assert.Equal((0, 0, 0, 0L), (memory.WriteQueueBytes, memory.WriteCharged, memory.ForwardAlloc, memory.Pages));
    }

    [Fact]
    [Trait("Requirement", "R2.20")]
    public async Task Partial_ACKs_take_bytes_from_what_is_queued_and_nothing_from_what_is_charged()
    {
        await using HandPeer peer = new HandPeer().Open().SendBuffer(1 << 30);
        SocketMemory memory = peer.Connection.Memory;
        peer.SendZeroCopy(Pages(16), 1, 30 * HandPeer.Mss);
        int queued = memory.WriteQueueBytes, span = Head + (11 * Page);
        Assert.Equal((span, Head), (queued, memory.WriteCharged));
        for (int i = 1; i < 30; i++)
        {
            peer.Ack(peer.First + (uint)(i * HandPeer.Mss));
            Assert.Equal((span - (i * HandPeer.Mss), Head), (memory.WriteQueueBytes, memory.WriteCharged));
            peer.Check();
        }

        peer.AckAll();
        Assert.Equal((0, 0, 0L), (memory.WriteQueueBytes, memory.WriteCharged, memory.Pages));
    }

    [Fact]
    [Trait("Requirement", "R2.24")]
    public async Task Sends_of_one_kind_and_records_of_two_kinds_mix_no_buffer()
    {
        await using HandPeer peer = new HandPeer().Open(20);
        byte[] pages = Pages(16);
        for (int i = 0; i < 100; i++)
        {
            peer.SendZeroCopy(pages, i, 10 * Page);
            peer.AckAll();
        }

        peer.CloseWindow();
        for (int i = 0; i < 10; i++)
        {
            peer.SendZeroCopy(pages, i, 100, TcpSendFlags.EndOfRecord);
            peer.Send(100, TcpSendFlags.EndOfRecord);
        }

        Assert.Equal(0, peer.Stack.GetCounter(StackCounter.TcpZeroCopyDowngrades));
        Assert.Equal(10, peer.Connection.QueuedBuffers().Count(b => (b.Flags & SegmentFlags.PureZeroCopy) != 0));
        Assert.Equal(20, peer.Connection.QueuedBuffers().Count);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.26")]
    public async Task Memory_is_asked_for_by_the_span_so_that_nothing_is_charged_that_was_not_bought()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        byte[] pages = Pages(4);
        peer.Send(1000);
        int free = memory.ForwardAlloc;
        Assert.Equal(Page - Head - 1000, free);

        // Two bytes across the edge of a page: their bytes would fit what is free, their pages do not.
        peer.SendZeroCopy(pages, Page - 1, 2);
        Assert.Equal((Head + 1000 + (2 * Page), free), (memory.WriteCharged, memory.ForwardAlloc));
        Assert.Equal(3, memory.Pages);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.26")]
    public async Task What_is_granted_in_part_is_whole_pages()
    {
        await using HandPeer peer = Closed();
        SocketMemory memory = peer.Connection.Memory;
        byte[] pages = Pages(20);
        peer.Send(1000);
        Assert.True(memory.ScheduleSend(3 * Page));
        peer.Stack.Tcp.Memory.SetLimits(0, 0, 0);
        Task<ZeroCopySend> sending = peer.Socket.SendZeroCopyAsync(pages.AsMemory(HandPeer.PageStart(pages) + 100, 10 * Page), Stop).AsTask();
        Assert.False(sending.IsCompleted);
        Assert.Equal(1000 + (3 * Page) - 100, peer.Connection.UnacknowledgedBytes);
        Assert.Equal(Head + 1000 + (3 * Page), memory.WriteCharged);
        peer.Check();
        peer.Stack.Tcp.Memory.SetLimits(1000, 2000, 3000);
        peer.Time.RunFor(TimeSpan.FromSeconds(1));
        Assert.True(sending.IsCompletedSuccessfully);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.26")]
    public async Task Pages_that_are_charged_make_progress_without_any_memory()
    {
        await using var peer = new HandPeer(s => s.PureZeroCopy = false);
        peer.Open().SendBuffer(1 << 20);
        byte[] pages = Pages(3);
        peer.Stack.Tcp.Memory.SetLimits(0, 0, 0);
        Task<ZeroCopySend> sending = peer.Socket.SendZeroCopyAsync(pages.AsMemory(HandPeer.PageStart(pages), 3 * Page), Stop).AsTask();
        for (int page = 1; page <= 3; page++)
        {
            Assert.Equal(page * Page, (int)(peer.SentEnd - peer.First));
            peer.Check();
            peer.Ack(peer.SentEnd);
            peer.Time.RunFor(TimeSpan.FromSeconds(1));
        }

        Assert.True(sending.IsCompletedSuccessfully);
    }

    [Fact]
    [Trait("Requirement", "R2.27")]
    public async Task What_a_pure_sender_holds_of_the_stack_s_memory_is_the_heads_and_less_than_a_page()
    {
        await using HandPeer peer = Closed();
        byte[] pages = Pages(16);
        for (int i = 0; i < 100; i++)
        {
            peer.SendZeroCopy(pages, 0, 16 * Page);
        }

        int heads = peer.Connection.QueuedBuffers().Sum(b => b.HeadTrueSize);
        Assert.True(peer.Connection.Memory.WriteQueueBytes >= 100 * 16 * Page);
        Assert.InRange(peer.Stack.Tcp.Memory.AllocatedPages * Page, heads, heads + Page - 1);
        peer.AckAll();
        Assert.Equal(0, peer.Stack.Tcp.Memory.AllocatedPages);
    }

    [Theory]
    [Trait("Requirement", "R2.8")]
    [InlineData(0, 0, 3, 2)]
    [InlineData(3, 0, 0, 2)]
    [InlineData(2, 3, 0, 0)]
    [InlineData(0, 0, 0, 1)]
    public async Task Empty_segments_of_a_sequence_cost_nothing(params int[] lengths)
    {
        await using HandPeer peer = Closed();
        byte[] pages = Pages(8);
        int start = HandPeer.PageStart(pages);
        ReadOnlyMemory<byte>[] parts = [.. lengths.Select((l, i) => (ReadOnlyMemory<byte>)pages.AsMemory(start + (i * 2 * Page), l))];
        ZeroCopySend sent = await peer.Socket.SendZeroCopyAsync(LentMemory.Sequence(parts), cancellationToken: Stop);
        Assert.Equal(lengths.Sum(), sent.BytesQueued);
        Assert.Equal(Head + (lengths.Count(l => l > 0) * Page), peer.Connection.Memory.WriteQueueBytes);
        peer.Check();
    }

    private static byte[] Pages(int count) => HandPeer.PinnedPages(count);

    // Linux's table was measured into a closed window; the largest window seen allows large buffers.
    private static HandPeer Closed() => new HandPeer().Open().SendBuffer(1 << 30).CloseWindow();
}
