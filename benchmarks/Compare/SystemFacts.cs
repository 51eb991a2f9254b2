using System.Globalization;

namespace Penstock.Benchmarks.Compare;

/// <summary>What the figures depend on and the reader wants to know.</summary>
internal static class SystemFacts
{
    /// <summary>The kernel's version, without what a distribution appends.</summary>
    public static string Kernel => Read("/proc/sys/kernel/osrelease").Split('-', '+')[0].Trim() is { Length: > 0 } release ? release : Environment.OSVersion.VersionString;

    public static string Machine => string.Create(
        CultureInfo.InvariantCulture,
        $"{Environment.ProcessorCount} processors ({Processor}), {GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1L << 30):0} GiB, Linux {Kernel}, .NET {Environment.Version}");

    /// <summary>The load average of the last minute.</summary>
    public static double Load => double.TryParse(Read("/proc/loadavg").Split(' ')[0], CultureInfo.InvariantCulture, out double load) ? load : double.NaN;

    private static string Processor =>
        Read("/proc/cpuinfo").Split('\n').FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[^1].Trim() ?? "unknown model";

    public static bool HasProgram(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries).Any(folder => File.Exists(Path.Combine(folder, name)));

    private static string Read(string path) => File.Exists(path) ? File.ReadAllText(path) : "";
}
