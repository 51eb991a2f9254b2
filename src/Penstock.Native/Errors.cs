using System.Net.Sockets;
using System.Runtime.InteropServices;
using Penstock.Sockets;

namespace Penstock.Native;

/// <summary>Exceptions end here: a C caller sees an error number, and can ask for the message.</summary>
internal static unsafe class Errors
{
    private static readonly bool Verbose = Environment.GetEnvironmentVariable("PENSTOCK_VERBOSE") is { Length: > 0 };

    [ThreadStatic]
    private static byte* _message;

    /// <summary>The message of this thread's last failure as a C string; empty when there was none.</summary>
    public static byte* Message => _message is null ? (_message = (byte*)Marshal.StringToCoTaskMemUTF8("")) : _message;

    /// <summary>Remembers an exception and turns it into a negative error number.</summary>
    public static int Note(Exception error)
    {
        Marshal.FreeCoTaskMem((nint)_message);
        _message = (byte*)Marshal.StringToCoTaskMemUTF8(error.Message);
        Errno number = error switch
        {
            SocketException socket => SocketErrors.ToErrno(socket.SocketErrorCode),
            ObjectDisposedException => Errno.EBADF,
            UnauthorizedAccessException => Errno.EPERM,
            FileNotFoundException => Errno.ENOENT,
            OutOfMemoryException => Errno.ENOMEM,
            ArgumentException or FormatException or KeyNotFoundException or InvalidOperationException => Errno.EINVAL,
            IOException => Errno.EIO,
            _ => Errno.EIO,
        };
        Log(Verbose ? error.ToString() : error.Message, always: number == Errno.EIO && error is not IOException);
        return -(int)number;
    }

    /// <summary>A line on standard error, when the environment variable PENSTOCK_VERBOSE is set.</summary>
    public static void Log(string line, bool always = false)
    {
        if (Verbose || always)
        {
            Console.Error.WriteLine($"libpenstock: {line}");
        }
    }
}
