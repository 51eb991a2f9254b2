using System.Text.RegularExpressions;

namespace Penstock.Delivery.Tests;

/// <summary>What the pages show is what the samples compile and run, and their links lead somewhere.</summary>
public sealed partial class SnippetTests
{
    public static TheoryData<string> Pages => [.. Repository.Pages()];

    [Theory]
    [MemberData(nameof(Pages))]
    public void Every_piece_of_code_is_in_a_sample(string page)
    {
        string[] samples = [.. Samples("*.cs"), .. Samples("*.c")];
        foreach (Match block in Block().Matches(File.ReadAllText(Repository.PathTo(page))))
        {
            string language = block.Groups["language"].Value;
            Assert.True(language is "csharp" or "c" or "xml" or "sh" or "", $"{page}: a block of '{language}'. Code in C# is marked csharp, in C c, so that it is looked for in the samples.");
            if (language is "csharp" or "c")
            {
                string code = Squeeze(block.Groups["text"].Value.Split('\n'));
                Assert.True(
                    Array.Exists(samples, sample => sample.Contains(code, StringComparison.Ordinal)),
                    $"{page} shows code that no file in samples/ has, line for line:\n{block.Groups["text"].Value}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public void Links_lead_somewhere(string page)
    {
        string folder = Path.GetDirectoryName(Repository.PathTo(page))!;
        foreach (Match found in Link().Matches(File.ReadAllText(Repository.PathTo(page))))
        {
            string link = found.Groups[1].Value;
            if (!link.StartsWith("http", StringComparison.Ordinal) && !link.StartsWith('#'))
            {
                Assert.True(Path.Exists(Path.Combine(folder, link.Split('#')[0])), $"{page}: {link} does not exist");
            }
        }
    }

    [Fact]
    public void Every_page_of_docs_is_in_the_readme()
    {
        string readme = File.ReadAllText(Repository.PathTo("README.md"));
        Assert.All(Directory.EnumerateFiles(Repository.PathTo("docs"), "*.md"), page => Assert.Contains($"(docs/{Path.GetFileName(page)})", readme, StringComparison.Ordinal));
    }

    /// <summary>Each file by itself: a piece of code does not go on in the next file.</summary>
    private static IEnumerable<string> Samples(string pattern) =>
        Directory.EnumerateFiles(Repository.PathTo("samples"), pattern, SearchOption.AllDirectories)
            .Where(file => file.EndsWith(pattern[1..], StringComparison.Ordinal) && !file.Split(Path.DirectorySeparatorChar).Contains("obj"))
            .Select(file => Squeeze(File.ReadLines(file)));

    /// <summary>Lines without indentation and without empty ones, each with its end, so that half a line is not one.</summary>
    private static string Squeeze(IEnumerable<string> lines) => "\n" + string.Concat(lines.Select(line => line.Trim()).Where(line => line.Length > 0).Select(line => line + "\n"));

    [GeneratedRegex(@"^ *```(?<language>[a-z]*)\n(?<text>.*?)^ *```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();
}
