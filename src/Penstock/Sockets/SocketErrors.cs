using System.Net.Sockets;

namespace Penstock.Sockets;

/// <summary>Linux's error numbers (generic, as on x86-64 and arm64) that socket calls give.</summary>
internal enum Errno
{
    None = 0,
    EPERM = 1,
    ENOENT = 2,
    EINTR = 4,
    EIO = 5,
    EBADF = 9,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EEXIST = 17,
    EINVAL = 22,
    EMFILE = 24,
    ENOTTY = 25,
    ESPIPE = 29,
    EPIPE = 32,
    EDOM = 33,
    ENONET = 64,
    EPROTO = 71,
    ENOTSOCK = 88,
    EDESTADDRREQ = 89,
    EMSGSIZE = 90,
    EPROTOTYPE = 91,
    ENOPROTOOPT = 92,
    EPROTONOSUPPORT = 93,
    ESOCKTNOSUPPORT = 94,
    EOPNOTSUPP = 95,
    EPFNOSUPPORT = 96,
    EAFNOSUPPORT = 97,
    EADDRINUSE = 98,
    EADDRNOTAVAIL = 99,
    ENETDOWN = 100,
    ENETUNREACH = 101,
    ENETRESET = 102,
    ECONNABORTED = 103,
    ECONNRESET = 104,
    ENOBUFS = 105,
    EISCONN = 106,
    ENOTCONN = 107,
    ESHUTDOWN = 108,
    ETIMEDOUT = 110,
    ECONNREFUSED = 111,
    EHOSTDOWN = 112,
    EHOSTUNREACH = 113,
    EALREADY = 114,
    EINPROGRESS = 115,
    ECANCELED = 125,
}

/// <summary>
/// The one table between <see cref="SocketError"/>, which .NET callers see, and errno, which Linux's callers see. A <see cref="SocketException"/> is
/// only ever made from a <see cref="SocketError"/>: on Unix its constructor would take a bare errno for a Windows code.
/// </summary>
internal static class SocketErrors
{
    /// <summary>The first row with a number is the way back. <c>docs/errors.md</c> shows the same rows.</summary>
    private static readonly (SocketError Error, Errno Number)[] Rows =
    [
        (SocketError.Success, Errno.None),
        (SocketError.OperationAborted, Errno.ECANCELED),
        (SocketError.Interrupted, Errno.EINTR),
        (SocketError.AccessDenied, Errno.EACCES),
        (SocketError.Fault, Errno.EFAULT),
        (SocketError.InvalidArgument, Errno.EINVAL),
        (SocketError.TooManyOpenSockets, Errno.EMFILE),
        (SocketError.WouldBlock, Errno.EAGAIN),
        (SocketError.InProgress, Errno.EINPROGRESS),
        (SocketError.AlreadyInProgress, Errno.EALREADY),
        (SocketError.NotSocket, Errno.ENOTSOCK),
        (SocketError.DestinationAddressRequired, Errno.EDESTADDRREQ),
        (SocketError.MessageSize, Errno.EMSGSIZE),
        (SocketError.ProtocolType, Errno.EPROTOTYPE),
        (SocketError.ProtocolOption, Errno.ENOPROTOOPT),
        (SocketError.ProtocolNotSupported, Errno.EPROTONOSUPPORT),
        (SocketError.SocketNotSupported, Errno.ESOCKTNOSUPPORT),
        (SocketError.OperationNotSupported, Errno.EOPNOTSUPP),
        (SocketError.ProtocolFamilyNotSupported, Errno.EPFNOSUPPORT),
        (SocketError.AddressFamilyNotSupported, Errno.EAFNOSUPPORT),
        (SocketError.AddressAlreadyInUse, Errno.EADDRINUSE),
        (SocketError.AddressNotAvailable, Errno.EADDRNOTAVAIL),
        (SocketError.NetworkDown, Errno.ENETDOWN),
        (SocketError.NetworkUnreachable, Errno.ENETUNREACH),
        (SocketError.NetworkReset, Errno.ENETRESET),
        (SocketError.ConnectionAborted, Errno.ECONNABORTED),
        (SocketError.ConnectionReset, Errno.ECONNRESET),
        (SocketError.NoBufferSpaceAvailable, Errno.ENOBUFS),
        (SocketError.IsConnected, Errno.EISCONN),
        (SocketError.NotConnected, Errno.ENOTCONN),
        (SocketError.Shutdown, Errno.EPIPE),
        (SocketError.TimedOut, Errno.ETIMEDOUT),
        (SocketError.ConnectionRefused, Errno.ECONNREFUSED),
        (SocketError.HostDown, Errno.EHOSTDOWN),
        (SocketError.HostUnreachable, Errno.EHOSTUNREACH),
        (SocketError.SystemNotReady, Errno.ENONET),
        (SocketError.NoRecovery, Errno.EPROTO),
    ];

    /// <summary>Every error the stack may give, with its number.</summary>
    public static ReadOnlySpan<(SocketError Error, Errno Number)> Table => Rows;

    /// <summary>The number Linux gives for <paramref name="error"/>; <see cref="Errno.EINVAL"/> for one that is not in the table.</summary>
    public static Errno ToErrno(SocketError error)
    {
        foreach ((SocketError known, Errno number) in Rows)
        {
            if (known == error)
            {
                return number;
            }
        }

        return Errno.EINVAL;
    }

    /// <summary>The error .NET gives for <paramref name="number"/>; <see cref="SocketError.SocketError"/> for one that is not in the table.</summary>
    public static SocketError ToSocketError(Errno number)
    {
        foreach ((SocketError error, Errno known) in Rows)
        {
            if (known == number)
            {
                return error;
            }
        }

        return SocketError.SocketError;
    }
}
