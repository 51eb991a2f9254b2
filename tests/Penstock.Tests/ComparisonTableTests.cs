using System.Text.RegularExpressions;

namespace Penstock.Tests;

/// <summary>
/// docs/comparison.md cannot promise what nobody tests: each "yes" and "part" of ours names tests that exist, in whichever project, and each "no" says what happens instead. What
/// is said of others is checked by nobody but its readers.
/// </summary>
public partial class ComparisonTableTests
{
    private const int Columns = 8;
    private static readonly string[] s_marks = ["yes", "no", "part", "opt", "?", "-"];

    /// <summary>The cells of all tables: feature, Penstock, five others, and ours in words.</summary>
    private static string[][] Rows() =>
    [
        .. File.ReadLines(Path.Combine(Root(), "docs", "comparison.md"))
            .Where(line => line.StartsWith("| ", StringComparison.Ordinal) && !line.StartsWith("| feature |", StringComparison.Ordinal) && !line.StartsWith("| --- |", StringComparison.Ordinal))
            .Select(line => line.Trim().Trim('|').Split('|', StringSplitOptions.TrimEntries)),
    ];

    [Fact]
    public void Every_row_says_for_each_stack_what_it_has()
    {
        string[][] rows = Rows();
        Assert.True(rows.Length > 40, $"The tables have {rows.Length} rows.");
        Assert.All(rows, row =>
        {
            Assert.Equal(Columns, row.Length);
            Assert.All(row[1..^1], mark => Assert.Contains(mark, s_marks));
        });
        Assert.Equal(rows.Length, rows.Select(row => row[0]).Distinct().Count());
    }

    [Fact]
    public void What_we_have_names_a_test_and_what_we_have_not_says_what_happens_instead()
    {
        foreach (string[] row in Rows())
        {
            switch (row[1])
            {
                case "yes" or "part":
                    Assert.True(Test().Count(row[^1]) > 0, $"'{row[0]}' names no test.");
                    break;
                case "no":
                    Assert.True(Test().Replace(row[^1], "").Length >= 10, $"'{row[0]}' does not say what happens instead.");
                    break;
                default:
                    Assert.Fail($"'{row[0]}' says '{row[1]}' of Penstock: yes, part or no is known of it.");
                    break;
            }
        }
    }

    [Fact]
    public void Every_test_that_is_named_exists()
    {
        HashSet<string> tests = Tests();
        string drills = Path.Combine(Root(), "tests", "drill");
        foreach (string[] row in Rows())
        {
            foreach (Match match in Test().Matches(row[^1]))
            {
                string name = match.Groups[1].Value;
                bool exists = name.EndsWith(".pkt", StringComparison.Ordinal) ? File.Exists(Path.Combine(drills, name)) : tests.Contains(name);
                Assert.True(exists, $"'{row[0]}' names {name}, which does not exist.");
            }
        }
    }

    /// <summary>All tests of the repository as <c>Class.Method</c>, read from their sources: those of other projects are not in this assembly.</summary>
    internal static HashSet<string> Tests()
    {
        string built = $"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}";
        var tests = new HashSet<string>();
        foreach (string folder in (string[])["tests", "samples"])
        {
            foreach (string file in Directory.EnumerateFiles(Path.Combine(Root(), folder), "*.cs", SearchOption.AllDirectories).Where(file => !file.Contains(built, StringComparison.Ordinal)))
            {
                string source = File.ReadAllText(file);
                foreach (Match type in Class().Matches(source))
                {
                    tests.UnionWith(Method().Matches(source).Select(method => $"{type.Groups[1].Value}.{method.Groups[1].Value}"));
                }
            }
        }

        return tests;
    }

    internal static string Root()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Penstock.slnx")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException("The tests do not run from inside the repository.");
    }

    /// <summary><c>Class.Method</c> of a test class, or a drill script's path.</summary>
    [GeneratedRegex("`([A-Za-z0-9]+Tests\\.[A-Za-z0-9_]+|[A-Za-z0-9_/-]+\\.pkt)`")]
    private static partial Regex Test();

    [GeneratedRegex("\\bclass ([A-Za-z0-9]+Tests)\\b")]
    private static partial Regex Class();

    /// <summary>A method behind <c>[Fact]</c> or <c>[Theory]</c> and whatever other attributes it has.</summary>
    [GeneratedRegex(@"\[(?:Fact|Theory)\b[^\n]*\n(?:\s*\[[^\n]*\n)*\s*public (?:static )?(?:async )?(?:Task|void|ValueTask) (\w+)\(")]
    private static partial Regex Method();
}
