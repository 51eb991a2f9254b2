using Penstock.Drill;

namespace Snippets;

/// <summary>The page of the package Penstock.Drill.</summary>
public class DrillPage
{
    [Fact]
    public void A_script_is_run()
    {
        DrillResult result = DrillRunner.Run(Script.Parse(File.ReadAllText("handshake.pkt")));
        Console.WriteLine($"{result.Outcome} {result.Message}");

        Assert.Equal(DrillOutcome.Passed, result.Outcome);
    }
}
