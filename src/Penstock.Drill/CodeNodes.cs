namespace Penstock.Drill;

/// <summary>One statement of a piece of code.</summary>
internal abstract record CodeStatement : Node;

/// <summary><c>assert condition</c> or <c>assert condition, message</c>.</summary>
internal sealed record AssertStatement(CodeExpression Condition, CodeExpression? Message) : CodeStatement;

/// <summary><c>print(a, b)</c>.</summary>
internal sealed record PrintStatement(NodeList<CodeExpression> Values) : CodeStatement;

/// <summary><c>name = value</c>, or <c>name += value</c> with <see cref="Operator"/> being <c>+</c>.</summary>
internal sealed record AssignStatement(string Name, string? Operator, CodeExpression Value) : CodeStatement;

/// <summary>An expression of code: long arithmetic with Python's operators, precedence and rounding.</summary>
internal abstract record CodeExpression : Node;

internal sealed record CodeNumber(long Value) : CodeExpression;

/// <summary>A variable of the script, a <c>tcpi_*</c> field or a constant: the evaluator's caller decides.</summary>
internal sealed record CodeName(string Name) : CodeExpression;

/// <summary>A text; it can only stand in messages and print.</summary>
internal sealed record CodeText(string Value) : CodeExpression;

/// <summary><c>(a, b)</c>: only behind <c>'...' %</c> and in print.</summary>
internal sealed record CodeTuple(NodeList<CodeExpression> Items) : CodeExpression;

/// <summary><c>-</c>, <c>+</c>, <c>~</c>, <c>not</c>.</summary>
internal sealed record CodeUnary(string Operator, CodeExpression Operand) : CodeExpression;

/// <summary>Arithmetic, bits, <c>and</c>, <c>or</c>.</summary>
internal sealed record CodeBinary(string Operator, CodeExpression Left, CodeExpression Right) : CodeExpression;

/// <summary><c>a &lt;= b &lt; c</c>: true when each neighboring pair compares true; one more operand than operators.</summary>
internal sealed record CodeComparison(NodeList<CodeExpression> Operands, NodeList<string> Operators) : CodeExpression;

/// <summary><c>min(...)</c>, <c>max(...)</c>, <c>abs(x)</c>.</summary>
internal sealed record CodeCall(string Function, NodeList<CodeExpression> Arguments) : CodeExpression;
