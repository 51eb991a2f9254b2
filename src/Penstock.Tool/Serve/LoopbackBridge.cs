using System.Buffers;
using System.Net;
using System.Net.Sockets;

namespace Penstock.Tool.Serve;

/// <summary>
/// Carries connections from a port of the kernel to a server behind a <see cref="NetworkStack"/>: for each one accepted, one is opened in the stack, and bytes are
/// pumped both ways. An end of stream is passed on as one, a reset as a reset. A pump holds one buffer and reads no more until it was taken, so a slow side
/// slows the other one down.
/// </summary>
/// <remarks>All members are thread-safe.</remarks>
internal sealed class LoopbackBridge : IAsyncDisposable
{
    private const int BufferSize = 64 * 1024;
    private static readonly TimeSpan s_acceptPause = TimeSpan.FromMilliseconds(100);

    private readonly Socket _listener;

    // Never disposed: it has no timer, and a second dispose of the bridge may still cancel it.
    private readonly CancellationTokenSource _stop = new();
    private readonly HashSet<Task> _carrying = [];
    private Task _accepting = Task.CompletedTask;

    private LoopbackBridge(Socket listener)
    {
        _listener = listener;
        LocalEndPoint = (IPEndPoint)listener.LocalEndPoint!;
    }

    /// <summary>Where the kernel listens, with the real port.</summary>
    public IPEndPoint LocalEndPoint { get; }

    /// <summary>Takes the port; clients that connect wait until <see cref="Open"/>.</summary>
    /// <exception cref="ToolFailure">The port is busy or not allowed, or the address is not one of this machine.</exception>
    public static LoopbackBridge Bind(IPEndPoint endPoint)
    {
        var listener = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            listener.Bind(endPoint);
            listener.Listen();
            return new LoopbackBridge(listener);
        }
        catch (SocketException failure)
        {
            listener.Dispose();
            string next = endPoint.Port == 65535 ? "0" : $"{endPoint.Port + 1}";
            throw ToolFailure.Environment(
                failure.SocketErrorCode switch
                {
                    SocketError.AddressAlreadyInUse =>
                        $"{endPoint} is in use by another program. Choose another port, as in --listen {new IPEndPoint(endPoint.Address, int.Parse(next))}, or port 0 for a free one.",
                    SocketError.AccessDenied => $"No permission to listen on {endPoint}. Choose a port above 1023, as in --listen {new IPEndPoint(endPoint.Address, 8080)}.",
                    SocketError.AddressNotAvailable => $"{endPoint.Address} is not an address of this machine. Choose one that is, as in --listen 127.0.0.1:{endPoint.Port}.",
                    _ => $"Cannot listen on {endPoint}: {failure.Message}. Choose another --listen.",
                },
                failure);
        }
    }

    /// <summary>Begins to carry connections to <paramref name="server"/>. Called once.</summary>
    public void Open(NetworkStack client, IPEndPoint server) => _accepting = AcceptAsync(client, server);

    /// <summary>Accepts nothing more.</summary>
    public void Close() => _listener.Dispose();

    /// <summary>Resets what is still carried and completes when that is done.</summary>
    public async ValueTask DisposeAsync()
    {
        Close();
        await _stop.CancelAsync().ConfigureAwait(false);
        await _accepting.ConfigureAwait(false);
        Task[] last;
        lock (_carrying)
        {
            last = [.. _carrying];
        }

        await Task.WhenAll(last).ConfigureAwait(false);
    }

    private async Task AcceptAsync(NetworkStack client, IPEndPoint server)
    {
        while (!_stop.IsCancellationRequested)
        {
            Socket accepted;
            try
            {
                accepted = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (Exception ended) when (ended is OperationCanceledException or ObjectDisposedException
                or SocketException { SocketErrorCode: SocketError.OperationAborted or SocketError.Interrupted or SocketError.InvalidArgument })
            {
                return;
            }
            catch (SocketException)
            {
                // Out of descriptors, most likely: those that are open have to close first.
                await Task.Delay(s_acceptPause, TimeProvider.System).ConfigureAwait(false);
                continue;
            }

            Track(CarryAsync(accepted, client, server));
        }
    }

    private void Track(Task carrying)
    {
        lock (_carrying)
        {
            _carrying.Add(carrying);
        }

        _ = carrying.ContinueWith(
            done =>
            {
                lock (_carrying)
                {
                    _carrying.Remove(done);
                }
            },
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }

    private async Task CarryAsync(Socket outside, NetworkStack client, IPEndPoint server)
    {
        TcpSocket? inside = null;
        bool whole = false;
        try
        {
            // Each side sends what it gets at once: waiting for more (Nagle) is for the ends to decide.
            outside.NoDelay = true;
            inside = await client.ConnectTcpAsync(server, new TcpConnectOptions { NoDelay = true }, _stop.Token).ConfigureAwait(false);
            using var broken = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            Task inward = PumpInwardAsync(outside, inside, broken);
            Task outward = PumpOutwardAsync(inside, outside, broken);
            await Task.WhenAll(inward, outward).ConfigureAwait(false);
            whole = true;
        }
        catch (Exception failure) when (failure is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // One side was reset, could not be reached, or the bridge is closing: the other side is told by a reset.
        }
        finally
        {
            if (whole)
            {
                inside!.Dispose();
            }
            else
            {
                inside?.Abort();
                Reset(outside);
            }

            outside.Dispose();
        }
    }

    private static async Task PumpInwardAsync(Socket from, TcpSocket to, CancellationTokenSource broken)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            int read;
            while ((read = await from.ReceiveAsync(buffer.AsMemory(), SocketFlags.None, broken.Token).ConfigureAwait(false)) > 0)
            {
                // A send that was cut short tells why on the next call.
                for (int sent = 0; sent < read;)
                {
                    sent += await to.SendAsync(buffer.AsMemory(sent, read - sent), broken.Token).ConfigureAwait(false);
                }
            }

            await to.ShutdownAsync(SocketShutdown.Send).ConfigureAwait(false);
        }
        catch
        {
            await broken.CancelAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async Task PumpOutwardAsync(TcpSocket from, Socket to, CancellationTokenSource broken)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            int read;
            while ((read = await from.ReceiveAsync(buffer, broken.Token).ConfigureAwait(false)) > 0)
            {
                for (int sent = 0; sent < read;)
                {
                    sent += await to.SendAsync(buffer.AsMemory(sent, read - sent), SocketFlags.None, broken.Token).ConfigureAwait(false);
                }
            }

            to.Shutdown(SocketShutdown.Send);
        }
        catch
        {
            await broken.CancelAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static void Reset(Socket socket)
    {
        try
        {
            socket.LingerState = new LingerOption(true, 0);
        }
        catch (SocketException)
        {
            // Reset by the peer already.
        }
    }
}
