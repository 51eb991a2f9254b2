using Penstock.Accounting;
using Penstock.Tcp;
using Penstock.Wire;

namespace Penstock.Tests.Seeds;

/// <summary>What every socket does while memory is short (R2.5), each clause with the same steps without pressure beside it.</summary>
public class PressureTests
{
    private static void Press(HandPeer peer) => peer.Stack.Tcp.Memory.SetLimits(0, 0, 1_000_000);

    private static int Read(HandPeer peer) => peer.Socket.TryReceive(new byte[1 << 20], TcpReceiveFlags.None, out _);

    [Theory]
    [Trait("Requirement", "R2.5")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Under_pressure_the_receive_buffer_does_not_grow(bool pressure)
    {
        await using HandPeer peer = new HandPeer().Open();
        if (pressure)
        {
            Press(peer);
        }

        // More in each round trip than in the one before.
        int before = peer.Connection.Memory.ReceiveBuffer;
        for (int round = 1; round <= 12; round++)
        {
            for (int i = 0; i < 2 * round; i++)
            {
                peer.Data(HandPeer.Mss);
                Assert.Equal(HandPeer.Mss, Read(peer));
                peer.Time.RunFor(TimeSpan.FromMilliseconds(40.0 / round));
            }
        }

        Assert.Equal(pressure, peer.Connection.Memory.ReceiveBuffer == before);
        Assert.Equal(pressure, peer.Stack.Tcp.Memory.UnderPressure);
    }

    [Theory]
    [Trait("Requirement", "R2.5")]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task Under_pressure_a_small_window_is_offered(bool pressure, bool ofGroup)
    {
        var group = new MemoryGroup("tenant");
        await using HandPeer peer = new HandPeer(options: new TcpConnectOptions { MemoryGroup = group }).Open();
        if (pressure)
        {
            Press(peer);
        }

        // Until more than half of the buffer is in use, which is when Linux looks at pressure.
        while (peer.Connection.Memory.ReceiveAlloc < peer.Connection.Memory.ReceiveBuffer * 3 / 5)
        {
            peer.Data(HandPeer.Mss);
        }

        if (ofGroup)
        {
            group.Limit = group.SocketBytes;
            Assert.False(group.Charge(1, force: false));
            group.Limit = group.SocketBytes * 5 / 4;
            Assert.True(group.UnderPressure);
        }

        // What was promised before is kept; it has to be used up first.
        for (int i = 0; i < 100 && peer.Connection.Snapshot().ReceiveWindow > 4 * HandPeer.Mss && peer.Socket.Available < 80_000; i++)
        {
            peer.Data(HandPeer.Mss);
        }

        peer.Time.RunFor(TimeSpan.FromSeconds(1));
        Assert.True(peer.Socket.Available > 60_000);
        int window = (int)peer.Connection.Snapshot().ReceiveWindow;
        Assert.True((pressure || ofGroup) == (window <= (4 * HandPeer.Mss) + 128), $"{window} with {peer.Socket.Available} unread in {peer.Connection.Memory}");
        Assert.Equal(window, peer.Link.Sent[^1].Window << peer.Connection.Snapshot().WindowScale.Receive);
    }

    [Fact]
    [Trait("Requirement", "R2.5")]
    public async Task When_memory_is_short_badly_packed_data_is_packed_anew_and_what_is_next_fits()
    {
        await using HandPeer peer = new HandPeer().Open();
        for (int i = 0; i < 20; i++)
        {
            peer.Data(60);
        }

        SocketMemory memory = peer.Connection.Memory;
        int before = memory.ReceiveAlloc;
        peer.Stack.Tcp.Memory.SetLimits(0, 0, memory.Pages);
        peer.Data(1000);
        peer.Data(1000);
        Assert.True(peer.Stack.GetCounter(StackCounter.TcpRcvCollapsed) > 0);
        Assert.Equal((20 * 60) + 2000, peer.Socket.Available);
        Assert.True(memory.ReceiveAlloc < before + 3000);
        byte[] all = new byte[3200];
        Assert.Equal(3200, peer.Socket.TryReceive(all, TcpReceiveFlags.None, out _));
        peer.Check();
    }

    /// <summary>A send bought memory and its source failed before it was used; then the socket does nothing more than to owe an ACK.</summary>
    [Fact]
    [Trait("Requirement", "R2.5")]
    public async Task Under_pressure_the_timer_of_the_delayed_ACK_gives_back_what_is_not_used()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Send(100);
        for (int i = 0; i < 40; i++)
        {
            peer.Time.RunFor(TimeSpan.FromMilliseconds(50));
            peer.Send(100);
            peer.Acked = peer.SentEnd;
            peer.Data(100);
        }

        peer.Data(100);
        SocketMemory memory = peer.Connection.Memory;
        peer.Connection.Own();
        Assert.True(memory.ScheduleSend(30_000));
        peer.Connection.Release();
        Assert.True(memory.ForwardAlloc >= 30_000);
        peer.Stack.Tcp.Memory.EnterPressure();
        long acks = peer.Stack.GetCounter(StackCounter.DelayedACKs);
        peer.Time.RunFor(TimeSpan.FromMilliseconds(300));
        Assert.Equal(acks + 1, peer.Stack.GetCounter(StackCounter.DelayedACKs));
        Assert.InRange(memory.ForwardAlloc, 0, 4095);
        peer.Check();
    }

