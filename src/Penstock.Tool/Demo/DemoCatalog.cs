using Penstock.Tool.Demo.Backlog;

namespace Penstock.Tool.Demo;

/// <summary>A verb below <c>demo</c>, with its experiments.</summary>
internal sealed record DemoEntry(string Name, string Summary, IReadOnlyList<Experiment> Experiments, string Examples);

/// <summary>The demos that there are, and which experiment belongs to which.</summary>
internal static class DemoCatalog
{
    public static readonly IReadOnlyList<DemoEntry> All =
    [
        new DemoEntry(
            "backlog",
            "A long send serves its own backlog: what waits, for how long, and what it costs (E1-E7).",
            [new AckWait(), new FastRetransmit(), new StalledLink(), new Atomicity(), new FlushCost(), new Flood(), new EndedSend()],
            """
            Examples:
              penstock demo backlog
                  All experiments in virtual time, as tables.
              penstock demo backlog E1 --html backlog.html
                  The headline alone, with plots on one page.
              penstock demo backlog E1 --flush 16 --fault-us 1000 --msg 4m
                  One policy against slower page faults.
              penstock demo backlog --json | jq -c 'select(.metric == "ack_wait_us_p99")'
                  One line a figure.
              penstock demo backlog E1 --live
                  In real time, on threads, from a source that really is slow.
              sudo penstock demo backlog E1 --live --tun penstock0
                  The same, and with the kernel as the peer.
            """),
    ];
}
