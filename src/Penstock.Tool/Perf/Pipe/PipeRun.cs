namespace Penstock.Tool.Perf.Pipe;

/// <summary>One run of <c>perf pipe</c>: the tests one after the other. Lines of JSON come as soon as each test is done, a table at the end; progress goes to the error output.</summary>
internal static class PipeRun
{
    public static async Task<int> RunAsync(
        IReadOnlySet<string> chosen, PipeSettings settings, bool json, TextWriter output, TextWriter error, CancellationToken stop)
    {
        var results = new List<PerfResult>();
        try
        {
            foreach (PipeTest test in PipeCatalog.All)
            {
                if (!test.Names.Any(chosen.Contains))
                {
                    continue;
                }

                var report = new PipeReport(chosen, error.WriteLine, stop);
                await test.RunAsync(settings, report).ConfigureAwait(false);
                results.AddRange(report.Results);
                if (json)
                {
                    foreach (PerfResult result in report.Results)
                    {
                        await output.WriteLineAsync(result.ToJson()).ConfigureAwait(false);
                    }

                    await output.FlushAsync(stop).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await error.WriteLineAsync("Stopped; what was measured until then stands.").ConfigureAwait(false);
        }

        if (!json && results.Count > 0)
        {
            PerfTable.Write(results, output);
        }

        return PenstockCommand.Success;
    }
}
