using System.Globalization;
using System.Text;

namespace Penstock.Drill;

/// <summary>
/// Parses the inside of <c>%{ }%</c>: assert, print and assignments, divided by line ends or semicolons, with Python's operators and
/// precedence. No Python is run, and nothing beyond this is understood.
/// </summary>
internal sealed class CodeParser
{
    /// <summary>Binary operators by binding power, the weakest first; comparisons, and, or and not stand above them.</summary>
    private static readonly string[][] Levels = [["|"], ["^"], ["&"], ["<<", ">>"], ["+", "-"], ["*", "/", "//", "%"]];

    private static readonly string[] Comparisons = ["==", "!=", "<", "<=", ">", ">="];

    // Longest first, so that "<<" is not read as two "<".
    private static readonly string[] Operators =
    [
        "<<=", ">>=", "//=", "**", "<<", ">>", "<=", ">=", "==", "!=", "//", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=",
        "<", ">", "=", "+", "-", "*", "/", "%", "&", "|", "^", "~", "(", ")", ",", ";", "\n",
    ];

    private readonly Lexer _lexer;
    private readonly string _text;
    private readonly int _base;
    private int _offset;
    private int _depth;
    private Part _part;

    private CodeParser(Lexer lexer, Token code)
    {
        _lexer = lexer;
        _text = code.Text;
        _base = code.Offset + 2;
        Advance();
    }

    private enum PartKind
    {
        End,
        Name,
        Number,
        Text,
        Operator,
    }

    /// <summary>Parses one block; <paramref name="lexer"/> only serves for positions.</summary>
    public static NodeList<CodeStatement> Parse(Lexer lexer, Token code)
    {
        var parser = new CodeParser(lexer, code);
        var statements = new List<CodeStatement>();
        while (parser._part.Kind != PartKind.End)
        {
            if (parser.TryTake("\n") || parser.TryTake(";"))
            {
                continue;
            }

            statements.Add(parser.ParseStatement());
            if (parser._part.Kind != PartKind.End && !parser._part.Is("\n") && !parser._part.Is(";"))
            {
                throw parser.Wrong("the end of the line or ;");
            }
        }

        return [.. statements];
    }

    private CodeStatement ParseStatement()
    {
        Part first = _part;
        SourcePosition at = _lexer.PositionOf(_base + first.Offset);
        string name = TakeName("assert, print or an assignment");
        if (name == "assert")
        {
            CodeExpression condition = ParseExpression();
            if (condition is CodeTuple)
            {
                throw Error(first.Offset, "assert (a, b) is always true: write assert a, b");
            }

            return new AssertStatement(condition, TryTake(",") ? ParseExpression() : null) { At = at };
        }

        if (name == "print")
        {
            CodeExpression value = ParseExpression();
            if (value is CodeTuple tuple)
            {
                return new PrintStatement(tuple.Items) { At = at };
            }

            var values = new List<CodeExpression> { value };
            while (TryTake(","))
            {
                values.Add(ParseExpression());
            }

            return new PrintStatement([.. values]) { At = at };
        }

        if (_part.Kind != PartKind.Operator || !_part.Text.EndsWith('=') || Comparisons.Contains(_part.Text))
        {
            throw Error(first.Offset, $"'{name}' begins no statement: write assert condition, print(value) or {name} = value");
        }

        string sign = _part.Text;
        Advance();
        return new AssignStatement(name, sign == "=" ? null : sign[..^1], ParseExpression()) { At = at };
    }

    private CodeExpression ParseExpression()
    {
        CodeExpression left = ParseAnd();
        while (TryTakeName("or"))
        {
            left = new CodeBinary("or", left, ParseAnd()) { At = left.At };
        }

        return left;
    }

    private CodeExpression ParseAnd()
    {
        CodeExpression left = ParseNot();
        while (TryTakeName("and"))
        {
            left = new CodeBinary("and", left, ParseNot()) { At = left.At };
        }

        return left;
    }

    private CodeExpression ParseNot()
    {
        SourcePosition at = Here();
        return TryTakeName("not") ? new CodeUnary("not", ParseNot()) { At = at } : ParseComparison();
    }

    private CodeExpression ParseComparison()
    {
        CodeExpression first = ParseBinary(0);
        if (_part.Kind != PartKind.Operator || !Comparisons.Contains(_part.Text))
        {
            return first;
        }

        var operands = new List<CodeExpression> { first };
        var operators = new List<string>();
        while (_part.Kind == PartKind.Operator && Comparisons.Contains(_part.Text))
        {
            operators.Add(_part.Text);
            Advance();
            operands.Add(ParseBinary(0));
        }

        return new CodeComparison([.. operands], [.. operators]) { At = first.At };
    }

    private CodeExpression ParseBinary(int level)
    {
        if (level == Levels.Length)
        {
            return ParseUnary();
        }

        CodeExpression left = ParseBinary(level + 1);
        while (_part.Kind == PartKind.Operator && Levels[level].Contains(_part.Text))
        {
            string sign = _part.Text;
            Advance();
            left = new CodeBinary(sign, left, ParseBinary(level + 1)) { At = left.At };
        }

        return left;
    }

    private CodeExpression ParseUnary()
    {
        SourcePosition at = Here();
        foreach (string sign in (ReadOnlySpan<string>)["-", "+", "~"])
        {
            if (TryTake(sign))
            {
                return new CodeUnary(sign, ParseUnary()) { At = at };
            }
        }

        return ParsePrimary(at);
    }

