namespace Penstock.Tool.Drill;

/// <summary>Colors for a terminal, and none for a file, a pipe, or somebody who asked for none (no-color.org).</summary>
internal sealed class DrillColors(TextWriter output)
{
    private readonly bool _on = ReferenceEquals(output, Console.Out) && !Console.IsOutputRedirected
        && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));

    public string Good(string text) => Paint("32", text);

    public string Bad(string text) => Paint("31;1", text);

    public string Dim(string text) => Paint("2", text);

    public string Odd(string text) => Paint("33", text);

    private string Paint(string code, string text) => _on ? $"\e[{code}m{text}\e[0m" : text;
}
