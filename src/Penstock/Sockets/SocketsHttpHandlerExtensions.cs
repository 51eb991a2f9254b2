using System.Net.Http;

namespace Penstock;

/// <summary>Lets <see cref="HttpClient"/>, gRPC and WebSocket clients connect over a <see cref="NetworkStack"/>.</summary>
public static class SocketsHttpHandlerExtensions
{
    /// <summary>
    /// Makes the handler open its connections over <paramref name="stack"/>. Everything else about it stays as it is: a proxy, if one is set, is reached over the stack too.
    /// Must be called before the handler sends its first request.
    /// </summary>
    /// <param name="handler">The handler.</param>
    /// <param name="stack">The stack; the handler does not own it.</param>
    /// <param name="options">Options of each connection; null for the defaults with <see cref="TcpSocketOptions.NoDelay"/> on.</param>
    /// <returns><paramref name="handler"/>.</returns>
    /// <exception cref="InvalidOperationException">The handler has sent a request already.</exception>
    public static SocketsHttpHandler UseStack(this SocketsHttpHandler handler, NetworkStack stack, TcpConnectOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(handler);
        ArgumentNullException.ThrowIfNull(stack);
        options ??= new TcpConnectOptions { NoDelay = true };
        options.Validate();
        handler.ConnectCallback = async (context, cancellationToken) =>
        {
            TcpSocket socket = await stack.ConnectTcpAsync(context.DnsEndPoint, options, cancellationToken).ConfigureAwait(false);
            return socket.GetStream(ownsSocket: true);
        };
        return handler;
    }
}
