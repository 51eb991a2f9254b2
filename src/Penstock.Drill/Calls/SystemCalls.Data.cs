using Penstock.Bsd;

namespace Penstock.Drill;

/// <summary>Reading and writing. Scripts send zeros and read zeros, unless they write a text where the buffer stands.</summary>
internal sealed partial class SystemCalls
{
    private static CallOutcome Read(OpenFile file, Arguments arguments)
    {
        var memory = new CallMemory(Lengths(arguments), arguments.IsNull(1));
        return Received(file.Read(memory.Vectors), memory, arguments);
    }

    private static CallOutcome Write(OpenFile file, Arguments arguments)
    {
        CallMemory memory = ToSend(arguments, Lengths(arguments));
        int result = file.Write(memory.Vectors);
        GC.KeepAlive(memory);
        return new CallOutcome(result);
    }

    private static CallOutcome Receive(SocketFile socket, Arguments arguments)
    {
        MessageArgument? message = arguments.Call.Name == "recvmsg" ? new MessageArgument(arguments[1]) : null;
        int flags = Flags(arguments, SocketFile.FlagOutOfBand | SocketFile.FlagPeek | SocketFile.FlagDontWait | SocketFile.FlagWaitAll | SocketFile.FlagErrorQueue);
        var memory = new CallMemory(message?.Lengths ?? Lengths(arguments), message is null && arguments.IsNull(1));
        var control = new ControlMessages(message?.ControlSpace);
        int result = socket.ReceiveMessage(memory.Vectors, flags, ref control, out int found);
        CallOutcome outcome = Received(result, memory, arguments);
        return message is null || result < 0 || outcome.OutputMismatch is not null
            ? outcome
            : outcome with { OutputMismatch = message.CompareControl(ControlMessage.ReadAll(message.ControlSpace.AsSpan(0, control.Length))) ?? message.CompareFlags(found) };
    }

    private CallOutcome Send(SocketFile socket, Arguments arguments)
    {
        MessageArgument? message = arguments.Call.Name == "sendmsg" ? new MessageArgument(arguments[1]) : null;
        int flags = Flags(arguments, SocketFile.FlagOutOfBand | SocketFile.FlagDontWait | SocketFile.FlagEndOfRecord | SocketFile.FlagNoSignal | SocketFile.FlagMore
            | SocketFile.FlagZeroCopy | SocketFile.FlagFastOpen);
        int flagsAt = FlagsAt(arguments);
        if ((flags & SocketFile.FlagFastOpen) != 0)
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[flagsAt].At, NoFastOpen);
        }

        if (message is { HasControl: true })
        {
            throw new DrillStop(DrillOutcome.Skipped, arguments[1].At, "control messages of sendmsg are not run: the stack has none that TCP takes");
        }

        CallMemory memory = ToSend(arguments, message?.Lengths ?? Lengths(arguments));
        if ((flags & SocketFile.FlagZeroCopy) != 0)
        {
            // The stack refers to it until all is acknowledged.
            _kept.Add(memory);
        }

        int result = socket.Send(memory.Vectors, flags);
        GC.KeepAlive(memory);
        return new CallOutcome(result);
    }

    private static CallOutcome Received(int result, CallMemory memory, Arguments arguments) => new(result)
    {
        OutputMismatch = memory.Compare(result, !arguments.IsEllipsis(1) && arguments[1] is StringExpression text ? text.Bytes : null),
    };

    private static CallMemory ToSend(Arguments arguments, int[] lengths)
    {
        var memory = new CallMemory(lengths, arguments.IsNull(1));
        if (!arguments.IsEllipsis(1) && arguments[1] is StringExpression text)
        {
            memory.Write(text.Bytes);
        }

        return memory;
    }

    private static int[] Lengths(Arguments arguments) => arguments.Call.Name is "readv" or "writev" ? Arguments.Vectors(arguments[1]) : [arguments.Size(2)];

    private static int FlagsAt(Arguments arguments) => arguments.Call.Name is "sendmsg" or "recvmsg" ? 2 : 3;

    /// <summary>The flags of a call; one that is not among those that are known here skips the script.</summary>
    private static int Flags(Arguments arguments, int known)
    {
        int index = FlagsAt(arguments);
        long flags = arguments.Long(index, 0);
        return (flags & ~known) == 0
            ? (int)flags
            : throw new DrillStop(DrillOutcome.Skipped, arguments[index].At, $"the flags 0x{flags & ~known:x} are not run");
    }
}
