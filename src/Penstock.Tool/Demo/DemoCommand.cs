using System.CommandLine;
using System.CommandLine.Parsing;

namespace Penstock.Tool.Demo;

/// <summary>The verb <c>demo</c> with a verb for each entry of <see cref="DemoCatalog"/>: options, their checks, and what they come to. Runs nothing itself; see <see cref="DemoRun"/>.</summary>
internal static class DemoCommand
{
    public const string Name = "demo";

    private static readonly string[] s_onOff = ["on", "off"];

    private static readonly Option<bool> s_json = new("--json") { Description = "One line of JSON a figure instead of tables." };

    private static readonly Option<string?> s_html = new("--html") { HelpName = "FILE", Description = "Also writes one self-contained page with tables and plots." };

    private static readonly Option<bool> s_live = new("--live") { Description = "Real time on threads instead of virtual time, for the experiments that have such a form." };

    private static readonly Option<string?> s_tun = new("--tun")
    {
        HelpName = "NAME",
        Description = "With --live: also the kernel as the peer, over a TUN device of this name (10.78.0.1/24); needs root or CAP_NET_ADMIN.",
    };

    private static readonly Option<bool> s_full = new("--full") { Description = "The full number of records and bytes; takes minutes." };

    private static readonly Option<ulong> s_seed = new("--seed")
    {
        HelpName = "N",
        Description = "The same seed gives the same figures in virtual time.",
        DefaultValueFactory = _ => 1,
        CustomParser = result => OptionText.Parse<ulong>(result, ulong.TryParse, "Write a whole number, as in 1."),
    };

    private static readonly Option<FlushPolicy?> s_flush = new("--flush")
    {
        HelpName = "off|1|16|adaptive",
        Description = "Fixes when a long send looks at its backlog: never, before each buffer, before each sixteenth, or adaptively.",
        CustomParser = result => OptionText.Parse<FlushPolicy?>(result, FlushPolicy.TryParse, "Write off, 1, 16 or adaptive."),
    };

    private static readonly Option<string?> s_releaseCallback = Choice("--release-cb", s_onOff, "Fixes whether a flush also runs what timers and completions deferred.");

    private static readonly Option<string?> s_ackDefer = Choice("--ack-defer", s_onOff, "Fixes whether a drain sends one ACK for all of it.");

    private static readonly Option<string?> s_coalesce = Choice("--coalesce", s_onOff, "Fixes whether packets are merged in the backlog.");

    private static readonly Option<string?> s_goal = Choice("--goal", ["64k", "1mss"], "Fixes what a queued buffer is filled to.");

    private static readonly Option<bool> s_eor = new("--eor") { Description = "Each call ends a record (MSG_EOR)." };

    private static readonly Option<int?> s_fault = new("--fault-us")
    {
        HelpName = "N",
        Description = "Fixes what the first touch of a page costs, microseconds; 0 is warm memory.",
        CustomParser = result => OptionText.ParseNumber(result, 0, 100_000),
    };

    private static readonly Option<int?> s_message = Size("--msg", "Fixes the bytes of the send that is looked at, as in 16m.");

    private static readonly Option<int?> s_sendBuffer = Size("--sndbuf", "Fixes the send buffer, as in 64m (doubled, as SO_SNDBUF is).");

    private static readonly Option<string?> s_pureZeroCopy = Choice("--pure-zc", s_onOff, "Fixes whether the payload of buffers that hold nothing but the application's memory stays uncharged.");

    private static readonly Option<string?> s_downgrade = Choice(
        "--downgrade", [ByLength, ByTrueSize], "What such a buffer is charged when copied data joins it: the pages it touches (truesize), or its bytes (data_len: the patch's first form, a bug).");

    private const string ByLength = "data_len";
    private const string ByTrueSize = "truesize";

    private static readonly Option[] s_common = [s_json, s_html, s_live, s_tun, s_full, s_seed];

    // The order is that of the help.
    private static readonly Option[] s_switches =
        [s_flush, s_releaseCallback, s_ackDefer, s_coalesce, s_goal, s_eor, s_fault, s_pureZeroCopy, s_downgrade, s_message, s_sendBuffer];

    public static Command Build()
    {
        var demo = new Command(Name, "Experiments that show what the stack does differently, and that a negative control looks as bad as it must.");
        foreach (DemoEntry entry in DemoCatalog.All)
        {
            demo.Add(Build(entry));
        }

        return demo;
    }

    /// <summary>What the help of <paramref name="command"/> ends with.</summary>
    public static string ExamplesFor(Command command) =>
        (DemoCatalog.All.FirstOrDefault(d => d.Name == command.Name) ?? DemoCatalog.All[0]).Examples;

