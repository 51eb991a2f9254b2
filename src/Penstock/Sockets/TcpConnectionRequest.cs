using System.Net;
using System.Net.Sockets;
using Penstock.Tcp;

namespace Penstock;

/// <summary>
/// A peer that wants a connection and has not been answered: its SYN waits for <see cref="AcceptAsync"/> or <see cref="Refuse"/>. Made by <see cref="TcpRequestListener.NextAsync"/>. Thread-safe; decide once.
/// </summary>
/// <remarks>
/// The peer repeats its SYN meanwhile and gives up in its own time, usually after one to two minutes. A request that nobody decides on is dropped after 63 seconds (<c>net.ipv4.tcp_synack_retries</c>), and then
/// makes room under <see cref="TcpRequestListenOptions.HalfOpenLimit"/>.
/// </remarks>
public sealed class TcpConnectionRequest
{
    private readonly HeldRequest _request;

    internal TcpConnectionRequest(HeldRequest request) => _request = request;

    /// <summary>The destination that the peer means: with any-destination listening an address that need not be the stack's.</summary>
    public IPEndPoint LocalEndPoint => new(_request.Entry.Key.Local.ToIPAddress(), _request.Entry.Key.LocalPort);

    /// <summary>The peer's address and port.</summary>
    public IPEndPoint RemoteEndPoint => new(_request.Entry.Key.Remote.ToIPAddress(), _request.Entry.Key.RemotePort);

    /// <summary>Answers the SYN and completes when the handshake does.</summary>
    /// <exception cref="SocketException">
    /// The peer has gone: <see cref="SocketError.ConnectionReset"/> (it gave up), <see cref="SocketError.TimedOut"/> (it does not answer, or the request waited too long),
    /// <see cref="SocketError.ConnectionAborted"/> (the listener was disposed).
    /// </exception>
    /// <exception cref="OperationCanceledException">Canceled; the peer is reset.</exception>
    /// <exception cref="InvalidOperationException">The request was accepted or refused before.</exception>
    public async ValueTask<TcpSocket> AcceptAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return new TcpSocket(await _request.AcceptAsync(cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Ends the request; the peer sees what <paramref name="refusal"/> says. Does nothing when the peer has gone already.</summary>
    /// <exception cref="InvalidOperationException">The request was accepted or refused before.</exception>
    /// <exception cref="ArgumentOutOfRangeException">Not one of the two.</exception>
    public void Refuse(TcpRefusal refusal)
    {
        Check(refusal, nameof(refusal));
        _request.Refuse(refusal);
    }

    /// <summary>Who wants what, as <c>10.0.0.2:50000 -> 192.0.2.1:443</c>.</summary>
    public override string ToString() => $"{RemoteEndPoint} -> {LocalEndPoint}";

    internal static void Check(TcpRefusal refusal, string name)
    {
        if (refusal is not (TcpRefusal.Reset or TcpRefusal.Silence))
        {
            throw new ArgumentOutOfRangeException(name, refusal, "Refuse with a reset or with silence.");
        }
    }
}
