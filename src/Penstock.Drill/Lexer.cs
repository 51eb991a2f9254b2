using System.Globalization;
using System.Text;

namespace Penstock.Drill;

/// <summary>What a token is.</summary>
internal enum TokenKind
{
    End,
    Word,
    Number,
    HexNumber,
    Fraction,
    String,
    BackQuoted,
    Code,
    Option,
    Ellipsis,
    Symbol,
}

/// <summary>
/// A token with its place in the text. <see cref="Text"/> is as written for words and numbers, the content for quoted ones, the
/// name for options.
/// </summary>
internal readonly record struct Token(TokenKind Kind, string Text, int Offset, int EndOffset, string? Value = null)
{
    public bool Is(char symbol) => Kind == TokenKind.Symbol && Text[0] == symbol;

    public bool IsWord(string word) => Kind == TokenKind.Word && Text == word;

    /// <summary>How messages speak of the token.</summary>
    public string Describe() => Kind switch
    {
        TokenKind.End => "the end of the script",
        TokenKind.String => $"the string \"{Text}\"",
        TokenKind.BackQuoted => "a command in back quotes",
        TokenKind.Code => "a %{ }% block",
        TokenKind.Option => $"--{Text}",
        TokenKind.Ellipsis => "...",
        _ => $"'{Text}'",
    };
}

/// <summary>
/// Cuts a script into tokens, one at a time. TCP flags, notes and option values are no tokens of their own: the parser knows where
/// they may stand and reads them raw from an offset.
/// </summary>
internal sealed class Lexer
{
    private readonly string _text;
    private readonly string _path;
    private readonly List<int> _lineStarts = [0];
    private int _offset;

