using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace Penstock.Tool.Perf.Pipe;

/// <summary>
/// Kestrel and <see cref="HttpClient"/> in this process, a small answer, 1 and 16 requests at a time: over two stacks, and over the system's sockets on the loopback. In each
/// run the four follow each other, so that what else the machine does meets all of them.
/// </summary>
internal sealed class HttpTest : PipeTest
{
    private static readonly byte[] s_answer = "Hello, World!"u8.ToArray();
    private static readonly int[] s_concurrent = [1, 16];

    public override IReadOnlyList<string> Names => ["pipe.http.1", "pipe.http.16", "sockets.http.1", "sockets.http.16"];

    public override async Task RunAsync(PipeSettings settings, PipeReport report)
    {
        var pair = new PipePair();
        await using var ownedPair = pair.ConfigureAwait(false);
        WebApplication ours = await StartAsync(builder => builder.UsePenstock(pair.Server), PipePair.At(80), report.Stop).ConfigureAwait(false);
        await using var ownedOurs = ours.ConfigureAwait(false);
        WebApplication theirs = await StartAsync(static builder => builder.UseSockets(), new IPEndPoint(IPAddress.Loopback, 0), report.Stop).ConfigureAwait(false);
        await using var ownedTheirs = theirs.ConfigureAwait(false);
        using var overStack = new HttpClient(pair.Client.CreateHttpHandler());
        using var overSockets = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        await report.RepeatAsync(settings, RunOnceAsync).ConfigureAwait(false);

        async Task RunOnceAsync()
        {
            foreach (int concurrent in s_concurrent)
            {
                await MeasureAsync($"pipe.http.{concurrent}", overStack, $"http://{PipePair.At(80)}/", concurrent, settings.Time, report).ConfigureAwait(false);
                await MeasureAsync($"sockets.http.{concurrent}", overSockets, theirs.Urls.First(), concurrent, settings.Time, report).ConfigureAwait(false);
            }
        }
    }

    private static async Task<WebApplication> StartAsync(Action<IWebHostBuilder> transport, IPEndPoint at, CancellationToken stop)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "penstock" });
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(at));
        transport(builder.WebHost);
        WebApplication site = builder.Build();
        site.Run(static context =>
        {
            context.Response.ContentLength = s_answer.Length;
            return context.Response.Body.WriteAsync(s_answer, 0, s_answer.Length);
        });
        await site.StartAsync(stop).ConfigureAwait(false);
        return site;
    }

    private static async Task MeasureAsync(string test, HttpClient http, string url, int concurrent, TimeSpan time, PipeReport report)
    {
        if (!report.IsChosen(test))
        {
            return;
        }

        await AskAsync(test, http, url, concurrent, time / 2, report.Stop).ConfigureAwait(false);
        Moment begin = Moment.Now;
        long done = await AskAsync(test, http, url, concurrent, time, report.Stop).ConfigureAwait(false);
        Moment end = Moment.Now;
        report.Add(test, "requests/s", done / begin.SecondsUntil(end), begin.UsedUntil(end, done, "request"));
    }

    private static async Task<long> AskAsync(string test, HttpClient http, string url, int concurrent, TimeSpan time, CancellationToken stop)
    {
        Moment begin = Moment.Now;
        var asking = new Task<long>[concurrent];
        for (int i = 0; i < concurrent; i++)
        {
            asking[i] = Task.Run(
                async () =>
                {
                    long answers = 0;
                    do
                    {
                        byte[] answer = await http.GetByteArrayAsync(url, stop).ConfigureAwait(false);
                        answers += answer.AsSpan().SequenceEqual(s_answer)
                            ? 1
                            : throw ToolFailure.Environment($"{test}: the answer is not what was sent. This is a bug in the stack: please report it.");
                    }
                    while (begin.Elapsed < time);
                    return answers;
                },
                stop);
        }

        return (await Task.WhenAll(asking).ConfigureAwait(false)).Sum();
    }
}
