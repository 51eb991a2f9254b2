using Penstock.Wire;

namespace Penstock.Tcp.LossRecovery;

/// <summary>
/// What RACK (RFC 8985) knows of the path: the latest transmission that was delivered, how long that took, and how late another may be before it is lost. It looks at no queue; who
/// walks the segments asks <see cref="IsSentBefore"/> and <see cref="ReorderingWindow"/>.
/// </summary>
internal struct Rack
{
    /// <summary>Recoveries that a widened window lasts (RFC 8985 6.2 step 4).</summary>
    private const byte Persistence = 16;

    private long _order;
    private SequenceNumber _end;
    private long _adjustedAtDelivered;
    private byte _steps;
    private byte _persist;
    private bool _duplicateSeen;

    public Rack()
    {
        _steps = 1;
    }

    /// <summary>Round-trip time of the latest transmission that was delivered, nanoseconds.</summary>
    public long RttNanos { get; private set; }

    /// <summary>When the latest transmission that was delivered was made, nanoseconds.</summary>
    public long SentNanos { get; private set; }

    /// <summary>Something was delivered since the segments were last looked at, or an undo asks for another look.</summary>
    public bool Advanced { get; set; }

    /// <summary>How wide the window is, quarters of the smallest round-trip time.</summary>
    public readonly int Steps => _steps;

    /// <summary>
    /// RFC 8985 6.2 compares times, and sequence numbers where those are equal. Here many transmissions have one time, a whole burst in virtual time, and a retransmission behind new data would pass for older than that;
    /// so they are counted, and only parts of one transmission, which were split since, are told apart by their sequence.
    /// </summary>
    private static bool SentAfter(long orderA, SequenceNumber endA, long orderB, SequenceNumber endB) =>
        orderA > orderB || (orderA == orderB && endA.After(endB));

    /// <summary>Whether that transmission went before the latest one known to be delivered.</summary>
    public readonly bool IsSentBefore(long order, SequenceNumber end) => SentAfter(_order, _end, order, end);

    /// <summary>RFC 8985 6.2 steps 1 and 2: a segment was delivered.</summary>
    public void OnDelivered(long order, long sentNanos, SequenceNumber end, long rttNanos, bool retransmitted, long minimumRttNanos)
    {
        if (retransmitted && rttNanos < minimumRttNanos)
        {
            // An ACK sooner than any round trip is for the original, not for the retransmission.
            return;
        }

        Advanced = true;
        RttNanos = Math.Max(rttNanos, 0);
        if (SentAfter(order, end, _order, _end))
        {
            _order = order;
            _end = end;
            SentNanos = sentNanos;
        }
    }

    /// <summary>
    /// RFC 8985 6.2 step 4. Zero while no reordering was ever seen and a recovery is under way or three duplicates (<paramref name="enoughDuplicates"/>) say that one is due.
    /// </summary>
    public readonly long ReorderingWindow(bool reorderingSeen, bool recovering, bool enoughDuplicates, long minimumRttNanos, long smoothedRttNanos)
    {
        if (!reorderingSeen && (recovering || enoughDuplicates))
        {
            return 0;
        }

        // A minimum that is not known yet is the largest number there is.
        return minimumRttNanos >= smoothedRttNanos * 4 ? smoothedRttNanos : Math.Min((minimumRttNanos >> 2) * _steps, smoothedRttNanos);
    }

    /// <summary>A DSACK: a retransmission was not necessary, so the window may have been too small.</summary>
    public void OnDuplicate() => _duplicateSeen = true;

    /// <summary>
    /// RFC 8985 6.2 step 4, once for each ACK that delivered something: a quarter of the round-trip time more for each round with DSACKs. <paramref name="priorDelivered"/> is the count of delivered segments when
    /// what was now acknowledged was sent.
    /// </summary>
    public void AdjustWindow(long priorDelivered, long delivered)
    {
        if (priorDelivered < _adjustedAtDelivered)
        {
            // Within the round of the last step: the same mistake.
            _duplicateSeen = false;
        }

        if (_duplicateSeen)
        {
            _steps = (byte)Math.Min(_steps + 1, byte.MaxValue);
            _duplicateSeen = false;
            _adjustedAtDelivered = delivered;
            _persist = Persistence;
        }
        else if (_persist == 0)
        {
            _steps = 1;
        }
    }

    /// <summary>A recovery ended that was necessary.</summary>
    public void OnRecoveryEnded()
    {
        if (_persist > 0)
        {
            _persist--;
        }
    }

    /// <summary>A recovery turned out to have been unnecessary by DSACKs: one more with the wide window (Linux).</summary>
    public void OnRecoveryUndone() => _persist = (byte)Math.Min(_persist + 1, Persistence);
}
