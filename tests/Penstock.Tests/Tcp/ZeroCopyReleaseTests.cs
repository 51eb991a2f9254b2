using System.Buffers;
using Penstock.Tests.Seeds;

namespace Penstock.Tests.Tcp;

/// <summary>When and where memory is given back: at once while it concerns nobody, at top level as soon as the application's own code is to run.</summary>
public class ZeroCopyReleaseTests
{
    [Fact]
    public async Task Memory_that_nobody_waits_for_is_free_with_the_acknowledgment()
    {
        await using HandPeer peer = new HandPeer().Open();
        ZeroCopySend send = peer.SendZeroCopy(HandPeer.PinnedPages(2), 0, 5000);
        peer.Ack(peer.First + 4999);
        Assert.False(send.Released.IsCompleted);
        peer.Ack(peer.First + 5000);

        // No work item has run since.
        Assert.True(send.Released.IsCompletedSuccessfully);
        Assert.False(peer.Connection.ZeroCopy.HoldsMemory);
        Assert.Equal(0, peer.Stack.Tcp.PinnedBytes);
    }

    [Fact]
    public async Task Who_waits_is_told_at_top_level()
    {
        await using HandPeer peer = new HandPeer().Open();
        Task released = peer.SendZeroCopy(HandPeer.PinnedPages(2), 0, 5000).Released.AsTask();
        peer.Ack(peer.First + 5000);
        Assert.False(released.IsCompleted);
        peer.Time.RunReady();
        Assert.True(released.IsCompletedSuccessfully);
        Assert.False(peer.Connection.ZeroCopy.HoldsMemory);
    }

    [Fact]
    public void Closing_is_over_when_the_last_memory_is_back_also_without_anybody_awaiting_it()
    {
        var net = new TwoStacks(new CableOptions { HoldReferences = true });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            await client.SendZeroCopyAsync(HandPeer.PinnedPages(2));
            Task closing = client.CloseAsync().AsTask();
            await server.ReceiveAsync(new byte[100]);
            await net.Time.Delay(TimeSpan.FromSeconds(1));
            Assert.False(closing.IsCompleted);
            byte[] rest = new byte[100_000];
            while (await server.ReceiveAsync(rest) > 0)
            {
            }

            Task closingBack = server.CloseAsync().AsTask();
            await closing;
            await closingBack;
        });
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Code_of_the_application_runs_at_top_level_only(bool owner)
    {
        await using HandPeer peer = new HandPeer().Open();
        using var memory = new NotingMemory(5000);
        CancellationToken cancel = TestContext.Current.CancellationToken;
        ZeroCopySend send = owner
            ? await peer.Socket.SendZeroCopyAsync(memory, 5000, TcpSendFlags.None, cancel)
            : await peer.Socket.SendZeroCopyAsync(memory.Memory, cancel);
        Assert.Equal(5000, send.BytesQueued);
        Assert.Equal(1, memory.Pins);
        peer.Ack(peer.First + 5000);
        Assert.Equal((1, 0), (memory.Pins, memory.Disposals));
        peer.Time.RunReady();
        Assert.Equal((0, owner ? 1 : 0), (memory.Pins, memory.Disposals));
    }

    /// <summary>Memory that notes what is done to it.</summary>
    private sealed unsafe class NotingMemory(int bytes) : MemoryManager<byte>
    {
        private readonly byte[] _bytes = GC.AllocateArray<byte>(bytes, pinned: true);

        public int Pins { get; private set; }

        public int Disposals { get; private set; }

        public override Span<byte> GetSpan() => _bytes;

        public override MemoryHandle Pin(int elementIndex = 0)
        {
            Pins++;
            return new MemoryHandle((byte*)System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(_bytes, elementIndex), default, this);
        }

        public override void Unpin() => Pins--;

        protected override void Dispose(bool disposing) => Disposals++;
    }
}
