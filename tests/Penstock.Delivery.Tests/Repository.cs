using System.Diagnostics;
using System.Text;

// These tests build and publish: one after the other is quicker, and steps on nobody's files.
[assembly: CollectionBehavior(CollectionBehavior.CollectionPerAssembly)]

namespace Penstock.Delivery.Tests;

/// <summary>Where the sources are, how they were built, and a way to run programs on them.</summary>
internal static class Repository
{
    /// <summary>The folder that has Penstock.slnx.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Debug or Release, as these tests themselves.</summary>
    public static string Configuration { get; } = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar)).Parent!.Name;

    public static string PathTo(params string[] parts) => Path.Combine([Root, .. parts]);

    /// <summary>The pages that people read: the README, docs, and the page of each package. Relative to <see cref="Root"/>.</summary>
    public static IEnumerable<string> Pages() =>
        new[] { "README.md", "CONTRIBUTING.md" }
            .Concat(Directory.EnumerateFiles(PathTo("docs"), "*.md").Concat(Directory.EnumerateFiles(PathTo("src"), "README.md", SearchOption.AllDirectories)).Select(page => Path.GetRelativePath(Root, page)))
            .Order(StringComparer.Ordinal);

    /// <summary>Runs a program in <paramref name="folder"/> and returns its output; it has to end with 0.</summary>
    public static async Task<string> RunAsync(string folder, string program, params string[] arguments)
    {
        (int code, string output) = await TryRunAsync(folder, program, arguments);
        Assert.True(code == 0, $"{program} {string.Join(' ', arguments)} ended with {code}:\n{output}");
        return output;
    }

    /// <summary>Runs a program in <paramref name="folder"/> and returns its exit code and all that it wrote.</summary>
    public static async Task<(int Code, string Output)> TryRunAsync(string folder, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };

        // What the dotnet that runs these tests has told its children must not steer another one; and no build server may outlive a test with its output open.
        foreach (string name in start.Environment.Keys.Where(key => key.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase)).ToArray())
        {
            start.Environment.Remove(name);
        }

        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["UseSharedCompilation"] = "false";
        start.Environment["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1";
        start.Environment["DOTNET_NOLOGO"] = "1";
        using Process process = Process.Start(start)!;
        var output = new StringBuilder();
        void Take(object sender, DataReceivedEventArgs line)
        {
            lock (output)
            {
                output.AppendLine(line.Data);
            }
        }

        process.OutputDataReceived += Take;
        process.ErrorDataReceived += Take;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        try
        {
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }

        return (process.ExitCode, output.ToString());
    }

    private static string FindRoot()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Penstock.slnx")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new DirectoryNotFoundException("These tests run from the repository.");
    }
}
