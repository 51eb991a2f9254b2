using System.IO.Pipelines;
using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock;

public sealed partial class TcpSocket
{
    /// <summary>
    /// The socket as a pair of pipes, both without a copy. The reader hands out received bytes where they lie in the stack's memory: what is not advanced over stays in the socket's receive accounting, at
    /// true size, and closes the TCP window. The writer hands out memory that is attached to the send queue when it is flushed.
    /// </summary>
    /// <returns>
    /// The pipe. It does not own the socket: complete both ends, then dispose the socket. Completing the writer sends what was written and then FIN, in the background; completing it with an
    /// exception resets the connection. Each end is for one user at a time.
    /// </returns>
    /// <remarks>
    /// <para>Failures of the connection surface as <see cref="IOException"/> with the <see cref="System.Net.Sockets.SocketException"/> inside. Use the pipe or the socket's own members, not both
    /// at once; make one pipe for a socket.</para>
    /// <para>What a read handed out counts as received: disposing the socket then does not reset the connection. Its memory stays valid until the reader advances over it or is completed, also
    /// when the connection or the socket is gone by then. One read gives all that has arrived, in as many segments as packets came.</para>
    /// <para>A reader that has examined everything and waits for more, as for the rest of a long message, makes the receive buffer grow up to <c>net.ipv4.tcp_rmem</c>, unless
    /// <see cref="TcpSocketOptions.ReceiveBufferSize"/> fixed it. A message that does not fit fails the read with <see cref="System.Net.Sockets.SocketError.NoBufferSpaceAvailable"/> inside,
    /// instead of waiting for ever.</para>
    /// <para>The writer hands out at most 66 KiB at a time.</para>
    /// </remarks>
    /// <exception cref="ObjectDisposedException">The socket was disposed.</exception>
    public IDuplexPipe AsPipe()
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        return new DuplexPipe(new SlabPipeReader(this), new SlabPipeWriter(this));
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
