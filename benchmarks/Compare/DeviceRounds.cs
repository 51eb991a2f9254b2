using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Penstock.Benchmarks.Compare;

/// <summary>
/// The rows over a device. Every contestant serves in a namespace of its own from the beginning to the end; the kernel's client visits one after the other, so that in each round
/// all meet the same machine. Stacks in user space sit behind a TUN device, the kernel's own TCP behind a veth pair.
/// </summary>
internal sealed class DeviceRounds(Peers peers, Plan plan, Ledger ledger, Action<string> progress)
{
    private const string Server = "10.77.0.2";
    private const string Device = "pst0";
    private const double WarmUp = 0.5;
    private const int Knocks = 10;

    private static readonly Contestant[] s_withHeader = [Contestant.Penstock, Contestant.GVisor, Contestant.Sockets, Contestant.Linux];
    private static readonly Contestant[] s_plain = [Contestant.Penstock, Contestant.GVisor, Contestant.Lwip, Contestant.Sockets, Contestant.Linux];

    private sealed record Site(string Link, Contestant Contestant, bool Inline, string ClientNamespace, Process Process)
    {
        public bool Serves(string row) => row.Contains($".{Link}.", StringComparison.Ordinal) && (Contestant != Contestant.Penstock || Inline == IsInline(row));

        /// <summary>Runs that gave nothing. Each may have taken long, so after the second one it is left alone.</summary>
        public int Failures { get; set; }
    }

    /// <summary>How long it takes, about, in seconds.</summary>
    public double Estimate() => Rows("vnet").Concat(Rows("plain"))
        .Sum(row => ((plan.Rounds * (plan.Seconds + WarmUp + 0.2)) + 0.6) * Contestants(row.Contains(".vnet.", StringComparison.Ordinal)).Count());

    public async Task RunAsync(CancellationToken stop)
    {
        if (peers.NoDevices is not null || !Rows("vnet").Concat(Rows("plain")).Any())
        {
            return;
        }

        await using var namespaces = new Namespaces();
        var sites = new List<Site>();
        try
        {
            foreach (string link in (string[])["vnet", "plain"])
            {
                foreach (Contestant contestant in Rows(link).Any() ? Contestants(link == "vnet") : [])
                {
                    await OpenAsync(namespaces, link, contestant, inline: false, sites, stop);
                    if (contestant == Contestant.Penstock && Rows(link).Any(IsInline))
                    {
                        await OpenAsync(namespaces, link, contestant, inline: true, sites, stop);
                    }
                }
            }

            for (int round = 0; round < plan.Rounds; round++)
            {
                foreach (string row in Rows("vnet").Concat(Rows("plain")))
                {
                    // Nobody is always the first.
                    IEnumerable<Site> order = sites.Where(site => site.Failures < 2 && site.Serves(row));
                    foreach (Site site in round % 2 == 0 ? order : order.Reverse())
                    {
                        await VisitAsync(site, row, round, stop);
                    }

                    ledger.Tell(row, round);
                }
            }
        }
        finally
        {
            foreach (Site site in sites)
            {
                await Processes.EndAsync(site.Process);
                site.Process.Dispose();
            }
        }
    }

    private IEnumerable<string> Rows(string link) => Contest.Modes.Select(mode => $"tun.{link}.{mode}").Where(plan.Wants);

    private IEnumerable<Contestant> Contestants(bool header) => (header ? s_withHeader : s_plain).Where(peers.Has);

    /// <summary>Bulk, where not <c>.pool</c>: sink and source never block, so they may continue on the stack's own thread.</summary>
    private static bool IsInline(string row) => row.EndsWith(".up", StringComparison.Ordinal) || row.EndsWith(".down", StringComparison.Ordinal);

