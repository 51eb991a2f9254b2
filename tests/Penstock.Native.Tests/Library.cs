using System.Diagnostics;
using System.Runtime.InteropServices;
using Penstock.Tun.Tests;

namespace Penstock.Native.Tests;

/// <summary>
/// libpenstock as it is published, once for all tests of this assembly: from the directory that the environment variable LIBPENSTOCK names, or built by the documented command into a directory of
/// its own. Tests skip where there is no gcc.
/// </summary>
public sealed class Library : IDisposable
{
    private readonly Lazy<string> _directory;
    private readonly DirectoryInfo _work = Directory.CreateTempSubdirectory("libpenstock-");

    public Library() => _directory = new Lazy<string>(Publish);

    /// <summary>Where the library, the shim and the header are.</summary>
    public string Location => _directory.Value;

    /// <summary>The checkout.</summary>
    public static string Root
    {
        get
        {
            string? at = AppContext.BaseDirectory;
            while (at is not null && !File.Exists(Path.Combine(at, "Penstock.slnx")))
            {
                at = Path.GetDirectoryName(at);
            }

            return at ?? throw new InvalidOperationException("The tests of the library run from a checkout only.");
        }
    }

    /// <summary>Skips the running test, and says why, where the library or C programs cannot be built.</summary>
    public static void SkipUnlessPossible()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "libpenstock is for Linux.");
        NetworkNamespace.SkipWithoutProgram("gcc");
    }

    /// <summary>Builds a C program against the library and returns its path.</summary>
    public string Compile(string source)
    {
        string program = Path.Combine(_work.FullName, Path.GetFileNameWithoutExtension(source));
        (int code, string output) = Run("gcc",
            "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", $"-I{Location}", "-o", program, Path.Combine(Root, source),
            $"-L{Location}", "-l:libpenstock.so", $"-Wl,-rpath,{Location}");
        Assert.True(code == 0, output);
        return program;
    }

    public static (int Code, string Output) Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd() + errors.GetAwaiter().GetResult();
        process.WaitForExit();
        return (process.ExitCode, output);
    }

    public void Dispose() => _work.Delete(recursive: true);

    private string Publish()
    {
        if (Environment.GetEnvironmentVariable("LIBPENSTOCK") is { Length: > 0 } given)
        {
            return Path.GetFullPath(given);
        }

        // Artifacts of its own: the build that these tests came from may be in use.
        string runtime = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "linux-arm64" : "linux-x64";
        string dotnet = Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet" ? path : "dotnet";
        (int code, string output) = Run(dotnet,
            "publish", "-c", "Release", "-r", runtime, "--artifacts-path", _work.FullName, "--nologo", "-v", "quiet", "-p:RunAnalyzers=false", Path.Combine(Root, "src/Penstock.Native"));
        Assert.True(code == 0, output);
        return Path.Combine(_work.FullName, "publish", "Penstock.Native", $"release_{runtime}");
    }
}
