using System.Buffers.Binary;
using System.Globalization;

namespace Penstock.Drill;

/// <summary>A control message that a recvmsg gave; its data is a number or an <see cref="ExtendedError"/>.</summary>
internal readonly record struct ControlMessage(long Level, long Type, object Data)
{
    /// <summary>Reads them as they lie in memory: length, level, type, data, padded to 8 bytes.</summary>
    public static List<ControlMessage> ReadAll(ReadOnlySpan<byte> bytes)
    {
        const int Header = 16;
        var found = new List<ControlMessage>();
        while (bytes.Length > Header)
        {
            int length = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
            ReadOnlySpan<byte> data = bytes[Header..length];
            found.Add(new ControlMessage(
                BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]),
                BinaryPrimitives.ReadInt32LittleEndian(bytes[12..]),
                data.Length == 4 ? BinaryPrimitives.ReadInt32LittleEndian(data) : ExtendedError.Read(data)));
            bytes = bytes[Math.Min((length + 7) & ~7, bytes.Length)..];
        }

        return found;
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{{cmsg_level={Level}, cmsg_type={Type}, cmsg_data={Data}}}");
}

/// <summary>A sock_extended_err.</summary>
internal readonly record struct ExtendedError(long Errno, long Origin, long Type, long Code, long Info, long Data)
{
    public static ExtendedError Read(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadUInt32LittleEndian(bytes), bytes[4], bytes[5], bytes[6], BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]), BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]));

    /// <summary>By the names that scripts use.</summary>
    public long Field(string name) => name switch
    {
        "ee_errno" => Errno,
        "ee_origin" => Origin,
        "ee_type" => Type,
        "ee_code" => Code,
        "ee_info" => Info,
        _ => Data,
    };

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"{{ee_errno={Errno}, ee_origin={Origin}, ee_type={Type}, ee_code={Code}, ee_info={Info}, ee_data={Data}}}");
}

/// <summary>A <c>msghdr</c> of a script: what goes in, and what the script expects to come out.</summary>
internal sealed class MessageArgument
{
    private readonly StructExpression _message;
    private readonly ArrayExpression? _control;

    public MessageArgument(Expression expression)
    {
        _message = expression as StructExpression is { Kind: StructKind.MessageHeader } message
            ? message
            : throw new DrillStop(DrillOutcome.Failed, expression.At, "a msghdr is expected here, as in {msg_name(...)=..., msg_iov(1)=[{..., 1000}], msg_flags=0}");
        _control = _message.Get("msg_control") as ArrayExpression;
        ControlSpace = new byte[_message.Get("msg_control") is null ? 0 : 1024];
        Lengths = Arguments.Vectors(_message.Get("msg_iov")!);
    }

    /// <summary>Bytes in each piece of the vector.</summary>
    public int[] Lengths { get; }

    /// <summary>Where control messages go; none when the script does not mention them.</summary>
    public byte[] ControlSpace { get; }

    public bool HasControl => _control is { Items.Count: > 0 };

    /// <summary>Null when the control messages are what the script expects, in order; also when it does not mention them.</summary>
    public string? CompareControl(IReadOnlyList<ControlMessage> found)
    {
        if (_control is not { } wanted)
        {
            return null;
        }

        if (wanted.Items.Count != found.Count)
        {
            return $"the call should give {wanted.Items.Count} control message(s) but gives {(found.Count == 0 ? "none" : string.Join(", ", found))}";
        }

        for (int i = 0; i < found.Count; i++)
        {
            if (CompareOne(wanted.Items[i], found[i]) is { } mismatch)
            {
                return mismatch;
            }
        }

        return null;
    }

    /// <summary>Null when <c>msg_flags</c> is what the script expects.</summary>
    public string? CompareFlags(long found)
    {
        Expression wanted = _message.Get("msg_flags")!;
        return wanted is EllipsisExpression || Arguments.Long(wanted) == found
            ? null
            : string.Create(CultureInfo.InvariantCulture, $"msg_flags should be {ScriptPrinter.Print(wanted)} but is 0x{found:x}");
    }

    private static string? CompareOne(Expression wanted, ControlMessage found)
    {
        if (wanted is not StructExpression { Kind: StructKind.ControlMessage } message)
        {
            throw new DrillStop(DrillOutcome.Failed, wanted.At, "a control message is expected here, as in {cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=0}");
        }

        return Number(message, "cmsg_level", found.Level) ?? Number(message, "cmsg_type", found.Type) ?? CompareData(message.Get("cmsg_data")!, found.Data);
    }

    private static string? CompareData(Expression wanted, object found)
    {
        if (found is ExtendedError error)
        {
            if (wanted is not StructExpression { Kind: StructKind.ExtendedError } expected)
            {
                return $"cmsg_data should be {ScriptPrinter.Print(wanted)} but is {error}";
            }

            foreach (StructField field in expected.Fields)
            {
                if (field.Value is not EllipsisExpression && Arguments.Long(field.Value) != error.Field(field.Name!))
                {
                    return string.Create(CultureInfo.InvariantCulture, $"{field.Name} should be {ScriptPrinter.Print(field.Value)} but is {error.Field(field.Name!)}");
                }
            }

            return null;
        }

        long number = Convert.ToInt64(found, CultureInfo.InvariantCulture);
        return wanted is EllipsisExpression || Arguments.TryLong(wanted) == number
            ? null
            : string.Create(CultureInfo.InvariantCulture, $"cmsg_data should be {ScriptPrinter.Print(wanted)} but is {number}");
    }

    private static string? Number(StructExpression message, string name, long found)
    {
        Expression wanted = message.Get(name)!;
        return wanted is EllipsisExpression || Arguments.Long(wanted) == found
            ? null
            : string.Create(CultureInfo.InvariantCulture, $"{name} should be {ScriptPrinter.Print(wanted)} but is {found}");
    }
}
