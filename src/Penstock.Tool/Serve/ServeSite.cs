using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Penstock.Tool.Serve;

/// <summary>
/// The web server: Kestrel on the network's server stack, ASP.NET Core's static files for the folder, PUT when it is writable, and the live page under
/// <c>/penstock</c>, which hides a file of that name. Reads no configuration but the settings.
/// </summary>
internal static class ServeSite
{
    /// <summary>Where the live page is.</summary>
    public const string StatusPath = "/penstock";

    private const string DataPath = "/penstock/data";

    public static WebApplication Build(ServeSettings settings, ServeNetwork network)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "penstock" });
        builder.Logging.SetMinimumLevel(LogLevel.Warning).AddSimpleConsole(options => options.SingleLine = true);
        builder.Logging.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(options => options.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.AddDirectoryBrowser();
        builder.Services.AddSingleton<IHostLifetime, CallerLifetime>();
        builder.WebHost.UseKestrelCore().UsePenstock(network.Server).ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(new IPEndPoint(IPAddress.Any, settings.Port));

            // Uploads of any size, over networks that are made slow on purpose.
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Limits.MinResponseDataRate = null;
        });

        WebApplication site = builder.Build();
        byte[] statusPage = Page("status.html");
        site.Use((context, next) =>
        {
            bool reads = HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method);
            return (reads ? context.Request.Path.Value : null) switch
            {
                StatusPath => HtmlAsync(context, statusPage),
                DataPath => DataAsync(context, network),
                _ => next(context),
            };
        });

        if (settings.Root is { } root)
        {
            UseFolder(site, root, settings.Writable);
        }
        else
        {
            byte[] welcome = Page("welcome.html");
            site.Use((context, next) => context.Request.Path == "/" ? HtmlAsync(context, welcome) : next(context));
        }

        site.Run(context => Uploads.AnswerAsync(context, StatusCodes.Status404NotFound, "There is nothing here."));
        return site;
    }

    private static void UseFolder(WebApplication site, string root, bool writable)
    {
        site.Use((context, next) =>
        {
            if (!HttpMethods.IsPut(context.Request.Method))
            {
                return next(context);
            }

            if (writable)
            {
                return Uploads.PutAsync(context, root);
            }

            context.Response.Headers.Allow = "GET, HEAD";
            return Uploads.AnswerAsync(context, StatusCodes.Status405MethodNotAllowed, "This folder is read-only. Start penstock serve with --writable to take uploads.");
        });

        var options = new FileServerOptions { FileProvider = new PhysicalFileProvider(root), EnableDirectoryBrowsing = true };
        options.StaticFileOptions.ServeUnknownFileTypes = true;
        site.UseFileServer(options);
    }

    private static async Task HtmlAsync(HttpContext context, byte[] page)
    {
        HttpResponse response = context.Response;
        response.ContentType = "text/html; charset=utf-8";
        response.ContentLength = page.Length;
        response.Headers.CacheControl = "no-cache";
        response.Headers.ContentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:";
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await response.Body.WriteAsync(page, context.RequestAborted).ConfigureAwait(false);
        }
    }

    private static async Task DataAsync(HttpContext context, ServeNetwork network)
    {
        var viewer = new IPEndPoint(context.Connection.RemoteIpAddress ?? IPAddress.None, context.Connection.RemotePort);
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(StatusSnapshot.Take(network, viewer.ToString()), StatusJson.Readable.StatusSnapshot);
        HttpResponse response = context.Response;
        response.ContentType = "application/json";
        response.ContentLength = json.Length;
        response.Headers.CacheControl = "no-store";
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await response.Body.WriteAsync(json, context.RequestAborted).ConfigureAwait(false);
        }
    }

    private static byte[] Page(string name)
    {
        using Stream stream = typeof(ServeSite).Assembly.GetManifestResourceStream(name) ?? throw new FileNotFoundException($"The page {name} is not in the assembly.", name);
        byte[] page = new byte[stream.Length];
        stream.ReadExactly(page);
        return page;
    }

    /// <summary>Leaves signals to the caller; the host's own lifetime would handle Ctrl-C a second time.</summary>
    private sealed class CallerLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
