using System.IO.Pipelines;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock;

public sealed partial class TcpSocket
{
    /// <summary>
    /// The socket as a pair of pipes. The writer hands out the stack's own memory, and what was written there is sent without a copy. The reader copies into pooled buffers: a read is
    /// made only when everything handed out before has been examined, so what is not taken stays in the socket and closes the TCP window.
    /// </summary>
    /// <param name="options">Sizes; null for the defaults.</param>
    /// <returns>
    /// The pipe. It does not own the socket: complete both ends, then dispose the socket. Completing the writer sends what was written and then FIN, in the background; completing it with an
    /// exception resets the connection. Each end is for one user at a time.
    /// </returns>
    /// <remarks>Failures of the connection surface as <see cref="IOException"/> with the <see cref="System.Net.Sockets.SocketException"/> inside. The writer hands out at most
    /// 66 KiB at a time. Use the pipe or the socket's own members, not both at once.</remarks>
    public IDuplexPipe AsPipe(TcpPipeOptions? options = null)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        options ??= new TcpPipeOptions();
        options.Validate();
        var reader = new StreamPipeReaderOptions(
            options.ReadPool, options.ReadBufferSize, Math.Min(options.ReadBufferSize, 1024), leaveOpen: true, useZeroByteReads: true);
        return new DuplexPipe(PipeReader.Create(GetStream(), reader), new SlabPipeWriter(this));
    }

    /// <summary>Queues what a pipe's writer holds, attached instead of copied.</summary>
    internal ValueTask<int> SendSlabsAsync(SlabPipeWriter writer, CancellationToken cancellationToken) =>
        SendSourceAsync(new SlabSource(writer), TcpSendFlags.None, cancellationToken);

    private sealed class DuplexPipe(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input { get; } = input;

        public PipeWriter Output { get; } = output;
    }
}
