namespace Penstock.Tool.Tests;

/// <summary>The README shows the sample that the solution builds, and links only to what is there.</summary>
public sealed class ReadmeTests
{
    [Fact]
    public void The_sample_in_the_readme_is_the_one_that_is_built() =>
        Assert.Contains(File.ReadAllText(Path.Combine(Repository(), "samples", "TwoStacks", "Program.cs")), File.ReadAllText(Path.Combine(Repository(), "README.md")), StringComparison.Ordinal);

    [Fact]
    public void Its_links_lead_somewhere()
    {
        foreach (string piece in File.ReadAllText(Path.Combine(Repository(), "README.md")).Split("](")[1..])
        {
            string link = piece[..piece.IndexOf(')', StringComparison.Ordinal)];
            Assert.True(link.StartsWith("http", StringComparison.Ordinal) || Path.Exists(Path.Combine(Repository(), link)), $"{link} does not exist");
        }
    }

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