    private static Command Build(DemoEntry entry)
    {
        var experiments = new Argument<string[]>("EXPERIMENT")
        {
            Arity = ArgumentArity.ZeroOrMore,
            Description = $"{string.Join(", ", entry.Experiments.Select(e => e.Id))}; all without.",
        };
        var command = new Command(entry.Name, entry.Summary) { experiments };
        foreach (Option option in s_common.Concat(s_switches.Where(s => entry.Switches.Contains(s.Name))))
        {
            command.Add(option);
        }

        command.SetAction((parsed, stop) =>
        {
            DemoSettings settings = Settings(parsed);
            IReadOnlyList<Experiment> chosen = Choose(entry, parsed.GetValue(experiments) ?? [], settings.Live);
            return DemoRun.RunAsync(
                chosen,
                settings,
                new DemoOutput(parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error, parsed.GetValue(s_json), parsed.GetValue(s_html)),
                stop);
        });
        return command;
    }

    private static DemoSettings Settings(ParseResult parsed)
    {
        if (parsed.GetValue(s_tun) is not null && !parsed.GetValue(s_live))
        {
            throw ToolFailure.Usage("--tun is for real time. Add --live, or leave --tun out.");
        }

        return new DemoSettings
        {
            Seed = parsed.GetValue(s_seed),
            Full = parsed.GetValue(s_full),
            Live = parsed.GetValue(s_live),
            Tun = parsed.GetValue(s_tun),
            Flush = parsed.GetValue(s_flush),
            ReleaseCallback = Is(parsed, s_releaseCallback, "on"),
            AckDefer = Is(parsed, s_ackDefer, "on"),
            Coalesce = Is(parsed, s_coalesce, "on"),
            OneSegment = Is(parsed, s_goal, "1mss"),
            EndOfRecord = parsed.GetValue(s_eor),
            FaultMicros = parsed.GetValue(s_fault),
            Message = parsed.GetValue(s_message),
            SendBuffer = parsed.GetValue(s_sendBuffer),
            PureZeroCopy = Is(parsed, s_pureZeroCopy, "on"),
            DowngradeByLength = Is(parsed, s_downgrade, ByLength) ?? false,
        };
    }

    private static IReadOnlyList<Experiment> Choose(DemoEntry entry, string[] names, bool live)
    {
        var chosen = new List<Experiment>();
        foreach (string name in names)
        {
            Experiment found = entry.Experiments.FirstOrDefault(e => e.Id.Equals(name, StringComparison.OrdinalIgnoreCase))
                ?? throw ToolFailure.Usage(name.StartsWith('-')
                    ? $"'{name}' is not known here. See 'penstock {Name} {entry.Name} --help'."
                    : $"There is no experiment '{name}' in this demo. Choose from {string.Join(", ", entry.Experiments.Select(e => e.Id))}, or name none to run all.");
            if (!chosen.Contains(found))
            {
                chosen.Add(found);
            }
        }

        if (names.Length == 0)
        {
            chosen.AddRange(entry.Experiments);
        }

        if (!live)
        {
            return chosen;
        }

        string[] able = [.. entry.Experiments.Where(e => e.HasLive).Select(e => e.Id)];
        if (names.Length > 0 && chosen.Find(e => !e.HasLive) is { } without)
        {
            throw ToolFailure.Usage($"{without.Id} has no form for --live. Leave --live out, or choose {string.Join(", ", able)}.");
        }

        return [.. chosen.Where(e => e.HasLive)];
    }

    /// <summary>Whether a choice was made and is <paramref name="yes"/>; null when it was left to the experiments.</summary>
    private static bool? Is(ParseResult parsed, Option<string?> choice, string yes) => parsed.GetValue(choice) is { } made ? made == yes : null;

    private static Option<string?> Choice(string name, string[] words, string description) => new(name)
    {
        HelpName = string.Join('|', words),
        Description = description,
        CustomParser = result => OptionText.Parse(
            result,
            (string text, out string? chosen) =>
            {
                chosen = text;
                return words.Contains(text);
            },
            $"Write {string.Join(" or ", words)}."),
    };

    private static Option<int?> Size(string name, string description) => new(name)
    {
        HelpName = "SIZE",
        Description = description,
        CustomParser = result => OptionText.Parse(
            result,
            (string text, out int? size) =>
            {
                bool read = Quantity.TryParseSize(text, out int bytes);
                size = bytes;
                return read;
            },
            Quantity.SizeForm),
    };
}
