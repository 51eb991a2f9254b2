using System.Globalization;
using System.Text;

namespace Penstock.Drill;

/// <summary>Why a piece of code could not be evaluated, or which assertion failed; <see cref="At"/> is the place in the script.</summary>
internal sealed record CodeFailure(SourcePosition At, string Message);

/// <summary>
/// Runs the code of one script run: keeps the script's own variables from block to block and asks
/// <paramref name="variables"/> for the others (<c>tcpi_*</c>), then <see cref="Symbols"/>. All arithmetic is in 64 bits with
/// Python's rounding (floor); results that do not fit fail instead of wrapping. Not thread-safe.
/// </summary>
/// <param name="variables">Gives a name's value now, or null for names it does not know.</param>
/// <param name="print">Takes what the script prints, a line at a time.</param>
internal sealed class CodeEvaluator(Func<string, long?> variables, Action<string>? print = null)
{
    private readonly Dictionary<string, long> _own = new(StringComparer.Ordinal);

    /// <summary>Runs the statements in order; the first failure ends it and is returned, else null.</summary>
    public CodeFailure? Run(Code code)
    {
        foreach (CodeStatement statement in code.Statements)
        {
            try
            {
                if (Run(statement) is { } failure)
                {
                    return failure;
                }
            }
            catch (EvaluationException wrong)
            {
                return new(wrong.At, wrong.Message);
            }
        }

        return null;
    }

    /// <summary>The value of one expression.</summary>
    /// <returns>The value, or a failure that says what could not be evaluated.</returns>
    public (long Value, CodeFailure? Failure) Evaluate(CodeExpression expression)
    {
        try
        {
            return (Value(expression), null);
        }
        catch (EvaluationException wrong)
        {
            return (0, new(wrong.At, wrong.Message));
        }
    }

    private CodeFailure? Run(CodeStatement statement)
    {
        switch (statement)
        {
            case AssertStatement assert:
                return Value(assert.Condition) != 0 ? null : new(assert.At, Describe(assert));
            case PrintStatement printed:
                var line = new List<string>();
                foreach (CodeExpression value in printed.Values)
                {
                    line.Add(Text(value));
                }

                print?.Invoke(string.Join(' ', line));
                return null;
            case AssignStatement { Operator: null } assign:
                _own[assign.Name] = Value(assign.Value);
                return null;
            case AssignStatement change:
                _own[change.Name] = Value(
                    new CodeBinary(change.Operator!, new CodeName(change.Name) { At = change.At }, change.Value) { At = change.At });
                return null;
            default:
                throw new EvaluationException(statement.At, "this statement is not known");
        }
    }

    /// <summary>Says which assertion failed, its message, and the value of each name in it.</summary>
    private string Describe(AssertStatement assert)
    {
        var text = new StringBuilder("the assertion is false: ").Append(ScriptPrinter.Print(assert.Condition));
        if (assert.Message is CodeText or CodeBinary { Left: CodeText })
        {
            text.Append(" (").Append(Text(assert.Message)).Append(')');
        }

        var names = new SortedSet<string>(StringComparer.Ordinal);
        CollectNames(assert.Condition, names);
        if (assert.Message is not null)
        {
            CollectNames(assert.Message, names);
        }

        foreach (string name in names)
        {
            if (Lookup(name) is { } value)
            {
                text.Append("; ").Append(name).Append(" is ").Append(value);
            }
        }

        return text.ToString();
    }

    private static void CollectNames(CodeExpression expression, SortedSet<string> names)
    {
        switch (expression)
        {
            case CodeName name:
                names.Add(name.Name);
                break;
            case CodeUnary unary:
                CollectNames(unary.Operand, names);
                break;
            case CodeBinary binary:
                CollectNames(binary.Left, names);
                CollectNames(binary.Right, names);
                break;
            case CodeComparison comparison:
                CollectNames(comparison.Operands, names);
                break;
            case CodeTuple tuple:
                CollectNames(tuple.Items, names);
                break;
            case CodeCall call:
                CollectNames(call.Arguments, names);
                break;
        }
    }

    private static void CollectNames(NodeList<CodeExpression> expressions, SortedSet<string> names)
    {
        foreach (CodeExpression expression in expressions)
        {
            CollectNames(expression, names);
        }
    }

    private long? Lookup(string name) =>
        _own.TryGetValue(name, out long own) ? own
        : variables(name) is { } given ? given
        : Symbols.TryGet(name, out long constant) ? constant
        : name switch { "True" => 1, "False" => 0, _ => null };

    private long Value(CodeExpression expression)
    {
        switch (expression)
        {
            case CodeNumber number:
                return number.Value;
            case CodeName name:
                if (Lookup(name.Name) is { } value)
                {
                    return value;
                }

                if (InfoVariables.Names.Contains(name.Name))
                {
                    throw new EvaluationException(name.At, $"there is no socket yet that '{name.Name}' could be asked of");
                }

                string? near = NearestName.Find(name.Name, [.. _own.Keys, .. Symbols.Names, .. InfoVariables.Names]);
                throw new EvaluationException(
                    name.At, $"nothing is called '{name.Name}'{(near is null ? "" : $"; did you mean {near}?")}");
            case CodeUnary unary:
                long operand = Value(unary.Operand);
                return unary.Operator switch
                {
                    "not" => operand == 0 ? 1 : 0,
                    "~" => ~operand,
                    "+" => operand,
                    _ => Checked(unary.At, static (a, _) => checked(-a), operand, 0),
                };
            case CodeBinary { Operator: "and" } both:
                long left = Value(both.Left);
                return left == 0 ? left : Value(both.Right);
            case CodeBinary { Operator: "or" } either:
                long first = Value(either.Left);
                return first != 0 ? first : Value(either.Right);
            case CodeBinary binary:
                return Calculate(binary);
            case CodeComparison comparison:
                return Compare(comparison);
            case CodeCall call:
                return Call(call);
            default:
                throw new EvaluationException(expression.At, "a text has no value: it can only stand in a message or in print");
        }
    }

