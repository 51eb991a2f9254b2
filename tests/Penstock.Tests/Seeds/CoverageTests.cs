using System.Reflection;
using System.Text.RegularExpressions;

namespace Penstock.Tests.Seeds;

/// <summary>Every requirement has a test that names it, and docs/conformance.md names tests that exist.</summary>
public partial class CoverageTests
{
    private static readonly string[] s_requirements =
    [
        .. Enumerable.Range(1, 19).Select(i => $"R1.{i}"), "R1.10a", "R1.15a",
        .. Enumerable.Range(1, 27).Select(i => $"R2.{i}"),
        .. Enumerable.Range(1, 13).Select(i => $"T{i}"),
    ];

    [Fact]
    public void Every_requirement_has_a_test_that_names_it()
    {
        HashSet<string> named = [.. Tests().SelectMany(t => Named(t))];
        Assert.Empty(s_requirements.Except(named));
        Assert.Empty(named.Except(s_requirements));
    }

    [Fact]
    public void The_conformance_table_names_for_each_requirement_tests_that_claim_it()
    {
        string table = File.ReadAllText(Path.Combine(Root(), "docs", "conformance.md"));
        ILookup<string, string> claims = Tests().SelectMany(t => Named(t).Select(r => (r, t.Name))).ToLookup(c => c.r, c => c.Name);
        foreach (string requirement in s_requirements)
        {
            Match row = Regex.Match(table, $@"^\| {Regex.Escape(requirement)} \|.*$", RegexOptions.Multiline);
            Assert.True(row.Success, $"no row for {requirement}");
            string[] tests = [.. TestName().Matches(row.Value).Select(m => m.Groups[1].Value)];
            Assert.NotEmpty(tests);
            Assert.All(tests, t => Assert.Contains(t, claims[requirement]));
        }
    }

    private static IEnumerable<MethodInfo> Tests() =>
        typeof(CoverageTests).Assembly.GetTypes()
            .Where(t => t.Namespace == typeof(CoverageTests).Namespace)
            .SelectMany(t => t.GetMethods())
            .Where(m => m.GetCustomAttribute<FactAttribute>() is not null);

    private static IEnumerable<string> Named(MethodInfo test) =>
        test.GetCustomAttributes<TraitAttribute>().Where(t => t.Name == "Requirement").Select(t => t.Value);

    private static string Root()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Penstock.slnx")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException("The tests do not run from inside the repository.");
    }

    [GeneratedRegex("`([A-Z][A-Za-z0-9]*_[A-Za-z0-9_]+)`")]
    private static partial Regex TestName();
}
