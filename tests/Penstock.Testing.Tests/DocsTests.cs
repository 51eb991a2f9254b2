namespace Penstock.Testing.Tests;

/// <summary>What the documentation shows is what the samples compile and run.</summary>
public sealed class DocsTests
{
    [Theory]
    [InlineData("docs/testing.md")]
    [InlineData("README.md")]
    [InlineData("src/Penstock.Testing/README.md")]
    public void Every_piece_of_code_about_testing_is_in_the_samples(string page)
    {
        string samples = Squeeze(Directory.EnumerateFiles(Path.Combine(Repository(), "samples", "BadNetworks"), "*.cs", SearchOption.AllDirectories).SelectMany(File.ReadLines));
        int found = 0;
        foreach (string block in File.ReadAllText(Path.Combine(Repository(), page)).Split("```csharp\n")[1..])
        {
            string code = block[..block.IndexOf("```", StringComparison.Ordinal)];
            if (page != "docs/testing.md" && !code.Contains("VirtualNetwork", StringComparison.Ordinal))
            {
                continue;
            }

            found++;
            Assert.Contains(Squeeze(code.Split('\n')), samples, StringComparison.Ordinal);
        }

        Assert.NotEqual(0, found);
    }

    [Fact]
    public void Links_of_the_page_lead_somewhere()
    {
        foreach (string piece in File.ReadAllText(Path.Combine(Repository(), "docs", "testing.md")).Split("](")[1..])
        {
            string link = piece[..piece.IndexOf(')', StringComparison.Ordinal)];
            Assert.True(Path.Exists(Path.Combine(Repository(), "docs", link)), $"{link} does not exist");
        }
    }

    /// <summary>Lines without indentation and without empty ones.</summary>
    private static string Squeeze(IEnumerable<string> lines) => string.Join('\n', lines.Select(line => line.Trim()).Where(line => line.Length > 0));

    private static string Repository()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Penstock.slnx")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new DirectoryNotFoundException("These tests run from the repository.");
    }
}
