using System.CommandLine;

namespace Penstock.Tool.Drill;

/// <summary>The verb <c>drill</c>: its options, their checks, and what they come to. Runs nothing itself.</summary>
internal static class DrillCommand
{
    public const string Name = "drill";

    /// <summary>What the help ends with.</summary>
    public const string Examples =
        """
        Examples:
          penstock drill handshake.pkt
              One script: passes, or shows the line, both packets one above the other and what went before.
          penstock drill tests/drill
              Every *.pkt below a folder. The last line is 'N passed, N failed'; exit code 1 if any failed.
          penstock drill tests/drill --filter 'loss/*' --verbose
              Only some of them, with every packet that crosses the wire.
          penstock drill rto.pkt --sysctl net.ipv4.tcp_sack=0 -D MSS=1000
              Another setting of the stack, and a word that the script leaves open.
          penstock drill mine --list
              What would run, without running it. Scripts with errors are shown with the place.

        A first script:
            0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3    // 0 s: make a socket, number it 3
           +0 bind(3, ..., ...) = 0
           +0 listen(3, 1) = 0
          +.1 < S 0:0(0) win 65535 <mss 1460>              // 0.1 s later a SYN arrives
           +0 > S. 0:0(0) ack 1 <...>                      // and must be answered at once
          +.1 < . 1:1(0) ack 1 win 65535
           +0 accept(3, ..., ...) = 4
        The whole language: docs/drill.md
        """;

    private static readonly Argument<string[]> s_paths = new("FILE_OR_FOLDER")
    {
        Arity = ArgumentArity.OneOrMore,
        Description = "Scripts, or folders with scripts (*.pkt, subfolders too).",
    };

    private static readonly Option<string[]> s_defines = new("-D", "--define")
    {
        HelpName = "NAME=VALUE",
        AllowMultipleArgumentsPerToken = false,
        Description = "Puts a value wherever scripts write the word. Repeatable.",
    };

    private static readonly Option<string[]> s_sysctls = new("--sysctl")
    {
        HelpName = "KEY=VALUE",
        Description = "A setting of the stack, by Linux's name, before each script's own. Repeatable.",
    };

    private static readonly Option<string?> s_filter = new("--filter")
    {
        HelpName = "PATTERN",
        Description = "Runs only scripts whose path has this in it; * and ? are wildcards for the whole path.",
    };

    private static readonly Option<string> s_pcap = new("--pcap")
    {
        HelpName = "FOLDER",
        Description = "Where the pcapng of each failed script goes; made when it is needed.",
        DefaultValueFactory = _ => "drill-failures",
    };

    private static readonly Option<bool> s_pcapAll = new("--pcap-all") { Description = "Keeps the pcapng of scripts that pass too." };

    private static readonly Option<bool> s_noPcap = new("--no-pcap") { Description = "Keeps none." };

    private static readonly Option<bool> s_verbose = new("--verbose", "-v") { Description = "Shows every packet and what scripts print, also of scripts that pass." };

    private static readonly Option<bool> s_quiet = new("--quiet", "-q") { Description = "Shows failures and the last line only." };

    private static readonly Option<bool> s_list = new("--list") { Description = "Lists the scripts and runs none." };

    private static readonly Option<ulong> s_seed = new("--seed")
    {
        HelpName = "N",
        Description = "Seed of the stack's random choices. The same seed gives the same packets.",
        DefaultValueFactory = _ => 1UL,
    };

    private static readonly Option<TimeSpan?> s_tolerance = new("--tolerance")
    {
        HelpName = "TIME",
        Description = "How far off a packet may be in time, as in 4ms; 0s asks for the very nanosecond. A script's own --tolerance_usecs wins. [default: 4 ms or an eighth of the delay]",
        CustomParser = result => OptionText.Parse(
            result,
            (string text, out TimeSpan? time) =>
            {
                bool read = Quantity.TryParseTime(text, out TimeSpan value);
                time = value;
                return read && value >= TimeSpan.Zero;
            },
            Quantity.TimeForm),
    };

    private static readonly Option<bool> s_strict = new("--strict")
    {
        Description = "A packet that the script does not mention fails it too, and echoed timestamps are compared.",
    };

    public static Command Build()
    {
        var command = new Command(Name, "Runs packet scripts (the language of packetdrill) against the stack: in process, in virtual time, without privileges.")
        {
            s_paths, s_defines, s_sysctls, s_filter, s_pcap, s_pcapAll, s_noPcap, s_verbose, s_quiet, s_list, s_seed, s_tolerance, s_strict,
        };
        command.SetAction((parsed, stop) =>
        {
            bool keepsNone = parsed.GetValue(s_noPcap);
            var settings = new DrillSettings
            {
                Scripts = ScriptFiles.Find(parsed.GetValue(s_paths) ?? [], parsed.GetValue(s_filter)),
                Defines = Pairs(parsed.GetValue(s_defines), "-D", "MSS=1460"),
                Sysctls = [.. Pairs(parsed.GetValue(s_sysctls), "--sysctl", "net.ipv4.tcp_sack=0")],
                Captures = keepsNone ? null : parsed.GetValue(s_pcap),
                KeepsAllCaptures = !keepsNone && parsed.GetValue(s_pcapAll),
                Verbose = parsed.GetValue(s_verbose),
                Quiet = parsed.GetValue(s_quiet),
                Seed = parsed.GetValue(s_seed),
                Tolerance = parsed.GetValue(s_tolerance),
                Strict = parsed.GetValue(s_strict),
            };
            settings.CheckSysctls();
            var run = new DrillRun(settings, parsed.InvocationConfiguration.Output, new DrillColors(parsed.InvocationConfiguration.Output));
            return Task.FromResult(parsed.GetValue(s_list) ? run.List() : run.Run(stop));
        });
        return command;
    }

    private static Dictionary<string, string> Pairs(string[]? texts, string option, string example)
    {
        var pairs = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string text in texts ?? [])
        {
            int equals = text.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                throw ToolFailure.Usage($"'{text}' is no value for {option}. Write a name and a value, as in {option} {example}.");
            }

            pairs[text[..equals].Trim()] = text[(equals + 1)..].Trim();
        }

        return pairs;
    }
}