    /// <summary>RFC 7323 2.4: both ends took a window back. The peer's ACKs lie beyond ours now, and must count.</summary>
    [Fact]
    [Trait("Requirement", "R2.5")]
    public async Task After_a_window_was_taken_back_ACKs_from_beyond_it_count()
    {
        await using HandPeer peer = new HandPeer().Open(10);
        peer.Data(1000);
        peer.Send(10_000);
        peer.Stack.Tcp.Memory.SetLimits(0, 0, 0);
        uint next = 0;
        for (int i = 0; i < 20 && peer.Connection.Snapshot().ReceiveWindow != 0; i++)
        {
            next = peer.Next;
            peer.Data(HandPeer.Mss);
        }

        Assert.Equal(0u, peer.Connection.Snapshot().ReceiveWindow);
        int available = peer.Socket.Available;

        // The peer has sent forty thousand bytes into the old window; ours has moved by nothing.
        peer.Next = next + 40_000;
        peer.Ack(peer.SentEnd);
        Assert.Equal(0, peer.Connection.Snapshot().SendQueue);
        peer.Deliver(TcpFlags.Ack, peer.Next, peer.Acked, 100);
        peer.Next = next;
        Assert.Equal(available, Read(peer));
        peer.Data(HandPeer.Mss);
        Assert.Equal(HandPeer.Mss, Read(peer));
        peer.Check();
    }

    [Fact]
    [Trait("Requirement", "R2.4")]
    public async Task Tcp_mem_changes_while_it_is_in_use()
    {
        await using HandPeer peer = new HandPeer().Open().SendBuffer(1 << 20);
        peer.Window = 0;
        peer.Ack(peer.Acked);
        Assert.Equal(50_000, peer.Send(50_000));
        long pages = peer.Stack.Tcp.Memory.AllocatedPages;
        peer.Stack.Sysctl.Set("net.ipv4.tcp_mem", $"1 2 {pages}");
        int granted = peer.Send(50_000);
        Assert.True(granted < 4096, "only what was bought already");
        Assert.True(peer.Stack.Tcp.Memory.UnderPressure);
        Assert.Equal($"1 2 {pages}", peer.Stack.Sysctl.Get("net.ipv4.tcp_mem").Replace('\t', ' '));
        peer.Stack.Sysctl.Set("net.ipv4.tcp_mem", "1000 2000 3000");
        Assert.Equal(50_000, peer.Send(50_000));
        Assert.False(peer.Stack.Tcp.Memory.UnderPressure);
    }
}
