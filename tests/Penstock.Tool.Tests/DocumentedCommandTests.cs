using System.CommandLine;
using System.Text.RegularExpressions;

namespace Penstock.Tool.Tests;

/// <summary>The commands that the pages show are understood, and what they name is there.</summary>
public sealed partial class DocumentedCommandTests
{
    private static readonly string s_root = SourceTree.Root;

    public static TheoryData<string, string> Commands
    {
        get
        {
            var data = new TheoryData<string, string>();
            IEnumerable<string> pages = Directory.EnumerateFiles(s_root, "*.md")
                .Concat(Directory.EnumerateFiles(Path.Combine(s_root, "docs"), "*.md"))
                .Concat(Directory.EnumerateFiles(Path.Combine(s_root, "src"), "README.md", SearchOption.AllDirectories));
            foreach (string page in pages.Order(StringComparer.Ordinal))
            {
                foreach (Match block in Block().Matches(File.ReadAllText(page)))
                {
                    foreach (string line in block.Groups[1].Value.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
                    {
                        data.Add(Path.GetRelativePath(s_root, page), line);
                    }
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void A_command_that_a_page_shows_is_understood(string page, string line)
    {
        string command = Comment().Replace(line, "").Trim();
        Match tool = ToolCommand().Match(command);
        if (tool.Success)
        {
            ParseResult parsed = PenstockCommand.Parse(tool.Groups[1].Value.Split(' ', StringSplitOptions.RemoveEmptyEntries));
            Assert.True(parsed.Errors.Count == 0, $"{page}: {command}: {string.Join(" ", parsed.Errors.Select(error => error.Message))}");
            Assert.IsNotType<RootCommand>(parsed.CommandResult.Command);
        }

        foreach (Match file in RepositoryPath().Matches(command))
        {
            // What a Makefile beside it makes is there once the page's reader has run it.
            string path = file.Groups[1].Value;
            string full = Path.Combine(s_root, path);
            Assert.True(Path.Exists(full) || File.Exists(Path.Combine(Path.GetDirectoryName(full)!, "Makefile")), $"{page}: {command}: there is no {path}");
        }
    }

    [Fact]
    public void Mistakes_would_be_noticed()
    {
        Assert.Contains(Commands, row => ToolCommand().IsMatch(row.Data.Item2));
        Assert.NotEmpty(PenstockCommand.Parse(["serve", "--dlay", "5ms"]).Errors);
        Assert.NotEmpty(PenstockCommand.Parse(["demo", "backlog", "--flush", "17"]).Errors);
    }

    [GeneratedRegex(@"^ *```sh\n(.*?)^ *```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();

    /// <summary>A comment, or the sign that the shell does not wait.</summary>
    [GeneratedRegex(@"((^|\s+)# .*|\s+&)$")]
    private static partial Regex Comment();

    /// <summary>What stands behind <c>penstock</c>, however it is started.</summary>
    [GeneratedRegex(@"^(?:sudo )?(?:penstock|dotnet run -c Release --project src/Penstock\.Tool --|dotnet [^ ]*Penstock\.Tool\.dll|src/[^ ]*/Penstock\.Tool) (.*)$")]
    private static partial Regex ToolCommand();

    [GeneratedRegex(@"(?<=^|\s)((?:src|tests|samples|benchmarks|eng|\.ci)/(?!\S*/bin/)[\w./-]+)")]
    private static partial Regex RepositoryPath();
}
