using System.Net;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Penstock.Testing;

namespace Shop.Tests;

/// <summary>The shop, unchanged, on Kestrel on a host of a virtual network: HTTP/1.1 on port 80, HTTP/2 for gRPC on port 81.</summary>
public sealed class ShopFactory : WebApplicationFactory<Program>
{
    private readonly VirtualHost _host;

    public ShopFactory(VirtualHost host)
    {
        _host = host;
        UseKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Any, 80);
            kestrel.Listen(IPAddress.Any, 81, listen => listen.Protocols = HttpProtocols.Http2);
        });
    }

    protected override void ConfigureWebHost(IWebHostBuilder builder)
    {
        builder.UsePenstock(_host.Stack);
        builder.ConfigureLogging(logging => logging.ClearProviders());
    }
}