    private long Compare(CodeComparison comparison)
    {
        long left = Value(comparison.Operands[0]);
        for (int i = 0; i < comparison.Operators.Count; i++)
        {
            long right = Value(comparison.Operands[i + 1]);
            bool holds = comparison.Operators[i] switch
            {
                "==" => left == right,
                "!=" => left != right,
                "<" => left < right,
                "<=" => left <= right,
                ">" => left > right,
                _ => left >= right,
            };
            if (!holds)
            {
                return 0;
            }

            left = right;
        }

        return 1;
    }

    private long Calculate(CodeBinary binary)
    {
        long a = Value(binary.Left);
        long b = Value(binary.Right);
        SourcePosition at = binary.At;
        switch (binary.Operator)
        {
            case "|": return a | b;
            case "^": return a ^ b;
            case "&": return a & b;
            case "<<" or ">>" when b is < 0 or > 62:
                throw new EvaluationException(at, $"a shift by {b} is not in 0 to 62");
            case "<<": return Checked(at, static (a, b) => checked(a * (1L << (int)b)), a, b);
            case ">>": return a >> (int)b;
            case "+": return Checked(at, static (a, b) => checked(a + b), a, b);
            case "-": return Checked(at, static (a, b) => checked(a - b), a, b);
            case "*": return Checked(at, static (a, b) => checked(a * b), a, b);
            case "//" or "/" or "%" when b == 0:
                throw new EvaluationException(at, "this divides by zero");
            case "/" when b == -1 || a % b == 0:
                return Checked(at, static (a, b) => checked(a / b), a, b);
            case "/":
                throw new EvaluationException(at, $"{a} / {b} is no whole number; // rounds down");
            case "//": return Checked(at, static (a, b) => FloorDivide(a, b), a, b);
            default: return b == -1 ? 0 : a - (b * FloorDivide(a, b));
        }
    }

    private static long FloorDivide(long a, long b)
    {
        long quotient = checked(a / b);
        return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
    }

    private static long Checked(SourcePosition at, Func<long, long, long> operation, long a, long b)
    {
        try
        {
            return operation(a, b);
        }
        catch (OverflowException)
        {
            throw new EvaluationException(at, "this result does not fit 64 bits");
        }
    }

    private long Call(CodeCall call)
    {
        if (call.Arguments.Count == 0 || (call.Function == "abs" && call.Arguments.Count != 1))
        {
            throw new EvaluationException(call.At, $"{call.Function} wants {(call.Function == "abs" ? "one value" : "values")}");
        }

        long result = Value(call.Arguments[0]);
        if (call.Function == "abs")
        {
            return Checked(call.At, static (a, _) => Math.Abs(a), result, 0);
        }

        foreach (CodeExpression argument in call.Arguments)
        {
            long value = Value(argument);
            result = call.Function == "min" ? Math.Min(result, value) : Math.Max(result, value);
        }

        return result;
    }

    private string Text(CodeExpression expression) => expression switch
    {
        CodeText text => text.Value,
        CodeBinary { Operator: "%", Left: CodeText format } formatted => Format(format.Value, formatted.Right),
        CodeTuple tuple => "(" + string.Join(", ", tuple.Items.Select(Text)) + ")",
        _ => Value(expression).ToString(CultureInfo.InvariantCulture),
    };

    /// <summary>Python's <c>'...' % values</c> with d, i, u, x, X, s and %%; widths and flags are read over.</summary>
    private string Format(string format, CodeExpression values)
    {
        NodeList<CodeExpression> items = values is CodeTuple tuple ? tuple.Items : [values];
        var text = new StringBuilder();
        int next = 0;
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                text.Append(format[i]);
                continue;
            }

            do
            {
                i++;
            }
            while (i < format.Length && (char.IsAsciiDigit(format[i]) || format[i] is '-' or '+' or ' ' or '#' or '.' or 'l'));
            char letter = i < format.Length ? format[i] : '\0';
            if (letter == '%')
            {
                text.Append('%');
            }
            else if (letter is not ('d' or 'i' or 'u' or 'x' or 'X' or 's') || next == items.Count)
            {
                throw new EvaluationException(values.At, next == items.Count
                    ? "this format wants more values than it is given"
                    : $"%{letter} is no format known here: d, x, s and %%");
            }
            else
            {
                CodeExpression item = items[next++];
                text.Append(letter is 'x' or 'X'
                    ? Value(item).ToString(letter.ToString(), CultureInfo.InvariantCulture)
                    : Text(item));
            }
        }

        return next == items.Count
            ? text.ToString()
            : throw new EvaluationException(values.At, "this format is given more values than it wants");
    }

    /// <summary>Leaves a deep expression; never leaves this class.</summary>
    private sealed class EvaluationException(SourcePosition at, string message) : Exception(message)
    {
        public SourcePosition At { get; } = at;
    }
}
