namespace Tun2Socks.Tests;

/// <summary>What docs/tunnels.md shows is what the sample compiles and runs.</summary>
public sealed class DocsTests
{
    [Fact]
    public void Every_piece_of_code_is_in_the_sample()
    {
        // File by file: a piece is a run of lines of one of them.
        string[] files = [.. Directory.EnumerateFiles(Path.Combine(Repository(), "samples", "Tun2Socks"), "*.cs").Select(file => Squeeze(File.ReadLines(file)))];
        string[] pieces = Page().Split("```csharp\n")[1..];
        Assert.NotEmpty(pieces);
        foreach (string piece in pieces)
        {
            string code = Squeeze(piece[..piece.IndexOf("```", StringComparison.Ordinal)].Split('\n'));
            Assert.True(Array.Exists(files, file => file.Contains(code, StringComparison.Ordinal)), code);
        }
    }

    [Fact]
    public void Links_lead_somewhere()
    {
        string page = Page();
        foreach (string piece in page.Split("](")[1..])
        {
            string link = piece[..piece.IndexOf(')', StringComparison.Ordinal)];
            bool exists = link[0] == '#'
                ? page.Split('\n').Any(line => line.StartsWith("## ", StringComparison.Ordinal)
                    && line[3..].Replace(",", "", StringComparison.Ordinal).Replace(' ', '-').Equals(link[1..], StringComparison.OrdinalIgnoreCase))
                : Path.Exists(Path.Combine(Repository(), "docs", link));
            Assert.True(exists, $"{link} does not exist");
        }
    }

    private static string Page() => File.ReadAllText(Path.Combine(Repository(), "docs", "tunnels.md"));

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
