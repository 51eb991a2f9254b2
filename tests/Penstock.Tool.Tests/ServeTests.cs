using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Penstock.Tool.Tests;

/// <summary><c>serve</c> on the embedded network: HTTP as a client sees it, through the kernel's loopback, the bridge and two stacks.</summary>
public sealed class ServeTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Without_a_folder_a_page_tells_what_to_do()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync(withRoot: false);

        string page = await serve.Http.GetStringAsync("/", Cancel);

        Assert.Contains("/penstock", page, StringComparison.Ordinal);
        Assert.Contains("loopback bridge -> stack 'client' 10.77.0.1 -> cable -> stack 'server' 10.77.0.2:80 -> Kestrel", serve.Output, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.NotFound, (await serve.Http.GetAsync("/nothing", Cancel)).StatusCode);
    }

    [Fact]
    public async Task The_live_page_needs_nothing_from_elsewhere()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync(withRoot: false);

        using HttpResponseMessage answer = await serve.Http.GetAsync("/penstock", Cancel);

        string page = await answer.Content.ReadAsStringAsync(Cancel);
        Assert.Equal("text/html", answer.Content.Headers.ContentType?.MediaType);
        Assert.Contains("default-src 'none'", answer.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
        Assert.DoesNotContain("src=\"http", page, StringComparison.Ordinal);
        Assert.DoesNotContain("@import", page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_folder_is_listed_and_its_files_have_ranges()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync();
        await File.WriteAllTextAsync(Path.Combine(serve.Root!, "digits.txt"), "0123456789", Cancel);
        await File.WriteAllTextAsync(Path.Combine(serve.Root!, "README"), "no suffix", Cancel);

        string listing = await serve.Http.GetStringAsync("/", Cancel);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/digits.txt") { Headers = { Range = new RangeHeaderValue(3, 5) } };
        using HttpResponseMessage part = await serve.Http.SendAsync(request, Cancel);

        Assert.Contains("digits.txt", listing, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.PartialContent, part.StatusCode);
        Assert.Equal("345", await part.Content.ReadAsStringAsync(Cancel));
        Assert.Equal("no suffix", await serve.Http.GetStringAsync("/README", Cancel));
    }

    [Fact]
    public async Task What_is_put_can_be_fetched_and_replaced()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync("--writable");
        byte[] body = RandomNumberGenerator.GetBytes(1_000_000);

        using HttpResponseMessage created = await serve.Http.PutAsync("/new.bin", new ByteArrayContent(body), Cancel);
        byte[] fetched = await serve.Http.GetByteArrayAsync("/new.bin", Cancel);
        using HttpResponseMessage replaced = await serve.Http.PutAsync("/new.bin", new StringContent("short"), Cancel);

        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        Assert.Equal(body, fetched);
        Assert.Equal(HttpStatusCode.OK, replaced.StatusCode);
        Assert.Equal("short", await serve.Http.GetStringAsync("/new.bin", Cancel));
        Assert.Equal(["new.bin"], Directory.GetFiles(serve.Root!).Select(Path.GetFileName));
    }

    [Fact]
    public async Task Without_writable_nothing_is_put()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync();

        using HttpResponseMessage answer = await serve.Http.PutAsync("/new.bin", new StringContent("x"), Cancel);

        Assert.Equal(HttpStatusCode.MethodNotAllowed, answer.StatusCode);
        Assert.Contains("--writable", await answer.Content.ReadAsStringAsync(Cancel), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(serve.Root!));
    }

    [Theory]
    [InlineData("/../escaped", 201)] // A path that the server normalizes: it lands in the root, not above it.
    [InlineData("/%2e%2e/escaped", 201)]
    [InlineData("/..%2fescaped", 403)]
    [InlineData("/..%5cescaped", 400)]
    [InlineData("/link/escaped", 403)]
    [InlineData("/missing/escaped", 409)]
    [InlineData("/folder", 409)]
    [InlineData("/folder/", 400)]
    [InlineData("/.hidden", 403)]
    [InlineData("/folder//escaped", 400)]
    [InlineData("//escaped", 400)]
    [InlineData("/c:escaped", 400)]
    public async Task A_put_never_leaves_the_root(string path, int status)
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync("--writable");
        string outside = Directory.CreateTempSubdirectory("penstock-outside-").FullName;
        Directory.CreateDirectory(Path.Combine(serve.Root!, "folder"));
        Directory.CreateSymbolicLink(Path.Combine(serve.Root!, "link"), outside);

        // HttpClient would normalize the path itself.
        string answer = await RawAsync(serve.Http.BaseAddress!, $"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");

        Assert.StartsWith($"HTTP/1.1 {status} ", answer, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(outside));
        Assert.False(File.Exists(Path.Combine(serve.Root!, "..", "escaped")));
        Assert.Equal(status == 201, File.Exists(Path.Combine(serve.Root!, "escaped")));
        Directory.Delete(outside);
    }

    [Fact]
    public async Task A_linked_file_is_replaced_not_followed()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync("--writable");
        string outside = Path.GetTempFileName();
        File.CreateSymbolicLink(Path.Combine(serve.Root!, "alias"), outside);

        using HttpResponseMessage answer = await serve.Http.PutAsync("/alias", new StringContent("inside"), Cancel);

        Assert.True(answer.IsSuccessStatusCode);
        Assert.Empty(await File.ReadAllBytesAsync(outside, Cancel));
        Assert.Null(new FileInfo(Path.Combine(serve.Root!, "alias")).LinkTarget);
        File.Delete(outside);
    }

    [Fact]
    public async Task An_upload_that_breaks_off_leaves_the_old_file()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync("--writable");
        string file = Path.Combine(serve.Root!, "kept.txt");
        await File.WriteAllTextAsync(file, "old", Cancel);
        Uri at = serve.Http.BaseAddress!;

        using (var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            await socket.ConnectAsync(at.Host, at.Port, Cancel);
            await socket.SendAsync(Encoding.ASCII.GetBytes("PUT /kept.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nnew"), Cancel);
            await UntilAsync(() => Directory.GetFiles(serve.Root!).Length == 2);
            socket.LingerState = new LingerOption(true, 0);
        }

        // The reset crosses the bridge, and the part goes.
        await UntilAsync(() => Directory.GetFiles(serve.Root!).Length == 1);
        Assert.Equal("old", await File.ReadAllTextAsync(file, Cancel));
    }

    [Fact]
    public async Task A_large_file_survives_a_lossy_cable()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync("--loss", "1%", "--delay", "1ms");
        byte[] expected = await WriteLargeFileAsync(Path.Combine(serve.Root!, "large.bin"), 64);

        await using Stream body = await serve.Http.GetStreamAsync("/large.bin", Cancel);
        byte[] actual = await SHA256.HashDataAsync(body, Cancel);

        Assert.Equal(expected, actual);
        JsonElement cable = (await DataAsync(serve)).GetProperty("cable")[1];
        Assert.True(cable.GetProperty("lost").GetInt64() > 0, "the cable lost nothing");
    }

    [Fact]
    public async Task A_delay_costs_a_new_connection_two_round_trips()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync(withRoot: false, "--delay", "50ms");
        using HttpClient fresh = serve.NewClient();

        long start = Stopwatch.GetTimestamp();
        await fresh.GetStringAsync("/", Cancel);
        TimeSpan elapsed = Stopwatch.GetElapsedTime(start);

        Assert.True(elapsed >= TimeSpan.FromMilliseconds(200), $"took {elapsed}");
    }

    [Fact]
    public async Task The_live_data_shows_a_transfer()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync();
        await File.WriteAllBytesAsync(Path.Combine(serve.Root!, "some.bin"), new byte[3_000_000], Cancel);
        Assert.Equal(3_000_000, (await serve.Http.GetByteArrayAsync("/some.bin", Cancel)).Length);

        JsonElement data = await DataAsync(serve);

        string viewer = data.GetProperty("viewer").GetString()!;
        JsonElement stacks = data.GetProperty("stacks");
        JsonElement server = Connections(stacks[0]).Single(c => c.GetProperty("remote").GetString() == viewer);
        JsonElement client = Connections(stacks[1]).Single(c => c.GetProperty("local").GetString() == viewer);
        Assert.Equal("server", stacks[0].GetProperty("name").GetString());
        Assert.True(server.GetProperty("bytesAcked").GetInt64() >= 3_000_000);
        Assert.True(client.GetProperty("bytesReceived").GetInt64() >= 3_000_000);
        Assert.True(server.GetProperty("cwnd").GetInt32() >= 10);
        Assert.Equal("Established", server.GetProperty("state").GetString());
        Assert.Contains(Connections(stacks[0]), c => c.GetProperty("state").GetString() == "Listen");
        Assert.True(stacks[0].GetProperty("interfaces")[1].GetProperty("bytesOut").GetInt64() >= 3_000_000);
        Assert.True(stacks[0].GetProperty("counters").GetProperty("TcpPassiveOpens").GetInt64() >= 1);
    }

    [Fact]
    public async Task A_capture_can_be_read_while_it_runs_and_is_whole_at_the_end()
    {
        string capture = Path.Combine(Path.GetTempPath(), $"penstock-{Path.GetRandomFileName()}.pcapng");
        try
        {
            await using (ServeInProcess serve = await ServeInProcess.StartAsync(withRoot: false, "--capture", capture))
            {
                await serve.Http.GetStringAsync("/", Cancel);
                await UntilAsync(() => new FileInfo(capture).Length > 2000);
            }

            // Every pcapng block ends with its own length, so the blocks of a whole file meet its end exactly.
            byte[] file = await File.ReadAllBytesAsync(capture, Cancel);
            int at = 0, blocks = 0;
            for (; at < file.Length; blocks++)
            {
                int length = BitConverter.ToInt32(file, at + 4);
                Assert.Equal(length, BitConverter.ToInt32(file, at + length - 4));
                at += length;
            }

            Assert.Equal(file.Length, at);
            Assert.True(blocks > 8, $"{blocks} blocks");
        }
        finally
        {
            File.Delete(capture);
        }
    }

    /// <summary>Writes a file of random megabytes and returns its SHA-256.</summary>
    internal static async Task<byte[]> WriteLargeFileAsync(string path, int megabytes)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await using FileStream file = File.Create(path);
        for (int i = 0; i < megabytes; i++)
        {
            byte[] piece = RandomNumberGenerator.GetBytes(1 << 20);
            hash.AppendData(piece);
            await file.WriteAsync(piece, Cancel);
        }

        return hash.GetHashAndReset();
    }

    private static IEnumerable<JsonElement> Connections(JsonElement stack) => stack.GetProperty("connections").EnumerateArray();

    private static async Task<JsonElement> DataAsync(ServeInProcess serve)
    {
        using JsonDocument document = JsonDocument.Parse(await serve.Http.GetStringAsync("/penstock/data", Cancel));
        return document.RootElement.Clone();
    }

    private static async Task<string> RawAsync(Uri at, string request)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(at.Host, at.Port, Cancel);
        await socket.SendAsync(Encoding.ASCII.GetBytes(request), Cancel);
        var answer = new MemoryStream();
        byte[] buffer = new byte[4096];
        int read;
        while ((read = await socket.ReceiveAsync(buffer, Cancel)) > 0)
        {
            answer.Write(buffer, 0, read);
        }

        return Encoding.ASCII.GetString(answer.ToArray());
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
        {
            await Task.Delay(20, Cancel);
        }
    }
}
