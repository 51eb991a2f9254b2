using Penstock.Tcp;

namespace Penstock;

/// <summary>A stack's settings by Linux's names.</summary>
public sealed class Sysctl
{
    private readonly TcpLayer _tcp;

    internal Sysctl(TcpLayer tcp) => _tcp = tcp;
}
