using System.Globalization;

namespace Penstock.Drill;

/// <summary>
/// Recursive descent over a script: this file has the frame (head options, events, times), others have packets, calls and options.
/// It stops at the first error and never guesses what was meant.
/// </summary>
internal sealed partial class Parser
{
    private readonly Lexer _lexer;
    private readonly string _path;
    private readonly Dictionary<string, string> _defines = new(StringComparer.Ordinal);
    private Token _token;

    public Parser(string text, string path, IReadOnlyDictionary<string, string>? defines)
    {
        _lexer = new Lexer(text, path);
        _path = path;
        if (defines is not null)
        {
            foreach ((string name, string value) in defines)
            {
                _defines[name] = value;
            }
        }

        _token = _lexer.Next();
    }

    public Script ParseScript()
    {
        HeadOptions options = ParseHead();
        Command? init = _token.Kind == TokenKind.BackQuoted ? ParseCommand(TimeSpec.Absolute(0), _token.Offset) : null;
        Command? cleanup = null;
        var events = new List<ScriptEvent>();
        while (_token.Kind != TokenKind.End)
        {
            if (_token.Kind == TokenKind.BackQuoted)
            {
                int at = _token.Offset;
                cleanup = ParseCommand(TimeSpec.Relative(0), at);
                if (_token.Kind != TokenKind.End)
                {
                    throw _lexer.ErrorAt(at, "a command between events needs a time before it, as in +0 `command`");
                }

                break;
            }

            events.Add(ParseEvent());
        }

        if (events.Count == 0)
        {
            throw Wrong("an event such as: 0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3");
        }

        return new Script(_path, options, init, [.. events], cleanup, _lexer.Lines());
    }

    private HeadOptions ParseHead()
    {
        var options = new List<HeadOption>();
        while (_token.Kind == TokenKind.Option)
        {
            Token option = _token;
            if (HeadOptions.Check(option.Text, option.Value) is { } complaint)
            {
                throw _lexer.ErrorAt(option.Offset, complaint);
            }

            options.Add(new(option.Text, option.Value) { At = _lexer.PositionOf(option.Offset) });
            Advance();
        }

        var head = new HeadOptions([.. options]);
        foreach ((string name, string value) in head.Defines)
        {
            _defines[name] = value;
        }

        // The token after the options was read before their definitions counted.
        _lexer.MoveTo(_token.Offset);
        Advance();
        return head;
    }

    private ScriptEvent ParseEvent()
    {
        int start = _token.Offset;
        TimeSpec time = ParseTime();
        ScriptEvent result = ParseAction(ref time, start);
        if (time.CallEndNanos is not null && result is not SystemCall)
        {
            throw _lexer.ErrorAt(start, "only a socket call can last until a second time; write one time here");
        }

        bool expectsPacket = result is PacketOut or UdpOut or IcmpOut;
        if (!expectsPacket && (time.Kind == TimeKind.Any || time.IsRange))
        {
            throw _lexer.ErrorAt(start, time.IsRange
                ? "a time range only fits an expected packet (>): what the script itself does needs one exact time"
                : "the time * only fits an expected packet (>): what the script itself does needs a time");
        }

        return result;
    }

    private ScriptEvent ParseAction(ref TimeSpec time, int start)
    {
        switch (_token.Kind)
        {
            case TokenKind.Symbol when _token.Is('<') || _token.Is('>'):
                return ParsePacket(time, start);
            case TokenKind.BackQuoted:
                return ParseCommand(time, start);
            case TokenKind.Code:
                Token code = _token;
                Advance();
                return new Code(CodeParser.Parse(_lexer, code)) { Time = time, At = _lexer.PositionOf(start) };
            case TokenKind.Ellipsis:
                Advance();
                long end = ParseSeconds("the time at which the blocking call returns, as in 0...0.1");
                if (end < time.StartNanos)
                {
                    throw _lexer.ErrorAt(start, "this call would return before it starts");
                }

                time = time with { CallEndNanos = end };
                return ParseCall(time, start);
            case TokenKind.Word:
                return ParseCall(time, start);
            default:
                throw Wrong("a packet (< or >), a socket call, a `command` or a %{ }% block after the time");
        }
    }

    private Command ParseCommand(TimeSpec time, int start)
    {
        string line = _token.Text;
        Advance();
        return new(line) { Time = time, At = _lexer.PositionOf(start) };
    }

