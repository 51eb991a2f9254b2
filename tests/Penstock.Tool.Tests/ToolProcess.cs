using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Penstock.Tool.Tests;

/// <summary>A command-line program as a process of its own, in a network namespace if one is given. Disposing it kills it if it still runs.</summary>
internal sealed partial class ToolProcess : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _error = new();

    private ToolProcess(Process process)
    {
        _process = process;
        process.ErrorDataReceived += (_, line) =>
        {
            lock (_error)
            {
                _error.AppendLine(line.Data);
            }
        };
        process.BeginErrorReadLine();
    }

    public string Error
    {
        get
        {
            lock (_error)
            {
                return _error.ToString();
            }
        }
    }

    /// <summary>Starts the program of <paramref name="assembly"/>.</summary>
    public static ToolProcess Launch(string assembly, string? networkNamespace, params string[] arguments)
    {
        string[] command = [Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet" ? path : "dotnet", assembly, .. arguments];
        string[] whole = networkNamespace is null ? command : ["ip", "netns", "exec", networkNamespace, .. command];
        var start = new ProcessStartInfo(whole[0], whole[1..]) { RedirectStandardOutput = true, RedirectStandardError = true };
        return new ToolProcess(Process.Start(start)!);
    }

    /// <summary>Waits until it serves, which the line that begins with <paramref name="mark"/> says, and returns what it printed.</summary>
    public async Task<string> ReadyAsync(CancellationToken cancel, string mark = "Stop")
    {
        var output = new StringBuilder();
        while (await _process.StandardOutput.ReadLineAsync(cancel) is { } line)
        {
            output.AppendLine(line);
            if (line.StartsWith(mark, StringComparison.Ordinal))
            {
                return output.ToString();
            }
        }

        await _process.WaitForExitAsync(cancel);
        Assert.Fail($"the tool ended with {_process.ExitCode}: {Error}");
        return "";
    }

    /// <summary>What it printed since, when it has ended.</summary>
    public Task<string> RestAsync(CancellationToken cancel) => _process.StandardOutput.ReadToEndAsync(cancel);

    /// <summary>Sends a signal and returns the exit code. <c>ip netns exec</c> becomes the program it starts, so the process is the tool itself.</summary>
    public async Task<int> SignalAsync(int signal, CancellationToken cancel)
    {
        Assert.Equal(0, Kill(_process.Id, signal));
        return await ExitCodeAsync(cancel);
    }

    public async Task<int> ExitCodeAsync(CancellationToken cancel)
    {
        await _process.WaitForExitAsync(cancel);
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"process {_process.Id}");

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
