using System.Net.Http;

namespace Penstock;

public sealed partial class NetworkStack
{
    /// <summary>
    /// A handler for <see cref="HttpClient"/> whose connections run over this stack: HTTP/1.1 and HTTP/2, with and without TLS. Names are resolved by the stack
    /// (<see cref="Hosts"/> or <see cref="NetworkStackOptions.Resolver"/>). The system's proxy settings are not used.
    /// </summary>
    /// <param name="options">Options of each connection; null for the defaults with <see cref="TcpSocketOptions.NoDelay"/> on.</param>
    /// <returns>A new handler, which the caller disposes; disposing it leaves the stack alone.</returns>
    public SocketsHttpHandler CreateHttpHandler(TcpConnectOptions? options = null)
    {
        var handler = new SocketsHttpHandler { UseProxy = false };
        handler.UseStack(this, options);
        return handler;
    }
}
