using System.Globalization;

namespace Penstock.Drill;

/// <content>Socket calls, their arguments and results.</content>
internal sealed partial class Parser
{
    private SystemCall ParseCall(TimeSpec time, int start)
    {
        string name = TakeWord("the name of a socket call");
        Take('(', $"after {name}");
        var arguments = new List<Expression>();
        if (!_token.Is(')'))
        {
            do
            {
                arguments.Add(ParseExpression());
            }
            while (TryTake(','));
        }

        Take(')', $"after the arguments of {name}, or a comma and one more");
        Take('=', $"and the expected result after {name}(...), as in = 0");
        Expression result = ParseResult();
        string? error = null;
        if (_token.Kind == TokenKind.Word)
        {
            if (!Symbols.IsErrorName(_token.Text))
            {
                string? near = NearestName.Find(_token.Text, Symbols.Names);
                throw _lexer.ErrorAt(_token.Offset, near is null
                    ? $"expected an errno name such as ECONNRESET, or the next event's time, but found '{_token.Text}'"
                    : $"'{_token.Text}' is no errno name; did you mean {near}?");
            }

            error = TakeWord("an errno name");
        }

        string? note = null;
        if (_token.Is('('))
        {
            _lexer.MoveTo(_token.EndOffset);
            note = _lexer.ReadNote();
            Advance();
        }

        return new(name, [.. arguments], result, error, note) { Time = time, At = _lexer.PositionOf(start) };
    }

    private Expression ParseResult()
    {
        int at = _token.Offset;
        return TryTake('?') ? new AnyResult { At = _lexer.PositionOf(at) } : ParseExpression();
    }

    private Expression ParseExpression()
    {
        Expression left = ParsePrimary();
        while (_token.Is('|'))
        {
            Advance();
            left = new OrExpression(left, ParsePrimary()) { At = left.At };
        }

        return left;
    }

    private Expression ParsePrimary()
    {
        int offset = _token.Offset;
        SourcePosition at = _lexer.PositionOf(offset);
        switch (_token.Kind)
        {
            case TokenKind.Ellipsis:
                Advance();
                return new EllipsisExpression { At = at };
            case TokenKind.Number or TokenKind.HexNumber:
                return ParseNumber(isNegative: false) with { At = at };
            case TokenKind.String:
                return ParseString() with { At = at };
            case TokenKind.Word:
                return ParseNamed(at);
            case TokenKind.Symbol when _token.Is('-'):
                Advance();
                return ParseNumber(isNegative: true) with { At = at };
            case TokenKind.Symbol when _token.Is('['):
                Advance();
                return new ArrayExpression(ParseItems(']', "after the array's values, or a comma and one more")) { At = at };
            case TokenKind.Symbol when _token.Is('{'):
                Advance();
                return ParseStruct() with { At = at };
            default:
                throw Wrong("a value: a number, a NAME, a \"string\", [an array], {a structure} or ... for the default");
        }
    }

    private NumberExpression ParseNumber(bool isNegative)
    {
        string text = _token.Text;
        if (_token.Kind == TokenKind.HexNumber)
        {
            ulong bits = ulong.Parse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            Advance();
            return new(isNegative ? -(long)bits : (long)bits, IsHex: !isNegative);
        }

        if (_token.Kind != TokenKind.Number)
        {
            throw Wrong("a number after -");
        }

        // Parsed with its sign, so that the lowest number there is can be written.
        if (!long.TryParse(isNegative ? "-" + text : text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value))
        {
            throw _lexer.ErrorAt(_token.Offset, $"{text} does not fit 64 bits");
        }

        Advance();
        return new(value);
    }

    /// <summary>Strings in a row are one string, as in C; <c>...</c> behind the last makes it a prefix.</summary>
    private StringExpression ParseString()
    {
        string bytes = "";
        while (_token.Kind == TokenKind.String)
        {
            bytes += _token.Text;
            Advance();
        }

        bool isPrefix = _token.Kind == TokenKind.Ellipsis;
        if (isPrefix)
        {
            Advance();
        }

        return new(bytes, isPrefix);
    }

