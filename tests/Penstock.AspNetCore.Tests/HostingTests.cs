using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Penstock.AspNetCore.Tests;

/// <summary>How a host comes to its stack, which addresses work, and who disposes what.</summary>
public class HostingTests
{
    [Theory]
    [InlineData("http://*:80")]
    [InlineData("http://localhost:80")]
    [InlineData("http://0.0.0.0:80")]
    [InlineData("http://127.0.0.1:80")]
    public async Task Addresses_of_every_kind_work(string url)
    {
        await using var stack = new NetworkStack();
        WebApplicationBuilder builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UsePenstock(stack).UseUrls(url);
        await using WebApplication app = builder.Build();
        app.MapGet("/", () => "here");
        await app.StartAsync(Site.Limit);
        using HttpClient client = Site.Client(stack);
        Assert.Equal("here", await client.GetStringAsync("http://localhost/", Site.Limit));
    }

    [Fact]
    public async Task Without_any_address_the_default_one_is_on_the_stack()
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UsePenstock();
        await using WebApplication app = builder.Build();
        app.MapGet("/", () => "here");
        await app.StartAsync(Site.Limit);
        using HttpClient client = Site.Client(app.Services.GetRequiredService<NetworkStack>());
        Assert.Equal("here", await client.GetStringAsync("http://localhost:5000/", Site.Limit));
    }

    [Fact]
    public async Task A_port_of_zero_is_reported_as_it_became()
    {
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(h => h.UsePenstock(stack), o => o.Listen(IPAddress.Loopback, 0), a => a.MapGet("/", () => "here"));
        string address = Assert.Single(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses);
        using HttpClient client = Site.Client(stack);
        Assert.Equal("here", await client.GetStringAsync(address, Site.Limit));
    }

    [Fact]
    public async Task An_address_in_use_stops_the_start()
    {
        await using var stack = new NetworkStack();
        await using TcpSocketListener other = stack.ListenTcp(new IPEndPoint(IPAddress.Any, 80));
        IOException failure = await Assert.ThrowsAsync<IOException>(
            () => Site.StartAsync(h => h.UsePenstock(stack), o => o.Listen(IPAddress.Any, 80), _ => { }));
        Assert.IsType<Microsoft.AspNetCore.Connections.AddressInUseException>(failure.InnerException);
    }

    [Fact]
    public async Task An_admin_port_stays_on_the_kernel()
    {
        await using var stack = new NetworkStack();
        await using WebApplication app = await Site.StartAsync(
            h => h.UsePenstock(stack, o => o.OnlyStackEndPoints = true),
            o =>
            {
                o.Listen(new StackEndPoint(stack, IPAddress.Any, 80));
                o.Listen(IPAddress.Loopback, 0);
            },
            a => a.MapGet("/", () => "here"));
        string[] addresses = [.. app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses];
        using HttpClient inside = Site.Client(stack);
        Assert.Equal("here", await inside.GetStringAsync("http://localhost/", Site.Limit));
        using var outside = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        string admin = addresses.Single(a => !a.EndsWith(":80", StringComparison.Ordinal));
        Assert.Equal("here", await outside.GetStringAsync(admin, Site.Limit));
    }

    [Fact]
    public async Task End_points_choose_among_keyed_stacks()
    {
        await using WebApplication app = await Site.StartAsync(
            h => h.UsePenstock(services => services.GetRequiredKeyedService<NetworkStack>("edge")),
            o =>
            {
                o.Listen(IPAddress.Any, 80);
                o.Listen(new StackEndPoint(o.ApplicationServices.GetRequiredKeyedService<NetworkStack>("core"), IPAddress.Any, 80));
            },
            a => a.MapGet("/", (Microsoft.AspNetCore.Http.HttpContext c) => c.Features.Get<IConnectionPenstockFeature>()!.Socket.Stack.Name),
            services => services.AddKeyedPenstock("edge").AddKeyedPenstock("core"));
        foreach (string key in new[] { "edge", "core" })
        {
            using HttpClient client = Site.Client(app.Services.GetRequiredKeyedService<NetworkStack>(key));
            Assert.Equal(key, await client.GetStringAsync("http://localhost/", Site.Limit));
        }
    }

    [Fact]
    public async Task The_container_disposes_the_stack_it_made_and_no_other()
    {
        await using var passed = new NetworkStack();
        NetworkStack made;
        await using (WebApplication app = await Site.StartAsync(
            h => h.UsePenstock(passed),
            o => o.Listen(IPAddress.Any, 80),
            _ => { },
            services => services.AddPenstock(o => o.Name = "made", (_, stack) => stack.Hosts.Add("me", IPAddress.Loopback))))
        {
            made = app.Services.GetRequiredService<NetworkStack>();
            Assert.True(made.Hosts.TryResolve("me", out _));
        }

        Assert.Throws<ObjectDisposedException>(() => made.ListenTcp(new IPEndPoint(IPAddress.Any, 80)));
        await using TcpSocketListener still = passed.ListenTcp(new IPEndPoint(IPAddress.Any, 80));
    }
}
