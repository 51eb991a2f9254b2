using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Penstock.AspNetCore.Tests;

/// <summary>A real Kestrel for tests, and the certificate that it shows.</summary>
internal static class Site
{
    /// <summary>Long enough that only a hang ends with it.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>Made for this run; no client but ours trusts it.</summary>
    public static X509Certificate2 Certificate { get; } = MakeCertificate();

    /// <summary>A token of the test that also ends after <see cref="Patience"/>.</summary>
    public static CancellationToken Limit
    {
        get
        {
            var source = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
            source.CancelAfter(Patience);
            return source.Token;
        }
    }

    public static async Task<WebApplication> StartAsync(
        Action<IWebHostBuilder> transport, Action<KestrelServerOptions> listen, Action<WebApplication> map, Action<IServiceCollection>? services = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        services?.Invoke(builder.Services);
        transport(builder.WebHost);
        builder.WebHost.ConfigureKestrel(options =>
        {
            options.Limits.MaxRequestBodySize = null;
            options.Limits.MinRequestBodyDataRate = null;
            options.Limits.MinResponseDataRate = null;
            listen(options);
        });
        WebApplication app = builder.Build();
        map(app);
        await app.StartAsync(Limit);
        return app;
    }

    /// <summary>Kestrel on <paramref name="stack"/>: h1 on 80, h2 prior knowledge on 81, both with TLS on 443.</summary>
    public static Task<WebApplication> StartAsync(NetworkStack stack, Action<WebApplication> map, IPAddress? address = null) =>
        StartAsync(
            host => host.UsePenstock(stack),
            options =>
            {
                options.Listen(address ?? IPAddress.Any, 80, on => on.Protocols = HttpProtocols.Http1);
                options.Listen(address ?? IPAddress.Any, 81, on => on.Protocols = HttpProtocols.Http2);
                options.Listen(address ?? IPAddress.Any, 443, on => on.UseHttps(Certificate));
            },
            map);

    public static HttpClient Client(NetworkStack stack)
    {
        SocketsHttpHandler handler = stack.CreateHttpHandler();
        handler.SslOptions.RemoteCertificateValidationCallback = static (_, certificate, _, _) => IsOurs(certificate);
        return new HttpClient(handler) { Timeout = Patience };
    }

    public static bool IsOurs(X509Certificate? certificate) => certificate?.GetCertHashString() == Certificate.GetCertHashString();

    private static X509Certificate2 MakeCertificate()
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=penstock.test", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using X509Certificate2 made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        // Through a PKCS#12 copy: a key that lives only in memory does not please every platform's TLS.
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pkcs12), null);
    }
}