    private Expression ParseNamed(SourcePosition at)
    {
        int nameAt = _token.Offset;
        string name = TakeWord("a name");
        if (char.IsAsciiDigit(name[0]))
        {
            throw _lexer.ErrorAt(nameAt, $"'{name}' is neither a number of 64 bits nor a name");
        }

        if (TryTake('='))
        {
            return new AssignmentExpression(name, ParseExpression()) { At = at };
        }

        if (!_token.Is('('))
        {
            return new NameExpression(name) { At = at };
        }

        if (name is not ("htons" or "inet_addr" or "inet6_addr"))
        {
            throw _lexer.ErrorAt(nameAt, $"'{name}' is no function that values can use: htons, inet_addr, inet6_addr");
        }

        Advance();
        NodeList<Expression> arguments = ParseItems(')', $"after the argument of {name}");
        if (arguments.Count != 1)
        {
            throw _lexer.ErrorAt(nameAt, $"{name} takes one argument");
        }

        if (name != "htons" && !IsAddress(arguments[0], name == "inet6_addr"))
        {
            string example = name == "inet_addr" ? "192.0.2.1" : "2001:db8::1";
            throw _lexer.ErrorAt(nameAt, $"{name} wants an address in quotes, as in {name}(\"{example}\")");
        }

        return new FunctionExpression(name, arguments) { At = at };
    }

    /// <summary>inet_addr takes IPv6 text as well: it is how scripts write the address of either family inside a sockaddr.</summary>
    private static bool IsAddress(Expression value, bool mustBeIpv6) =>
        value is StringExpression { IsPrefix: false } text
        && System.Net.IPAddress.TryParse(text.Bytes, out System.Net.IPAddress? address)
        && (!mustBeIpv6 || address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6);

    private NodeList<Expression> ParseItems(char close, string where)
    {
        var items = new List<Expression>();
        if (!_token.Is(close))
        {
            do
            {
                items.Add(ParseExpression());
            }
            while (TryTake(','));
        }

        Take(close, where);
        return [.. items];
    }

    private StructExpression ParseStruct()
    {
        int start = _token.Offset;
        StructShape? shape = _token.Kind == TokenKind.Word ? StructShape.StartingWith(_token.Text) : null;
        if (shape is null && _token.Kind == TokenKind.Word && char.IsAsciiLetterLower(_token.Text[0]))
        {
            throw _lexer.ErrorAt(start, $"no structure begins with '{_token.Text}'; known first fields are "
                + string.Join(", ", StructShape.FirstFields));
        }

        var fields = new List<StructField>();
        if (!_token.Is('}'))
        {
            do
            {
                fields.Add(shape is null ? ParseItem() : ParseField(shape, fields));
            }
            while (TryTake(','));
        }

        Take('}', "after the structure's fields, or a comma and one more");
        if (shape is null)
        {
            bool isVector = fields is [{ Value: EllipsisExpression }, { Value: NumberExpression }];
            return new(isVector ? StructKind.IoVector : StructKind.List, [.. fields]);
        }

        foreach (string required in shape.Required)
        {
            if (!fields.Exists(field => field.Name == required))
            {
                throw _lexer.ErrorAt(start, $"this {shape.CName} lacks {required}; its fields are {shape.FieldList}");
            }
        }

        return new(shape.Kind, [.. fields]);
    }

    private StructField ParseItem()
    {
        SourcePosition at = _lexer.PositionOf(_token.Offset);
        return new(null, null, ParseExpression()) { At = at };
    }

    private StructField ParseField(StructShape shape, List<StructField> before)
    {
        int offset = _token.Offset;
        string name = TakeWord($"a field of {shape.CName}: {shape.FieldList}");
        if (!shape.Has(name))
        {
            throw _lexer.ErrorAt(offset, $"{shape.CName} has no field '{name}'; its fields are {shape.FieldList}");
        }

        if (before.Exists(field => field.Name == name))
        {
            throw _lexer.ErrorAt(offset, $"the field {name} stands twice");
        }

        Expression? argument = null;
        if (TryTake('('))
        {
            argument = ParseExpression();
            Take(')', $"after the length of {name}");
        }

        Take('=', $"after {name}");
        return new(name, argument, ParseExpression()) { At = _lexer.PositionOf(offset) };
    }
}
