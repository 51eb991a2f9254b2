using System.Text;

namespace Penstock.Drill;

/// <summary>
/// One thing that is wrong with a packet script, at one place, told to a person who is learning TCP with it.
/// Immutable and safe to share between threads.
/// </summary>
/// <param name="Path">The script's name as it was given to the parser, usually a file path.</param>
/// <param name="Line">The line, counted from 1.</param>
/// <param name="Column">The column, counted from 1 in UTF-16 code units; a tab counts as one.</param>
/// <param name="Message">What was expected and what was found, without the place.</param>
/// <param name="SourceLine">The script's line, without its line end.</param>
public sealed record ScriptError(string Path, int Line, int Column, string Message, string SourceLine)
{
    /// <summary>The place, the message, the line and a caret below the column, as four lines of text without a last line end.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append(Path).Append(':').Append(Line).Append(':').Append(Column).Append(": ").Append(Message).Append('\n');
        text.Append("    ").Append(SourceLine).Append('\n').Append("    ");

        // Tabs are repeated, so that the caret stands right whatever the terminal's tab width is.
        for (int i = 0; i < Column - 1; i++)
        {
            text.Append(i < SourceLine.Length && SourceLine[i] == '\t' ? '\t' : ' ');
        }

        return text.Append('^').ToString();
    }
}

/// <summary>Thrown when a packet script cannot be understood. <see cref="Exception.Message"/> is the error with its place and caret.</summary>
/// <param name="error">What is wrong, and where.</param>
public sealed class ScriptException(ScriptError error) : FormatException(error.ToString())
{
    /// <summary>What is wrong, and where.</summary>
    public ScriptError Error { get; } = error;
}
