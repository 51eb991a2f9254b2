using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net.Sockets;
using Penstock.Tool.Perf.Pipe;
using Penstock.Tool.Serve;

namespace Penstock.Tool.Perf;

/// <summary>The verb <c>perf</c> with its verbs <c>server</c> and <c>pipe</c>: options, their checks, and what they come to. Measures nothing itself.</summary>
internal static class PerfCommand
{
    public const string Name = "perf";

    /// <summary>What the help ends with.</summary>
    public const string Examples =
        """
        Examples:
          penstock perf pipe
              Every test, both ends in this process; takes some minutes.
          penstock perf pipe pipe.bulk --json
              The three bulk tests, one line of JSON a result.
          penstock perf pipe pipe.rr64 pipe.rr64.pool --runs 9 --time 2s
              More and longer runs. The value is the median.
          sudo penstock perf server --tun penstock0 --address 10.77.0.2/24
              Sink 9001, source 9002 and echo 9003 on a TUN device, for a client on the kernel's side.
        """;

    private static readonly Option<bool> s_json = new("--json") { Description = "One line of JSON a result instead of a table." };

    private static readonly Option<bool> s_quick = new("--quick") { Description = "One short run of small sizes: shows that it works, the figures mean little." };

    private static readonly Option<int?> s_runs = new("--runs")
    {
        HelpName = "N",
        Description = "Runs of each test; the value is their median. [default: 5]",
        CustomParser = result => OptionText.ParseNumber(result, 1, 1000),
    };

    private static readonly Option<TimeSpan?> s_time = new("--time")
    {
        HelpName = "TIME",
        Description = "How long each run measures, as in 2s. [default: 1s]",
        CustomParser = result => OptionText.Parse(
            result,
            (string text, out TimeSpan? time) =>
            {
                bool read = Quantity.TryParseTime(text, out TimeSpan value);
                time = value;
                return read && value > TimeSpan.Zero;
            },
            Quantity.TimeForm),
    };

    private static readonly Option<string> s_tun = new("--tun")
    {
        HelpName = "NAME",
        Required = true,
        Description = "The TUN device, which is made; needs root or CAP_NET_ADMIN.",
    };

    private static readonly Option<InterfaceAddress> s_address = new("--address")
    {
        HelpName = "CIDR",
        Required = true,
        Description = "The stack's own address and network, as in 10.77.0.2/24; the kernel gets the first other host of it.",
        CustomParser = result => OptionText.Parse(
            result,
            (string text, out InterfaceAddress address) =>
            {
                bool read = InterfaceAddress.TryParse(text, out InterfaceAddress? parsed) && text.Contains('/', StringComparison.Ordinal)
                    && parsed.Address.AddressFamily == AddressFamily.InterNetwork;
                address = parsed!;
                return read;
            },
            "Write an IPv4 address with its prefix, as in 10.77.0.2/24."),
    };

    private static readonly Option<int> s_mtu = new("--mtu")
    {
        HelpName = "BYTES",
        Description = "Largest IP packet on the device, 576 to 65535.",
        DefaultValueFactory = _ => 1500,
        CustomParser = result => OptionText.ParseNumber(result, 576, 65535),
    };

    private static readonly Option<bool> s_noOffload = new("--no-offload") { Description = "Single packets with real checksums instead of super-segments." };

    private static readonly Option<bool> s_inline = new("--inline") { Description = "The server's continuations run on the stack's own thread (UnsafeInlineContinuations)." };

    public static Command Build() => new(Name, "Measures how fast the stack is: in this process, or as the far end of a client on the kernel's side.")
    {
        BuildPipe(),
        BuildServer(),
    };

    private static Command BuildPipe()
    {
        var tests = new Argument<string[]>("TEST")
        {
            Arity = ArgumentArity.ZeroOrMore,
            Description = $"{string.Join(", ", PipeCatalog.Names)}; the beginning of a name, as pipe.bulk, means all such; all without.",
        };
        var command = new Command("pipe", "Two stacks in one process, through the public async API at both ends, content checked.") { tests, s_json, s_quick, s_runs, s_time };
        command.SetAction((parsed, stop) =>
        {
            PipeSettings basis = parsed.GetValue(s_quick) ? PipeSettings.Quick : new PipeSettings();
            PipeSettings settings = basis with { Runs = parsed.GetValue(s_runs) ?? basis.Runs, Time = parsed.GetValue(s_time) ?? basis.Time };
            return PipeRun.RunAsync(
                PipeCatalog.Choose(parsed.GetValue(tests) ?? []),
                settings,
                parsed.GetValue(s_json),
                parsed.InvocationConfiguration.Output,
                parsed.InvocationConfiguration.Error,
                stop);
        });
        return command;
    }

    private static Command BuildServer()
    {
        var command = new Command("server", "Sink on port 9001, source on 9002, echo on 9003, on a TUN device; prints 'ready' once it listens. Linux only.")
        {
            s_tun, s_address, s_mtu, s_noOffload, s_inline,
        };
        command.SetAction((parsed, stop) =>
        {
            InterfaceAddress address = parsed.GetValue(s_address)!;
            var network = new ServeSettings
            {
                Tun = parsed.GetValue(s_tun),
                Address = address,
                HostAddress = HostAddress.Choose(address, null),
                Mtu = parsed.GetValue(s_mtu),
                Offloads = !parsed.GetValue(s_noOffload),
            };
            return PerfServer.RunAsync(network, parsed.GetValue(s_inline), parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error, stop);
        });
        return command;
    }
}