    private TimeSpec ParseTime()
    {
        int start = _token.Offset;
        if (TryTake('*'))
        {
            return TimeSpec.Any;
        }

        bool isRelative = TryTake('+');
        long from = ParseSeconds(
            isRelative ? "seconds after +, as in +.1" : "a time: seconds such as 0.1, a delay such as +.1, or * for any time");
        if (!TryTake('~'))
        {
            return isRelative ? TimeSpec.Relative(from) : TimeSpec.Absolute(from);
        }

        if (TryTake('+') != isRelative)
        {
            throw _lexer.ErrorAt(start, "both ends of a time range are written alike: 1~2 or +.1~+.2");
        }

        long to = ParseSeconds("the end of the time range");
        return to < from
            ? throw _lexer.ErrorAt(start, "this time range ends before it begins")
            : new(isRelative ? TimeKind.RelativeRange : TimeKind.AbsoluteRange, from, to);
    }

    /// <summary>Reads decimal seconds exactly, as nanoseconds.</summary>
    private long ParseSeconds(string expected)
    {
        if (_token.Is('-'))
        {
            throw _lexer.ErrorAt(_token.Offset, "a time cannot be negative");
        }

        if (_token.Kind is not (TokenKind.Number or TokenKind.Fraction))
        {
            throw Wrong(expected);
        }

        if (!decimal.TryParse(_token.Text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal seconds)
            || seconds > 1_000_000_000m)
        {
            throw _lexer.ErrorAt(_token.Offset, "this time is more than a script can wait");
        }

        decimal nanos = seconds * 1_000_000_000m;
        if (nanos != decimal.Truncate(nanos))
        {
            throw _lexer.ErrorAt(_token.Offset, "a time has at most nine decimals (nanoseconds)");
        }

        Advance();
        return (long)nanos;
    }

    /// <summary>Reads the next token and puts a definition's value in the place of a defined word.</summary>
    private void Advance()
    {
        _token = _lexer.Next();
        if (_token.Kind != TokenKind.Word || !_defines.TryGetValue(_token.Text, out string? value))
        {
            return;
        }

        (TokenKind kind, string text) = value switch
        {
            ['"', .. string inner, '"'] => (TokenKind.String, inner),
            ['`', .. string inner, '`'] => (TokenKind.BackQuoted, inner),
            ['0', 'x' or 'X', _, ..] when ulong.TryParse(
                value.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out _) => (TokenKind.HexNumber, value),
            _ when value.Length > 0 && value.AsSpan().IndexOfAnyExceptInRange('0', '9') < 0 => (TokenKind.Number, value),
            _ => (TokenKind.Word, value),
        };
        _token = _token with { Kind = kind, Text = text };
    }

    private bool TryTake(char symbol)
    {
        if (!_token.Is(symbol))
        {
            return false;
        }

        Advance();
        return true;
    }

    private bool TryTakeWord(string word)
    {
        if (!_token.IsWord(word))
        {
            return false;
        }

        Advance();
        return true;
    }

    private void Take(char symbol, string where)
    {
        if (!TryTake(symbol))
        {
            throw Wrong($"{symbol} {where}");
        }
    }

    private string TakeWord(string expected)
    {
        if (_token.Kind != TokenKind.Word)
        {
            throw Wrong(expected);
        }

        string word = _token.Text;
        Advance();
        return word;
    }

    /// <summary>Reads a decimal number from 0 to <paramref name="max"/>.</summary>
    private long TakeNumber(long max, string what)
    {
        if (_token.Kind != TokenKind.Number)
        {
            throw Wrong($"{what}, a number from 0 to {max}");
        }

        if (!long.TryParse(_token.Text, NumberStyles.None, CultureInfo.InvariantCulture, out long value) || value > max)
        {
            throw _lexer.ErrorAt(_token.Offset, $"{what} is at most {max}, but this is {_token.Text}");
        }

        Advance();
        return value;
    }

    private long TakeHex(long max, string what)
    {
        if (_token.Kind is not TokenKind.HexNumber)
        {
            throw Wrong($"{what} in hexadecimal, as in 0x10");
        }

        ulong value = ulong.Parse(_token.Text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
        if (value > (ulong)max)
        {
            throw _lexer.ErrorAt(_token.Offset, $"{what} is at most 0x{max:x}, but this is {_token.Text}");
        }

        Advance();
        return (long)value;
    }

    private ScriptException Wrong(string expected) =>
        _lexer.ErrorAt(_token.Offset, $"expected {expected}, but found {_token.Describe()}");
}
