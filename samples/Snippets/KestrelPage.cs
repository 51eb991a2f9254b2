using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Penstock;
using Penstock.AspNetCore;

namespace Snippets;

/// <summary>docs/kestrel-and-httpclient.md, and the page of the package Penstock.AspNetCore.</summary>
public class KestrelPage
{
    [Fact]
    public async Task The_container_makes_the_stack()
    {
        WebApplicationBuilder builder = Builder();

        builder.Services.AddPenstock();
        builder.WebHost.UsePenstock();        // the container's stack; or UsePenstock(stack)

        await using WebApplication app = await StartAsync(builder);
        using var http = new HttpClient(app.Services.GetRequiredService<NetworkStack>().CreateHttpHandler());
        Assert.Equal("/", await http.GetStringAsync("http://localhost:5000/"));
        await app.StopAsync();
    }

    [Fact]
    public async Task The_container_makes_the_stack_and_what_it_is_attached_to()
    {
        var cable = new VirtualCable();
        await using var outside = new NetworkStack();
        outside.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
        WebApplicationBuilder builder = Builder();

        builder.Services.AddPenstock(
            options => options.MemoryLimit = 64 << 20,
            (services, stack) => stack.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24")));
        builder.WebHost.UsePenstock(transport => transport.Backlog = 128);
        builder.WebHost.UseUrls("http://*:80");

        await using WebApplication app = await StartAsync(builder);
        using var http = new HttpClient(outside.CreateHttpHandler());
        Assert.Equal("/", await http.GetStringAsync("http://10.1.0.2/"));
        await app.StopAsync();
    }

    [Fact]
    public async Task One_port_is_on_a_stack_and_another_on_the_kernel()
    {
        await using var stack = new NetworkStack();
        int adminPort = FreePort();
        WebApplicationBuilder builder = Builder();

        builder.WebHost.UsePenstock(stack, transport => transport.OnlyStackEndPoints = true);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(new StackEndPoint(stack, IPAddress.Any, 80));
            kestrel.Listen(IPAddress.Loopback, adminPort);      // Kestrel's own sockets
        });

        await using WebApplication app = await StartAsync(builder);
        using var onStack = new HttpClient(stack.CreateHttpHandler());
        using var onKernel = new HttpClient();
        Assert.Equal("/", await onStack.GetStringAsync("http://localhost/"));
        Assert.Equal("/", await onKernel.GetStringAsync($"http://127.0.0.1:{adminPort}/"));
        await app.StopAsync();
    }

    [Fact]
    public async Task A_request_knows_its_connection()
    {
        await using var stack = new NetworkStack();
        WebApplicationBuilder builder = Builder();
        builder.WebHost.UsePenstock(stack);
        await using WebApplication app = builder.Build();

        app.MapGet("/about-me", (HttpContext context) =>
        {
            TcpInfo info = context.Features.Get<IConnectionPenstockFeature>()!.Socket.GetInfo();
            return $"{info.State}, {info.CongestionControl}, cwnd {info.CongestionWindow}, round trip {info.RoundTripTime.TotalMilliseconds:0.000} ms";
        });

        await app.StartAsync();
        using var http = new HttpClient(stack.CreateHttpHandler());
        Assert.StartsWith("Established, cubic, cwnd 10", await http.GetStringAsync("http://localhost:5000/about-me"), StringComparison.Ordinal);
        await app.StopAsync();
    }

    [Fact]
    public async Task Clients_connect_over_a_stack()
    {
        await using var stack = new NetworkStack();
        WebApplicationBuilder server = Builder();
        server.WebHost.UsePenstock(stack).UseUrls("http://*:80");
        await using WebApplication app = await StartAsync(server);

        stack.Hosts.Add("api.test", IPAddress.Loopback);

        using var http = new HttpClient(stack.CreateHttpHandler(new TcpConnectOptions { NoDelay = true, UserTimeout = TimeSpan.FromSeconds(30) }));
        string answer = await http.GetStringAsync("http://api.test/here");
        Assert.Equal("/here", answer);

        using var handler = new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.FromMinutes(5), ConnectTimeout = TimeSpan.FromSeconds(10) };
        handler.UseStack(stack);
        using var configured = new HttpClient(handler);
        Assert.Equal("/there", await configured.GetStringAsync("http://api.test/there"));

        await app.StopAsync();
    }

    [Fact]
    public async Task The_factory_of_clients_uses_a_stack()
    {
        WebApplicationBuilder builder = Builder();
        builder.WebHost.UsePenstock();

        builder.Services.AddPenstock();
        builder.Services.AddHttpClient("inside")
            .ConfigurePrimaryHttpMessageHandler(services => services.GetRequiredService<NetworkStack>().CreateHttpHandler());

        await using WebApplication app = await StartAsync(builder);
        using HttpClient http = app.Services.GetRequiredService<IHttpClientFactory>().CreateClient("inside");
        Assert.Equal("/", await http.GetStringAsync("http://localhost:5000/"));
        await app.StopAsync();
    }

    [Fact]
    public async Task Names_can_be_asked_of_the_system()
    {
        var options = new NetworkStackOptions
        {
            Resolver = static async (name, cancel) => await Dns.GetHostAddressesAsync(name, AddressFamily.InterNetwork, cancel),
        };

        await using var stack = new NetworkStack(options);
        await using TcpSocketListener listener = stack.ListenTcp(new IPEndPoint(IPAddress.Any, 7));
        await using TcpSocket socket = await stack.ConnectTcpAsync(new DnsEndPoint("localhost", 7));
        Assert.Equal(IPAddress.Loopback, socket.RemoteEndPoint.Address);
    }

    private static WebApplicationBuilder Builder()
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        return builder;
    }

    /// <summary>Answers every request with its path.</summary>
    private static async Task<WebApplication> StartAsync(WebApplicationBuilder builder)
    {
        WebApplication app = builder.Build();
        app.Run(context => context.Response.WriteAsync(context.Request.Path));
        await app.StartAsync();
        return app;
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }
}
