namespace Penstock.Benchmarks.Compare;

/// <summary>The programs that take part: where they are, built when they are not, and why not when that can not be.</summary>
internal sealed class Peers
{
    private static readonly TimeSpan s_buildLimit = TimeSpan.FromMinutes(6);
    private readonly Dictionary<Contestant, string> _absent = [];
    private readonly Dictionary<Contestant, string> _versions = [];

    private Peers(string root) => Root = root;

    public string Root { get; }

    public IReadOnlyDictionary<Contestant, string> Absent => _absent;

    public IReadOnlyDictionary<Contestant, string> Versions => _versions;

    public string Penstock => Path.Combine(Root, "src/Penstock.Tool/bin/Release/net10.0/Penstock.Tool");

    public string GVisor => Path.Combine(Root, "benchmarks/peers/gvisor/gvbench");

    public string Lwip => Path.Combine(Root, "benchmarks/peers/lwip/lwip-peer");

    public string Sockets => Path.Combine(Root, "benchmarks/peers/dotnet-sockets/bin/Release/net10.0/Sockets");

    public string KernelServer => Path.Combine(Root, "benchmarks/peers/kernel-client/kserver");

    /// <summary>The client of everything that is measured over a device.</summary>
    public string KernelClient => Path.Combine(Root, "benchmarks/peers/kernel-client/kclient");

    /// <summary>Why nothing can be measured over devices; null when it can.</summary>
    public string? NoDevices { get; private set; }

    public bool Has(Contestant contestant) => !_absent.ContainsKey(contestant);

    /// <summary>Finds each one and builds what is missing or older than its sources.</summary>
    public static async Task<Peers> PrepareAsync(string root, Action<string> progress, CancellationToken stop)
    {
        var peers = new Peers(root);
        peers._versions[Contestant.Penstock] = await GitAsync(root, stop);
        peers._versions[Contestant.Sockets] = $".NET {Environment.Version}";
        peers._versions[Contestant.Linux] = SystemFacts.Kernel;
        await peers.BuildAsync(Contestant.GVisor, peers.GVisor, progress, stop);
        await peers.BuildAsync(Contestant.Lwip, peers.Lwip, progress, stop);
        await peers.BuildAsync(Contestant.Sockets, peers.Sockets, progress, stop);
        await peers.BuildAsync(Contestant.Linux, peers.KernelClient, progress, stop);
        peers.NoDevices = !Environment.IsPrivilegedProcess ? "not root, which network namespaces and TUN devices need"
            : !File.Exists("/dev/net/tun") ? "/dev/net/tun is missing"
            : !SystemFacts.HasProgram("ip") ? "the program ip is missing (package iproute2)"
            : peers._absent.GetValueOrDefault(Contestant.Linux);
        if (peers.NoDevices is { } why)
        {
            peers._absent.TryAdd(Contestant.Linux, why);
            progress($"Nothing is measured over devices: {why}.");
        }

        foreach ((Contestant contestant, string program) in ((Contestant, string)[])[(Contestant.GVisor, peers.GVisor), (Contestant.Lwip, peers.Lwip)])
        {
            if (peers.Has(contestant))
            {
                peers._versions[contestant] = (await Processes.RunAsync([program, "version"], TimeSpan.FromSeconds(10), stop)).Trim();
            }
        }

        return peers;
    }

    private async Task BuildAsync(Contestant contestant, string program, Action<string> progress, CancellationToken stop)
    {
        string script = Directory.GetFiles(Path.Combine(Root, "benchmarks/peers"), "build.sh", SearchOption.AllDirectories)
            .First(path => program.StartsWith(Path.GetDirectoryName(path)!, StringComparison.Ordinal));
        IEnumerable<string> sources = Directory.GetFiles(Path.GetDirectoryName(script)!).Where(file => file != program && !file.EndsWith(".md", StringComparison.Ordinal));
        if (File.Exists(program) && sources.All(source => File.GetLastWriteTimeUtc(source) <= File.GetLastWriteTimeUtc(program)))
        {
            return;
        }

        progress($"Building {Contest.Title(contestant)}'s program ...");
        try
        {
            await Processes.RunAsync([script], s_buildLimit, stop);
        }
        catch (RunFailure failure)
        {
            _absent[contestant] = failure.Message;
            progress($"{Contest.Title(contestant)} does not take part: {failure.Message}");
        }
    }

    private static async Task<string> GitAsync(string root, CancellationToken stop)
    {
        try
        {
            string commit = (await Processes.RunAsync(["git", "-C", root, "rev-parse", "--short=12", "HEAD"], TimeSpan.FromSeconds(20), stop)).Trim();
            string changed = await Processes.RunAsync(["git", "-C", root, "status", "--porcelain", "--", "src"], TimeSpan.FromSeconds(20), stop);
            return changed.Length == 0 ? commit : $"{commit} with changes";
        }
        catch (RunFailure)
        {
            return "unknown";
        }
    }
}
