using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;

namespace Penstock.Tool.Tests;

/// <summary>The settings and numbers of docs/limits.md, and the counters of docs/reading-penstock.md, are those of the code.</summary>
public sealed partial class LimitsPageTests
{
    private static readonly string s_limits = Page("limits.md");

    [Fact]
    public async Task Every_setting_that_it_names_exists()
    {
        await using var stack = new NetworkStack();
        string[] names = [.. Setting().Matches(s_limits).Select(match => match.Value).Distinct()];

        Assert.True(names.Length > 8);
        Assert.All(names, name => Assert.NotEmpty(stack.Sysctl.Get(name)));
    }

    [Theory]
    [InlineData("tcp_max_syn_backlog`, ", "net.ipv4.tcp_max_syn_backlog")]
    [InlineData("TIME-WAIT | 60 s each, ", "net.ipv4.tcp_max_tw_buckets")]
    [InlineData("closed connections that still send | ", "net.ipv4.tcp_max_orphans")]
    public async Task Numbers_of_settings_are_their_defaults(string before, string setting)
    {
        await using var stack = new NetworkStack();

        Assert.Contains(before + Number(long.Parse(stack.Sysctl.Get(setting), CultureInfo.InvariantCulture)), s_limits, StringComparison.Ordinal);
    }

    [Fact]
    public void Numbers_of_options_are_their_defaults()
    {
        Assert.Contains($"`TcpListenOptions.Backlog`, {new TcpListenOptions(new IPEndPoint(IPAddress.Any, 0)).Backlog},", s_limits, StringComparison.Ordinal);
        Assert.Contains($"`TcpRequestListenOptions.HalfOpenLimit`, {new TcpRequestListenOptions(new IPEndPoint(IPAddress.Any, 0)).HalfOpenLimit} ", s_limits, StringComparison.Ordinal);
        Assert.Contains($"`QueueLimit`, {new PacketLinkOptions().QueueLimit} a direction", s_limits, StringComparison.Ordinal);
        Assert.Contains($"`CableOptions.QueueLimit`, {new CableOptions().QueueLimit},", s_limits, StringComparison.Ordinal);
        Assert.Contains($"`NetworkStackOptions.MemoryLimit`, {new NetworkStackOptions().MemoryLimit >> 30} GiB", s_limits, StringComparison.Ordinal);
        Assert.Contains($"up to `CloseTimeout`, {new NetworkStackOptions().CloseTimeout.TotalSeconds} s", s_limits, StringComparison.Ordinal);
    }

    [Fact]
    public void Counters_that_pages_name_exist() =>
        Assert.All(
            Counter().Matches(s_limits + Page("reading-penstock.md")).Select(match => match.Groups[1].Value),
            name => Assert.True(Enum.TryParse<StackCounter>(name, out _), $"There is no counter {name}."));

    private static string Page(string name) => File.ReadAllText(Path.Combine(SourceTree.Root, "docs", name));

    /// <summary>As the page writes numbers: 1024, but 65,536.</summary>
    private static string Number(long value) => value < 10_000 ? value.ToString(CultureInfo.InvariantCulture) : value.ToString("N0", CultureInfo.InvariantCulture);

    [GeneratedRegex(@"net\.[a-z0-9_.]*[a-z0-9_]")]
    private static partial Regex Setting();

    [GeneratedRegex("`(?!TcpSocket`)((?:Ip|Tcp|Icmp|Listen)[A-Z][A-Za-z]+)`")]
    private static partial Regex Counter();
}
