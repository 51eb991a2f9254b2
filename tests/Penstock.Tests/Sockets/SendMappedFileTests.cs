using Penstock.Tests.Tcp;

#pragma warning disable xUnit1051 // virtual time ends by itself

namespace Penstock.Tests.Sockets;

/// <summary>Files that are mapped and sent without a copy.</summary>
public sealed class SendMappedFileTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();
    private readonly byte[] _data = new byte[300_001];

    public SendMappedFileTests()
    {
        new Random(1).NextBytes(_data);
        File.WriteAllBytes(_path, _data);
    }

    [Theory]
    [InlineData(0, null)]
    [InlineData(0, 1)]
    [InlineData(5000, 200_000)]
    [InlineData(300_000, null)]
    public void The_range_arrives_and_the_file_is_closed_when_it_is_released(int offset, int? length)
    {
        var net = new TwoStacks(new CableOptions { Delay = TimeSpan.FromMilliseconds(1) });
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            int expected = length ?? _data.Length - offset;
            ValueTask<ZeroCopySend> sending = client.SendMappedFileAsync(_path, offset, length);
            byte[] got = new byte[expected];
            for (int at = 0; at < expected;)
            {
                at += await server.ReceiveAsync(got.AsMemory(at));
            }

            ZeroCopySend sent = await sending;
            Assert.Equal(expected, sent.BytesQueued);
            await sent.Released;
            Assert.True(_data.AsSpan(offset, expected).SequenceEqual(got));
            Assert.Equal(0, net.Client.Tcp.PinnedBytes);
            await client.CloseAsync();
            await server.CloseAsync();
        });
    }

    [Fact]
    public void A_range_that_is_not_in_the_file_is_refused_and_an_empty_one_is_nothing()
    {
        var net = new TwoStacks();
        net.Run(async () =>
        {
            (TcpSocket client, TcpSocket server) = await net.ConnectAsync();
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => client.SendMappedFileAsync(_path, -1).AsTask());
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => client.SendMappedFileAsync(_path, _data.Length + 1).AsTask());
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => client.SendMappedFileAsync(_path, 1, _data.Length).AsTask());
            await Assert.ThrowsAsync<FileNotFoundException>(() => client.SendMappedFileAsync(_path + ".none").AsTask());
            ZeroCopySend nothing = await client.SendMappedFileAsync(_path, _data.Length);
            Assert.Equal(0, nothing.BytesQueued);
            await nothing.Released;
            await client.CloseAsync();
            await server.CloseAsync();
            await Assert.ThrowsAsync<ObjectDisposedException>(() => client.SendMappedFileAsync(_path + ".none").AsTask());
        });
    }

    public void Dispose() => File.Delete(_path);
}