    public Lexer(string text, string path)
    {
        _text = text;
        _path = path;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '\n')
            {
                _lineStarts.Add(i + 1);
            }
        }
    }

    public SourcePosition PositionOf(int offset)
    {
        int index = _lineStarts.BinarySearch(offset);
        int line = index >= 0 ? index : ~index - 1;
        return new(line + 1, offset - _lineStarts[line] + 1);
    }

    public ScriptException ErrorAt(int offset, string message)
    {
        SourcePosition at = PositionOf(offset);
        return new(new ScriptError(_path, at.Line, at.Column, message, Line(at.Line)));
    }

    /// <summary>The script's lines without line ends.</summary>
    public string[] Lines()
    {
        string[] lines = new string[_lineStarts.Count];
        for (int i = 0; i < lines.Length; i++)
        {
            lines[i] = Line(i + 1);
        }

        return lines;
    }

    /// <summary>Goes on reading at <paramref name="offset"/>.</summary>
    public void MoveTo(int offset) => _offset = offset;

    /// <summary>Reads a run of letters, digits, dots and dashes at the next place that is no blank: TCP flags.</summary>
    public string ReadFlags(out int start)
    {
        SkipBlanks();
        start = _offset;
        while (_offset < _text.Length && (IsWordChar(_text[_offset]) || _text[_offset] is '.' or '-'))
        {
            _offset++;
        }

        return _text[start.._offset];
    }

    /// <summary>Reads up to the next closing parenthesis on the same line, and over it: a note such as "Connection refused".</summary>
    public string ReadNote()
    {
        int start = _offset;
        while (_offset < _text.Length && _text[_offset] is not (')' or '\n'))
        {
            _offset++;
        }

        if (_offset == _text.Length || _text[_offset] != ')')
        {
            throw ErrorAt(start, "this note in parentheses has no closing )");
        }

        return string.Join(' ', _text[start.._offset++].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
    }

    public Token Next()
    {
        SkipBlanks();
        int start = _offset;
        if (start >= _text.Length)
        {
            return new(TokenKind.End, "", start, start);
        }

        char c = _text[start];
        if (IsWordChar(c))
        {
            return WordOrNumber(start);
        }

        switch (c)
        {
            case '.' when At(start + 1) == '.' && At(start + 2) == '.':
                return Cut(TokenKind.Ellipsis, start, 3);
            case '.' when char.IsAsciiDigit(At(start + 1)):
                _offset = start + 1;
                SkipDigits();
                return Finish(TokenKind.Fraction, start);
            case '-' when At(start + 1) == '-' && char.IsAsciiLetter(At(start + 2)):
                return Option(start);
            case '"':
                return QuotedString(start);
            case '`':
                return BackQuoted(start);
            case '%' when At(start + 1) == '{':
                int end = _text.IndexOf("}%", start + 2, StringComparison.Ordinal);
                if (end < 0)
                {
                    throw ErrorAt(start, "this %{ has no closing }%");
                }

                _offset = end + 2;
                return new(TokenKind.Code, _text[(start + 2)..end], start, _offset);
            default:
                return Cut(TokenKind.Symbol, start, 1);
        }
    }

    private static bool IsWordChar(char c) => char.IsAsciiLetterOrDigit(c) || c == '_';

    private char At(int offset) => offset < _text.Length ? _text[offset] : '\0';

    private string Line(int number)
    {
        int start = _lineStarts[number - 1];
        int end = number < _lineStarts.Count ? _lineStarts[number] - 1 : _text.Length;
        return _text[start..end].TrimEnd('\r');
    }

    private Token Cut(TokenKind kind, int start, int length)
    {
        _offset = start + length;
        return Finish(kind, start);
    }

    private Token Finish(TokenKind kind, int start) => new(kind, _text[start.._offset], start, _offset);

    private void SkipDigits()
    {
        while (char.IsAsciiDigit(At(_offset)))
        {
            _offset++;
        }
    }

    private void SkipBlanks()
    {
        while (_offset < _text.Length)
        {
            char c = _text[_offset];
            if (char.IsWhiteSpace(c))
            {
                _offset++;
            }
            else if (c == '/' && At(_offset + 1) == '/')
            {
                int end = _text.IndexOf('\n', _offset);
                _offset = end < 0 ? _text.Length : end + 1;
            }
            else if (c == '/' && At(_offset + 1) == '*')
            {
                int end = _text.IndexOf("*/", _offset + 2, StringComparison.Ordinal);
                _offset = end < 0 ? throw ErrorAt(_offset, "this comment has no closing */") : end + 2;
            }
            else
            {
                return;
            }
        }
    }

    private Token WordOrNumber(int start)
    {
        bool digitsOnly = true;
        for (; IsWordChar(At(_offset)); _offset++)
        {
            digitsOnly &= char.IsAsciiDigit(_text[_offset]);
        }

        ReadOnlySpan<char> word = _text.AsSpan(start, _offset - start);
        if (!digitsOnly)
        {
            return Finish(
                word.Length > 2 && word.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
                    && ulong.TryParse(word[2..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out _)
                    ? TokenKind.HexNumber
                    : TokenKind.Word,
                start);
        }

        // "0...0.1" is 0, then the end of a blocking call: a dot belongs to the number only before a digit.
        if (At(_offset) == '.' && char.IsAsciiDigit(At(_offset + 1)))
        {
            _offset++;
            SkipDigits();
            return Finish(TokenKind.Fraction, start);
        }

        return Finish(TokenKind.Number, start);
    }

    private Token Option(int start)
    {
        _offset = start + 2;
        while (IsWordChar(At(_offset)))
        {
            _offset++;
        }

        string name = _text[(start + 2).._offset];
        int valueAt = _offset;
        while (At(valueAt) is ' ' or '\t')
        {
            valueAt++;
        }

        if (At(valueAt) != '=')
        {
            return new(TokenKind.Option, name, start, _offset);
        }

        valueAt++;
        while (At(valueAt) is ' ' or '\t')
        {
            valueAt++;
        }

        _offset = valueAt;

        // A value ends at a blank, but --define=CC="reno" and --define=C=`cmd a b` may hold blanks inside their quotes.
        while (_offset < _text.Length && !char.IsWhiteSpace(_text[_offset]))
        {
            if (_text[_offset] is '"' or '`')
            {
                int close = _text.IndexOf(_text[_offset], _offset + 1);
                _offset = close < 0 ? throw ErrorAt(_offset, $"this {_text[_offset]} is never closed") : close;
            }

            _offset++;
        }

        string value = _text[valueAt.._offset];
        if (value.Length >= 2 && value[0] == '"' && value[^1] == '"')
        {
            value = value[1..^1];
        }

        return new(TokenKind.Option, name, start, _offset, value);
    }

    private Token BackQuoted(int start)
    {
        for (_offset = start + 1; _offset < _text.Length; _offset++)
        {
            if (_text[_offset] == '\\')
            {
                _offset++;
            }
            else if (_text[_offset] == '`')
            {
                _offset++;
                return new(TokenKind.BackQuoted, _text[(start + 1)..(_offset - 1)], start, _offset);
            }
        }

        throw ErrorAt(start, "this back-quoted command is never closed");
    }

    private Token QuotedString(int start)
    {
        var bytes = new StringBuilder();
        int run = _offset = start + 1;
        while (true)
        {
            char c = At(_offset);
            if (_offset >= _text.Length || c == '\n')
            {
                throw ErrorAt(start, "this string has no closing \" on its line");
            }

            if (c is '"' or '\\')
            {
                AppendUtf8(bytes, _text.AsSpan(run, _offset - run));
                _offset++;
                if (c == '"')
                {
                    return new(TokenKind.String, bytes.ToString(), start, _offset);
                }

                bytes.Append(Escape());
                run = _offset;
            }
            else
            {
                _offset++;
            }
        }
    }

    /// <summary>Reads what follows a backslash: C's escapes, with two hexadecimal digits after x and up to three octal ones.</summary>
    private char Escape()
    {
        int at = _offset;
        char c = At(_offset++);
        switch (c)
        {
            case 'n': return '\n';
            case 't': return '\t';
            case 'r': return '\r';
            case 'a': return '\a';
            case 'b': return '\b';
            case 'f': return '\f';
            case 'v': return '\v';
            case '\\' or '"' or '\'': return c;
            case 'x':
                int start = _offset;
                while (_offset < start + 2 && char.IsAsciiHexDigit(At(_offset)))
                {
                    _offset++;
                }

                return _offset == start
                    ? throw ErrorAt(at - 1, "\\x wants one or two hexadecimal digits, as in \\x0a")
                    : (char)int.Parse(_text.AsSpan(start, _offset - start), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            case >= '0' and <= '7':
                int value = c - '0';
                for (int i = 0; i < 2 && At(_offset) is >= '0' and <= '7'; i++)
                {
                    value = (value * 8) + (At(_offset++) - '0');
                }

                return value <= 255 ? (char)value : throw ErrorAt(at - 1, "an octal escape ends at \\377, the largest byte");
            default:
                throw ErrorAt(at - 1, $"there is no escape \\{c}; known are \\n \\t \\r \\\\ \\\" \\0 and \\x0a");
        }
    }

    private static void AppendUtf8(StringBuilder bytes, ReadOnlySpan<char> text)
    {
        foreach (byte b in Encoding.UTF8.GetBytes(text.ToArray()))
        {
            bytes.Append((char)b);
        }
    }
}
