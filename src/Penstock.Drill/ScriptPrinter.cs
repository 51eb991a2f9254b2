using System.Globalization;
using System.Text;

namespace Penstock.Drill;

/// <summary>Writes parsed scripts back as text that parses to the same tree. Comments and layout are gone; definitions are resolved.</summary>
internal static class ScriptPrinter
{
    public static string Print(Script script)
    {
        var text = new StringBuilder();
        foreach (HeadOption option in script.Options.All)
        {
            text.Append("--").Append(option.Name);
            if (option.Value is { } value)
            {
                bool needsQuotes = value.AsSpan().IndexOfAny(' ', '\t') >= 0 && value.AsSpan().IndexOfAny('"', '`') < 0;
                text.Append('=').Append(needsQuotes ? $"\"{value}\"" : value);
            }

            text.Append('\n');
        }

        AppendCommand(text, script.InitCommand);
        foreach (ScriptEvent scriptEvent in script.Events)
        {
            text.Append(Print(scriptEvent)).Append('\n');
        }

        AppendCommand(text, script.CleanupCommand);
        return text.ToString();
    }

    public static string Print(ScriptEvent scriptEvent) => Print(scriptEvent.Time) + " " + scriptEvent switch
    {
        PacketIn packet => PacketPrinter.Print(packet.Packet, isInbound: true),
        PacketOut packet => PacketPrinter.Print(packet.Packet, isInbound: false),
        UdpIn packet => PacketPrinter.Print(packet.Packet, isInbound: true),
        UdpOut packet => PacketPrinter.Print(packet.Packet, isInbound: false),
        IcmpIn packet => PacketPrinter.Print(packet.Packet, isInbound: true),
        IcmpOut packet => PacketPrinter.Print(packet.Packet, isInbound: false),
        Command command => $"`{command.Line}`",
        Code code => $"%{{ {string.Join("; ", code.Statements.Select(Print))} }}%",
        SystemCall call => Print(call),
        Check => "`true` // check",
        ApplicationStart => "`true` // application",
        _ => "",
    };

    public static string Print(TimeSpec time)
    {
        string sign = time.IsRelative ? "+" : "";
        string text = time.Kind switch
        {
            TimeKind.Any => "*",
            _ when time.IsRange => $"{sign}{Seconds(time.StartNanos)}~{sign}{Seconds(time.EndNanos)}",
            _ => sign + Seconds(time.StartNanos),
        };
        return time.CallEndNanos is { } end ? $"{text}...{Seconds(end)}" : text;
    }

    public static string Print(SystemCall call)
    {
        string text = $"{call.Name}({Join(call.Arguments)}) = {Print(call.Result)}";
        text += call.ErrorName is null ? "" : " " + call.ErrorName;
        return text + (call.Note is null ? "" : $" ({call.Note})");
    }

    public static string Print(Expression expression) => expression switch
    {
        EllipsisExpression => "...",
        AnyResult => "?",
        NumberExpression { IsHex: true } number => "0x" + number.Value.ToString("x", CultureInfo.InvariantCulture),
        NumberExpression number => number.Value.ToString(CultureInfo.InvariantCulture),
        StringExpression text => Quote(text.Bytes) + (text.IsPrefix ? "..." : ""),
        NameExpression name => name.Name,
        OrExpression or => $"{Print(or.Left)}|{Print(or.Right)}",
        AssignmentExpression assignment => $"{assignment.Name}={Print(assignment.Value)}",
        ArrayExpression array => $"[{Join(array.Items)}]",
        FunctionExpression function => $"{function.Name}({Join(function.Arguments)})",
        StructExpression structure => "{" + string.Join(", ", structure.Fields.Select(Print)) + "}",
        _ => "",
    };

    public static string Print(CodeStatement statement) => statement switch
    {
        AssertStatement { Message: null } assert => "assert " + Print(assert.Condition),
        AssertStatement assert => $"assert {Print(assert.Condition)}, {Print(assert.Message!)}",
        PrintStatement print => $"print({string.Join(", ", print.Values.Select(Print))})",
        AssignStatement assign => $"{assign.Name} {assign.Operator}= {Print(assign.Value)}",
        _ => "",
    };

    public static string Print(CodeExpression expression) => expression switch
    {
        CodeNumber number => number.Value.ToString(CultureInfo.InvariantCulture),
        CodeName name => name.Name,
        CodeText text => QuoteText(text.Value),
        CodeTuple tuple => $"({string.Join(", ", tuple.Items.Select(Print))}{(tuple.Items.Count == 1 ? "," : "")})",
        CodeUnary unary => unary.Operator + (unary.Operator == "not" ? " " : "") + PrintOperand(unary.Operand),
        CodeBinary binary => $"{PrintOperand(binary.Left)} {binary.Operator} {PrintOperand(binary.Right)}",
        CodeComparison comparison => Print(comparison),
        CodeCall call => $"{call.Function}({string.Join(", ", call.Arguments.Select(Print))})",
        _ => "",
    };

    private static string Print(CodeComparison comparison)
    {
        var text = new StringBuilder(PrintOperand(comparison.Operands[0]));
        for (int i = 0; i < comparison.Operators.Count; i++)
        {
            text.Append(' ').Append(comparison.Operators[i]).Append(' ').Append(PrintOperand(comparison.Operands[i + 1]));
        }

        return text.ToString();
    }

    /// <summary>Anything that has an operator stands in parentheses, so precedence never has to be thought of.</summary>
    private static string PrintOperand(CodeExpression operand) =>
        operand is CodeUnary or CodeBinary or CodeComparison ? $"({Print(operand)})" : Print(operand);

    private static string Print(StructField field)
    {
        string argument = field.Argument is null ? "" : $"({Print(field.Argument)})";
        return field.Name is null ? Print(field.Value) : $"{field.Name}{argument}={Print(field.Value)}";
    }

    private static string Join(NodeList<Expression> expressions) => string.Join(", ", expressions.Select(Print));

    private static string Seconds(long nanos) => TimingTolerance.Seconds(nanos);

    private static void AppendCommand(StringBuilder text, Command? command)
    {
        if (command is not null)
        {
            text.Append('`').Append(command.Line).Append("`\n");
        }
    }

    private static string Quote(string bytes)
    {
        var text = new StringBuilder("\"");
        foreach (char c in bytes)
        {
            text.Append(c switch
            {
                '"' or '\\' => $"\\{c}",
                '\n' => "\\n",
                >= ' ' and <= '~' => c.ToString(),
                _ => $"\\x{(int)c:x2}",
            });
        }

        return text.Append('"').ToString();
    }

    private static string QuoteText(string value) => "'" + value
        .Replace("\\", "\\\\", StringComparison.Ordinal)
        .Replace("'", "\\'", StringComparison.Ordinal)
        .Replace("\n", "\\n", StringComparison.Ordinal)
        .Replace("\t", "\\t", StringComparison.Ordinal) + "'";
}
