using System.Net;

namespace Penstock.Drill;

/// <summary>Reads the arguments of one call; a wrong one ends the run with the place.</summary>
internal sealed class Arguments(SystemCall call)
{
    public SystemCall Call => call;

    public int Count => call.Arguments.Count;

    public bool IsEllipsis(int index) => index >= Count || call.Arguments[index] is EllipsisExpression;

    public Expression this[int index] => index < Count
        ? call.Arguments[index]
        : throw new DrillStop(DrillOutcome.Failed, call.At, $"{call.Name} lacks argument {index + 1}");

    public long Long(int index) => Long(this[index]);

    /// <summary>As C passes it: the low 32 bits.</summary>
    public int Int(int index) => unchecked((int)Long(index));

    /// <summary>A count of bytes, within what a drill keeps in memory.</summary>
    public int Size(int index) => Size(this[index], 0);

    /// <summary>As that, with <paramref name="before"/> bytes in the same call already.</summary>
    private static int Size(Expression expression, long before)
    {
        const int Largest = 1 << 28;
        long size = Long(expression);
        return size >= 0 && size <= Largest - before
            ? (int)size
            : throw new DrillStop(DrillOutcome.Skipped, expression.At, $"a drill moves between 0 and {Largest} bytes in one call");
    }

    /// <summary>True for <c>NULL</c>: a pointer that leads nowhere.</summary>
    public bool IsNull(int index) => index < Count && call.Arguments[index] is NameExpression { Name: "NULL" } or NumberExpression { Value: 0 };

    public long Long(int index, long otherwise) => IsEllipsis(index) ? otherwise : Long(index);

    public static long Long(Expression expression) => TryLong(expression) ?? throw NoNumber(expression);

    /// <summary>A name that is almost one that there is was mistyped, and fails the script; anything else is only unknown here.</summary>
    private static DrillStop NoNumber(Expression expression)
    {
        Expression odd = expression;
        while (odd is OrExpression either)
        {
            odd = TryLong(either.Right) is null ? either.Right : either.Left;
        }

        string? near = odd is NameExpression name ? NearestName.Find(name.Name, Symbols.Names) : null;
        return near is null
            ? new DrillStop(DrillOutcome.Skipped, odd.At, $"'{ScriptPrinter.Print(odd)}' is no number that this runner knows")
            : new DrillStop(DrillOutcome.Failed, odd.At, $"there is no constant '{ScriptPrinter.Print(odd)}'; did you mean {near}?");
    }

    public static long? TryLong(Expression expression) => expression switch
    {
        NumberExpression number => number.Value,
        NameExpression name => Symbols.TryGet(name.Name, out long value) ? value : null,
        OrExpression either => TryLong(either.Left) | TryLong(either.Right),
        FunctionExpression { Name: "htons" } port => TryLong(port.Arguments[0]),
        ArrayExpression { Items.Count: 1 } single => TryLong(single.Items[0]),
        _ => null,
    };

    /// <summary>A socket address of no family, by which connect(2) takes a connection away.</summary>
    public bool IsUnspecified(int index) =>
        this[index] is StructExpression { Kind: StructKind.SocketAddress } address && Long(address.Get("sa_family")!) == 0;

    /// <summary>A socket address; null for <c>...</c>. Another family than IPv4 skips the script.</summary>
    public IPEndPoint? Address(int index)
    {
        if (IsEllipsis(index))
        {
            return null;
        }

        Expression given = this[index];
        if (given is not StructExpression { Kind: StructKind.SocketAddress } address || Long(address.Get("sa_family")!) != 2)
        {
            throw new DrillStop(DrillOutcome.Skipped, given.At, ScriptRun.NoIpv6);
        }

        IPAddress ip = address.Get("sin_addr") switch
        {
            FunctionExpression { Arguments: [StringExpression text] } => IPAddress.Parse(text.Bytes),
            { } number => new IPAddress((uint)IPAddress.HostToNetworkOrder((int)Long(number))),
            _ => IPAddress.Any,
        };
        return new IPEndPoint(ip, (ushort)Long(address.Get("sin_port")!));
    }

    /// <summary>Lengths of the vectors in an array of iovec.</summary>
    public static int[] Vectors(Expression expression)
    {
        if (expression is not ArrayExpression array)
        {
            throw new DrillStop(DrillOutcome.Skipped, expression.At, "an array of iovec is expected here, as in [{..., 1000}]");
        }

        var lengths = new int[array.Items.Count];
        long sum = 0;
        for (int i = 0; i < lengths.Length; i++)
        {
            lengths[i] = array.Items[i] is StructExpression { Fields: [_, var length] }
                ? Size(length.Value, sum)
                : throw new DrillStop(DrillOutcome.Skipped, array.Items[i].At, "this is no iovec such as {..., 1000}");
            sum += lengths[i];
        }

        return lengths;
    }
}
