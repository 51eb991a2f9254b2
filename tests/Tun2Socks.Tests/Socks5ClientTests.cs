using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Tun2Socks.Tests;

/// <summary>The client's side of RFC 1928 and RFC 1929, with proxies that are right, wrong, slow and absent.</summary>
public sealed class Socks5ClientTests
{
    private static readonly IPEndPoint s_destination = new(IPAddress.Parse("203.0.113.10"), 443);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private static Socks5Client Client(IPEndPoint proxy, NetworkCredential? credential = null, double seconds = 60) =>
        new(proxy, credential, TimeSpan.FromSeconds(seconds));

    [Fact]
    public async Task The_first_bytes_of_the_destination_are_not_swallowed()
    {
        // A method, an address by name, and data right behind it, all in one burst or byte by byte.
        foreach (bool slowly in (bool[])[false, true])
        {
            byte[] answers = [5, 0, 5, 0, 0, 3, 4, .. "host"u8, 1, 2, .. "220 ready"u8];
            await using var far = new FarSide { Script = slowly ? FarSide.Says(false, answers) : FarSide.SaysAtOnce(answers) };
            using Socket socket = await Client(far.EndPoint).ConnectAsync(s_destination, Cancel);
            byte[] read = new byte[9];
            await new NetworkStream(socket).ReadExactlyAsync(read, Cancel);
            Assert.Equal("220 ready", Encoding.ASCII.GetString(read));
        }
    }

    [Fact]
    public async Task User_and_password_are_sent_when_the_proxy_asks_for_them()
    {
        var said = new MemoryStream();
        await using var far = new FarSide { Script = async (socket, end) =>
        {
            foreach ((int count, byte[] answer) in ((int, byte[])[])[(4, [5, 2]), (1 + 1 + 5 + 1 + 8, [1, 0]), (10, [5, 0, 0, 4, .. new byte[18]])])
            {
                byte[] bytes = new byte[count];
                for (int read = 0; read < count;)
                {
                    read += await socket.ReceiveAsync(bytes.AsMemory(read), end);
                }

                said.Write(bytes);
                await socket.SendAsync(answer, end);
            }
        } };
        using Socket socket = await Client(far.EndPoint, new NetworkCredential("alice", "s3cret:/")).ConnectAsync(s_destination, Cancel);
        Assert.Equal([5, 2, 0, 2, 1, 5, .. "alice"u8, 8, .. "s3cret:/"u8, 5, 1, 0, 1, 203, 0, 113, 10, 1, 187], said.ToArray());
    }

    public static TheoryData<byte[], string> Wrong => new()
    {
        { [], "closed the connection" },
        { [5], "closed the connection" },
        { [4, 0], "does not speak SOCKS5" },
        { [(byte)'H', (byte)'T'], "does not speak SOCKS5" },
        { [5, 255], "wants a user name" },
        { [5, 2], "was not offered" },
        { [5, 1], "was not offered" },
        { [5, 0], "closed the connection" },
        { [5, 0, 4, 0, 0, 1], "does not speak SOCKS5" },
        { [5, 0, 5, 1, 0, 1], "general failure" },
        { [5, 0, 5, 2, 0, 1], "rules" },
        { [5, 0, 5, 5, 0, 1], "connection refused" },
        { [5, 0, 5, 99, 0, 1], "reply 99" },
        { [5, 0, 5, 0, 0, 2], "type 2" },
        { [5, 0, 5, 0, 0, 0], "type 0" },
        { [5, 0, 5, 0, 0, 1, 1, 2, 3], "closed the connection" },
        { [5, 0, 5, 0, 0, 3, 200, 1], "closed the connection" },
        { [5, 0, 5, 0, 0, 4, 1], "closed the connection" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task What_a_proxy_answers_wrongly_is_said(byte[] answers, string says)
    {
        await using var far = new FarSide { Script = FarSide.Says(true, answers) };
        Socks5Exception failure = await Assert.ThrowsAsync<Socks5Exception>(() => Client(far.EndPoint).ConnectAsync(s_destination, Cancel));
        Assert.Contains(says, failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData((byte)1, "does not know the user 'me'")]
    [InlineData((byte)255, "does not know the user 'me'")]
    public async Task A_wrong_password_is_said(byte status, string says)
    {
        await using var far = new FarSide { Script = FarSide.Says(true, 5, 2, 1, status) };
        Socks5Exception failure = await Assert.ThrowsAsync<Socks5Exception>(
            () => Client(far.EndPoint, new NetworkCredential("me", "wrong")).ProbeAsync(Cancel));
        Assert.Contains(says, failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("wrong", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(new byte[0])]
    [InlineData(new byte[] { 5 })]
    [InlineData(new byte[] { 5, 0, 5, 0 })]
    public async Task A_proxy_that_falls_silent_is_given_up(byte[] answers)
    {
        await using var far = new FarSide { Script = FarSide.Says(false, answers) };
        Socks5Exception failure = await Assert.ThrowsAsync<Socks5Exception>(() => Client(far.EndPoint, seconds: 0.3).ConnectAsync(s_destination, Cancel));
        Assert.Contains("did not answer within 0.3 s", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_absent_proxy_is_said_and_a_cancellation_is_one()
    {
        IPEndPoint nobody;
        await using (var gone = new FarSide())
        {
            nobody = gone.EndPoint;
        }

        Socks5Exception failure = await Assert.ThrowsAsync<Socks5Exception>(() => Client(nobody).ConnectAsync(s_destination, Cancel));
        Assert.Contains($"nobody listens at {nobody}", failure.Message, StringComparison.Ordinal);

        await using var far = new FarSide { Script = FarSide.Silent };
        using var cancel = new CancellationTokenSource();
        Task<Socket> connecting = Client(far.EndPoint).ConnectAsync(s_destination, cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting);
    }
}
