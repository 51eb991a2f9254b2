using System.Net;
using System.Net.Sockets;

namespace Penstock.Benchmarks.Sockets;

/// <summary>What they send to port 9001 is discarded, 9002 sends without end, 9003 sends back what it gets.</summary>
internal static class Server
{
    public static Task RunAsync(IPAddress address) =>
        Task.WhenAll(ListenAsync(address, 9001, SinkAsync), ListenAsync(address, 9002, SourceAsync), ListenAsync(address, 9003, EchoAsync));

    private static async Task ListenAsync(IPAddress address, int port, Func<Socket, Task> serve)
    {
        using var listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(address, port));
        listener.Listen(4096);
        while (true)
        {
            Socket connection = await listener.AcceptAsync();
            _ = ServeAsync(connection, serve);
        }
    }

    private static async Task ServeAsync(Socket connection, Func<Socket, Task> serve)
    {
        using Socket owned = connection;
        try
        {
            connection.NoDelay = true;
            await serve(connection);
        }
        catch (SocketException)
        {
            // The client resets its connections when it has measured enough.
        }
    }

    private static async Task SinkAsync(Socket connection)
    {
        byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 18, pinned: true);
        while (await connection.ReceiveAsync(buffer) > 0)
        {
        }
    }

    private static async Task SourceAsync(Socket connection)
    {
        byte[] buffer = GC.AllocateArray<byte>(1 << 16, pinned: true);
        while (await connection.SendAsync(buffer) == buffer.Length)
        {
        }
    }

    public static async Task EchoAsync(Socket connection)
    {
        byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 12, pinned: true);
        int received;
        while ((received = await connection.ReceiveAsync(buffer)) > 0)
        {
            await connection.SendAsync(buffer.AsMemory(0, received));
        }
    }
}
