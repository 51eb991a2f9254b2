namespace Tun2Socks.Tests;

/// <summary>Options that are wrong, by themselves or together: one line that says what to write, before a device is made.</summary>
public sealed class CommandTests
{
    private static readonly string[] s_right = ["--tun", "tun0", "--address", "10.77.0.1/24", "--socks", "127.0.0.1:1080"];

    [Theory]
    [InlineData("'--tun' is required", "--address", "10.77.0.1/24", "--socks", "127.0.0.1:1080")]
    [InlineData("'--address' is required", "--tun", "tun0", "--socks", "127.0.0.1:1080")]
    [InlineData("'--socks' is required", "--tun", "tun0", "--address", "10.77.0.1/24")]
    public Task What_is_missing_is_named(string hint, params string[] arguments) => AssertRefusedAsync(hint, arguments);

    [Theory]
    [InlineData("10.77.0.1/24", "--address", "10.77.0.1")]
    [InlineData("10.77.0.1/24", "--address", "fd00::1/64")]
    [InlineData("192.168.1.9:1080", "--socks", "nowhere")]
    [InlineData("between 1 and 1000000", "--max-flows", "0")]
    [InlineData("between 1 and", "--max-half-open", "-1")]
    [InlineData("between 1 and 120", "--timeout", "1s")]
    [InlineData("reset or silence", "--refuse", "maybe")]
    [InlineData("--help", "--maximum", "1")]
    [InlineData("--user", "--password", "secret")]
    public Task What_is_wrong_is_answered_with_what_would_be_right(string hint, string option, string value)
    {
        string[] arguments = [.. s_right];
        int at = Array.IndexOf(arguments, option);
        if (at < 0)
        {
            arguments = [.. arguments, option, value];
        }
        else
        {
            arguments[at + 1] = value;
        }

        return AssertRefusedAsync(hint, arguments);
    }

    private static async Task AssertRefusedAsync(string hint, string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = await TunnelCommand.InvokeAsync(arguments, output, error, TestContext.Current.CancellationToken);
        Assert.Equal(2, code);
        Assert.Equal("", output.ToString());
        string line = Assert.Single(error.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith("tun2socks: ", line, StringComparison.Ordinal);
        Assert.Contains(hint, line, StringComparison.Ordinal);
    }
}
