using System.Reflection;
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

        Assert.All(Rows("The companions of RFC 9293"), row => Assert.True(Named(row[2]).Count > 0, $"{row[0]} names no test."));
    }

    [Fact]
    public void Every_drill_that_is_named_exists()
    {
        MatchCollection named = Drills().Matches(Section("Loss recovery and congestion control"));
        Assert.True(named.Count > 30);
        Assert.All(named, drill => Assert.True(File.Exists(Path.Combine(AppContext.BaseDirectory, "drill", drill.Groups[1].Value)), drill.Value));
    }

    [GeneratedRegex(@"`(\w+/\w+\.pkt)`")]
    private static partial Regex Drills();

    [Fact]
    public void Every_test_that_is_named_exists()
    {
        HashSet<string> tests =
        [
            .. typeof(ConformanceTableTests).Assembly.GetTypes()
                .SelectMany(type => type.GetMethods().Where(method => method.GetCustomAttributes().Any(a => a is FactAttribute)).Select(method => $"{type.Name}.{method.Name}")),
        ];
        string folder = Path.Combine(AppContext.BaseDirectory, "drill");
        foreach (string[] row in (string[][])[.. Rows("RFC 9293"), .. Rows("The companions of RFC 9293")])
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
