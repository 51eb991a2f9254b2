using System.Net;
using Penstock;

namespace Tun2Socks;

/// <summary>What a tunnel may do.</summary>
internal sealed class TunnelOptions
{
    /// <summary>Where the SOCKS5 proxy listens.</summary>
    public required IPEndPoint Proxy { get; init; }

    /// <summary>For a proxy that wants to know who asks; null offers nothing.</summary>
    public NetworkCredential? Credential { get; init; }

    /// <summary>Flows that may wait for the proxy, or for the end of their handshake, at the same time.</summary>
    public int MaxHalfOpen { get; init; } = 256;

    /// <summary>Flows that may be open at the same time, the half-open ones included.</summary>
    public int MaxFlows { get; init; } = 4096;

    /// <summary>What a flow sees that is over one of the limits, or that the proxy does not connect.</summary>
    public TcpRefusal Refusal { get; init; } = TcpRefusal.Reset;

    /// <summary>How long the proxy may take to connect.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);
}
