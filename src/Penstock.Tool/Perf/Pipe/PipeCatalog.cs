namespace Penstock.Tool.Perf.Pipe;

/// <summary>The tests that there are, in the order in which they run, and how names choose from them.</summary>
internal static class PipeCatalog
{
    public static IReadOnlyList<PipeTest> All { get; } =
    [
        new BulkTest("pipe.bulk.mtu1500", new CableOptions { Mtu = 1500, Checksums = true, SuperSegments = false }),
        new BulkTest("pipe.bulk.mtu65535", new CableOptions { Mtu = 65535, Checksums = true, SuperSegments = false }),
        new BulkTest("pipe.bulk.super", new CableOptions { Mtu = 1500 }),
        new RoundTripTest("pipe.rr64", oneThread: true),
        new RoundTripTest("pipe.rr64.pool", oneThread: false),
        new ConnectTest(),
        new AllocationTest(),
        new HttpTest(),
        new IdleTest(),
    ];

    public static IEnumerable<string> Names => All.SelectMany(test => test.Names);

    /// <summary>The names that <paramref name="wanted"/> stands for: each a name, or what some begin with before a dot; all when there is none.</summary>
    /// <exception cref="ToolFailure">One of them stands for nothing.</exception>
    public static IReadOnlySet<string> Choose(IReadOnlyList<string> wanted)
    {
        if (wanted.Count == 0)
        {
            return Names.ToHashSet();
        }

        var chosen = new HashSet<string>();
        foreach (string word in wanted)
        {
            string[] found = Names.Contains(word) ? [word] : [.. Names.Where(name => name.StartsWith($"{word}.", StringComparison.Ordinal))];
            if (found.Length == 0)
            {
                throw ToolFailure.Usage(word.StartsWith('-')
                    ? $"'{word}' is not known here. See 'penstock perf pipe --help'."
                    : $"There is no test '{word}'. Choose from {string.Join(", ", Names)}, or name none to run all.");
            }

            chosen.UnionWith(found);
        }

        return chosen;
    }
}
