using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;

namespace Penstock.Benchmarks.Compare;

/// <summary>The command line: what is asked for, what comes of it, and where it is written.</summary>
internal static class CompareCommand
{
    private const string PageName = "performance.md";
    private const string PlotName = "performance.svg";
    private const string DataName = "performance.json";
    private const int Success = 0;
    private const int Failure = 1;
    private const int UsageError = 2;
    private const int Interrupted = 130;

    private static readonly JsonSerializerOptions s_json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    private static readonly Option<bool> s_quick = new("--quick") { Description = "Two rounds of short runs: shows that everything works, the figures mean little." };

    private static readonly Option<string?> s_only = new("--only")
    {
        HelpName = "GLOB",
        Description = "Only the rows whose name matches, as in 'pipe.bulk.*' or 'tun.vnet.*'.",
    };

    private static readonly Option<int?> s_rounds = new("--rounds") { HelpName = "N", Description = $"How often each is measured. [default: {Plan.FullRounds}]" };

    private static readonly Option<string?> s_out = new("--out")
    {
        HelpName = "DIR",
        Description = $"Where {PageName}, {PlotName} and {DataName} are written; of the page only the part between the marks. [default: docs; with --quick or --only artifacts/compare]",
    };

    private static readonly Option<FileInfo?> s_from = new("--from")
    {
        HelpName = "FILE",
        Description = $"Measures nothing: writes page and plot anew from a {DataName}.",
    };

    public static async Task<int> InvokeAsync(string[] arguments, TextWriter output, TextWriter error, CancellationToken stop)
    {
        var root = new RootCommand(
            "Measures Penstock beside gVisor, lwIP, System.Net.Sockets and Linux, by turns in one run, and writes a table and a plot. The rows over devices need root. A full run takes about 15 minutes.")
        {
            s_quick, s_only, s_rounds, s_out, s_from,
        };
        root.SetAction((parsed, cancel) => RunAsync(parsed, output, error, cancel));
        ParseResult parsed = root.Parse(arguments);
        if (parsed.Errors.Count > 0 && parsed.Action is not System.CommandLine.Help.HelpAction)
        {
            await error.WriteLineAsync($"compare: {parsed.Errors[0].Message} See 'eng/compare --help'.");
            return UsageError;
        }

        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration { Output = output, Error = error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await error.WriteLineAsync("compare: stopped. Nothing was written, and nothing is left running.");
            return Interrupted;
        }
        catch (Exception failure) when (failure is RunFailure or IOException or InvalidDataException or JsonException)
        {
            await error.WriteLineAsync($"compare: {failure.Message}");
            return Failure;
        }
    }

    private static async Task<int> RunAsync(ParseResult parsed, TextWriter output, TextWriter error, CancellationToken stop)
    {
        string root = Root();
        bool part = parsed.GetValue(s_quick) || parsed.GetValue(s_only) is not null;
        Report report;
        if (parsed.GetValue(s_from) is { } saved)
        {
            report = JsonSerializer.Deserialize<Report>(await File.ReadAllTextAsync(saved.FullName, stop), s_json) ?? throw new InvalidDataException($"{saved} holds no report.");
        }
        else
        {
            bool quick = parsed.GetValue(s_quick);
            var plan = new Plan
            {
                Quick = quick,
                Rounds = parsed.GetValue(s_rounds) ?? (quick ? Plan.QuickRounds : Plan.FullRounds),
                Seconds = quick ? 0.3 : 1,
                Only = parsed.GetValue(s_only),
            };
            if (plan.Rounds < 1 || !Contest.Rows.Any(row => plan.Wants(row.Id)))
            {
                await error.WriteLineAsync($"compare: {(plan.Rounds < 1 ? "--rounds wants a number from 1 on." : $"no row is called '{plan.Only}'. The rows: {string.Join(", ", Contest.Rows.Select(row => row.Id))}.")}");
                return UsageError;
            }

            report = await MeasureAsync(root, plan, error, stop);
        }

        Terminal.Write(report, output);
        string folder = parsed.GetValue(s_out) ?? Path.Combine(root, part || report.Quick ? "artifacts/compare" : "docs");
        await WriteAsync(report, folder, output);
        Figure[] failed = [.. report.Figures.Where(figure => figure.Contestant == Contestant.Penstock && figure.Sorted().Count == 0)];
        if (failed.Length > 0)
        {
            await error.WriteLineAsync($"compare: Penstock itself failed in {string.Join(", ", failed.Select(figure => figure.Row))}; see above.");
        }

        return failed.Length > 0 ? Failure : Success;
    }

    private static async Task<Report> MeasureAsync(string root, Plan plan, TextWriter error, CancellationToken stop)
    {
        long begin = TimeProvider.System.GetTimestamp();
        void Progress(string line) => error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"[{TimeProvider.System.GetElapsedTime(begin):mm\\:ss}] {line}"));
        Peers peers = await Peers.PrepareAsync(root, Progress, stop);
        double load = SystemFacts.Load;
        var ledger = new Ledger(plan.Rounds, Progress);
        var devices = new DeviceRounds(peers, plan, ledger, Progress);
        var pipes = new PipeRounds(peers, plan, ledger, Progress);
        Progress(string.Create(CultureInfo.InvariantCulture, $"{plan.Rounds} rounds, about {Math.Ceiling((devices.Estimate() + pipes.Estimate()) / 60):0} minutes on a machine that does nothing else; its load average is {load:0.0}."));
        await devices.RunAsync(stop);
        await pipes.RunAsync(stop);
        return new Report
        {
            Machine = SystemFacts.Machine,
            Commit = peers.Versions[Contestant.Penstock],
            Date = TimeProvider.System.GetUtcNow(),
            LoadBefore = load,
            Rounds = plan.Rounds,
            SecondsARun = plan.Seconds,
            Minutes = TimeProvider.System.GetElapsedTime(begin).TotalMinutes,
            Quick = plan.Quick,
            Versions = peers.Versions,
            Absent = peers.Absent,
            Figures = ledger.Figures,
        };
    }

    private static async Task WriteAsync(Report report, string folder, TextWriter output)
    {
        Directory.CreateDirectory(folder);
        string page = Path.Combine(folder, PageName), plot = Path.Combine(folder, PlotName), data = Path.Combine(folder, DataName);
        string text = Page.Put(File.Exists(page) ? await File.ReadAllTextAsync(page) : "", Page.Section(report));
        await File.WriteAllTextAsync(page, text);
        if (Plot.Draw(report) is { } drawn)
        {
            await File.WriteAllTextAsync(plot, drawn);
        }

        await File.WriteAllTextAsync(data, ToJson(report));
        await output.WriteLineAsync($"Written: {Path.GetFullPath(page)}, {PlotName}, {DataName}.");
    }

    public static string ToJson(Report report) => JsonSerializer.Serialize(report, s_json) + "\n";

    private static string Root()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Penstock.slnx")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidDataException("This program does not run from inside the repository.");
    }
}
