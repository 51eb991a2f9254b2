namespace Penstock.Drill;

/// <summary>An argument or a result of a socket call.</summary>
internal abstract record Expression : Node;

/// <summary><c>...</c>: the executor supplies what the call needs there, or does not look at what it gave.</summary>
internal sealed record EllipsisExpression : Expression;

/// <summary><c>?</c>: any result.</summary>
internal sealed record AnyResult : Expression;

/// <summary>A number; 64-bit hexadecimal ones keep their bits.</summary>
internal sealed record NumberExpression(long Value, bool IsHex = false) : Expression;

/// <summary>
/// A string. Each char is one byte (0 to 255); escapes are resolved. <see cref="IsPrefix"/> is set by <c>"abc"...</c>: the
/// real bytes may go on.
/// </summary>
internal sealed record StringExpression(string Bytes, bool IsPrefix = false) : Expression;

/// <summary>A constant's name such as <c>SOCK_STREAM</c>, looked up when the call is made.</summary>
internal sealed record NameExpression(string Name) : Expression;

/// <summary><c>A|B</c>.</summary>
internal sealed record OrExpression(Expression Left, Expression Right) : Expression;

/// <summary><c>NAME = value</c> inside a list, as the netlink attributes of a timestamp's statistics are written.</summary>
internal sealed record AssignmentExpression(string Name, Expression Value) : Expression;

/// <summary><c>[a, b]</c>: an array, or a pointer to a single value.</summary>
internal sealed record ArrayExpression(NodeList<Expression> Items) : Expression;

/// <summary><c>htons(80)</c>, <c>inet_addr("192.0.2.1")</c>, <c>inet6_addr("2001:db8::1")</c>.</summary>
internal sealed record FunctionExpression(string Name, NodeList<Expression> Arguments) : Expression;

/// <summary><c>{name=value, ...}</c>.</summary>
internal sealed record StructExpression(StructKind Kind, NodeList<StructField> Fields) : Expression
{
    /// <summary>The field's value, or null when the script leaves it out.</summary>
    public Expression? Get(string name)
    {
        foreach (StructField field in Fields)
        {
            if (field.Name == name)
            {
                return field.Value;
            }
        }

        return null;
    }
}

/// <summary>
/// One field. <see cref="Argument"/> is the length that <c>msg_name(...)=</c> and <c>msg_iov(1)=</c> carry. Only the fields of
/// <see cref="StructKind.IoVector"/> and of plain lists may be nameless.
/// </summary>
internal sealed record StructField(string? Name, Expression? Argument, Expression Value) : Node;

/// <summary>Which C structure a <c>{...}</c> stands for; told by its first field.</summary>
internal enum StructKind
{
    /// <summary>Just a list of values.</summary>
    List,

    /// <summary>sockaddr_in or sockaddr_in6.</summary>
    SocketAddress,

    /// <summary>msghdr.</summary>
    MessageHeader,

    /// <summary>iovec: <c>{..., 1000}</c>.</summary>
    IoVector,

    /// <summary>cmsghdr.</summary>
    ControlMessage,

    /// <summary>sock_extended_err.</summary>
    ExtendedError,

    /// <summary>scm_timestamping.</summary>
    Timestamping,

    /// <summary>pollfd.</summary>
    Poll,

    /// <summary>epoll_event.</summary>
    EpollEvent,

    /// <summary>linger.</summary>
    Linger,
}

/// <summary>The fields each C structure has in scripts.</summary>
internal sealed record StructShape(StructKind Kind, string CName, string[] Required, string[] Optional)
{
    private static readonly StructShape[] Shapes =
    [
        new(StructKind.SocketAddress, "sockaddr", ["sa_family", "sin_port", "sin_addr"], []),
        new(StructKind.MessageHeader, "msghdr", ["msg_name", "msg_iov", "msg_flags"], ["msg_control"]),
        new(StructKind.ControlMessage, "cmsghdr", ["cmsg_level", "cmsg_type", "cmsg_data"], []),
        new(StructKind.ExtendedError, "sock_extended_err", ["ee_errno", "ee_origin", "ee_type", "ee_code", "ee_info", "ee_data"], []),
        new(StructKind.Timestamping, "scm_timestamping", ["scm_sec", "scm_nsec"], []),
        new(StructKind.Poll, "pollfd", ["fd", "events"], ["revents"]),
        new(StructKind.EpollEvent, "epoll_event", ["events"], ["fd", "ptr", "u32", "u64"]),
        new(StructKind.Linger, "linger", ["onoff", "linger"], []),
    ];

    /// <summary>The structure whose first field is <paramref name="field"/>, else null.</summary>
    public static StructShape? StartingWith(string field) => Array.Find(Shapes, shape => shape.Required[0] == field);

    /// <summary>Every name that begins a structure, for messages.</summary>
    public static IEnumerable<string> FirstFields
    {
        get
        {
            foreach (StructShape shape in Shapes)
            {
                yield return shape.Required[0];
            }
        }
    }

    public bool Has(string field) => Required.Contains(field) || Optional.Contains(field);

    public string FieldList => string.Join(", ", [.. Required, .. Optional]);
}
