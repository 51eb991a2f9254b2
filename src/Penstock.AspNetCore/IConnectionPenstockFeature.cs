namespace Penstock.AspNetCore;

/// <summary>Gives access to the socket below a Kestrel connection: its options, its <see cref="TcpSocket.GetInfo"/>. The transport owns it and does the reading and writing.</summary>
public interface IConnectionPenstockFeature
{
    /// <summary>The socket.</summary>
    TcpSocket Socket { get; }
}
