using System.Net.Sockets;

namespace Penstock.Tests.Faults;

/// <summary>Streams whose byte at any position is known: sent in uneven pieces and checked on arrival.</summary>
internal static class Streams
{
    public static void Fill(Span<byte> span, long position, int stream)
    {
        for (int i = 0; i < span.Length; i++)
        {
            ulong at = (ulong)(position + i);
            span[i] = (byte)((at * 2654435761u >> 13) ^ (uint)stream);
        }
    }

    public static async Task SendAsync(TcpSocket socket, int stream, int bytes, bool shutdown = true)
    {
        byte[] chunk = new byte[30_000];
        int sent = 0;
        while (sent < bytes)
        {
            int length = Math.Min(chunk.Length - (sent % 777), bytes - sent);
            Fill(chunk.AsSpan(0, length), sent, stream);
            sent += await socket.SendAsync(chunk.AsMemory(0, length));
        }

        if (shutdown)
        {
            await socket.ShutdownAsync(SocketShutdown.Send);
        }
    }

    /// <summary>Receives to the end of the stream, or the number of bytes that is expected.</summary>
    public static async Task ReceiveAsync(TcpSocket socket, int stream, int bytes, bool toEnd = true)
    {
        byte[] chunk = new byte[40_000];
        byte[] expected = new byte[40_000];
        int received = 0;
        while (toEnd || received < bytes)
        {
            int length = await socket.ReceiveAsync(chunk);
            if (length == 0)
            {
                break;
            }

            Fill(expected.AsSpan(0, length), received, stream);
            Assert.True(chunk.AsSpan(0, length).SequenceEqual(expected.AsSpan(0, length)), $"wrong bytes at {received}");
            received += length;
        }

        Assert.Equal(bytes, received);
    }
}
