using Penstock.Wire;

namespace Penstock.Tool.Demo.Lab;

/// <summary>How long each piece of a stream waits until it is acknowledged. Any thread.</summary>
internal sealed class WaitBook
{
    private readonly Queue<(SequenceNumber End, long AtNanos)> _open = new();
    private readonly List<double> _waits = [];
    private readonly object _gate = new();
    private SequenceNumber _furthest;
    private bool _any;
    private bool _closed;

    /// <summary>Microseconds, in the order of sending. Read it when nothing runs any more.</summary>
    public IReadOnlyList<double> Micros => _waits;

    /// <summary>What is sent from now on does not count.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _closed = true;
        }
    }

    public void Sent(TappedSegment segment, long nowNanos)
    {
        SequenceNumber end = segment.Header.End(segment.Payload);
        lock (_gate)
        {
            // A retransmission is not another ping.
            if (!_closed && segment.Payload > 0 && (!_any || end.After(_furthest)))
            {
                _any = true;
                _furthest = end;
                _open.Enqueue((end, nowNanos));
            }
        }
    }

    public void Acknowledged(TappedSegment segment, long nowNanos)
    {
        lock (_gate)
        {
            while (_open.TryPeek(out (SequenceNumber End, long AtNanos) piece) && segment.Header.Acknowledgment.AtOrAfter(piece.End))
            {
                _open.Dequeue();
                _waits.Add((nowNanos - piece.AtNanos) / 1e3);
            }
        }
    }
}
