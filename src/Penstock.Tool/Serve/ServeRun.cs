using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Spectre.Console;

namespace Penstock.Tool.Serve;

/// <summary>One run of <c>serve</c>: builds the network and the site, says where they are, waits for the end, and takes both down in order.</summary>
internal static class ServeRun
{
    /// <summary>How long requests that are under way may go on after the signal.</summary>
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan s_lookAround = TimeSpan.FromSeconds(1);

    /// <exception cref="ToolFailure">It could not start, or the link failed while it ran.</exception>
    public static async Task<int> RunAsync(ServeSettings settings, TextWriter output, TextWriter error, CancellationToken stop)
    {
        ServeNetwork network = settings.Tun is null ? new EmbeddedNetwork(settings) : new TunNetwork(settings);
        await using var ownedNetwork = network.ConfigureAwait(false);
        WebApplication site = ServeSite.Build(settings, network);
        await using var ownedSite = site.ConfigureAwait(false);
        await site.StartAsync(stop).ConfigureAwait(false);
        network.Open();
        Announce(output, settings, network);

        string? failed = await WaitAsync(network, error, stop).ConfigureAwait(false);
        await error.WriteLineAsync("Stopping; Ctrl-C again ends at once.").ConfigureAwait(false);
        network.Close();
        using var grace = new CancellationTokenSource(s_grace);
        await site.StopAsync(grace.Token).ConfigureAwait(false);
        return failed is null ? PenstockCommand.Success : throw ToolFailure.Environment($"{failed.TrimEnd('.')}. Start it again.");
    }

    /// <summary>Waits for the end; null when it was asked for, else what failed. Meanwhile keeps the capture readable.</summary>
    private static async Task<string?> WaitAsync(ServeNetwork network, TextWriter error, CancellationToken stop)
    {
        using var timer = new PeriodicTimer(s_lookAround);
        bool told = false;
        try
        {
            while (await timer.WaitForNextTickAsync(stop).ConfigureAwait(false))
            {
                network.Capture?.Flush();
                if (!told && network.Capture?.Failure is { } failure)
                {
                    told = true;
                    await error.WriteLineAsync($"penstock: the capture has ended: {failure.Message}").ConfigureAwait(false);
                }

                if (network.Server.LinkFailures.Count > 0)
                {
                    return network.Server.LinkFailures.First();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The end that was waited for.
        }

        return null;
    }

    private static void Announce(TextWriter output, ServeSettings settings, ServeNetwork network)
    {
        var target = new AnsiConsoleOutput(output);
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = target,
            Ansi = target.IsTerminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = target.IsTerminal ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
        });
        if (!target.IsTerminal)
        {
            // One fact a line, whatever its length: somebody may be grepping.
            console.Profile.Width = 4096;
        }

        Line("Serving", settings.Root is null ? "a built-in page (--root DIR serves a folder)" : settings.Root + (settings.Writable ? " (writable)" : ""));
        Line("URL", $"{network.Url}/");
        Line("Live", $"{network.Url}{ServeSite.StatusPath}");
        Line("Path", string.Join(" -> ", network.Path));
        if (settings.Capture is not null)
        {
            Line("Capture", settings.Capture);
        }

        Line("Stop", "Ctrl-C");
        output.Flush();

        void Line(string label, string value) =>
            console.MarkupLine(string.Create(CultureInfo.InvariantCulture, $"[bold]{label,-8}[/]{Markup.Escape(value)}"));
    }
}
