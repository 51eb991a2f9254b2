using System.Text.RegularExpressions;

namespace Penstock.Tests.Drill;

/// <summary>The table of docs/conformance.md that tells which scripts show which requirement is what the scripts' heads say.</summary>
public partial class RequirementTableTests
{
    private static string Folder => Path.Combine(AppContext.BaseDirectory, "drill");

    [GeneratedRegex(@"(MUST|SHLD|MAY)-(\d+)(?:\.\.(\d+))?")]
    private static partial Regex Requirement { get; }

    [Fact]
    public void Every_script_begins_with_what_it_shows()
    {
        foreach (string file in Directory.EnumerateFiles(Folder, "*.pkt", SearchOption.AllDirectories))
        {
            Assert.True(File.ReadLines(file).First().StartsWith("// ", StringComparison.Ordinal), $"{file} does not begin with a comment");
        }
    }

    [Fact]
    public void The_language_reference_lists_every_call()
    {
        string text = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", "drill.md"));
        int start = text.IndexOf("\n### Calls\n", StringComparison.Ordinal);
        string section = text[start..text.IndexOf("\n### ", start + 5, StringComparison.Ordinal)];
        foreach (string name in Penstock.Drill.SystemCalls.Names)
        {
            Assert.Contains($"`{name}`", section, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_table_lists_every_requirement_that_a_script_names()
    {
        var wanted = new SortedDictionary<string, SortedSet<string>>(StringComparer.Ordinal);
        foreach (string file in Directory.EnumerateFiles(Folder, "*.pkt", SearchOption.AllDirectories))
        {
            string name = Path.ChangeExtension(Path.GetRelativePath(Folder, file), null).Replace('\\', '/');
            string head = string.Join('\n', File.ReadLines(file).TakeWhile(line => line.StartsWith("//", StringComparison.Ordinal)));
            foreach (Match match in Requirement.Matches(head))
            {
                int first = int.Parse(match.Groups[2].ValueSpan);
                int last = match.Groups[3].Success ? int.Parse(match.Groups[3].ValueSpan) : first;
                for (int i = first; i <= last; i++)
                {
                    string id = $"{match.Groups[1].Value}-{i}";
                    (wanted.TryGetValue(id, out SortedSet<string>? scripts) ? scripts : wanted[id] = new(StringComparer.Ordinal)).Add(name);
                }
            }
        }

        string all = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", "conformance.md"));
        int start = all.IndexOf("\n## RFC 9293 in scripts\n", StringComparison.Ordinal);
        string section = all[start..all.IndexOf("\n## ", start + 4, StringComparison.Ordinal)];
        var found = new SortedDictionary<string, SortedSet<string>>(StringComparer.Ordinal);
        foreach (string line in section.Split('\n').Where(line => line.StartsWith('|')).Skip(2))
        {
            string[] cells = line.Trim('|').Split('|', StringSplitOptions.TrimEntries);
            found[cells[0]] = new SortedSet<string>(cells[1].Split(',', StringSplitOptions.TrimEntries).Select(s => s.Trim('`')), StringComparer.Ordinal);
        }

        Assert.Equal(wanted.Select(Line), found.Select(Line));

        static string Line(KeyValuePair<string, SortedSet<string>> row) => $"{row.Key}: {string.Join(", ", row.Value)}";
    }
}
