using Penstock.Tool.Demo.Html;
using Spectre.Console;

namespace Penstock.Tool.Demo;

/// <summary>Where results go and in which form.</summary>
internal sealed record DemoOutput(TextWriter Results, TextWriter Error, bool Json, string? HtmlFile);

/// <summary>One run of a demo: the experiments one after the other, their results as soon as each is done, and the page at the end.</summary>
internal static class DemoRun
{
    /// <exception cref="ToolFailure">The page could not be written.</exception>
    public static async Task<int> RunAsync(IReadOnlyList<Experiment> experiments, DemoSettings settings, DemoOutput output, CancellationToken stop)
    {
        using StreamWriter? page = OpenPage(output.HtmlFile);
        var reports = new List<ExperimentReport>();

        // A bar is for eyes: it would only be noise in a file or a pipe.
        bool bar = ReferenceEquals(output.Error, Console.Error) && !Console.IsErrorRedirected;
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output.Error) });
        foreach (Experiment experiment in experiments)
        {
            ExperimentReport report = bar
                ? await console.Progress().AutoClear(true).Columns(new SpinnerColumn(), new TaskDescriptionColumn(), new ProgressBarColumn(), new ElapsedTimeColumn()).StartAsync(context =>
                {
                    ProgressTask all = context.AddTask("demo", maxValue: experiments.Count);
                    all.Value = reports.Count;
                    return RunOneAsync(experiment, settings, what => all.Description = Markup.Escape(what), stop);
                }).ConfigureAwait(false)
                : await RunOneAsync(experiment, settings, static _ => { }, stop).ConfigureAwait(false);
            reports.Add(report);
            if (output.Json)
            {
                FigureJson.Write(report, output.Results);
            }
            else
            {
                FigureTable.Write(report, settings, output.Results);
            }
        }

        if (page is not null)
        {
            ReportPage.Write(reports, settings, page);
            await output.Error.WriteLineAsync($"Wrote {output.HtmlFile}").ConfigureAwait(false);
        }

        return PenstockCommand.Success;
    }

    /// <summary>Away from the caller's thread, so that the bar moves and a signal is heard.</summary>
    private static Task<ExperimentReport> RunOneAsync(Experiment experiment, DemoSettings settings, Action<string> progress, CancellationToken stop) => Task.Run(
        () =>
        {
            var report = new ExperimentReport(experiment, progress, stop);
            experiment.Run(settings, report);
            return report;
        },
        stop);

    /// <summary>Before anything runs: a path that can not be written should not cost a minute first.</summary>
    private static StreamWriter? OpenPage(string? path)
    {
        try
        {
            return path is null ? null : new StreamWriter(path);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw ToolFailure.Environment($"--html {path} can not be written: {failure.Message.TrimEnd('.')}. Name a file in a folder that exists.", failure);
        }
    }
}
