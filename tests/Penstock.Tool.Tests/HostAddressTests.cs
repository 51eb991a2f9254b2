using System.Net;
using Penstock.Tool.Serve;

namespace Penstock.Tool.Tests;

/// <summary>The kernel's address next to the stack's own.</summary>
public sealed class HostAddressTests
{
    [Theory]
    [InlineData("10.77.0.2/24", "10.77.0.1/24")]
    [InlineData("10.77.0.1/24", "10.77.0.2/24")]
    [InlineData("192.168.4.130/25", "192.168.4.129/25")]
    [InlineData("10.0.0.6/30", "10.0.0.5/30")]
    [InlineData("10.0.0.4/31", "10.0.0.5/31")]
    [InlineData("10.0.0.5/31", "10.0.0.4/31")]
    public void The_first_other_host_is_the_kernels(string own, string expected) =>
        Assert.Equal(InterfaceAddress.Parse(expected), HostAddress.Choose(InterfaceAddress.Parse(own), null));

    [Fact]
    public void A_wanted_one_gets_the_networks_prefix() =>
        Assert.Equal(InterfaceAddress.Parse("10.77.0.9/24"), HostAddress.Choose(InterfaceAddress.Parse("10.77.0.2/24"), IPAddress.Parse("10.77.0.9")));

    [Theory]
    [InlineData("10.77.0.2/32", null)]
    [InlineData("10.77.0.0/24", null)]
    [InlineData("10.77.0.255/24", null)]
    [InlineData("10.77.0.2/24", "10.77.0.2")]
    [InlineData("10.77.0.2/24", "10.77.1.1")]
    [InlineData("10.77.0.2/24", "10.77.0.255")]
    public void What_does_not_fit_is_a_usage_error(string own, string? wanted)
    {
        ToolFailure failure = Assert.Throws<ToolFailure>(
            () => HostAddress.Choose(InterfaceAddress.Parse(own), wanted is null ? null : IPAddress.Parse(wanted)));
        Assert.Equal(PenstockCommand.UsageError, failure.ExitCode);
    }
}
