using System.IO.Compression;
using System.Xml.Linq;

namespace Penstock.Delivery.Tests;

/// <summary>
/// All packages, made once from what is built already, in a folder that serves as a feed. Their version is one that never was before, so that no cache of packages has something else under it.
/// </summary>
public sealed class PackageFeed : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();

    public string Version { get; } = $"0.0.0-test{Guid.NewGuid():N}";

    /// <summary>The feed.</summary>
    public string Path => _folder.Path;

    public async ValueTask InitializeAsync() =>
        await Repository.RunAsync(Repository.Root, "dotnet", "pack", "Penstock.slnx", "-c", Repository.Configuration, "--no-build", "-o", Path, $"-p:PackageVersion={Version}", "-v", "quiet");

    public ValueTask DisposeAsync()
    {
        _folder.Dispose();
        return ValueTask.CompletedTask;
    }

    public string File(string package, string extension) => System.IO.Path.Combine(Path, $"{package}.{Version}.{extension}");

    /// <summary>The package's description of itself, and the names of its files.</summary>
    internal (XElement Metadata, IReadOnlyList<string> Files) Open(string package)
    {
        using ZipArchive archive = ZipFile.OpenRead(File(package, "nupkg"));
        using Stream stream = archive.Entries.Single(entry => entry.FullName.EndsWith(".nuspec", StringComparison.Ordinal)).Open();
        XElement root = XDocument.Load(stream).Root!;
        return (root.Elements().Single(), [.. archive.Entries.Select(entry => entry.FullName)]);
    }
}
