using System.Net;
using System.Net.Sockets;
using Penstock.Tool.Serve;

namespace Penstock.Tool.Perf;

/// <summary>
/// The far end for clients that measure from the kernel's side: what they send to port 9001 is discarded, 9002 sends without end, 9003 sends back what it gets. Knows
/// neither when a client begins to measure nor what it finds.
/// </summary>
internal static class PerfServer
{
    private const int SinkPort = 9001;
    private const int SourcePort = 9002;
    private const int EchoPort = 9003;
    private static readonly TimeSpan s_lookAround = TimeSpan.FromSeconds(1);

    /// <exception cref="ToolFailure">The device can not be made, or failed while it was in use.</exception>
    public static async Task<int> RunAsync(ServeSettings settings, bool inline, TextWriter output, TextWriter error, CancellationToken stop)
    {
        var network = new TunNetwork(settings);
        string? failed;
        await using (network.ConfigureAwait(false))
        {
            NetworkStack stack = network.Server;
            Task[] serving = [ServeAsync(stack, SinkPort, inline, SinkAsync), ServeAsync(stack, SourcePort, inline, SourceAsync), ServeAsync(stack, EchoPort, inline, EchoAsync)];
            await output.WriteLineAsync("ready").ConfigureAwait(false);
            await output.FlushAsync(CancellationToken.None).ConfigureAwait(false);
            failed = await WaitAsync(stack, serving, stop).ConfigureAwait(false);
            long served = stack.GetCounter(StackCounter.TcpPassiveOpens);
            await error.WriteLineAsync($"Stopped; {served} connections were served. Those still open are closed, and the device goes.").ConfigureAwait(false);
            foreach (StackCounter counter in Enum.GetValues<StackCounter>())
            {
                if (stack.GetCounter(counter) is var value and not 0)
                {
                    await error.WriteLineAsync($"{counter} {value}").ConfigureAwait(false);
                }
            }
        }

        return failed is null ? PenstockCommand.Success : throw ToolFailure.Environment($"{failed.TrimEnd('.')}. Start it again.");
    }

    /// <summary>Waits for the end; null when it was asked for, else what failed.</summary>
    private static async Task<string?> WaitAsync(NetworkStack stack, Task[] serving, CancellationToken stop)
    {
        using var timer = new PeriodicTimer(s_lookAround);
        try
        {
            while (await timer.WaitForNextTickAsync(stop).ConfigureAwait(false))
            {
                if (stack.LinkFailures.Count > 0)
                {
                    return stack.LinkFailures.First();
                }

                if (Array.Find(serving, task => task.IsFaulted) is { } broken)
                {
                    await broken.ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The end that was waited for.
        }

        return null;
    }

    private static async Task ServeAsync(NetworkStack stack, int port, bool inline, Func<TcpSocket, Task> serve)
    {
        TcpSocketListener listener = stack.ListenTcp(new TcpListenOptions(new IPEndPoint(IPAddress.Any, port)) { NoDelay = port == EchoPort });
        await using var owned = listener.ConfigureAwait(false);
        while (true)
        {
            TcpSocket socket;
            try
            {
                socket = await listener.AcceptAsync().ConfigureAwait(false);
            }
            catch (ObjectDisposedException)
            {
                return;
            }

            socket.UnsafeInlineContinuations = inline;
            _ = ServeOneAsync(socket, serve);
        }
    }

    private static async Task ServeOneAsync(TcpSocket socket, Func<TcpSocket, Task> serve)
    {
        await using var owned = socket.ConfigureAwait(false);
        try
        {
            await serve(socket).ConfigureAwait(false);
        }
        catch (Exception ended) when (ended is SocketException or ObjectDisposedException)
        {
            // A client resets its connections when it has measured enough; at the end the stack does.
        }
    }

    private static async Task SinkAsync(TcpSocket socket)
    {
        byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 18, pinned: true);
        while (await socket.ReceiveAsync(buffer).ConfigureAwait(false) > 0)
        {
        }
    }

    private static async Task SourceAsync(TcpSocket socket)
    {
        byte[] buffer = GC.AllocateArray<byte>(1 << 16, pinned: true);
        while (await socket.SendAsync(buffer).ConfigureAwait(false) == buffer.Length)
        {
        }
    }

    private static async Task EchoAsync(TcpSocket socket)
    {
        byte[] buffer = GC.AllocateUninitializedArray<byte>(1 << 12, pinned: true);
        int received;
        while ((received = await socket.ReceiveAsync(buffer).ConfigureAwait(false)) > 0)
        {
            await socket.SendAsync(buffer.AsMemory(0, received)).ConfigureAwait(false);
        }
    }
}
