using System.Globalization;

namespace Penstock.Benchmarks.Compare;

/// <summary>Network namespaces with names that no other process uses, and what is in them. Disposing it takes all of them away, and with them the devices inside.</summary>
internal sealed class Namespaces : IAsyncDisposable
{
    public const string Prefix = "penstock-compare-";
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);
    private readonly List<string> _names = [];

    /// <summary>Makes one, with its loopback up.</summary>
    public async Task<string> AddAsync(CancellationToken stop)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"{Prefix}{Environment.ProcessId}-{_names.Count}");
        stop.ThrowIfCancellationRequested();

        // Once begun it is not canceled: what may exist is on the list.
        _names.Add(name);
        await IpAsync(CancellationToken.None, "netns", "add", name);
        await IpAsync(stop, "-n", name, "link", "set", "lo", "up");
        return name;
    }

    /// <summary>Two of them with a veth pair between, 10.77.0.1 in the first and 10.77.0.2 in the second.</summary>
    public async Task<(string Client, string Server)> AddPairAsync(bool offloads, CancellationToken stop)
    {
        string client = await AddAsync(stop), server = await AddAsync(stop);
        await IpAsync(stop, "-n", client, "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", server);
        foreach ((string name, string address) in ((string, string)[])[(client, "10.77.0.1/24"), (server, "10.77.0.2/24")])
        {
            await IpAsync(stop, "-n", name, "addr", "add", address, "dev", "v0");
            if (!offloads)
            {
                await Processes.RunAsync(Inside(name, "ethtool", "-K", "v0", "tso", "off", "gso", "off", "gro", "off", "tx", "off", "rx", "off"), s_limit, stop);
            }

            await IpAsync(stop, "-n", name, "link", "set", "v0", "up");
        }

        return (client, server);
    }

    /// <summary>A device for a server that does not configure one itself.</summary>
    public static async Task AddTunAsync(string name, string device, bool virtioHeader, CancellationToken stop)
    {
        await IpAsync(stop, ["-n", name, "tuntap", "add", "dev", device, "mode", "tun", .. (string[])(virtioHeader ? ["vnet_hdr"] : [])]);
        await IpAsync(stop, "-n", name, "link", "set", device, "mtu", "1500", "up");
        await IpAsync(stop, "-n", name, "addr", "add", "10.77.0.1/24", "dev", device);
    }

    public static string[] Inside(string name, params IEnumerable<string> command) => ["ip", "netns", "exec", name, .. command];

    public async ValueTask DisposeAsync()
    {
        foreach (string name in _names)
        {
            try
            {
                await IpAsync(CancellationToken.None, "netns", "del", name);
            }
            catch (RunFailure)
            {
                // It was never made, or someone took it away: gone is what is wanted.
            }
        }

        _names.Clear();
    }

    private static Task IpAsync(CancellationToken stop, params string[] arguments) => Processes.RunAsync(["ip", .. arguments], s_limit, stop);
}
