namespace Penstock.Delivery.Tests;

/// <summary>The samples that are programs, run as a reader would run them. Those that are tests run with all others.</summary>
public sealed class SampleTests
{
    [Fact]
    public async Task Two_stacks_talk()
    {
        string output = await RunAsync("TwoStacks");
        Assert.Matches(@"^hello over 20 ms and 2 % loss; round trip \d+\.\d ms\s*$", output);
    }

    [Fact]
    public async Task Kestrel_and_HttpClient_talk()
    {
        string output = await RunAsync("KestrelAndHttpClient");
        Assert.StartsWith("Hello from a stack of my own.\nEstablished 10.1.0.1:", output.ReplaceLineEndings("\n"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Compiled_ahead_of_time_they_talk_too()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && (File.Exists("/usr/bin/gcc") || File.Exists("/usr/bin/clang")), "NativeAOT needs a linker and there is neither gcc nor clang: run eng/setup.");
        using var folder = new TemporaryFolder();

        // Warnings are errors, so this also says that nothing in the packages is unsafe to trim or needs code to be made at run time.
        await Repository.RunAsync(
            Repository.Root, "dotnet", "publish", "samples/KestrelAndHttpClient", "-c", Repository.Configuration, "-o", folder.Path, "-p:BuildProjectReferences=false", "-v", "quiet");
        string output = await Repository.RunAsync(folder.Path, Path.Combine(folder.Path, "KestrelAndHttpClient"));

        Assert.StartsWith("Hello from a stack of my own.\nEstablished 10.1.0.1:", output.ReplaceLineEndings("\n"), StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(folder.Path, "Penstock.dll")));
    }

    private static Task<string> RunAsync(string sample) =>
        Repository.RunAsync(Repository.Root, "dotnet", "run", "-c", Repository.Configuration, "--no-build", "--project", $"samples/{sample}");
}