    /// <summary>Starts one and waits until it answers; what it does first, while code is compiled for it, does not count.</summary>
    private async Task OpenAsync(Namespaces namespaces, string link, Contestant contestant, bool inline, List<Site> sites, CancellationToken stop)
    {
        bool header = link == "vnet";
        try
        {
            (string client, string[] command) = await PlaceAsync(namespaces, contestant, header, inline, stop);
            var site = new Site(link, contestant, inline, client, Processes.StartServer(command));
            sites.Add(site);
            await KnockAsync(site, stop);
            foreach (string row in Rows(link).Where(site.Serves))
            {
                await MeasureAsync(site, row, Math.Min(0.3, plan.Seconds), 0.1, stop);
            }
        }
        catch (RunFailure failure)
        {
            foreach (string row in Rows(link).Where(row => contestant != Contestant.Penstock || inline == IsInline(row)))
            {
                ledger.AddFailure(row, contestant, failure.Message);
            }

            if (sites.Find(site => site.Link == link && site.Contestant == contestant && site.Inline == inline) is { } broken)
            {
                sites.Remove(broken);
                await Processes.EndAsync(broken.Process);
                broken.Process.Dispose();
            }
        }
    }

    private async Task<(string Client, string[] Command)> PlaceAsync(Namespaces namespaces, Contestant contestant, bool header, bool inline, CancellationToken stop)
    {
        if (contestant is Contestant.Sockets or Contestant.Linux)
        {
            (string client, string server) = await namespaces.AddPairAsync(header, stop);
            return (client, Namespaces.Inside(server, contestant == Contestant.Linux ? [peers.KernelServer, Server] : [peers.Sockets, "server", Server]));
        }

        string name = await namespaces.AddAsync(stop);
        if (contestant == Contestant.Penstock)
        {
            string[] options = [.. (string[])(header ? [] : ["--no-offload"]), .. (string[])(inline ? ["--inline"] : [])];
            return (name, Namespaces.Inside(name, [peers.Penstock, "perf", "server", "--tun", Device, "--address", $"{Server}/24", .. options]));
        }

        await Namespaces.AddTunAsync(name, Device, header, stop);
        return (name, Namespaces.Inside(name, contestant == Contestant.Lwip
            ? [peers.Lwip, Device, Server]
            : [peers.GVisor, "tun", Device, Server, "24", "-mtu", "1500", .. (string[])(header ? ["-vnet"] : [])]));
    }

    private async Task KnockAsync(Site site, CancellationToken stop)
    {
        for (int knock = 1; ; knock++)
        {
            try
            {
                await Processes.RunAsync(Namespaces.Inside(site.ClientNamespace, peers.KernelClient, "crr", Server, "-s", "0.05"), TimeSpan.FromSeconds(3), stop);
                return;
            }
            catch (RunFailure failure) when (knock == Knocks || site.Process.HasExited)
            {
                throw new RunFailure(site.Process.HasExited ? $"its server ended with {site.Process.ExitCode}" : $"its server does not answer: {failure.Message}");
            }
            catch (RunFailure)
            {
                await Task.Delay(300, stop);
            }
        }
    }

    private async Task VisitAsync(Site site, string row, int round, CancellationToken stop)
    {
        try
        {
            ledger.Add(row, site.Contestant, round, await MeasureAsync(site, row, plan.Seconds, WarmUp, stop));
        }
        catch (RunFailure failure)
        {
            site.Failures++;
            ledger.Add(row, site.Contestant, round, null);
            progress($"round {round + 1}  {row}, {Contest.Title(site.Contestant)}: failed: {failure.Message}");
        }
    }

    private async Task<double> MeasureAsync(Site site, string row, double seconds, double warmUp, CancellationToken stop)
    {
        string mode = row.Split('.')[2];
        string output = await Processes.RunAsync(
            Namespaces.Inside(site.ClientNamespace, peers.KernelClient, mode, Server, "-s", Number(seconds), "-w", Number(warmUp), "-n", "1"),
            TimeSpan.FromSeconds(seconds + warmUp + 30),
            stop);
        using JsonDocument line = JsonDocument.Parse(output);
        return line.RootElement.GetProperty(mode switch { "rr" => "rt_s", "crr" => "conn_s", _ => "gbit_s" }).GetDouble();
    }

    private static string Number(double value) => value.ToString(CultureInfo.InvariantCulture);
}
