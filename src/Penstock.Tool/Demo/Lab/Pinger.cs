using System.Net.Sockets;
using Penstock.Time;

namespace Penstock.Tool.Demo.Lab;

/// <summary>
/// A peer that sends 64 bytes every half millisecond into a socket whose owner is in a long send, and notes at its own link how long each ping's ACK takes, from its first transmission to the ACK's arrival.
/// </summary>
internal sealed class Pinger
{
    public const long EveryNanos = 500_000;
    private static readonly byte[] s_ping = new byte[64];
    private readonly TcpSocket _socket;
    private readonly Worker _worker;
    private readonly WaitBook _book = new();
    private Ticker? _ticker;

    public Pinger(TcpSocket socket, TapLink link)
    {
        _socket = socket;
        _worker = socket.Connection.Worker;
        link.OnSent = segment => _book.Sent(segment, _worker.NowNanos);
        link.OnArrived = segment =>
        {
            _book.Acknowledged(segment, _worker.NowNanos);
            return true;
        };
    }

    public static ReadOnlySpan<byte> Ping => s_ping;

    /// <summary>How long each ping that was sent before <see cref="Stop"/> waited for its ACK, microseconds, in the order of sending.</summary>
    public IReadOnlyList<double> WaitsMicros => _book.Micros;

    public void Start() => _ticker = Ticker.Start(_worker, EveryNanos, now => _socket.TrySend(s_ping, TcpSendFlags.None, out SocketError _));

    public void Stop()
    {
        _ticker!.Stop();
        _book.Close();
    }
}
