using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Penstock.AspNetCore.Internal;

/// <summary>
/// One connection as Kestrel sees it: a pair of pipes, a loop that reads the socket into one and a loop that writes the other to the socket. The first reason to end is the one that is reported.
/// Never fires <see cref="ConnectionClosed"/> or touches the application while it holds a lock.
/// </summary>
internal sealed partial class PenstockConnection : ConnectionContext
{
    /// <summary>A block of Kestrel's pool is 4 KiB; less than half of one is not worth a read.</summary>
    private const int MinimumRead = 2048;

    /// <summary>How long an orderly end waits for the peer to acknowledge when data that nobody will read would otherwise turn it into a reset.</summary>
    private static readonly TimeSpan LingerTime = TimeSpan.FromSeconds(5);

    private readonly TcpSocket _socket;
    private readonly ConnectionSettings _settings;
    private readonly ILogger _log;
    private readonly IDuplexPipe _application;
    private readonly CancellationTokenSource _closed = new();
    private readonly TaskCompletionSource _closedFired = new();
    private readonly Lock _shutdownGate = new();
    private Exception? _shutdownReason;
    private bool _isShutDown;
    private int _closedQueued;
    private Task? _running;

    public PenstockConnection(TcpSocket socket, ConnectionSettings settings)
    {
        _socket = socket;
        _settings = settings;
        _log = settings.Log;

        // Both loops only move bytes between the socket and pipes that never wait, and the pipes' schedulers keep the application off the stack's thread: one hand-over a request instead of two.
        _socket.UnsafeInlineContinuations = true;
        LocalEndPoint = socket.LocalEndPoint;
        RemoteEndPoint = socket.RemoteEndPoint;
        ConnectionClosed = _closed.Token;
        var input = new Pipe(settings.InputOptions);
        var output = new Pipe(settings.OutputOptions);
        Transport = new PipePair(input.Reader, output.Writer);
        _application = new PipePair(output.Reader, input.Writer);
        SetFeatures();
    }

    private PipeWriter Input => _application.Output;

    private PipeReader Output => _application.Input;

    /// <summary>Begins to move bytes.</summary>
    public void Start() => _running = RunAsync();

    public override void Abort() => Abort(new ConnectionAbortedException("The connection was aborted by the server."));

    public override void Abort(ConnectionAbortedException abortReason)
    {
        Shutdown(abortReason);

        // After the shutdown, so that its reason is the first.
        Output.CancelPendingRead();
    }

    public override async ValueTask DisposeAsync()
    {
        Transport.Input.Complete();
        Transport.Output.Complete();
        if (_running is { } running)
        {
            // The loops may have ended on the stack's thread, and what follows is the server's.
            await running.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        }

        _closed.Dispose();
        await base.DisposeAsync().ConfigureAwait(false);
    }

    private async Task RunAsync()
    {
        try
        {
            Task receiving = ReceiveLoopAsync();
            Task sending = SendLoopAsync();
            await receiving.ConfigureAwait(false);
            await sending.ConfigureAwait(false);
        }
        catch (Exception unexpected)
        {
            _log.LogError(0, unexpected, "Unexpected exception in {Type}.{Method}.", nameof(PenstockConnection), nameof(RunAsync));
        }
    }

    private async Task ReceiveLoopAsync()
    {
        Exception? error = null;
        try
        {
            while (true)
            {
                if (_settings.WaitForData)
                {
                    await _socket.ReceiveAsync(Memory<byte>.Empty).ConfigureAwait(false);
                }

                int received = await _socket.ReceiveAsync(Input.GetMemory(MinimumRead)).ConfigureAwait(false);
                if (received == 0)
                {
                    PenstockTransportLog.ConnectionReadFin(_log, this);
                    break;
                }

                Input.Advance(received);
                ValueTask<FlushResult> flush = Input.FlushAsync();
                bool paused = !flush.IsCompleted;
                if (paused)
                {
                    PenstockTransportLog.ConnectionPause(_log, this);
                }

                FlushResult result = await flush.ConfigureAwait(false);
                if (paused)
                {
                    PenstockTransportLog.ConnectionResume(_log, this);
                }

                if (result.IsCompleted || result.IsCanceled)
                {
                    // Nobody reads any more.
                    break;
                }
            }
        }
        catch (SocketException failure)
        {
            error = Translate(failure);
            LogFailure(error);
        }
        catch (ObjectDisposedException disposed)
        {
            // Shutdown came first; its reason counts.
            error = disposed;
        }
        catch (Exception unexpected)
        {
            error = unexpected;
            PenstockTransportLog.ConnectionError(_log, this, unexpected);
        }
        finally
        {
            await Input.CompleteAsync(ShutdownReason ?? error).ConfigureAwait(false);
            QueueClosed();
            await _closedFired.Task.ConfigureAwait(false);
        }
    }

