namespace Penstock.Drill;

/// <summary>
/// A parsed packet script: head options, one command to begin with, the events in order, one command to clean up. Immutable and
/// safe to share between threads. Parsing touches no stack, no clock and no file.
/// </summary>
/// <remarks>
/// The language is packetdrill's: <c>+.1 &lt; S 0:0(0) win 65535 &lt;mss 1460&gt;</c> injects a segment, <c>&gt;</c> expects one,
/// <c>+0 accept(3, ..., ...) = 4</c> makes a socket call and checks what it gives back, <c>%{ assert tcpi_snd_cwnd == 10 }%</c>
/// looks inside the connection. Tunnel headers (<c>gre</c>, <c>mpls</c>, an outer <c>ipv4</c>) and PSP are not spoken.
/// </remarks>
public sealed class Script
{
    internal Script(
        string path, HeadOptions options, Command? initCommand, NodeList<ScriptEvent> events, Command? cleanupCommand, string[] lines)
    {
        Path = path;
        Options = options;
        InitCommand = initCommand;
        Events = events;
        CleanupCommand = cleanupCommand;
        _lines = lines;
    }

    private readonly string[] _lines;

    /// <summary>The script's name as it was given to <see cref="Parse"/>.</summary>
    public string Path { get; }

    /// <summary>How many events the script has: packets, calls, commands and code, without the first and the last command.</summary>
    public int EventCount => Events.Count;

    internal HeadOptions Options { get; }

    internal Command? InitCommand { get; }

    internal NodeList<ScriptEvent> Events { get; }

    internal Command? CleanupCommand { get; }

    /// <summary>Parses a script.</summary>
    /// <param name="text">The script's text; line ends may be LF or CR LF.</param>
    /// <param name="path">Its name, for messages.</param>
    /// <param name="defines">Words to replace while parsing, as <c>-D NAME=value</c> gives them; the script's own <c>--define</c> wins.</param>
    /// <returns>The script.</returns>
    /// <exception cref="ScriptException">The text is not a script; the error names the place and what was expected.</exception>
    public static Script Parse(string text, string path = "script.pkt", IReadOnlyDictionary<string, string>? defines = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(path);
        return new Parser(text, path, defines).ParseScript();
    }

    /// <summary>An error at a place of this script, with its line shown: for what is found wrong while it runs.</summary>
    internal ScriptError ErrorAt(SourcePosition at, string message) =>
        new(Path, at.Line, at.Column, message, at.Line >= 1 && at.Line <= _lines.Length ? _lines[at.Line - 1] : "");
}
