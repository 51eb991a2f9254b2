using Penstock.Accounting;
using Penstock.Buffers;

namespace Penstock.Tests.Seeds;

/// <summary>What zero-copy data costs, byte by byte: the table that was measured on Linux (E11), with this stack's own size of a buffer's head in place of Linux's 832.</summary>
public class ZeroCopyAccountingTests
{
    private const int Page = 4096;
    private const int Head = PacketBuffer.ObjectSize;

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

    private static byte[] Pages(int count) => HandPeer.PinnedPages(count);

    // Linux's table was measured into a closed window; the largest window seen allows large buffers.
    private static HandPeer Closed() => new HandPeer().Open().SendBuffer(1 << 30).CloseWindow();
}
