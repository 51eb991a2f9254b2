using System.Globalization;
using Penstock.Drill;

namespace Penstock.Tool.Drill;

/// <summary>Runs the scripts one after the other and tells what became of each. Its last line is always <c>N passed, N failed</c>.</summary>
internal sealed class DrillRun(DrillSettings settings, TextWriter output, DrillColors colors)
{
    private readonly List<(string Name, string Reason)> _skipped = [];
    private int _passed;
    private int _failed;

    /// <summary>Every script with its number of events, or its error. Exit code 1 when one cannot be read.</summary>
    public int List()
    {
        foreach (ScriptFile file in settings.Scripts)
        {
            if (Read(file) is { } script)
            {
                output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{file.Name}  {script.EventCount} events"));
            }
        }

        return _failed == 0 ? PenstockCommand.Success : PenstockCommand.Failure;
    }

    public int Run(CancellationToken stop)
    {
        foreach (ScriptFile file in settings.Scripts)
        {
            stop.ThrowIfCancellationRequested();
            if (Read(file) is { } script)
            {
                Run(file, script);
            }
        }

        TellSkipped();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{_passed} passed, {_failed} failed"));
        return _failed == 0 ? PenstockCommand.Success : PenstockCommand.Failure;
    }

    private Script? Read(ScriptFile file)
    {
        try
        {
            return Script.Parse(File.ReadAllText(file.Path), file.Name, settings.Defines);
        }
        catch (ScriptException wrong)
        {
            TellFailure(file, wrong.Error.ToString(), "cannot be read");
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            TellFailure(file, unreadable.Message, "cannot be read");
        }

        return null;
    }

    private void Run(ScriptFile file, Script script)
    {
        DrillRunOptions options = settings.RunOptions();
        using MemoryStream? capture = settings.Captures is null ? null : new MemoryStream();
        options.Capture = capture;
        options.ReadFile = ReadBeside(file.Path);
        long started = TimeProvider.System.GetTimestamp();
        DrillResult result = DrillRunner.Run(script, options);
        double milliseconds = TimeProvider.System.GetElapsedTime(started).TotalMilliseconds;
        switch (result.Outcome)
        {
            case DrillOutcome.Passed:
                _passed++;
                if (!settings.Quiet)
                {
                    string times = string.Create(
                        CultureInfo.InvariantCulture, $"({result.Packets.Count} packets, {result.Duration.TotalSeconds:0.###} s in {milliseconds:0} ms)");
                    output.WriteLine($"{colors.Good("pass")} {file.Name} {colors.Dim(times)}");
                }

                break;
            case DrillOutcome.Skipped:
                string reason = FirstSentence(result.Message ?? "");
                _skipped.Add((file.Name, reason));
                if (!settings.Quiet)
                {
                    output.WriteLine($"{colors.Odd("skip")} {file.Name}: {reason}");
                }

                break;
            default:
                TellFailure(file, result.ToString(), null);
                break;
        }

        if (settings.Verbose)
        {
            TellWire(result);
        }

        bool keeps = capture is not null && (settings.KeepsAllCaptures || result.Outcome == DrillOutcome.Failed);
        if (keeps)
        {
            Keep(file, capture!);
        }
    }

    private void TellFailure(ScriptFile file, string message, string? what)
    {
        _failed++;
        output.WriteLine($"{colors.Bad("FAIL")} {file.Name}{(what is null ? "" : $" {what}")}");
        output.WriteLine(Indented(message));
    }

    private void TellWire(DrillResult result)
    {
        if (result.Outcome != DrillOutcome.Failed)
        {
            foreach (string packet in result.Packets)
            {
                output.WriteLine($"    {packet}");
            }
        }

        foreach (string line in result.Output)
        {
            output.WriteLine($"    | {line}");
        }
    }

    private void TellSkipped()
    {
        if (_skipped.Count == 0)
        {
            return;
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{_skipped.Count} skipped:"));
        foreach (IGrouping<string, string> group in _skipped.GroupBy(s => s.Reason, s => s.Name).OrderByDescending(g => g.Count()).ThenBy(g => g.Key, StringComparer.Ordinal))
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {group.Count(),4}  {group.Key}"));
        }
    }

    private void Keep(ScriptFile file, MemoryStream capture)
    {
        string name = string.Join('_', file.Name.Split('/', StringSplitOptions.RemoveEmptyEntries).Where(part => part is not ("." or "..")).TakeLast(2));
        string path = Path.Combine(settings.Captures!, Path.ChangeExtension(name, ".pcapng"));
        try
        {
            Directory.CreateDirectory(settings.Captures!);
            File.WriteAllBytes(path, capture.ToArray());
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            throw ToolFailure.Environment($"The capture '{path}' cannot be written ({refused.Message}). Choose another folder with --pcap, or --no-pcap.", refused);
        }

        output.WriteLine($"  capture: {path}");
    }

    /// <summary>Commands of a script may name files beside it, as <c>../common/defaults.sh</c>.</summary>
    private static Func<string, string?> ReadBeside(string script) => name =>
    {
        string path = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(script))!, name);
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    };

    private static string Indented(string text) => "  " + text.Replace("\n", "\n  ", StringComparison.Ordinal);

    /// <summary>The message without its place and the line shown.</summary>
    private static string FirstSentence(string message)
    {
        string line = message.Split('\n')[0];
        int place = line.IndexOf(": ", StringComparison.Ordinal);
        return place < 0 ? line : line[(place + 2)..];
    }
}