    private async Task SendLoopAsync()
    {
        Exception? reason = null;
        Exception? unexpected = null;
        try
        {
            while (true)
            {
                ReadResult result = await Output.ReadAsync().ConfigureAwait(false);
                if (result.IsCanceled)
                {
                    break;
                }

                System.Buffers.ReadOnlySequence<byte> left = result.Buffer;
                SequencePosition end = left.End;
                while (!left.IsEmpty)
                {
                    // Fewer than all means that an error struck in the middle; the next call throws it.
                    left = left.Slice(await _socket.SendAsync(left).ConfigureAwait(false));
                }

                Output.AdvanceTo(end);
                if (result.IsCompleted)
                {
                    break;
                }
            }
        }
        catch (SocketException failure)
        {
            reason = Translate(failure);
            LogFailure(reason);
        }
        catch (ObjectDisposedException disposed)
        {
            reason = disposed;
        }
        catch (Exception other)
        {
            reason = unexpected = other;
            PenstockTransportLog.ConnectionError(_log, this, other);
        }
        finally
        {
            Shutdown(reason);
            await Output.CompleteAsync(unexpected).ConfigureAwait(false);

            // The receive loop may be paused on an application that is gone.
            Input.CancelPendingFlush();
        }
    }

    private Exception? ShutdownReason
    {
        get
        {
            lock (_shutdownGate)
            {
                return _shutdownReason;
            }
        }
    }

    /// <summary>Closes the socket, once: with FIN behind everything sent when <paramref name="reason"/> is null, else with RST.</summary>
    private void Shutdown(Exception? reason)
    {
        lock (_shutdownGate)
        {
            if (_isShutDown)
            {
                return;
            }

            _isShutDown = true;

            // Only a middleware that half-closes could ever see the second one.
            _shutdownReason = reason ?? new ConnectionAbortedException("The transport's send loop completed gracefully.");
        }

        if (reason is not null)
        {
            PenstockTransportLog.ConnectionWriteRst(_log, this, reason.Message);
            _socket.Abort();
            return;
        }

        PenstockTransportLog.ConnectionWriteFin(_log, this, _shutdownReason.Message);
        if (_socket.Available > 0)
        {
            // Closing now would be a reset (RFC 2525 2.17), and that could overtake the end of the response.
            _ = LingerAsync();
        }
        else
        {
            _socket.Dispose();
        }
    }

    private async Task LingerAsync()
    {
        using var limit = new CancellationTokenSource(LingerTime, TimeProvider.System);
        try
        {
            await _socket.CloseAsync(limit.Token).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // The peer is gone, or does not take it: the socket has been disposed all the same.
            _socket.Dispose();
        }
    }

    /// <summary>Has the token fire from the pool: callbacks of the application run in it.</summary>
    private void QueueClosed()
    {
        if (Interlocked.Exchange(ref _closedQueued, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static connection => connection.FireClosed(), this, preferLocal: false);
        }
    }

    private void FireClosed()
    {
        try
        {
            _closed.Cancel();
        }
        catch (Exception failure)
        {
            _log.LogError(0, failure, "Unexpected exception in {Type}.{Method}.", nameof(PenstockConnection), nameof(FireClosed));
        }
        finally
        {
            _closedFired.TrySetResult();
        }
    }

    private void LogFailure(Exception failure)
    {
        if (failure is ConnectionResetException)
        {
            PenstockTransportLog.ConnectionReset(_log, this);
        }
        else
        {
            PenstockTransportLog.ConnectionError(_log, this, failure);
        }
    }

    /// <summary>Kestrel's own words for what happened: a reset by the peer, or an end for any other reason (timed out, unreachable, the stack is gone).</summary>
    private static Exception Translate(SocketException failure) =>
        failure.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown
            ? new ConnectionResetException(failure.Message, failure)
            : new ConnectionAbortedException($"The connection was lost: {failure.Message}.", failure);

    private sealed class PipePair(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input { get; } = input;

        public PipeWriter Output { get; } = output;
    }
}
