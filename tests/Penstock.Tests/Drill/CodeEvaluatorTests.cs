using Penstock.Drill;

namespace Penstock.Tests.Drill;

/// <summary>Arithmetic, comparison and assertion inside %{ }%.</summary>
public class CodeEvaluatorTests
{
    private static readonly Dictionary<string, long> Info = new()
    {
        ["tcpi_snd_cwnd"] = 10,
        ["tcpi_rtt"] = 12_000,
        ["tcpi_options"] = 7,
    };

    private readonly List<string> _printed = [];
    private readonly CodeEvaluator _evaluator;

    public CodeEvaluatorTests() =>
        _evaluator = new(name => Info.TryGetValue(name, out long value) ? value : null, _printed.Add);

    private static Code Code(string text) => Assert.IsType<Code>(Assert.Single(Script.Parse($"0 %{{ {text} }}%").Events));

    private (long Value, CodeFailure? Failure) Evaluate(string expression) =>
        _evaluator.Evaluate(Assert.IsType<AssertStatement>(Code("assert " + expression).Statements[0]).Condition);

    [Theory]
    [InlineData("1 + 2 * 3", 7)]
    [InlineData("(1 + 2) * 3", 9)]
    [InlineData("10 - 3 - 2", 5)]
    [InlineData("-7 // 2", -4)]
    [InlineData("7 // -2", -4)]
    [InlineData("-7 % 3", 2)]
    [InlineData("7 % -3", -2)]
    [InlineData("12 / 4", 3)]
    [InlineData("1 << 4 | 3", 19)]
    [InlineData("6 & 3 ^ 1", 3)]
    [InlineData("~0 >> 1", -1)]
    [InlineData("0x10", 16)]
    [InlineData("1 < 2 < 3", 1)]
    [InlineData("1 < 3 < 2", 0)]
    [InlineData("3 > 2 == 2", 1)]
    [InlineData("1 != 1 or 5", 5)]
    [InlineData("0 and nothing_is_called_this", 0)]
    [InlineData("not 0 and not not 3", 1)]
    [InlineData("not 1 == 2", 1)]
    [InlineData("True + False", 1)]
    [InlineData("min(3, 1, 2) + max(1, 2) + abs(-4)", 7)]
    [InlineData("tcpi_snd_cwnd", 10)]
    [InlineData("TCP_CA_Recovery", 3)]
    [InlineData("5000 <= tcpi_rtt <= 20000", 1)]
    [InlineData("(tcpi_options & TCPI_OPT_SACK) != 0", 1)]
    [InlineData("(tcpi_options & TCPI_OPT_SYN_DATA) == 0", 1)]
    [InlineData("9223372036854775807 % -1", 0)]
    public void Expressions_follow_pythons_rules(string expression, long expected) =>
        Assert.Equal((expected, null), Evaluate(expression));

    [Theory]
    [InlineData("1 / 0", "divides by zero")]
    [InlineData("1 % 0", "divides by zero")]
    [InlineData("7 / 2", "// rounds down")]
    [InlineData("9223372036854775807 + 1", "does not fit 64 bits")]
    [InlineData("3 << 62", "does not fit 64 bits")]
    [InlineData("1 << 63", "not in 0 to 62")]
    [InlineData("tcpi_nonsense_field", "nothing is called 'tcpi_nonsense_field'")]
    [InlineData("tcpi_snd_cwd", "did you mean tcpi_snd_cwnd?")]
    [InlineData("tcpi_state", "there is no socket yet that 'tcpi_state' could be asked of")]
    [InlineData("TCP_CA_Recovry", "did you mean TCP_CA_Recovery?")]
    [InlineData("'text'", "a text has no value")]
    [InlineData("abs(1, 2)", "wants one value")]
    public void What_cannot_be_calculated_is_said(string expression, string message) =>
        Assert.Contains(message, Evaluate(expression).Failure!.Message, StringComparison.Ordinal);

    [Fact]
    public void Variables_last_from_block_to_block_and_hide_constants()
    {
        Assert.Null(_evaluator.Run(Code("cwnd = 4; TCP_INFINITE_SSTHRESH = 0x7fffffff")));
        Assert.Null(_evaluator.Run(Code("cwnd += 6; cwnd *= 1; assert tcpi_snd_cwnd == cwnd, tcpi_snd_cwnd")));
        Assert.Null(_evaluator.Run(Code("MSG_PEEK = 1\nassert MSG_PEEK == 1")));
    }

    [Fact]
    public void A_failed_assertion_shows_the_values_it_saw()
    {
        CodeFailure failure = _evaluator.Run(Code("assert tcpi_snd_cwnd == 12, 'rtt %d of %x' % (tcpi_rtt, 255)"))!;
        Assert.Equal(
            "the assertion is false: tcpi_snd_cwnd == 12 (rtt 12000 of ff); tcpi_rtt is 12000; tcpi_snd_cwnd is 10",
            failure.Message);
        Assert.Equal(new SourcePosition(1, 6), failure.At);
    }

    [Fact]
    public void The_first_failure_ends_the_block()
    {
        Assert.NotNull(_evaluator.Run(Code("print(1); assert 0; print(2)")));
        Assert.Equal(["1"], _printed);
    }

    [Fact]
    public void Print_takes_texts_numbers_and_formats()
    {
        Assert.Null(_evaluator.Run(Code("print('cwnd', tcpi_snd_cwnd)\nprint '%5d%%' % 7\nprint((1, 2), )\nprint()")));
        Assert.Equal(["cwnd 10", "7%", "(1, 2)", ""], _printed);
        Assert.Contains("more values", _evaluator.Run(Code("print('%d %d' % 1)"))!.Message, StringComparison.Ordinal);
        Assert.Contains("given more", _evaluator.Run(Code("print('%d' % (1, 2))"))!.Message, StringComparison.Ordinal);
        Assert.Contains("%q", _evaluator.Run(Code("print('%q' % 1)"))!.Message, StringComparison.Ordinal);
    }
}
