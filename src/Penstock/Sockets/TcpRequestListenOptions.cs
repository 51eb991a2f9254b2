using System.Net;

namespace Penstock;

/// <summary>How <see cref="NetworkStack.ListenTcpRequests"/> listens. The options of sockets are those of the connections that come of it.</summary>
public sealed class TcpRequestListenOptions : TcpSocketOptions
{
    /// <summary>Listens on an address and port. <see cref="IPAddress.Any"/> is every address of the stack, port 0 a free port; with <see cref="AnyDestination"/> every port.</summary>
    public TcpRequestListenOptions(IPEndPoint endPoint)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        EndPoint = endPoint;
    }

    /// <summary>Where to listen.</summary>
    public IPEndPoint EndPoint { get; }

    /// <summary>Takes requests to any destination that reaches the stack, as <see cref="TcpListenOptions.AnyDestination"/> does.</summary>
    public bool AnyDestination { get; set; }

    /// <summary>
    /// Requests that may be half-open at the same time: undecided, or accepted and not yet acknowledged by the peer. At least 1; 1024 by default. About half a kilobyte is kept for each; for a SYN beyond
    /// the limit nothing is. It stands in the place of <c>net.core.somaxconn</c>, <c>net.ipv4.tcp_max_syn_backlog</c> and SYN cookies, which answer before the application could decide.
    /// </summary>
    public int HalfOpenLimit { get; set; } = 1024;

    /// <summary>What a SYN beyond <see cref="HalfOpenLimit"/> sees. <see cref="TcpRefusal.Silence"/> by default: the peer tries again, as with a full queue in Linux.</summary>
    public TcpRefusal Overflow { get; set; } = TcpRefusal.Silence;

    internal override void Validate()
    {
        base.Validate();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(HalfOpenLimit);
        TcpConnectionRequest.Check(Overflow, nameof(Overflow));
    }
}
