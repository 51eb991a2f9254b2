using Penstock.Drill;

namespace Penstock.Tests.Drill;

public class DrillRunnerTests
{
    [Fact]
    public void A_script_runs_inline() => Drill.Run(
        """
        0 < S 0:0(0) win 1000 <mss 1000>
        +0 > R. 0:0(0) ack 1 win 0
        """);

    [Fact]
    public void A_failure_shows_both_packets_and_what_went_before()
    {
        DrillResult result = DrillRunner.Run(Script.Parse("0 < S 0:0(0) win 1000\n+0 > R. 0:0(0) ack 2\n", "reset.pkt"));
        Assert.Equal(DrillOutcome.Failed, result.Outcome);
        Assert.Contains("reset.pkt:2:1", result.Message, StringComparison.Ordinal);
        Assert.Contains("expected: > R. 0:0(0) ack 2", result.Message, StringComparison.Ordinal);
        Assert.Contains("actual:   > R. 0:0(0) ack 1", result.Message, StringComparison.Ordinal);
        Assert.Equal(2, result.Packets.Count);
    }

    [Fact]
    public void A_packet_that_never_comes_is_not_waited_for_in_vain()
    {
        DrillResult result = DrillRunner.Run(Script.Parse("0 < R 0:0(0) win 0\n+1 > . 1:1(0) ack 1\n"));
        Assert.Equal(DrillOutcome.Failed, result.Outcome);
        Assert.Contains("nothing is left to happen", result.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_unknown_command_or_call_skips_the_script_and_says_why()
    {
        DrillResult command = DrillRunner.Run(Script.Parse("`tc qdisc show`\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"));
        Assert.Equal(DrillOutcome.Skipped, command.Outcome);
        Assert.Contains("tc", command.Message, StringComparison.Ordinal);
        DrillResult udp = DrillRunner.Run(Script.Parse("0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3\n"));
        Assert.Equal(DrillOutcome.Skipped, udp.Outcome);
    }

    [Fact]
    public void A_run_can_be_captured_and_repeats_byte_for_byte()
    {
        Script script = Script.Parse("0 < S 0:0(0) win 1000\n+0 > R. 0:0(0) ack 1\n");
        byte[] Capture()
        {
            using var stream = new MemoryStream();
            Assert.Equal(DrillOutcome.Passed, DrillRunner.Run(script, new DrillRunOptions { Capture = stream }).Outcome);
            return stream.ToArray();
        }

        byte[] first = Capture();
        Assert.True(first.Length > 100);
        Assert.Equal(first, Capture());
    }
}
