using System.Buffers;
using Penstock.Tests.Seeds;

#pragma warning disable xUnit1051 // virtual time ends by itself

namespace Penstock.Tests.Sockets;

/// <summary>Receives that go wrong on the caller's side: the socket is as it was.</summary>
public class ReceiveMisuseTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_receive_into_memory_that_is_gone_throws_and_leaves_the_socket_free(int looks)
    {
        await using HandPeer peer = new HandPeer().Open();

        // Somebody else has the socket, so that the second look comes when this receive has it.
        peer.Connection.Own();
        Task<int>? queued = null;
        try
        {
            queued = peer.Socket.ReceiveAsync(new GoneMemory(looks).Make()).AsTask();
        }
        catch (ObjectDisposedException)
        {
        }

        peer.Connection.Release();
        peer.Time.RunReady();
        Assert.Equal(looks > 0, queued is not null);
        if (queued is not null)
        {
            await Assert.ThrowsAsync<ObjectDisposedException>(() => queued);
        }

        Assert.False(peer.Connection.IsOwned);
        peer.Data(5);
        Assert.Equal(5, await peer.Socket.ReceiveAsync(new byte[10]));
        peer.Check();
    }

    [Fact]
    public async Task The_result_of_a_receive_that_is_under_way_is_refused_and_the_receive_goes_on()
    {
        await using HandPeer peer = new HandPeer().Open();
        byte[] buffer = new byte[10];
        ValueTask<int> task = peer.Socket.ReceiveAsync(buffer);
        Assert.Contains("AsTask()", Assert.Throws<InvalidOperationException>(() => task.GetAwaiter().GetResult()).Message, StringComparison.Ordinal);
        peer.Data(5);
        peer.Time.RunReady();
        Assert.True(task.IsCompleted);
        Assert.Equal(5, await task);
        peer.Check();
    }

    /// <summary>Can be looked at so many times.</summary>
    private sealed class GoneMemory(int looks) : MemoryManager<byte>
    {
        private readonly byte[] _bytes = new byte[10];
        private int _looks = looks;

        public Memory<byte> Make() => CreateMemory(_bytes.Length);

        public override Span<byte> GetSpan() => _looks-- > 0 ? _bytes : throw new ObjectDisposedException(nameof(GoneMemory));

        public override MemoryHandle Pin(int elementIndex = 0) => throw new NotSupportedException();

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }
}
