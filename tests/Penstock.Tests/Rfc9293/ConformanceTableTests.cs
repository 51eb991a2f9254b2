using System.Text.RegularExpressions;

namespace Penstock.Tests.Rfc9293;

/// <summary>docs/conformance.md cannot rot: every requirement has a row, and every test that a row names exists.</summary>
public partial class ConformanceTableTests
{
    private static string Section(string heading)
    {
        string all = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", "conformance.md"));
        int start = all.IndexOf($"\n## {heading}\n", StringComparison.Ordinal);
        Assert.True(start >= 0, $"There is no section '{heading}'.");
        int end = all.IndexOf("\n## ", start + 4, StringComparison.Ordinal);
        return end < 0 ? all[start..] : all[start..end];
    }

    /// <summary>The cells of a section's table, without its head.</summary>
    private static string[][] Rows(string heading) =>
        [.. Section(heading).Split('\n').Where(line => line.StartsWith('|')).Skip(2).Select(line => line.Trim('|').Split('|', StringSplitOptions.TrimEntries))];

    [Fact]
    public void Every_requirement_of_RFC_9293_has_one_row()
    {
        string[] wanted =
        [
            .. Enumerable.Range(1, 69).Select(i => $"MUST-{i}"), .. Enumerable.Range(1, 31).Select(i => $"SHLD-{i}"),
            .. Enumerable.Range(1, 18).Select(i => $"MAY-{i}"), "REC-1",
        ];
        Assert.Equal(wanted, Rows("RFC 9293").Select(row => row[0]));
    }

    [Fact]
    public void What_is_kept_has_a_test_and_what_is_not_has_a_reason()
    {
        foreach (string[] row in Rows("RFC 9293"))
        {
            Assert.Equal(4, row.Length);
            Assert.NotEmpty(row[1]);
            switch (row[2])
            {
                case "yes":
                    Assert.True(Named(row[3]).Count > 0, $"{row[0]} names no test.");
                    break;
                case "deviation" or "not applicable":
                    Assert.True(Test().Replace(row[3], "").Length >= 10, $"{row[0]} gives no reason.");
                    break;
                default:
                    Assert.Fail($"{row[0]} is neither kept nor a deviation nor not applicable.");
                    break;
            }
        }

        Assert.All((string[][])[.. Rows("The companions of RFC 9293"), .. Rows("Bad input")], row => Assert.True(Named(row[2]).Count > 0, $"{row[0]} names no test."));
    }

    /// <summary>The rows that name a file of the source besides.</summary>
    private static string[][] Algorithms() => [.. Rows("Loss recovery and congestion control"), .. Rows("Rates, sizes, probes and socket options")];

    [Fact]
    public void Every_algorithm_and_option_names_a_test()
    {
        Assert.All(Algorithms(), row =>
        {
            Assert.Equal(4, row.Length);
            Assert.True(Named(row[3]).Count > 0, $"{row[0]} names no test.");
        });
    }

    [Fact]
    public void Every_file_that_is_named_exists()
    {
        int named = 0;
        foreach (string[] row in Algorithms())
        {
            foreach (Match match in Source().Matches(row[2]))
            {
                string path = match.Groups[1].Value;
                string file = Path.Combine(ComparisonTableTests.Root(), path.StartsWith("src/", StringComparison.Ordinal) ? path : $"src/Penstock/Tcp/{path}");
                Assert.True(File.Exists(file), $"{row[0]} names {path}, which does not exist.");
                named++;
            }
        }

        Assert.True(named > 40, $"The tables name {named} files.");
    }

    [Fact]
    public void Every_script_is_named()
    {
        string all = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", "conformance.md"));
        string folder = Path.Combine(AppContext.BaseDirectory, "drill");
        Assert.All(Directory.EnumerateFiles(folder, "*.pkt", SearchOption.AllDirectories), file =>
        {
            string name = Path.ChangeExtension(Path.GetRelativePath(folder, file), null).Replace('\\', '/');
            Assert.True(all.Contains($"`{name}`", StringComparison.Ordinal) || all.Contains($"`{name}.pkt`", StringComparison.Ordinal), $"No row names {name}.");
        });
    }

    [GeneratedRegex("`([A-Za-z0-9_./]+\\.cs)`")]
    private static partial Regex Source();

    [Fact]
    public void Every_test_that_is_named_exists()
    {
        HashSet<string> tests = ComparisonTableTests.Tests();
        string folder = Path.Combine(AppContext.BaseDirectory, "drill");
        foreach (string[] row in (string[][])[.. Rows("RFC 9293"), .. Rows("The companions of RFC 9293"), .. Rows("Bad input"), .. Algorithms()])
        {
            foreach (string name in Named(row[^1]))
            {
                bool exists = name.EndsWith(".pkt", StringComparison.Ordinal) ? File.Exists(Path.Combine(folder, name)) : tests.Contains(name);
                Assert.True(exists, $"{row[0]} names {name}, which does not exist.");
            }
        }
    }

    private static List<string> Named(string cell) => [.. Test().Matches(cell).Select(match => match.Groups[1].Value)];

    /// <summary><c>Class.Method</c> of a test class, or a drill script's path.</summary>
    [GeneratedRegex("`([A-Za-z0-9]+Tests\\.[A-Za-z0-9_]+|[A-Za-z0-9_/-]+\\.pkt)`")]
    private static partial Regex Test();
}
