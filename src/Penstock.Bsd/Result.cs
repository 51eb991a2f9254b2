using System.Net.Sockets;
using Penstock.Sockets;

namespace Penstock.Bsd;

/// <summary>Results of calls are the kernel's own: zero or more is success, less is an error number with its sign turned.</summary>
internal static class Result
{
    public const int WouldBlock = -(int)Errno.EAGAIN;

    public static int Fail(Errno error) => -(int)error;

    public static int Fail(SocketError error) => -(int)SocketErrors.ToErrno(error);
}
