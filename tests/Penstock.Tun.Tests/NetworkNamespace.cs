using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Penstock.Tun.Tests;

/// <summary>
/// A network namespace of the test's own, with its loopback up. <see cref="Run"/> executes on a thread that has entered it: sockets and
/// TUN devices made there belong to it for good, whichever thread uses them later. Needs root and iproute2; call
/// <see cref="SkipUnlessPossible"/> first.
/// </summary>
internal sealed partial class NetworkNamespace : IDisposable
{
    private const int CloneNewNetwork = 0x4000_0000;
    private static int s_count;
    private readonly BlockingCollection<Action> _work = [];
    private readonly Thread _thread;
    private Exception? _enterFailure;

    public NetworkNamespace()
    {
        Name = $"penstock-{Environment.ProcessId}-{Interlocked.Increment(ref s_count)}";
        RunProgram("ip", "netns", "add", Name);
        try
        {
            RunProgram("ip", "-n", Name, "link", "set", "lo", "up");
            _thread = new Thread(Loop) { IsBackground = true, Name = Name };
            _thread.Start();
            Run(() => { });
        }
        catch
        {
            _work.CompleteAdding();
            RunProgram("ip", "netns", "del", Name);
            throw;
        }
    }

    public string Name { get; }

    /// <summary>Skips the running test, and says why, where namespaces or TUN devices cannot be had.</summary>
    public static void SkipUnlessPossible()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "TUN devices exist on Linux only.");
        Assert.SkipUnless(File.Exists("/dev/net/tun"), "/dev/net/tun is missing: load the tun module or give the container the device.");
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "Not root: network namespaces and TUN devices need CAP_NET_ADMIN and CAP_SYS_ADMIN.");
        Assert.SkipUnless(HasProgram("ip"), "The program ip is missing: run eng/setup.");
    }

    /// <summary>Skips the running test when <paramref name="name"/> is not installed.</summary>
    public static void SkipWithoutProgram(string name) => Assert.SkipUnless(HasProgram(name), $"The program {name} is missing: run eng/setup.");

    /// <summary>Runs <paramref name="action"/> inside and waits for it.</summary>
    public void Run(Action action) => Run(() =>
    {
        action();
        return true;
    });

    /// <summary>Runs <paramref name="function"/> inside and returns its result.</summary>
    public T Run<T>(Func<T> function)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        _work.Add(() =>
        {
            try
            {
                done.SetResult(_enterFailure is null ? function() : throw new InvalidOperationException("setns failed", _enterFailure));
            }
            catch (Exception failure)
            {
                done.SetException(failure);
            }
        });
        return done.Task.GetAwaiter().GetResult();
    }

    /// <summary>Runs a program inside and returns its exit code and output.</summary>
    public (int ExitCode, string Output) Execute(params string[] command) => Start("ip", ["netns", "exec", Name, .. command]);

    public void Dispose()
    {
        _work.CompleteAdding();
        _thread.Join();
        _work.Dispose();
        RunProgram("ip", "netns", "del", Name);
    }

    /// <summary>Runs a program outside that has to succeed.</summary>
    public static void RunProgram(string program, params string[] arguments)
    {
        (int code, string output) = Start(program, arguments);
        if (code != 0)
        {
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {code}: {output}");
        }
    }

    private static (int ExitCode, string Output) Start(string program, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd() + errors.GetAwaiter().GetResult();
        process.WaitForExit();
        return (process.ExitCode, output);
    }

    private static bool HasProgram(string name) =>
        Array.Exists(
            (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries),
            directory => File.Exists(Path.Combine(directory, name)));

    [LibraryImport("libc", EntryPoint = "setns")]
    private static partial int SetNamespace(int descriptor, int type);

    private void Loop()
    {
        try
        {
            using SafeFileHandle file = File.OpenHandle($"/run/netns/{Name}");
            if (SetNamespace((int)file.DangerousGetHandle(), CloneNewNetwork) != 0)
            {
                throw new IOException($"setns: errno {Marshal.GetLastSystemError()}");
            }
        }
        catch (Exception failure)
        {
            _enterFailure = failure;
        }

        foreach (Action work in _work.GetConsumingEnumerable())
        {
            work();
        }
    }
}
