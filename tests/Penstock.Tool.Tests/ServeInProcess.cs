using System.Net;

namespace Penstock.Tool.Tests;

/// <summary><c>penstock serve</c> running inside the test on a free port, with a folder of its own. Disposing it stops it gracefully and checks the exit code.</summary>
internal sealed class ServeInProcess : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly StringWriter _error = new();
    private readonly Announcement _output = new();
    private readonly Task<int> _run;

    private ServeInProcess(string? root, string[] arguments)
    {
        Root = root;
        _run = PenstockCommand.InvokeAsync(
            ["serve", "--listen", "127.0.0.1:0", .. root is null ? Array.Empty<string>() : ["--root", root], .. arguments],
            TextWriter.Synchronized(_output),
            TextWriter.Synchronized(_error),
            _stop.Token);
    }

    /// <summary>The folder, empty at first; null when none is served.</summary>
    public string? Root { get; }

    public HttpClient Http { get; private set; } = null!;

    /// <summary>What stands on stdout.</summary>
    public string Output => _output.ToString();

    public static Task<ServeInProcess> StartAsync(params string[] arguments) => StartAsync(withRoot: true, arguments);

    public static async Task<ServeInProcess> StartAsync(bool withRoot, params string[] arguments)
    {
        var serve = new ServeInProcess(withRoot ? Directory.CreateTempSubdirectory("penstock-serve-").FullName : null, arguments);
        Task first = await Task.WhenAny(serve._output.Complete, serve._run);
        Assert.True(first != serve._run, $"serve ended at once: {serve._error}");
        string url = serve.Output.Split('\n').Single(line => line.StartsWith("URL", StringComparison.Ordinal))[3..].Trim();
        serve.Http = serve.NewClient();
        serve.Http.BaseAddress = new Uri(url);
        return serve;
    }

    /// <summary>Another client, with connections of its own.</summary>
    public HttpClient NewClient() => new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }, disposeHandler: true)
    {
        BaseAddress = Http?.BaseAddress,
        Timeout = TimeSpan.FromMinutes(5),
        DefaultRequestVersion = HttpVersion.Version11,
    };

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _stop.CancelAsync();
        Assert.Equal(PenstockCommand.Success, await _run);
        _stop.Dispose();
        if (Root is not null)
        {
            Directory.Delete(Root, recursive: true);
        }
    }

    /// <summary>Knows when the last line of the announcement was written.</summary>
    private sealed class Announcement : StringWriter
    {
        private readonly TaskCompletionSource _complete = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Complete => _complete.Task;

        public override void Flush()
        {
            if (ToString().Contains("\nStop", StringComparison.Ordinal))
            {
                _complete.TrySetResult();
            }
        }
    }
}
