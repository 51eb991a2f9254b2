using System.CommandLine;
using System.Globalization;
using System.IO.Enumeration;
using System.Text.Json;
using System.Text.Json.Serialization;
using Penstock.Benchmarks.Compare;

namespace Penstock.Benchmarks.Matrix;

/// <summary>The command line: which cells, how many seeds, and where the outcome is written.</summary>
internal static class MatrixCommand
{
    private const string PageName = "performance.md";
    private const string PlotName = "matrix.svg";
    private const string DataName = "matrix.json";
    private const int FullSeeds = 5;
    private const int Success = 0;
    private const int Failure = 1;
    private const int UsageError = 2;
    private const int Interrupted = 130;
    private const double OverheadSeconds = 0.4;

    /// <summary>An erratic cell is measured no longer once its ratios are known to a tenth.</summary>
    private const double KnownWellEnough = 0.1;

    /// <summary>And no less than so many times: of few transfers all may happen to be slow, and seem to be known well.</summary>
    private const int LeastGoes = 4;

    private static readonly Pairing[] s_pairings = Enum.GetValues<Pairing>();

    private static readonly JsonSerializerOptions s_json = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, Converters = { new JsonStringEnumConverter() } };

    private static readonly Option<bool> s_quick = new("--quick") { Description = "One seed, and every second cell: shows that everything works." };

    private static readonly Option<string?> s_only = new("--only") { HelpName = "GLOB", Description = "Only the cells whose name matches, as in '100mbit-*' or '*-r*'." };

    private static readonly Option<int?> s_seeds = new("--seeds") { HelpName = "N", Description = $"Transfers of a cell, each with a loss pattern of its own; where packets only overtake so many at a time, until the outcome is clear. [default: {FullSeeds}; with --quick 1]" };

    private static readonly Option<bool> s_lossless = new("--lossless")
    {
        Description = "Instead of the matrix: what Linux and Penstock send again for nothing over a path that loses nothing, on a machine that this program loads.",
    };

    private static readonly Option<string?> s_out = new("--out")
    {
        HelpName = "DIR",
        Description = $"Where {PageName}, {PlotName} and {DataName} are written; of the page only the part between the marks. [default: docs; with --quick or --only artifacts/matrix]",
    };

    private static readonly Option<FileInfo?> s_from = new("--from") { HelpName = "FILE", Description = $"Measures nothing: writes page and plot anew from a {DataName}." };

    public static async Task<int> InvokeAsync(string[] arguments, TextWriter output, TextWriter error, CancellationToken stop)
    {
        var root = new RootCommand("Measures bulk transfers between Penstock and Linux under loss, reordering and delay, beside Linux to Linux on the same path with the same losses. Needs root. A full run takes about half an hour.")
        {
            s_quick, s_only, s_seeds, s_lossless, s_out, s_from,
        };
        root.SetAction((parsed, cancel) => RunAsync(parsed, output, error, cancel));
        ParseResult parsed = root.Parse(arguments);
        if (parsed.Errors.Count > 0 && parsed.Action is not System.CommandLine.Help.HelpAction)
        {
            await error.WriteLineAsync($"matrix: {parsed.Errors[0].Message} See 'eng/matrix --help'.");
            return UsageError;
        }

        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration { Output = output, Error = error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await error.WriteLineAsync("matrix: stopped. Nothing was written, and nothing is left running.");
            return Interrupted;
        }
        catch (Exception failure) when (failure is RunFailure or IOException or InvalidDataException or JsonException)
        {
            await error.WriteLineAsync($"matrix: {failure.Message}");
            return Failure;
        }
    }

    private static async Task<int> RunAsync(ParseResult parsed, TextWriter output, TextWriter error, CancellationToken stop)
    {
        string root = Root();
        bool quick = parsed.GetValue(s_quick);
        string? only = parsed.GetValue(s_only);
        if (parsed.GetValue(s_lossless))
        {
            string table = await Lossless.MeasureAsync(parsed.GetValue(s_seeds) ?? (quick ? 1 : FullSeeds), await CommitAsync(root, stop), error, stop);
            await output.WriteLineAsync(table);
            await PutAsync(parsed.GetValue(s_out) ?? Path.Combine(root, quick ? "artifacts/matrix" : "docs"), table, Lossless.Writer, output, stop);
            return Success;
        }

        MatrixReport report;
        if (parsed.GetValue(s_from) is { } saved)
        {
            report = JsonSerializer.Deserialize<MatrixReport>(await File.ReadAllTextAsync(saved.FullName, stop), s_json) ?? throw new InvalidDataException($"{saved} holds no report.");
        }
        else
        {
            Cell[] cells = [.. Cell.All.Where((cell, index) => only is null ? !quick || index % 2 == 0 : FileSystemName.MatchesSimpleExpression(only, cell.Name))];
            int seeds = parsed.GetValue(s_seeds) ?? (quick ? 1 : FullSeeds);
            if (seeds < 1 || cells.Length == 0)
            {
                await error.WriteLineAsync($"matrix: {(seeds < 1 ? "--seeds wants a number from 1 on." : $"no cell is called '{only}'. The cells: {string.Join(", ", Cell.All.Select(cell => cell.Name))}.")}");
                return UsageError;
            }

            report = await MeasureAsync(root, cells, seeds, error, stop);
        }

        string section = MatrixPage.Section(report);
        await output.WriteLineAsync(section);
        string folder = parsed.GetValue(s_out) ?? Path.Combine(root, quick || only is not null ? "artifacts/matrix" : "docs");
        await PutAsync(folder, section, MatrixPage.Writer, output, stop);
        await File.WriteAllTextAsync(Path.Combine(folder, PlotName), MatrixPlot.Draw(report), stop);
        await File.WriteAllTextAsync(Path.Combine(folder, DataName), JsonSerializer.Serialize(report, s_json) + "\n", stop);
        await output.WriteLineAsync($"Written: {PlotName}, {DataName}.");
        return Success;
    }

    private static async Task PutAsync(string folder, string section, string writer, TextWriter output, CancellationToken stop)
    {
        Directory.CreateDirectory(folder);
        string page = Path.Combine(folder, PageName);
        await File.WriteAllTextAsync(page, Page.Put(File.Exists(page) ? await File.ReadAllTextAsync(page, stop) : "", section, writer), stop);
        await output.WriteLineAsync($"Written: {Path.GetFullPath(page)}.");
    }

    private static async Task<MatrixReport> MeasureAsync(string root, Cell[] cells, int seeds, TextWriter error, CancellationToken stop)
    {
        long begin = TimeProvider.System.GetTimestamp();
        double load = SystemFacts.Load;
        double total = cells.Sum(cell => Estimate(cell, seeds)), done = 0;
        await error.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"{cells.Length} cells, {seeds} seeds, at most {Math.Ceiling(total / 60):0} minutes; load average {load:0.0}."));
        var outcomes = new List<Outcome>();
        foreach (Cell cell in cells)
        {
            await RunCellAsync(cell, seeds, outcomes, stop);
            done += Estimate(cell, seeds);
            double elapsed = TimeProvider.System.GetElapsedTime(begin).TotalSeconds;
            TimeSpan left = TimeSpan.FromSeconds(elapsed / done * (total - done));
            await error.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"[{TimeSpan.FromSeconds(elapsed):mm\\:ss}, {left:mm\\:ss} left] {cell.Name}: {string.Join(", ", s_pairings.Select(pairing => Line(outcomes, cell, pairing)))}"));
        }

        return new MatrixReport
        {
            Machine = SystemFacts.Machine,
            Commit = await CommitAsync(root, stop),
            Date = TimeProvider.System.GetUtcNow(),
            LoadBefore = load,
            LoadAfter = SystemFacts.Load,
            Seeds = seeds,
            Minutes = TimeProvider.System.GetElapsedTime(begin).TotalMinutes,
            Outcomes = outcomes,
        };
    }

    /// <summary>One seed is there to show that everything works.</summary>
    private static int MostGoes(Cell cell, int seeds) => seeds == 1 ? 1 : cell.MostGoes;

    /// <summary>Looks at how well the ratios are known and not at what they are.</summary>
    private static bool IsKnown(Cell cell, IReadOnlyList<Outcome> outcomes) =>
        ((Pairing[])[Pairing.Sends, Pairing.Receives]).All(pairing => MatrixReport.StandardError(outcomes, pairing) <= KnownWellEnough);

    private static async Task RunCellAsync(Cell cell, int seeds, List<Outcome> outcomes, CancellationToken stop)
    {
        if (cell.RunsAtOnce)
        {
            var own = new List<Outcome>();
            for (int go = 0; go < MostGoes(cell, seeds) && !(go >= LeastGoes && IsKnown(cell, own)); go++)
            {
                own.AddRange(await RunAtOnceAsync(cell, (go * seeds) + 1, seeds, stop));
            }

            outcomes.AddRange(own);
            return;
        }

        for (int seed = 1; seed <= seeds; seed++)
        {
            // Whoever comes first meets another machine than whoever comes last, so they take turns.
            foreach (Pairing pairing in seed % 2 == 1 ? s_pairings : s_pairings.Reverse())
            {
                outcomes.Add(await Transfer.RunAsync(cell, pairing, (ulong)seed, new Start(1), stop));
            }
        }
    }

    private static async Task<Outcome[]> RunAtOnceAsync(Cell cell, int firstSeed, int seeds, CancellationToken stop)
    {
        var start = new Start(seeds * s_pairings.Length);
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Task<Outcome>[] transfers = [.. Enumerable.Range(firstSeed, seeds).SelectMany(seed => s_pairings.Select(pairing => Task.Run(() => Transfer.RunAsync(cell, pairing, (ulong)seed, start, failed.Token), stop)))];

        // Whoever can not be prepared is not to be waited for by the others.
        foreach (Task<Outcome> transfer in transfers)
        {
            _ = transfer.ContinueWith(_ => failed.CancelAsync(), CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        }

        try
        {
            return await Task.WhenAll(transfers);
        }
        catch (OperationCanceledException) when (Array.Find(transfers, transfer => transfer.IsFaulted) is { } cause)
        {
            return [await cause];
        }
    }

    private static string Line(List<Outcome> outcomes, Cell cell, Pairing pairing)
    {
        Outcome[] own = [.. outcomes.Where(outcome => outcome.Cell == cell.Name && outcome.Pairing == pairing)];
        double typical = MatrixReport.Typical(cell, own);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{pairing} {Numbers.Text(typical)} (of {own.Length}, again {own.Sum(o => o.Retransmits)}, duplicates {own.Sum(o => o.Duplicates)}, timeouts {own.Sum(o => o.Timeouts)}, lost {own.Sum(o => o.Data.Lost)}+{own.Sum(o => o.Data.DroppedByQueue)}, gap {own.Max(o => o.LongestGapSeconds):0.00})");
    }

    private static double Estimate(Cell cell, int seeds) => (cell.Seconds + OverheadSeconds) * (cell.RunsAtOnce ? MostGoes(cell, seeds) : seeds * s_pairings.Length);

    private static async Task<string> CommitAsync(string root, CancellationToken stop)
    {
        TimeSpan limit = TimeSpan.FromSeconds(20);
        string commit = (await Processes.RunAsync(["git", "-C", root, "rev-parse", "--short=12", "HEAD"], limit, stop)).Trim();
        string changed = await Processes.RunAsync(["git", "-C", root, "status", "--porcelain", "--", "src"], limit, stop);
        return changed.Length > 0 ? commit + " with changes" : commit;
    }

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
