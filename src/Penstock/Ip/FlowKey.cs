using Penstock.Wire;

namespace Penstock.Ip;

/// <summary>What identifies a connection: both addresses and both ports, of either family.</summary>
internal readonly struct FlowKey(IpAddress local, ushort localPort, IpAddress remote, ushort remotePort) : IEquatable<FlowKey>
{
    public readonly IpAddress Local = local;
    public readonly IpAddress Remote = remote;
    public readonly ushort LocalPort = localPort;
    public readonly ushort RemotePort = remotePort;

    public bool Equals(FlowKey other) =>
        LocalPort == other.LocalPort && RemotePort == other.RemotePort && Local == other.Local && Remote == other.Remote;

    public override bool Equals(object? obj) => obj is FlowKey other && Equals(other);

    public override int GetHashCode() => HashCode.Combine(Local, Remote, LocalPort, RemotePort);

    public override string ToString() => $"{Local}:{LocalPort} <-> {Remote}:{RemotePort}";
}
