using System.IO.Pipelines;
using Penstock.Accounting;
using Penstock.Buffers;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>The ledger of a socket by Linux's rules, for copied data.</summary>
public class MemoryRuleTests
{
    private const int Mss = HandPeer.Mss;

    [Fact]
    [Trait("Requirement", "R2.1")]
    public async Task Queued_in_device_received_and_bought_are_four_figures()
    {
        await using HandPeer peer = new HandPeer(s => s.SizeGoal = 1).Open(3);
        peer.Link.Holds = true;
        peer.Send(5 * Mss);
        peer.Data(1000);
        peer.Deliver(TcpFlags.Ack, peer.Next + 100, peer.Acked, 500);
        SocketMemory memory = peer.Connection.Memory;
        TcpInfo info = peer.Connection.Snapshot();
        Assert.Equal(5 * (448 + Mss), memory.WriteQueueBytes);
        Assert.Equal(memory.WriteQueueBytes, peer.Connection.QueuedBuffers().Sum(b => b.TrueSize));
        Assert.Equal(448 + 2048 + 448 + 2048, memory.ReceiveAlloc);
        Assert.Equal(3 * (448 + 256 + Mss), info.DeviceMemory);
        Assert.Equal(memory.Pages * 4096, memory.ForwardAlloc + memory.WriteCharged + memory.ReceiveAlloc);
        peer.Link.LetGo();
        Assert.Equal(0, peer.Connection.Snapshot().DeviceMemory);
        Assert.Equal(5 * (448 + Mss), memory.WriteQueueBytes);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.1")]
    public async Task What_a_pipe_reader_holds_stays_charged_at_its_true_size_until_it_is_consumed()
    {
        await using HandPeer peer = new HandPeer().Open();
        SocketMemory memory = peer.Connection.Memory;
        PipeReader reader = peer.Socket.AsPipe().Input;
        peer.Data(1000);
        Assert.True(reader.TryRead(out ReadResult result));
        reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
        peer.Data(500);
        Assert.True(reader.TryRead(out result));
        Assert.Equal(2 * (448 + 2048), memory.ReceiveAlloc);
        reader.AdvanceTo(result.Buffer.GetPosition(999));
        Assert.Equal(2 * (448 + 2048), memory.ReceiveAlloc);
        peer.Check();
        Assert.True(reader.TryRead(out result));
        reader.AdvanceTo(result.Buffer.GetPosition(1));
        Assert.Equal(448 + 2048, memory.ReceiveAlloc);
        peer.Check();
        reader.Complete();
        Assert.Equal(0, memory.ReceiveAlloc);
        Assert.True(memory.ForwardAlloc < 4096);
        peer.Check();
    }

    [Theory]
    [Trait("Requirement", "R2.2")]
    [InlineData(1, 1)]
    [InlineData(4096, 1)]
    [InlineData(4097, 2)]
    [InlineData(100_000, 25)]
    public void Memory_is_bought_in_whole_pages_and_goes_back_at_once(int bytes, int pages)
    {
        var protocol = new ProtocolMemory(1000, 2000, 3000);
        SocketMemory memory = Ledger(protocol);
        Assert.True(memory.ScheduleSend(bytes));
        Assert.Equal(pages, memory.Pages);
        Assert.Equal(pages, protocol.AllocatedPages);
        Assert.Equal(pages * 4096, memory.ForwardAlloc);
        Assert.True(memory.ScheduleSend(bytes));
        Assert.Equal(pages, memory.Pages);
        memory.ChargeSend(bytes);
        Assert.Equal((pages * 4096) - bytes, memory.ForwardAlloc);
        Assert.Null(memory.Verify());
        memory.UnchargeSend(bytes, bytes);
        Assert.Equal(0, memory.ForwardAlloc);
        Assert.Equal(0, memory.Pages);
        Assert.Equal(0, protocol.AllocatedPages);
    }

    [Fact]
    [Trait("Requirement", "R2.2")]
    public void An_idle_socket_holds_less_than_a_page()
    {
        SocketMemory memory = Ledger(new ProtocolMemory(1000, 2000, 3000));
        memory.ScheduleSend(10_000);
        memory.ChargeSend(10_000);
        memory.UnchargeSend(5000, 5000);
        Assert.Equal(2, memory.Pages);
        Assert.InRange(memory.ForwardAlloc, 0, 4095);
        memory.ScheduleReceive(9000);
        memory.ChargeReceive(9000);
        memory.UnchargeReceive(9000);
        Assert.InRange(memory.ForwardAlloc, 0, 4095);
        Assert.Null(memory.Verify());
    }

    [Fact]
    [Trait("Requirement", "R2.3")]
    public async Task What_was_bought_is_what_is_free_plus_what_is_charged_after_partial_ACKs_and_splits()
    {
        await using HandPeer peer = new HandPeer().Open(7);
        peer.SendBuffer(1 << 30);
        peer.Send(300_000);
        peer.Check();
        for (int acked = Mss; acked < 300_000; acked += 3 * Mss)
        {
            if ((int)(peer.First + (uint)acked - peer.SentEnd) > 0)
            {
                break;
            }

            int before = peer.Connection.Memory.WriteQueueBytes;
            peer.Ack(peer.First + (uint)acked);
            peer.Check();
            SocketMemory memory = peer.Connection.Memory;
            Assert.Equal(memory.WriteQueueBytes, memory.WriteCharged);
            Assert.Equal(memory.Pages * 4096, memory.ForwardAlloc + memory.WriteCharged + memory.ReceiveAlloc);
            Assert.Equal(memory.Pages, peer.Stack.Tcp.Memory.AllocatedPages);
            Assert.True(memory.WriteQueueBytes != before);
        }
    }

    [Fact]
    [Trait("Requirement", "R2.4")]
    public void Up_to_low_all_is_granted_above_pressure_it_begins_above_high_it_is_refused()
    {
        var protocol = new ProtocolMemory(10, 20, 30);
        SocketMemory hog = Ledger(protocol);
        hog.SendBufferLocked = true;
        Assert.True(hog.ScheduleSend(20 * 4096));
        hog.ChargeSend(20 * 4096);
        Assert.False(protocol.UnderPressure);
        Assert.True(hog.ScheduleSend(4096));
        Assert.True(protocol.UnderPressure);
        Assert.Equal(1, protocol.PressureEvents);
        hog.ChargeSend(4096);

        // Fair share: 30 pages for one socket, so up to 29 for it; with three sockets more than 10 are too many.
        Assert.True(hog.ScheduleSend(8 * 4096));
        hog.ChargeSend(8 * 4096);
        Assert.False(hog.ScheduleSend(4096));
        Assert.Equal(29, protocol.AllocatedPages);
        protocol.AddSocket();
        protocol.AddSocket();
        SocketMemory small = Ledger(protocol);
        small.SendBufferLocked = true;
        protocol.RemoveSocket();
        Assert.True(small.ScheduleSend(4096), "below its minimum a socket gets memory under pressure");
        small.ChargeSend(4096);
        Assert.False(small.ScheduleSend(4096), "above high nobody does");
        Assert.Equal(30, protocol.AllocatedPages);

        hog.UnchargeSend(15 * 4096, 15 * 4096);
        Assert.True(protocol.UnderPressure, "pressure stays until usage falls below low");
        Assert.True(small.ScheduleSend(4096), "a modest socket gets more: 3 x 2 pages are below 30");
        small.ChargeSend(4096);
        Assert.False(hog.ScheduleSend(4096), "one that has more than its share does not: 3 x 15 pages are not below 30");
        hog.UnchargeSend(10 * 4096, 10 * 4096);
        Assert.False(protocol.UnderPressure);
    }

    [Fact]
    [Trait("Requirement", "R2.4")]
    public void A_refused_send_shrinks_the_send_buffer_and_is_granted_when_the_sender_will_block_anyway()
    {
        var protocol = new ProtocolMemory(1, 2, 4);
        SocketMemory memory = Ledger(protocol);
        memory.SendBuffer = 100_000;
        memory.ForceSchedule(16_384);
        memory.ChargeSend(16_384);

        // Shrunk to half of what is queued, and so passed already: granted above the high limit.
        Assert.True(memory.ScheduleSend(4096));
        Assert.Equal(8192, memory.SendBuffer);
        Assert.Equal(5, protocol.AllocatedPages);

        SocketMemory user = Ledger(protocol);
        user.SendBuffer = 100_000;
        user.SendBufferLocked = true;
        Assert.False(user.ScheduleSend(4096));
        Assert.Equal(100_000, user.SendBuffer);
        Assert.Equal(5, protocol.AllocatedPages);

        SocketMemory tiny = Ledger(protocol);
        tiny.SendBuffer = 100_000;
        Assert.True(tiny.ScheduleSend(4096), "shrunk to the minimum, which this fills");
        Assert.Equal(4096, tiny.SendBuffer);
        Assert.False(Ledger(protocol).ScheduleReceive(4096), "receiving has no such way out");
    }

    [Fact]
    [Trait("Requirement", "R2.4")]
    public void A_group_s_limit_takes_the_same_way_and_its_parent_counts_too()
    {
        var protocol = new ProtocolMemory(1000, 2000, 3000);
        var parent = new MemoryGroup("parent", 3 * 4096, null);
        var child = new MemoryGroup("child", 100 * 4096, parent);
        var memory = new SocketMemory(protocol, child) { SendBuffer = 1 << 20, SendBufferLocked = true, Omitted = Proof.Omitted };
        Assert.True(memory.ScheduleSend(3 * 4096));
        memory.ChargeSend(3 * 4096);
        Assert.False(memory.ScheduleSend(1));
        Assert.Equal(1, parent.LimitHits);
        Assert.Equal(3 * 4096, child.SocketBytes);
        Assert.Equal(3, protocol.AllocatedPages);
        Assert.False(protocol.UnderPressure);
        memory.SendBuffer = 8192;
        Assert.True(memory.ScheduleSend(1), "about to block: granted by force");
        Assert.Equal(4 * 4096, parent.SocketBytes);
        memory.UnchargeSend(3 * 4096, 3 * 4096);
        Assert.Equal(0, child.SocketBytes);
    }

    [Fact]
    [Trait("Requirement", "R2.5")]
    public async Task Under_pressure_no_buffer_grows()
    {
        await using HandPeer peer = new HandPeer(s => s.SizeGoal = 1).Open();
        int before = peer.Connection.Memory.SendBuffer;
        peer.Stack.Tcp.Memory.SetLimits(0, 0, 1_000_000);
        int sent = peer.Send(1_000_000);
        peer.Ack(peer.First + (uint)sent);
        Assert.Equal(before, peer.Connection.Memory.SendBuffer);

        // The same again without pressure, which ends when next something is bought: it grows.
        Assert.True(peer.Stack.Tcp.Memory.UnderPressure);
        peer.Stack.Tcp.Memory.SetLimits(500_000, 700_000, 1_000_000);
        sent = peer.Send(1_000_000);
        peer.Ack(peer.SentEnd);
        Assert.True(peer.Connection.Memory.SendBuffer > before);
    }

    [Fact]
    [Trait("Requirement", "R2.5")]
    public async Task When_memory_is_short_what_lies_beyond_a_gap_makes_way_for_what_is_next()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Data(100);
        for (uint i = 1; i <= 10; i++)
        {
            peer.Deliver(TcpFlags.Ack, peer.Next + (i * 2000), peer.Acked, 1000);
        }

        Assert.Equal(10, peer.Connection.Snapshot().OutOfOrder);
        peer.Stack.Tcp.Memory.SetLimits(0, 0, peer.Connection.Memory.Pages);
        uint before = peer.Next;
        peer.Data(1460);
        peer.Data(1460);
        Assert.Equal(100 + 3000, peer.Socket.Available);
        Assert.True(peer.Connection.Snapshot().OutOfOrder < 10);
        Assert.True(peer.Stack.GetCounter(StackCounter.TcpOfoPruned) > 0);
        Assert.True(peer.Stack.Tcp.Memory.AllocatedPages <= peer.Stack.Tcp.Memory.HighPages);
        Assert.Equal(before + 2920, peer.Next);
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.5")]
    public async Task Above_high_an_orphan_is_reset()
    {
        await using HandPeer peer = new HandPeer(s => s.SizeGoal = 1).Open(1);
        peer.Send(20 * Mss);
        peer.Stack.Tcp.Memory.SetLimits(1, 2, 3);
        peer.Socket.Dispose();
        Assert.Equal(TcpConnectionState.Closed, peer.Connection.State);
        Assert.NotEqual(TcpFlags.None, peer.Link.Sent[^1].Flags & TcpFlags.Rst);
        Assert.Equal(0, peer.Stack.Tcp.Memory.AllocatedPages);
    }

    [Fact]
    [Trait("Requirement", "R2.6")]
    public async Task The_first_buffer_of_an_empty_socket_is_granted_by_force_and_its_copy_trimmed_to_the_minimum()
    {
        await using HandPeer peer = new HandPeer().Open().SendBuffer(1 << 20);
        peer.Stack.Tcp.Memory.SetLimits(0, 0, 0);
        SocketMemory memory = peer.Connection.Memory;
        int sent = peer.Send(50_000);

        // The head by force: one page, 3648 bytes of it free. Then what is left of tcp_wmem[0] by force: 4096 - 448 bytes, which those are.
        Assert.Equal(4096 - 448, sent);
        Assert.Equal(4096, memory.WriteQueueBytes);
        Assert.Equal(0, memory.ForwardAlloc);
        Assert.Equal(TcpConnection.WouldBlock, peer.Send(50_000));
        Assert.Equal(4096, memory.WriteQueueBytes);
        peer.Ack(peer.First + (uint)sent);
        Assert.Equal(0, memory.Pages);
        Assert.Equal(4096 - 448, peer.Send(50_000));
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.6")]
    public async Task A_partial_grant_uses_what_was_bought()
    {
        await using HandPeer peer = new HandPeer().Open().SendBuffer(1 << 20);
        peer.Window = 0;
        peer.Ack(peer.Acked);
        Assert.Equal(6000, peer.Send(6000));
        int free = peer.Connection.Memory.ForwardAlloc;
        Assert.Equal(8192 - 448 - 6000, free);
        peer.Stack.Tcp.Memory.SetLimits(0, 0, 0);

        // More than tcp_wmem[0] is queued, so nothing is forced; but what is bought already is used to the last byte.
        Assert.Equal(free, peer.Send(20_000));
        Assert.Equal(0, peer.Connection.Memory.ForwardAlloc);
        Assert.Equal(2, peer.Connection.Memory.Pages);
        Assert.Equal(TcpConnection.WouldBlock, peer.Send(20_000));
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.7")]
    public async Task A_buffer_is_charged_and_given_back_with_its_real_head()
    {
        await using HandPeer peer = new HandPeer().Open(1);
        peer.Window = 0;
        peer.Ack(peer.Acked);
        for (int i = 0; i < 6; i++)
        {
            // A slab of its own for each piece: six fragments, two more than fit inline.
            peer.Stack.Tcp.SendSlabs.Close();
            peer.Send(100, TcpSendFlags.More);
        }

        QueuedBuffer buffer = Assert.Single(peer.Connection.QueuedBuffers());
        Assert.Equal(6, buffer.Fragments);
        Assert.Equal(PacketBuffer.ObjectSize + PacketBuffer.OverflowSize, buffer.HeadTrueSize);
        Assert.Equal(buffer.HeadTrueSize + 600, buffer.TrueSize);
        Assert.Equal(buffer.TrueSize, peer.Connection.Memory.WriteQueueBytes);
        peer.Window = 65535;
        peer.Ack(peer.Acked);
        peer.Send(1);
        for (int i = 0; i < 3; i++)
        {
            peer.Check();
            peer.Ack(peer.SentEnd);
        }

        peer.Check();
        Assert.Equal(0, peer.Connection.Memory.WriteQueueBytes);
        Assert.Equal(0, peer.Connection.Memory.WriteCharged);
        Assert.Equal(0, peer.Connection.Memory.Pages);
    }

    [Theory]
    [Trait("Requirement", "R2.8")]
    [InlineData(1)]
    [InlineData(100)]
    [InlineData(1000)]
    [InlineData(4096)]
    [InlineData(10_000)]
    public async Task Copied_data_costs_exactly_its_bytes(int bytes)
    {
        await using HandPeer peer = new HandPeer().Open(1);
        peer.Window = 0;
        peer.Ack(peer.Acked);
        peer.Send(bytes);
        Assert.Equal(448 + bytes, peer.Connection.Memory.WriteQueueBytes);
        peer.Send(77);
        Assert.Equal(448 + bytes + 77, peer.Connection.Memory.WriteQueueBytes);
        Assert.Equal(448 + bytes + 77, peer.Connection.Memory.WriteCharged);
        peer.Check();
    }

    private static SocketMemory Ledger(ProtocolMemory protocol)
    {
        protocol.AddSocket();
        return new SocketMemory(protocol, null) { SendBuffer = 1 << 20, ReceiveBuffer = 1 << 20, Omitted = Proof.Omitted };
    }
}
