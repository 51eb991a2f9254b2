using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Penstock.Testing.Tests;

/// <summary>Things that go wrong under real TLS, Kestrel and HttpClient: each ends with an exception that names what happened, and nothing is left behind.</summary>
public class FaultTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_partition_in_the_middle_of_a_tls_handshake_ends_it_when_the_socket_or_the_caller_loses_patience(bool caller)
    {
        var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair();
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(
            client, server, 443, new TcpConnectOptions { UserTimeout = caller ? null : TimeSpan.FromMilliseconds(300) });
        await using var tls = new SslStream(near.GetStream(ownsSocket: true));
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(Exchange.Limit);

        // The server's flight is lost: it has seen the hello, and its answer never comes.
        net.CableBetween(client, server).Partition(from: server);
        Task handshake = tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "server" }, patience.Token);
        Assert.NotEqual(0, await far.ReceiveAsync(new byte[10], Exchange.Limit));
        if (caller)
        {
            await patience.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => handshake);
        }
        else
        {
            IOException error = await Assert.ThrowsAnyAsync<IOException>(() => handshake);
            Assert.Equal(SocketError.TimedOut, Assert.IsType<SocketException>(error.InnerException).SocketErrorCode);
        }

        await tls.DisposeAsync();
        far.Abort();
        await Exchange.AssertNothingLeaksAsync(net);
    }

    [Fact]
    public async Task A_partition_in_the_middle_of_a_tls_handshake_ends_an_http_request_by_its_timeout()
    {
        var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair();
        using X509Certificate2 certificate = MakeCertificate();
        int asked = 0;
        X509Certificate2 Choose()
        {
            // In the very middle: the server has the client's hello, its answer never arrives.
            Interlocked.Increment(ref asked);
            net.CableBetween(client, server).Partition();
            return certificate;
        }

        await using (WebApplication app = await ServeAsync(server, Choose, app => app.MapGet("/", () => "never")))
        {
            SocketsHttpHandler handler = client.CreateHttpHandler();
            handler.ConnectTimeout = TimeSpan.FromMilliseconds(500);
            using var http = new HttpClient(handler);
            TaskCanceledException error = await Assert.ThrowsAsync<TaskCanceledException>(() => http.GetStringAsync("https://server/", Exchange.Limit));
            Assert.Contains("ConnectTimeout", error.ToString(), StringComparison.Ordinal);
            Assert.Equal(1, asked);
        }

        await Exchange.AssertNothingLeaksAsync(net);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_partition_in_the_middle_of_a_tls_stream_lets_it_go_on_when_it_is_healed_or_ends_it_by_the_user_timeout(bool healed)
    {
        // More than fits between the two: a part is on its way whenever the cable is cut.
        const int Bytes = 20_000_000;
        var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair(new CableOptions { Delay = TimeSpan.FromMilliseconds(1) });
        using X509Certificate2 certificate = MakeCertificate();
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(
            client, server, 443, new TcpConnectOptions { UserTimeout = healed ? null : TimeSpan.FromMilliseconds(300) });
        await using var writer = new SslStream(near.GetStream(ownsSocket: true), false, (_, presented, _, _) => presented?.GetCertHashString() == certificate.GetCertHashString());
        await using var reader = new SslStream(far.GetStream(ownsSocket: true));
        await Task.WhenAll(
            writer.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "server" }, Exchange.Limit),
            reader.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate }, Exchange.Limit));
        byte[] data = new byte[Bytes], arrived = new byte[Bytes];
        new Random(1).NextBytes(data);

        NetworkCable cable = net.CableBetween(client, server);
        Task writing = WriteAsync();
        await reader.ReadExactlyAsync(arrived.AsMemory(0, Bytes / 4), Exchange.Limit);
        long lost = cable.CountersFrom(client).Lost;
        cable.Partition();
        await Exchange.UntilAsync(() => cable.CountersFrom(client).Lost > lost);
        if (healed)
        {
            cable.Heal();
            await reader.ReadExactlyAsync(arrived.AsMemory(Bytes / 4), Exchange.Limit);
            await writing;
            Assert.Equal(data, arrived);
        }
        else
        {
            IOException error = await Assert.ThrowsAnyAsync<IOException>(() => writing);
            Assert.Equal(SocketError.TimedOut, Assert.IsType<SocketException>(error.InnerException).SocketErrorCode);
        }

        // What arrived before an error can still be read, and is held until the socket is disposed: here the server's session tickets.
        await writer.DisposeAsync();
        far.Abort();
        await Exchange.AssertNothingLeaksAsync(net);

        async Task WriteAsync()
        {
            do
            {
                await writer.WriteAsync(data, Exchange.Limit);
            }
            while (!healed);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Requests_in_flight_end_when_a_host_is_disposed(bool disposeServer)
    {
        var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair(new CableOptions { Delay = TimeSpan.FromMilliseconds(2) });
        int inside = 0;
        await using (WebApplication app = await ServeAsync(server, null, app => app.MapGet("/", async (HttpContext context) =>
        {
            Interlocked.Increment(ref inside);
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        })))
        {
            using HttpClient http = client.CreateHttpClient(new Uri("http://server"));
            Task<string>[] requests = [.. Enumerable.Range(0, 20).Select(_ => http.GetStringAsync("/", Exchange.Limit))];
            await Exchange.UntilAsync(() => Volatile.Read(ref inside) == requests.Length);
            await (disposeServer ? server : client).DisposeAsync();
            foreach (Task<string> request in requests)
            {
                HttpRequestException error = await Assert.ThrowsAsync<HttpRequestException>(() => request);
                Assert.IsAssignableFrom<IOException>(error.InnerException);
            }

            if (disposeServer)
            {
                // Its plugs are pulled: nobody answers.
                using var brief = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => http.GetStringAsync("/", brief.Token));
            }
            else
            {
                HttpRequestException error = await Assert.ThrowsAsync<HttpRequestException>(() => http.GetStringAsync("/", Exchange.Limit));
                Assert.IsType<ObjectDisposedException>(error.InnerException);
            }
        }

        await Exchange.AssertNothingLeaksAsync(net);
    }

    [Fact]
    public async Task Disposing_the_network_ends_what_still_runs()
    {
        var net = new VirtualNetwork(seed: 1);
        var (client, server) = net.CreatePair(new CableOptions { Delay = TimeSpan.FromMilliseconds(2) });
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(client, server);
        Task<int> reading = near.ReceiveAsync(new byte[10], Exchange.Limit).AsTask();
        await using TcpSocketListener listener = server.Listen(80);
        Task<TcpSocket> accepting = listener.AcceptAsync(Exchange.Limit).AsTask();
        net.CableBetween(client, server).Freeze();
        Task<TcpSocket> connecting = client.ConnectAsync("server", 80, null, Exchange.Limit).AsTask();
        await Exchange.AssertNothingLeaksAsync(net);
        await Assert.ThrowsAnyAsync<Exception>(() => reading);
        await Assert.ThrowsAnyAsync<Exception>(() => accepting);
        await Assert.ThrowsAnyAsync<Exception>(() => connecting);
        far.Dispose();
    }

    private static async Task<WebApplication> ServeAsync(VirtualHost server, Func<X509Certificate2>? certificate, Action<WebApplication> map)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UsePenstock(server.Stack);
        builder.WebHost.ConfigureKestrel(options => options.Listen(IPAddress.Any, certificate is null ? 80 : 443, listen =>
        {
            if (certificate is not null)
            {
                listen.UseHttps(https => https.ServerCertificateSelector = (_, _) => certificate());
            }
        }));
        WebApplication app = builder.Build();
        map(app);
        await app.StartAsync(Exchange.Limit);
        return app;
    }

    private static X509Certificate2 MakeCertificate()
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=server", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using X509Certificate2 made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pkcs12), null);
    }
}
