using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Penstock.Benchmarks.Compare;

/// <summary>The rows with both ends in one process. Each run is a fresh process, contestants by turns, as often as there are rounds.</summary>
internal sealed class PipeRounds(Peers peers, Plan plan, Ledger ledger, Action<string> progress)
{
    private const string StackAddress = "10.99.0.2";
    private const string Idle = "pipe.idle";
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(4);

    /// <param name="Contestant">Whose figure it is, where the output does not say.</param>
    /// <param name="Rows">Which it gives.</param>
    /// <param name="Command">What is run.</param>
    /// <param name="Seconds">How long it takes, about.</param>
    /// <param name="Field">The figure's name in a peer's line; null for a line of <c>penstock perf pipe --json</c>.</param>
    /// <param name="Scale">What turns it into the row's unit.</param>
    private sealed record Run(Contestant Contestant, string[] Rows, string[] Command, double Seconds, string? Field = null, double Scale = 1);

    /// <summary>How long it takes, about, in seconds.</summary>
    public double Estimate() => Groups("").SelectMany(group => group).Sum(run => run.Seconds * (run.Rows[0] == Idle ? plan.IdleRounds : plan.Rounds));

    public async Task RunAsync(CancellationToken stop)
    {
        if (!Groups("").Any())
        {
            return;
        }

        await using var namespaces = new Namespaces();
        Process? kernel = null;
        try
        {
            string loopback = peers.NoDevices is null ? await namespaces.AddAsync(stop) : "";
            kernel = loopback.Length == 0 ? null : Processes.StartServer(Namespaces.Inside(loopback, peers.KernelServer, "127.0.0.1"));
            for (int round = 0; round < plan.Rounds; round++)
            {
                foreach (Run[] group in Groups(loopback))
                {
                    if (group[0].Rows[0] == Idle && round >= plan.IdleRounds)
                    {
                        continue;
                    }

                    // Nobody is always the first.
                    foreach (Run run in round % 2 == 0 ? group : group.Reverse())
                    {
                        await OneAsync(run, round, stop);
                    }

                    foreach (string row in group[0].Rows.Where(plan.Wants))
                    {
                        ledger.Tell(row, round);
                    }
                }
            }
        }
        finally
        {
            if (kernel is not null)
            {
                await Processes.EndAsync(kernel);
                kernel.Dispose();
            }
        }
    }

    private async Task OneAsync(Run run, int round, CancellationToken stop)
    {
        try
        {
            string output = await Processes.RunAsync(run.Command, s_limit, stop);
            foreach (string line in output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                using JsonDocument json = JsonDocument.Parse(line);
                if (run.Field is not null)
                {
                    ledger.Add(run.Rows[0], run.Contestant, round, json.RootElement.GetProperty(run.Field).GetDouble() * run.Scale);
                    continue;
                }

                // The loopback's HTTP comes out of the same process as ours.
                string test = json.RootElement.GetProperty("test").GetString()!;
                string row = test.Replace("sockets.", "pipe.", StringComparison.Ordinal);
                if (run.Rows.Contains(row) && plan.Wants(row))
                {
                    ledger.Add(row, test == row ? Contestant.Penstock : Contestant.Sockets, round, json.RootElement.GetProperty("value").GetDouble());
                }
            }
        }
        catch (Exception failure) when (failure is RunFailure or JsonException)
        {
            foreach (string row in run.Rows.Where(plan.Wants))
            {
                ledger.Add(row, run.Contestant, round, null);
                progress($"round {round + 1}  {row}, {Contest.Title(run.Contestant)}: failed: {failure.Message}");
            }
        }
    }