    private CodeExpression ParsePrimary(SourcePosition at)
    {
        Part part = _part;
        switch (part.Kind)
        {
            case PartKind.Number:
                Advance();
                return new CodeNumber(part.Number) { At = at };
            case PartKind.Text:
                string text = "";
                for (; _part.Kind == PartKind.Text; Advance())
                {
                    text += _part.Text;
                }

                return new CodeText(text) { At = at };
            case PartKind.Name when part.Text is not ("and" or "or" or "not" or "assert" or "print"):
                Advance();
                if (!_part.Is("("))
                {
                    return new CodeName(part.Text) { At = at };
                }

                if (part.Text is not ("min" or "max" or "abs"))
                {
                    throw Error(part.Offset, $"there is no function '{part.Text}' here: min, max and abs are known");
                }

                CodeExpression arguments = ParseParenthesis(at);
                return new CodeCall(part.Text, arguments is CodeTuple tuple ? tuple.Items : [arguments]) { At = at };
            case PartKind.Operator when part.Is("("):
                return ParseParenthesis(at);
            default:
                throw Wrong("a number, a name, a 'text' or (");
        }
    }

    private CodeExpression ParseParenthesis(SourcePosition at)
    {
        _depth++; // Line ends do not count inside parentheses.
        Advance();
        var items = new List<CodeExpression>();
        bool isTuple = _part.Is(")");
        while (!_part.Is(")"))
        {
            items.Add(ParseExpression());
            if (!_part.Is(","))
            {
                break;
            }

            isTuple = true;
            Advance();
        }

        if (!_part.Is(")"))
        {
            throw Wrong(") or a comma");
        }

        _depth--;
        Advance();
        return isTuple ? new CodeTuple([.. items]) { At = at } : items[0];
    }

    private SourcePosition Here() => _lexer.PositionOf(_base + _part.Offset);

    private bool TryTake(string sign)
    {
        if (!_part.Is(sign))
        {
            return false;
        }

        Advance();
        return true;
    }

    private bool TryTakeName(string name)
    {
        if (_part.Kind != PartKind.Name || _part.Text != name)
        {
            return false;
        }

        Advance();
        return true;
    }

    private string TakeName(string expected)
    {
        if (_part.Kind != PartKind.Name)
        {
            throw Wrong(expected);
        }

        string name = _part.Text;
        Advance();
        return name;
    }

    private void Advance()
    {
        SkipBlanks();
        int start = _offset;
        if (start >= _text.Length)
        {
            _part = new(PartKind.End, "", start);
            return;
        }

        char c = _text[start];
        if (char.IsAsciiLetter(c) || c == '_')
        {
            SkipWord();
            _part = new(PartKind.Name, _text[start.._offset], start);
        }
        else if (char.IsAsciiDigit(c))
        {
            SkipWord();
            _part = new(PartKind.Number, _text[start.._offset], start, ReadNumber(start));
        }
        else if (c is '\'' or '"')
        {
            _part = new(PartKind.Text, ReadText(c), start);
        }
        else
        {
            string? sign = Array.Find(Operators, known => string.CompareOrdinal(_text, start, known, 0, known.Length) == 0);
            if (sign is null or "**")
            {
                throw Error(start, $"'{sign ?? c.ToString()}' means nothing here");
            }

            _offset += sign.Length;
            _part = new(PartKind.Operator, sign, start);
        }
    }

    private void SkipBlanks()
    {
        while (_offset < _text.Length)
        {
            char c = _text[_offset];
            if (c is ' ' or '\t' or '\r' || (c == '\n' && _depth > 0))
            {
                _offset++;
            }
            else if (c == '\\' && _text.AsSpan(_offset + 1).TrimStart('\r') is ['\n', ..])
            {
                _offset = _text.IndexOf('\n', _offset) + 1;
            }
            else if (c == '#')
            {
                int end = _text.IndexOf('\n', _offset);
                _offset = end < 0 ? _text.Length : end;
            }
            else
            {
                return;
            }
        }
    }

    private void SkipWord()
    {
        while (_offset < _text.Length && (char.IsAsciiLetterOrDigit(_text[_offset]) || _text[_offset] == '_'))
        {
            _offset++;
        }
    }

    private long ReadNumber(int start)
    {
        ReadOnlySpan<char> text = _text.AsSpan(start, _offset - start);
        if (_offset < _text.Length && _text[_offset] == '.')
        {
            throw Error(start, "code counts in whole numbers here: write times in microseconds, for example");
        }

        bool isHex = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        NumberStyles style = isHex ? NumberStyles.AllowHexSpecifier : NumberStyles.None;
        return long.TryParse(isHex ? text[2..] : text, style, CultureInfo.InvariantCulture, out long value)
            ? value
            : throw Error(start, $"'{text}' is no number of 64 bits");
    }

    private string ReadText(char quote)
    {
        int start = _offset;
        var text = new StringBuilder();
        for (_offset++; _offset < _text.Length && _text[_offset] != '\n'; _offset++)
        {
            char c = _text[_offset];
            if (c == quote)
            {
                _offset++;
                return text.ToString();
            }

            if (c == '\\' && _offset + 1 < _text.Length)
            {
                c = _text[++_offset] switch { 'n' => '\n', 't' => '\t', var other => other };
            }

            text.Append(c);
        }

        throw Error(start, $"this text has no closing {quote} on its line");
    }

    private ScriptException Wrong(string expected)
    {
        string found = _part.Kind == PartKind.End ? "}%" : _part.Is("\n") ? "the end of the line" : $"'{_part.Text}'";
        return Error(_part.Offset, $"expected {expected}, but found {found}");
    }

    private ScriptException Error(int offset, string message) => _lexer.ErrorAt(_base + offset, message);

    private readonly record struct Part(PartKind Kind, string Text, int Offset, long Number = 0)
    {
        public bool Is(string sign) => Kind == PartKind.Operator && Text == sign;
    }
}
