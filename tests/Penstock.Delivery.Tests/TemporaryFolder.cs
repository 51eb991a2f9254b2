namespace Penstock.Delivery.Tests;

/// <summary>A folder outside of the repository, with all that is in it gone at the end.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("penstock-delivery-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
