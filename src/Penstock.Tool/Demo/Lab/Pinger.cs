using Penstock.Time;
using Penstock.Wire;

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
    private readonly Queue<(SequenceNumber End, long AtNanos)> _open = new();
    private readonly List<double> _waits = [];
    private readonly object _gate = new();
    private SequenceNumber _furthest;
    private bool _any;
    private bool _stopped;
    private Ticker? _ticker;

    public Pinger(TcpSocket socket, TapLink link)
    {
        _socket = socket;
        _worker = socket.Connection.Worker;
        link.OnSent = Sent;
        link.OnArrived = Arrived;
    }

    /// <summary>How long each ping that was sent before <see cref="Stop"/> waited for its ACK, microseconds, in the order of sending.</summary>
    public IReadOnlyList<double> WaitsMicros => _waits;

    public void Start() => _ticker = Ticker.Start(_worker, EveryNanos, now => _socket.TrySend(s_ping, TcpSendFlags.None, out _));

    public void Stop()
    {
        _ticker!.Stop();
        _stopped = true;
    }

    private void Sent(TappedSegment segment)
    {
        SequenceNumber end = segment.Header.End(segment.Payload);
        lock (_gate)
        {
            // A retransmission is not another ping.
            if (!_stopped && segment.Payload > 0 && (!_any || end.After(_furthest)))
            {
                _any = true;
                _furthest = end;
                _open.Enqueue((end, _worker.NowNanos));
            }
        }
    }

    private bool Arrived(TappedSegment segment)
    {
        lock (_gate)
        {
            while (_open.TryPeek(out (SequenceNumber End, long AtNanos) ping) && segment.Header.Acknowledgment.AtOrAfter(ping.End))
            {
                _open.Dequeue();
                _waits.Add((_worker.NowNanos - ping.AtNanos) / 1e3);
            }
        }

        return true;
    }
}
