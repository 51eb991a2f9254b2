using Penstock.Drill;

namespace Penstock.Tests.Drill;

/// <summary>Spot checks of Linux's constants, one or two a family.</summary>
public class SymbolTests
{
    [Theory]
    [InlineData("AF_INET6", 10)]
    [InlineData("SOCK_STREAM", 1)]
    [InlineData("SOCK_NONBLOCK", 2048)]
    [InlineData("IPPROTO_TCP", 6)]
    [InlineData("SOL_SOCKET", 1)]
    [InlineData("SOL_TCP", 6)]
    [InlineData("SO_REUSEADDR", 2)]
    [InlineData("SO_TIMESTAMPING", 37)]
    [InlineData("SO_ZEROCOPY", 60)]
    [InlineData("TCP_NODELAY", 1)]
    [InlineData("TCP_FASTOPEN_CONNECT", 30)]
    [InlineData("TCP_INQ", 36)]
    [InlineData("TCP_RTO_MAX_MS", 44)]
    [InlineData("TCP_ESTABLISHED", 1)]
    [InlineData("TCP_CA_Loss", 4)]
    [InlineData("TCPI_OPT_SYN_DATA", 32)]
    [InlineData("MSG_FASTOPEN", 0x20000000)]
    [InlineData("MSG_ZEROCOPY", 0x4000000)]
    [InlineData("O_NONBLOCK", 0x800)]
    [InlineData("F_SETFL", 4)]
    [InlineData("EPOLLET", 1L << 31)]
    [InlineData("EPOLL_CTL_MOD", 3)]
    [InlineData("POLLRDHUP", 0x2000)]
    [InlineData("SHUT_RDWR", 2)]
    [InlineData("SIOCINQ", 0x541b)]
    [InlineData("SIOCOUTQ", 0x5411)]
    [InlineData("SOF_TIMESTAMPING_OPT_ID", 128)]
    [InlineData("ECONNRESET", 104)]
    [InlineData("EPOLLIN", 1)]
    public void Constants_have_linuxs_values(string name, long expected)
    {
        Assert.True(Symbols.TryGet(name, out long value));
        Assert.Equal(expected, value);
    }

    [Fact]
    public void Error_numbers_have_their_usual_names()
    {
        Assert.Equal("EAGAIN", Symbols.ErrorName(11));
        Assert.Equal("EOPNOTSUPP", Symbols.ErrorName(95));
        Assert.Equal("9999", Symbols.ErrorName(9999));
        Assert.True(Symbols.IsErrorName("EWOULDBLOCK"));
        Assert.False(Symbols.IsErrorName("EPOLLIN"));
        Assert.False(Symbols.IsErrorName("AF_INET"));
    }
}
