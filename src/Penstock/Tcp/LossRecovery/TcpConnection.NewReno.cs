using Penstock.Buffers;
using Penstock.Tcp.LossRecovery;

namespace Penstock.Tcp;

/// <summary>
/// Recovery without SACK (RFC 6582): duplicate ACKs stand for segments that were delivered, nobody knows which (Linux: emulated SACKs); the third, or as many as the network is known to reorder, tells that the
/// head is lost, and a partial ACK names the next hole.
/// </summary>
internal sealed partial class TcpConnection
{
    private void AddDuplicateAcks(int count, ref AckOutcome outcome)
    {
        if (count <= 0)
        {
            return;
        }

        int before = _sackedOut;
        _sackedOut += count;
        if (LimitDuplicateAcks())
        {
            NoteDuplicateReordering(0);
        }

        int delivered = Math.Max(0, _sackedOut - before);
        if (delivered > 0)
        {
            outcome.NewlySacked += delivered;
            Delivery.OnDelivered(delivered, outcome.NowNanos);
        }
    }

    private void RemoveDuplicateAcks(int acked, ref AckOutcome outcome)
    {
        if (acked > 0)
        {
            // One of the acknowledged segments filled the hole; the others had been counted as duplicates.
            int counted = Math.Min(_sackedOut, acked - 1);
            outcome.DeliveredCorrection -= counted;
            Delivery.OnDelivered(-counted, outcome.NowNanos);
            _sackedOut -= counted;
        }

        if (LimitDuplicateAcks())
        {
            NoteDuplicateReordering(acked);
        }
    }

    /// <summary>
    /// What is lost was not delivered, and at least one segment is missing, or nobody would send duplicates: they stand for no more than the others (Linux: tcp_limit_reno_sacked). True when there were more.
    /// </summary>
    private bool LimitDuplicateAcks()
    {
        int holes = Math.Min(Math.Max(_lostOut, 1), _packetsOut);
        if (_sackedOut + holes <= _packetsOut)
        {
            return false;
        }

        _sackedOut = _packetsOut - holes;
        return true;
    }

    /// <summary>RFC 6582 3.2: enough duplicates, or a partial ACK, and the head is lost.</summary>
    private void MarkHeadLostByDuplicates(bool advanced)
    {
        CongestionState state = Recovery.State;
        if ((state < CongestionState.Recovery && _sackedOut >= _reordering) || (state == CongestionState.Recovery && advanced))
        {
            MarkHeadLost();
        }
    }

    private void MarkHeadLost()
    {
        if (_retransmitQueue.First is not { } head || (head.Segment & SegmentFlags.Lost) != 0)
        {
            return;
        }

        if (head.SegmentCount > 1)
        {
            Split(head, head.GsoSize, head.GsoSize, inRetransmitQueue: true);
        }

        MarkLost(head);
        LimitDuplicateAcks();
    }

    /// <summary>
    /// RFC 6582 4: the recovery lasts until something above its end is acknowledged, so that late duplicates do not start another.
    /// </summary>
    private bool StaysAtHighSequence()
    {
        if (_sackOk || _sndUna != Recovery.HighSequence)
        {
            return false;
        }

        ForgetFirstRetransmit();
        return true;
    }
}
