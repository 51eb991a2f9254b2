using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Penstock.Benchmarks.Compare;

/// <summary>Programs that this process starts. None outlives it when it ends in an orderly way.</summary>
internal static partial class Processes
{
    private const int Terminate = 15;
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(4);

    /// <summary>Runs a program to its end and returns what it printed.</summary>
    /// <exception cref="RunFailure">It ended badly, took longer than <paramref name="limit"/>, or does not exist.</exception>
    public static async Task<string> RunAsync(IReadOnlyList<string> command, TimeSpan limit, CancellationToken stop)
    {
        using Process process = Start(command, readOutput: true);
        Task<string> output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        Task<string> error = process.StandardError.ReadToEndAsync(CancellationToken.None);
        using var late = CancellationTokenSource.CreateLinkedTokenSource(stop);
        late.CancelAfter(limit);
        try
        {
            await process.WaitForExitAsync(late.Token);
        }
        catch (OperationCanceledException)
        {
            await EndAsync(process);
            stop.ThrowIfCancellationRequested();
            throw new RunFailure($"{Name(command)} did not end within {limit.TotalSeconds:0} s");
        }

        return process.ExitCode == 0 ? await output : throw new RunFailure($"{Name(command)} ended with {process.ExitCode}: {LastLine(await error)}");
    }

    /// <summary>Starts a program that goes on; what it prints is thrown away.</summary>
    public static Process StartServer(IReadOnlyList<string> command)
    {
        Process process = Start(command, readOutput: true);
        process.OutputDataReceived += static (_, _) => { };
        process.ErrorDataReceived += static (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    /// <summary>Asks a process to end, and insists after a while.</summary>
    public static async Task EndAsync(Process process)
    {
        if (process.HasExited)
        {
            return;
        }

        _ = Kill(process.Id, Terminate);
        using var late = new CancellationTokenSource(s_grace);
        try
        {
            await process.WaitForExitAsync(late.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
        }
    }

    private static Process Start(IReadOnlyList<string> command, bool readOutput)
    {
        try
        {
            return Process.Start(new ProcessStartInfo(command[0], command.Skip(1)) { RedirectStandardOutput = readOutput, RedirectStandardError = readOutput })!;
        }
        catch (System.ComponentModel.Win32Exception failure)
        {
            throw new RunFailure($"{command[0]}: {failure.Message}");
        }
    }

    private static string Name(IReadOnlyList<string> command) => string.Join(' ', command.SkipWhile(word => word is "ip" or "netns" or "exec" || word.StartsWith(Namespaces.Prefix, StringComparison.Ordinal)).Take(3).Select(word => word.Split('/')[^1]));

    private static string LastLine(string text) => text.TrimEnd().Split('\n')[^1];

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}

/// <summary>A run that gave no figure, and why.</summary>
internal sealed class RunFailure(string message) : Exception(message);
