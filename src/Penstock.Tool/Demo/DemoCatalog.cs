using Penstock.Tool.Demo.Backlog;
using Penstock.Tool.Demo.ZeroCopy;

namespace Penstock.Tool.Demo;

/// <summary>A verb below <c>demo</c>, with its experiments and the names of the switches that turn something in them.</summary>
internal sealed record DemoEntry(string Name, string Summary, IReadOnlyList<Experiment> Experiments, IReadOnlyList<string> Switches, string Examples);

/// <summary>The demos that there are, and which experiment belongs to which.</summary>
internal static class DemoCatalog
{
    public static readonly IReadOnlyList<DemoEntry> All =
    [
        new DemoEntry(
            "backlog",
            "A long send serves its own backlog: what waits, for how long, and what it costs (E1-E7).",
            [new AckWait(), new FastRetransmit(), new StalledLink(), new Atomicity(), new FlushCost(), new Flood(), new EndedSend()],
            ["--flush", "--release-cb", "--ack-defer", "--coalesce", "--goal", "--eor", "--fault-us", "--msg", "--sndbuf"],
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
        new DemoEntry(
            "zerocopy",
            "Sends from the application's own memory are not charged twice: what the stack's ledgers say (E8-E12).",
            [new SockMemory(), new NeighborPressure(), new AccountingAudit(), new ExactBytes(), new Notifications()],
            ["--pure-zc", "--downgrade", "--msg", "--sndbuf"],
            """
            Examples:
              penstock demo zerocopy
                  All experiments in virtual time, as tables.
              penstock demo zerocopy E8 --html zerocopy.html
                  The headline alone, with plots on one page.
              penstock demo zerocopy E11 --downgrade data_len
                  The byte-exact table with the bug that the patch had at first.
              penstock demo zerocopy --json | jq -c 'select(.metric == "sock_bytes_max")'
                  One line a figure.
              sudo unshare -n penstock demo zerocopy E8 --live --tun penstock0
                  What a send costs, copied and not, with the kernel as the peer, in a network namespace of its own.
            """),
    ];
}
