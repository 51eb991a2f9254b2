using Penstock;

namespace Snippets;

/// <summary>docs/zero-copy.md</summary>
public class ZeroCopyPage
{
    [Fact]
    public async Task A_page_is_sent_where_it_is_and_given_back()
    {
        await using Pair pair = await Pair.ConnectAsync();
        TcpSocket socket = pair.Near;
        CancellationToken cancel = TestContext.Current.CancellationToken;
        Task<byte[]> received = Pair.ReadAsync(pair.Far, 1 << 20);

        byte[] page = GC.AllocateArray<byte>(1 << 20, pinned: true);
        ZeroCopySend send = await socket.SendZeroCopyAsync(page, cancel);   // queued; page must stay as it is
        await send.Released;                                               // page is yours again

        Assert.Equal(1 << 20, send.BytesQueued);
        Assert.Equal(page, await received);
    }
}
