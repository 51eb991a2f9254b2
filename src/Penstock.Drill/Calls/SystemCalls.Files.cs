using Penstock.Bsd;
using Penstock.Sockets;

namespace Penstock.Drill;

/// <summary>Pipes, files, and the calls that carry bytes between them and sockets.</summary>
internal sealed partial class SystemCalls
{
    private CallOutcome Pipe(Arguments arguments)
    {
        if (arguments[0] is not ArrayExpression { Items: [var first, var second] })
        {
            throw new DrillStop(DrillOutcome.Failed, arguments[0].At, "the numbers of both ends are expected here, as in pipe([5, 6])");
        }

        (PipeFile reader, PipeFile writer) = PipeFile.Make(_pace);
        reader.NonBlocking = writer.NonBlocking = (arguments.Long(1, 0) & OpenFile.NonBlockFlag) != 0;
        Add(reader, Arguments.Long(first), arguments.Call.Name);
        Add(writer, Arguments.Long(second), arguments.Call.Name);
        return new CallOutcome(0);
    }

    private CallOutcome Open(Arguments arguments)
    {
        if (arguments[0] is not StringExpression path)
        {
            throw new DrillStop(DrillOutcome.Failed, arguments[0].At, "a file name in quotes is expected here");
        }

        return _virtualFiles.SizeOf(path.Bytes.TrimEnd('\0')) is { } size ? Add(arguments.Call, new ZeroFile(_pace, size)) : Fail(Errno.ENOENT);
    }

    private CallOutcome Splice(OpenFile from, Arguments arguments)
    {
        if (File(arguments, 2) is not { } to)
        {
            return Fail(Errno.EBADF);
        }

        return HasOffset(arguments, 1) || HasOffset(arguments, 3)
            ? Fail(Errno.ESPIPE)
            : new CallOutcome(PipeFile.Splice(from, to, arguments.Size(4), (uint)arguments.Long(5, 0)));
    }

    private static bool HasOffset(Arguments arguments, int index) =>
        !arguments.IsEllipsis(index) && !arguments.IsNull(index) && arguments[index] is not ArrayExpression { Items: [NumberExpression { Value: 0 }] };

    private CallOutcome SendFile(SocketFile socket, Arguments arguments)
    {
        if (File(arguments, 1) is not { } from)
        {
            return Fail(Errno.EBADF);
        }

        if (from is not ZeroFile file)
        {
            return Fail(Errno.EINVAL);
        }

        bool hasOffset = !arguments.IsEllipsis(2) && !arguments.IsNull(2);
        long offset = hasOffset ? arguments.Long(2) : file.Position;
        int sent = socket.SendFile(file.ReadAt, ref offset, arguments.Size(3));
        file.Position = hasOffset ? file.Position : offset;
        return new CallOutcome(sent);
    }
}
