using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Penstock.Tun.Tests;

namespace Penstock.Native.Tests;

/// <summary>The published library with C programs that are compiled against its header.</summary>
public sealed class LibraryTests(Library library) : IClassFixture<Library>
{
    [Fact]
    public void A_C_program_finds_the_calls_as_the_header_says()
    {
        Library.SkipUnlessPossible();
        string program = library.Compile("tests/Penstock.Native.Tests/calls.c");
        (int code, string output) = Library.Run(program);
        Assert.Equal("ok\n", output);
        Assert.Equal(0, code);
    }

    [Fact]
    public void Without_a_packetdrill_the_runner_says_so_and_runs_nothing()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "packetdrill is for Linux.");
        (int code, string output) = Library.Run("env", "-u", "PACKETDRILL", Path.Combine(Library.Root, "tests/packetdrill/run"), "tests/drill");
        Assert.Equal(0, code);
        Assert.Contains("SKIPPED", output, StringComparison.Ordinal);
        Assert.Contains("0 passed, 0 failed\n", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_sample_fetches_a_page_from_Kestrel_on_another_stack()
    {
        Library.SkipUnlessPossible();
        NetworkNamespace.SkipUnlessPossible();
        using var net = new NetworkNamespace();
        Assert.Equal(0, net.Execute("sysctl", "-qw", "net.ipv4.ip_forward=1").ExitCode);
        string page = string.Concat(Enumerable.Repeat("The page that a C program fetches.\n", 20_000));
        await using NetworkStack server = new(new NetworkStackOptions { Name = "server" });
        TunLink link = net.Run(() => TunLink.Open("penstock0", new TunOptions { HostAddress = InterfaceAddress.Parse("10.77.0.1/24") }));
        server.AddInterface(link, InterfaceAddress.Parse("10.77.0.2/24"));
        server.AddRoute(new IPNetwork(IPAddress.Any, 0), link);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UsePenstock(server);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(new IPEndPoint(IPAddress.Parse("10.77.0.2"), 80)));
        await using WebApplication app = builder.Build();
        app.MapGet("/page", () => Results.Bytes(System.Text.Encoding.ASCII.GetBytes(page), "text/plain"));
        await app.StartAsync(TestContext.Current.CancellationToken);

        string program = library.Compile("samples/CClient/fetch.c");
        (int code, string output) = net.Execute(
            program, "tun=penstock1,host=10.78.0.1/24,address=10.78.0.2/24,route=default", "10.77.0.2", "80", "/page");

        Assert.True(code == 0, output);
        Assert.StartsWith(page, output, StringComparison.Ordinal);
        Assert.Contains("HTTP/1.1 200 OK", output, StringComparison.Ordinal);
        Assert.Contains($"{page.Length} bytes", output, StringComparison.Ordinal);
    }
}
