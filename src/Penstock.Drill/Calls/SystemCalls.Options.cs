using System.Buffers.Binary;
using System.Text;
using Penstock.Bsd;
using Penstock.Sockets;

namespace Penstock.Drill;

/// <summary>setsockopt, getsockopt, fcntl and ioctl, for what the stack has; anything else skips the script.</summary>
internal sealed partial class SystemCalls
{
    internal const string NoFastOpen = "the stack does not speak TCP Fast Open";

    private static CallOutcome SetOption(SocketFile socket, Arguments arguments)
    {
        (int level, int name) = (arguments.Int(1), arguments.Int(2));
        if ((level, name) is (NumberedOptions.LevelTcp, 23 or 30 or 33 or 34))
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[2].At, NoFastOpen);
        }

        Expression given = arguments[3] is ArrayExpression { Items: [var single] } ? single : arguments[3];
        byte[] value = (level, name, arguments.Long(4, 0)) is (NumberedOptions.LevelSocket, 47, 8) ? BitConverter.GetBytes(Arguments.Long(given)) : Bytes(given);
        int result = socket.SetOption(level, name, value.AsSpan(0, (int)Math.Clamp(arguments.Long(4, value.Length), 0, value.Length)));
        return result == Result.Fail(Errno.ENOPROTOOPT)
            ? throw new DrillStop(DrillOutcome.Skipped, arguments[2].At, $"the option {ScriptPrinter.Print(arguments[2])} is not run yet")
            : new CallOutcome(result);
    }

    private static byte[] Bytes(Expression value)
    {
        if (value is StringExpression text)
        {
            return Encoding.Latin1.GetBytes(text.Bytes);
        }

        if (value is not StructExpression { Kind: StructKind.Linger } linger)
        {
            return Int(value);
        }

        return [.. Int(linger.Get("onoff")!), .. Int(linger.Get("linger")!)];

        static byte[] Int(Expression number) => BitConverter.GetBytes(unchecked((int)Arguments.Long(number)));
    }

    private static CallOutcome GetOption(SocketFile socket, Arguments arguments)
    {
        byte[] value = new byte[4];
        int result = socket.GetOption(arguments.Int(1), arguments.Int(2), value);
        return result == Result.Fail(Errno.ENOPROTOOPT)
            ? throw new DrillStop(DrillOutcome.Skipped, arguments[2].At, $"the option {ScriptPrinter.Print(arguments[2])} cannot be read here yet")
            : new CallOutcome(Math.Min(result, 0)) { OutputMismatch = result < 0 ? null : Compare(arguments, 3, BinaryPrimitives.ReadInt32LittleEndian(value), "the option's value") };
    }

    private CallOutcome Control(OpenFile file, Arguments arguments)
    {
        switch (arguments.Long(1))
        {
            case 0 or 1030: // F_DUPFD, F_DUPFD_CLOEXEC
                return Add(arguments.Call, file);
            case 1 or 2: // F_GETFD, F_SETFD: nothing is ever executed
                return new CallOutcome(0);
            case 3: // F_GETFL
                return new CallOutcome(file.StatusFlags);
            case 4: // F_SETFL
                file.StatusFlags = arguments.Int(2);
                return new CallOutcome(0);
            default:
                throw new DrillStop(DrillOutcome.Skipped, arguments[1].At, "this fcntl is not run yet");
        }
    }

    private static CallOutcome DeviceControl(OpenFile file, Arguments arguments)
    {
        int value = arguments.IsEllipsis(2) ? 0 : (int)(Arguments.TryLong(arguments[2]) ?? 0);
        int result = file.Control((ulong)arguments.Long(1), ref value);
        return result == Result.Fail(Errno.ENOTTY)
            ? throw new DrillStop(DrillOutcome.Skipped, arguments[1].At, "this ioctl is not run yet")
            : new CallOutcome(result) { OutputMismatch = result < 0 ? null : Compare(arguments, 2, value, "the value it gives") };
    }

    /// <summary>Values are ints of C, however the script writes their 32 bits.</summary>
    private static string? Compare(Arguments arguments, int index, int found, string what) =>
        arguments.IsEllipsis(index) || arguments[index] is ArrayExpression { Items: [EllipsisExpression] } || arguments.Int(index) == found
            ? null
            : $"{what} should be {ScriptPrinter.Print(arguments[index])} but is {Text(found)}";
}
