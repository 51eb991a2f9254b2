using Penstock.Drill;
using Penstock.Tests.Seeds;

namespace Penstock.Tests.Drill;

/// <summary>Runs a packet script inside a test and fails with the runner's own report.</summary>
internal static class Drill
{
    public static void Run(string script, string path = "inline.pkt")
    {
        Script parsed = Script.Parse(script, path);
        foreach (ulong seed in (ReadOnlySpan<ulong>)[1, 2])
        {
            DrillResult result = DrillRunner.Run(parsed, new DrillRunOptions { Seed = seed, FailOnUnreadPackets = true, CompareEchoedTimestamps = true, Omitted = Proof.Omitted });
            Assert.True(result.Outcome == DrillOutcome.Passed, result.ToString());
        }
    }
}