    /// <summary>What is run in a round: who stands beside whom.</summary>
    private IEnumerable<Run[]> Groups(string loopback)
    {
        string[][] rows =
        [
            ["pipe.bulk.mtu1500"], ["pipe.bulk.mtu65535"], ["pipe.bulk.super"], ["pipe.rr64"], ["pipe.rr64.pool"], ["pipe.crr"], ["pipe.alloc"],
            ["pipe.http.1", "pipe.http.16"], [Idle],
        ];
        return rows.Where(group => group.Any(plan.Wants)).Select(group => (Run[])[Ours(group), .. Others(group[0], loopback).Where(run => peers.Has(run.Contestant))]);
    }

    private Run Ours(string[] rows)
    {
        bool http = rows.Length > 1;
        string[] tests = [.. rows.Where(plan.Wants), .. http ? rows.Where(plan.Wants).Select(row => row.Replace("pipe.", "sockets.", StringComparison.Ordinal)) : []];

        // Two runs warm up and half of each run does; in less than a second each, the compiler would not be done.
        double length = Math.Max(1, plan.Seconds);
        double seconds = rows[0] switch { Idle => 30, "pipe.alloc" => 6, _ => 1 + (4.5 * length * (http ? tests.Length : 1)) };
        return new Run(
            Contestant.Penstock,
            rows,
            [peers.Penstock, "perf", "pipe", .. tests, "--json", "--runs", "1", "--time", string.Create(CultureInfo.InvariantCulture, $"{length * 1000:0}ms")],
            seconds);
    }

    private IEnumerable<Run> Others(string row, string loopback) => row switch
    {
        "pipe.bulk.mtu1500" => [GVisor(row, "gbit_s", "-test", "bulk", "-mtu", "1500"), Lwip(row, "bulk", "gbit_s")],
        "pipe.bulk.mtu65535" => [GVisor(row, "gbit_s", "-test", "bulk", "-mtu", "65535")],
        "pipe.bulk.super" => [GVisor(row, "gbit_s", "-test", "bulk", "-mtu", "1500", "-gso"), Sockets(row, loopback, "bulk", "gbit_s"), .. Linux(row, loopback, "up", "gbit_s")],
        "pipe.rr64" => [Lwip(row, "rr", "rt_s")],
        "pipe.rr64.pool" => [GVisor(row, "rt_s", "-test", "rr", "-mtu", "1500"), Sockets(row, loopback, "rr", "rt_s"), .. Linux(row, loopback, "rr", "rt_s")],
        "pipe.crr" => [GVisor(row, "conn_s", "-test", "crr", "-mtu", "1500", "-par", "16"), Sockets(row, loopback, "crr", "conn_s")],

        // Its figure is for a connection, which has two ends.
        Idle => [GVisor(row, "rss_b_per_conn", "-test", "mem", "-conns", "20000") with { Scale = 0.5, Seconds = 8 }],
        _ => [],
    };

    private Run GVisor(string row, string field, params string[] what) =>
        new(Contestant.GVisor, [row], [peers.GVisor, "pipe", .. what, "-runs", "1", "-secs", Math.Max(1, plan.Seconds).ToString("0", CultureInfo.InvariantCulture)], 1 + Math.Max(1, plan.Seconds), field);

    private Run Lwip(string row, string test, string field) =>
        new(Contestant.Lwip, [row], [peers.Lwip, test, StackAddress, Seconds], 1.5 * plan.Seconds, field);

    private Run Sockets(string row, string loopback, string test, string field)
    {
        string[] command = [peers.Sockets, test, Seconds];
        return new(Contestant.Sockets, [row], loopback.Length == 0 ? command : Namespaces.Inside(loopback, command), 0.5 + (1.5 * plan.Seconds), field);
    }

    private Run[] Linux(string row, string loopback, string mode, string field) => loopback.Length == 0
        ? []
        : [new(Contestant.Linux, [row], Namespaces.Inside(loopback, peers.KernelClient, mode, "127.0.0.1", "-s", Seconds, "-w", "0.5", "-n", "1"), plan.Seconds + 0.5, field)];

    private string Seconds => plan.Seconds.ToString(CultureInfo.InvariantCulture);
}
