using System.Globalization;

namespace Penstock.Drill;

/// <content>The TCP options in angle brackets.</content>
internal sealed partial class Parser
{
    private const int MaxOptionsLength = 40;

    private static readonly string[] OptionNames =
        ["nop", "eol", "mss", "wscale", "sackOK", "sack", "TS", "FO", "FOEXP", "md5", "ECN", "kind"];

    /// <summary>Reads <c>&lt;mss 1460,nop&gt;</c>; null stands for <c>&lt;...&gt;</c>.</summary>
    private NodeList<DrillOption>? ParseOptions(bool isInbound, int packetAt)
    {
        if (!TryTake('<'))
        {
            return [];
        }

        if (_token.Kind == TokenKind.Ellipsis)
        {
            if (isInbound)
            {
                throw _lexer.ErrorAt(packetAt, "<...> means any options: it only fits an expected packet (>)");
            }

            Advance();
            Take('>', "after <...");
            return null;
        }

        var options = new List<DrillOption>();
        do
        {
            int at = _token.Offset;
            options.Add(ParseOption() with { At = _lexer.PositionOf(at) });
        }
        while (TryTake(','));
        Take('>', "after the TCP options, or a comma and one more");
        return [.. options];
    }

    /// <summary>The options' bytes on the wire; RFC 9293 3.1 counts a header in 32-bit words, at most 15 of them.</summary>
    private int OptionsLength(NodeList<DrillOption>? options, int at)
    {
        int length = 0;
        foreach (DrillOption option in options ?? [])
        {
            length += option.WireLength;
        }

        if (length > MaxOptionsLength)
        {
            throw _lexer.ErrorAt(at, $"these options take {length} bytes, but a TCP header has room for {MaxOptionsLength}");
        }

        int missing = -length & 3;
        return missing == 0
            ? length
            : throw _lexer.ErrorAt(at, $"these options take {length} bytes, but a TCP header is made of 4-byte words: add {missing} nop");
    }

    private DrillOption ParseOption()
    {
        int at = _token.Offset;
        string name = TakeWord("a TCP option such as mss 1460, or ... for any");
        switch (name)
        {
            case "nop":
                return new NopOption();
            case "eol":
                return new EolOption();
            case "mss":
                return new MssOption((ushort)TakeNumber(65_535, "the maximum segment size"));
            case "wscale":
                return new WindowScaleOption((byte)TakeNumber(255, "the window scale"));
            case "sackOK":
                return new SackPermittedOption();
            case "sack":
                return ParseSack();
            case "TS":
                return ParseTimestamp();
            case "FO" or "FOEXP":
                return new FastOpenOption(ParseHexBytes("a cookie", allowEmpty: true), name == "FOEXP");
            case "md5":
                string digest = ParseHexBytes("a digest", allowEmpty: false);
                return digest.Length == 32
                    ? new Md5Option(digest)
                    : throw _lexer.ErrorAt(at, $"an MD5 digest has 16 bytes (32 hexadecimal digits), this one {digest.Length / 2}");
            case "ECN":
                return ParseAccEcn();
            case "kind":
                byte kind = (byte)TakeNumber(255, "the option's kind");
                return kind < 2
                    ? throw _lexer.ErrorAt(at, "kinds 0 and 1 are eol and nop: they have no length byte")
                    : new UnknownOption(kind, ParseHexBytes("the option's bytes", allowEmpty: true));
            default:
                throw _lexer.ErrorAt(at, $"there is no TCP option '{name}'" + (NearestName.Find(name, OptionNames) is { } near
                    ? $"; did you mean {near}?"
                    : $"; known are {string.Join(", ", OptionNames)}"));
        }
    }

    private SackOption ParseSack()
    {
        var blocks = new List<SackRange>();
        do
        {
            uint start = (uint)TakeNumber(uint.MaxValue, "the first byte a SACK block covers, as in sack 1:1001");
            Take(':', "inside a SACK block, as in 1:1001");
            blocks.Add(new(start, (uint)TakeNumber(uint.MaxValue, "the byte behind a SACK block")));
        }
        while (_token.Kind == TokenKind.Number);
        return new([.. blocks]);
    }

    private TimestampOption ParseTimestamp()
    {
        if (!TryTakeWord("val"))
        {
            throw Wrong("val after TS, as in TS val 100 ecr 0");
        }

        uint value = (uint)TakeNumber(uint.MaxValue, "the timestamp");
        if (!TryTakeWord("ecr"))
        {
            throw Wrong("ecr after the timestamp, as in TS val 100 ecr 0");
        }

        return new(value, (uint)TakeNumber(uint.MaxValue, "the echoed timestamp"));
    }

    /// <summary>Counters come as e0b, ceb, e1b or the other way round; the last may be missing (RFC 9768 3.2.3.2).</summary>
    private AccEcnOption ParseAccEcn()
    {
        var counters = new List<uint>();
        bool ect1First = _token.IsWord("e1b");
        string[] order = ect1First ? ["e1b", "ceb", "e0b"] : ["e0b", "ceb", "e1b"];
        foreach (string name in order)
        {
            if (!TryTakeWord(name))
            {
                break;
            }

            counters.Add((uint)TakeNumber(0xffffff, "a byte counter"));
        }

        if (_token.Kind == TokenKind.Word && _token.Text is "e0b" or "e1b" or "ceb")
        {
            throw _lexer.ErrorAt(_token.Offset, "the counters stand in the order e0b, ceb, e1b or e1b, ceb, e0b");
        }

        return new(ect1First, [.. counters]);
    }

    /// <summary>Reads hexadecimal digits without 0x, an even number of them, as lower case.</summary>
    private string ParseHexBytes(string what, bool allowEmpty)
    {
        if (_token.Kind is not (TokenKind.Word or TokenKind.Number))
        {
            return allowEmpty ? "" : throw Wrong($"{what} in hexadecimal");
        }

        string text = _token.Text;
        if (text.Length % 2 != 0 || !text.All(char.IsAsciiHexDigit))
        {
            throw _lexer.ErrorAt(_token.Offset, $"{what} is written as pairs of hexadecimal digits, and '{text}' is not");
        }

        Advance();
        return text.ToLower(CultureInfo.InvariantCulture);
    }
}
