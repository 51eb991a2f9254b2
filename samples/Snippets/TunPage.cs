using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Penstock;
using Penstock.Tun.Tests;

namespace Snippets;

/// <summary>docs/tun.md, the page of the package, and the three lines of the README. A namespace of the test's own stands for the machine's network.</summary>
public class TunPage
{
    [Fact]
    public async Task The_kernel_pings_a_stack()
    {
        NetworkNamespace.SkipUnlessPossible();
        NetworkNamespace.SkipWithoutProgram("ping");
        using var machine = new NetworkNamespace();

        // All that touches the device happens before the first await, on the thread that is inside the namespace.
        await machine.Run(async () =>
        {
            var link = TunLink.Open("penstock0", new TunOptions { HostAddress = InterfaceAddress.Parse("10.77.0.1/24") });
            await using var stack = new NetworkStack();
            stack.AddInterface(link, InterfaceAddress.Parse("10.77.0.2/24"));   // the stack owns the link from here on

            (int code, string output) = machine.Execute("ping", "-c", "1", "-W", "10", "10.77.0.2");
            Assert.True(code == 0, output);
        });
    }

    [Fact]
    public async Task A_device_Kestrel_and_HttpClient_are_a_line_each()
    {
        NetworkNamespace.SkipUnlessPossible();
        using var machine = new NetworkNamespace();

        await machine.Run(async () =>
        {
            await using var stack = new NetworkStack();
            var options = new TunOptions { HostAddress = InterfaceAddress.Parse("10.77.0.1/24") };
            WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Any, 80));

            stack.AddInterface(TunLink.Open("penstock0", options), InterfaceAddress.Parse("10.77.0.2/24"));
            builder.WebHost.UsePenstock(stack);
            using var http = new HttpClient(stack.CreateHttpHandler());

            await using WebApplication app = builder.Build();
            app.MapGet("/", () => "over the stack");
            await app.StartAsync();
            Assert.Equal("over the stack", await http.GetStringAsync("http://10.77.0.2/"));
            await app.StopAsync();
        });
    }
}
