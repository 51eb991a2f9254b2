using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Penstock;

namespace Tun2Socks;

/// <summary>
/// Carries one connection on: what the stack's socket receives goes to the kernel's and the other way round, each direction in its own pace, until both have ended. The end of one direction is passed on as
/// a FIN, a reset as a reset. Bytes are copied once each way, by the kernel: from the memory in which the packets arrived, and into the memory from which they are sent.
/// </summary>
internal sealed class Relay(TcpSocket near, Socket far)
{
    private int _broken;

    /// <summary>Bytes that went out, and that came back.</summary>
    public long Up { get; private set; }

    public long Down { get; private set; }

    /// <summary>Completes when both directions have; true when both did with a FIN, false when the connection was reset, from either side or by <paramref name="stop"/>.</summary>
    public async Task<bool> RunAsync(CancellationToken stop)
    {
        using CancellationTokenRegistration onStop = stop.UnsafeRegister(static relay => ((Relay)relay!).Break(), this);
        IDuplexPipe pipe = near.AsPipe();
        await Task.WhenAll(Guard(SendUpAsync(pipe.Input)), Guard(SendDownAsync(pipe.Output)));
        if (_broken != 0)
        {
            // Gives back the packets that were not sent on, and the memory that was not filled.
            await pipe.Input.CompleteAsync();
            await pipe.Output.CompleteAsync(new IOException("The connection was reset."));
        }

        await near.DisposeAsync();
        far.Dispose();
        return _broken == 0;
    }

    private async Task SendUpAsync(PipeReader reader)
    {
        while (true)
        {
            ReadResult read = await reader.ReadAsync();
            foreach (ReadOnlyMemory<byte> part in read.Buffer)
            {
                for (int sent = 0; sent < part.Length;)
                {
                    sent += await far.SendAsync(part[sent..]);
                }
            }

            Up += read.Buffer.Length;

            // Only now does the window open for as much again: a slow proxy slows down the near side.
            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
            {
                break;
            }
        }

        far.Shutdown(SocketShutdown.Send);
        await reader.CompleteAsync();
    }

    private async Task SendDownAsync(PipeWriter writer)
    {
        while (true)
        {
            // Waits without memory in hand: an idle connection costs none.
            await far.ReceiveAsync(Memory<byte>.Empty);
            int received = await far.ReceiveAsync(writer.GetMemory());
            if (received == 0)
            {
                break;
            }

            Down += received;
            writer.Advance(received);

            // Completes when the send buffer has room: a slow near side slows down the proxy.
            await writer.FlushAsync();
        }

        await writer.CompleteAsync();
    }

    /// <summary>When one direction fails, so does the other.</summary>
    private async Task Guard(Task direction)
    {
        try
        {
            await direction;
        }
        catch (Exception failure) when (failure is IOException or SocketException or ObjectDisposedException)
        {
            Break();
        }
    }

    /// <summary>Resets both connections.</summary>
    private void Break()
    {
        if (Interlocked.Exchange(ref _broken, 1) == 0)
        {
            near.Abort();
            far.Close(0);
        }
    }
}
