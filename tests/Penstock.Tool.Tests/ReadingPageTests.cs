using System.Text.RegularExpressions;
using Penstock.Tool.Serve;

namespace Penstock.Tool.Tests;

/// <summary>docs/reading-penstock.md leaves nothing out of what the live page and its JSON have.</summary>
public sealed partial class ReadingPageTests
{
    private static readonly string s_page = File.ReadAllText(Path.Combine(SourceTree.Root, "docs", "reading-penstock.md"));
    private static readonly string s_status = File.ReadAllText(Path.Combine(SourceTree.Root, "src", "Penstock.Tool", "Serve", "Pages", "status.html"));

    [Fact]
    public void Every_column_is_explained()
    {
        string[] titles = [.. Title().Matches(s_status).Select(match => match.Groups[1].Value.Replace("\\n", " ", StringComparison.Ordinal))];

        Assert.Equal(13, titles.Length);
        Assert.All(titles, title => Assert.Contains($"\n| {title} |", s_page, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_figure_of_a_row_s_details_is_explained()
    {
        string lines = s_status[s_status.IndexOf("const ssLine", StringComparison.Ordinal)..s_status.IndexOf("function learn", StringComparison.Ordinal)];
        string[] names = [.. DetailName().Matches(lines).Select(match => match.Groups[1].Value).Distinct()];

        Assert.True(names.Length > 30, string.Join(' ', names));
        Assert.All(names, name => Assert.Contains($"`{name}`", s_page, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_field_of_the_JSON_is_explained() =>
        Assert.All(
            typeof(ConnectionStatus).GetProperties().Select(property => char.ToLowerInvariant(property.Name[0]) + property.Name[1..]).Where(name => name != "equalityContract"),
            name => Assert.Contains($"`{name}`", s_page, StringComparison.Ordinal));

    [GeneratedRegex("\\{ id: \"\\w+\", title: \"([^\"]+)\"")]
    private static partial Regex Title();

    /// <summary>The word in front of a figure: <c>rto:</c>, <c>delivery_rate </c>.</summary>
    [GeneratedRegex("[\"`]([a-z_]+)(?::| \\$|\")")]
    private static partial Regex DetailName();
}
