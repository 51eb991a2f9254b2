using System.Net.Sockets;

namespace Penstock.Tool.Demo.Lab;

/// <summary>Reads a socket empty as fast as it fills, on the worker itself: it goes on while the other side's application is in a call.</summary>
internal static class Sink
{
    /// <summary>Ends, with the bytes read, when the peer has finished or the connection fails.</summary>
    public static async Task<long> DrainAsync(TcpSocket socket, Action<ReadOnlyMemory<byte>>? look = null)
    {
        socket.UnsafeInlineContinuations = true;
        byte[] buffer = new byte[1 << 18];
        long total = 0;
        try
        {
            while (await socket.ReceiveAsync(buffer).ConfigureAwait(false) is int read and > 0)
            {
                total += read;
                look?.Invoke(buffer.AsMemory(0, read));
            }
        }
        catch (Exception end) when (end is SocketException or ObjectDisposedException)
        {
            // Reset or closed: what came before counts.
        }

        return total;
    }
}
