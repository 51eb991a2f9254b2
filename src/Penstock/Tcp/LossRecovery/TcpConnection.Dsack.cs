using Penstock.Buffers;
using Penstock.Tcp.LossRecovery;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// What a peer says arrived twice (DSACK, RFC 2883): counted against the retransmissions of this recovery (RFC 3708), against the tail-loss probe (RFC 8985 7.4) and for RACK's window (RFC 8985 6.2). A peer can lie here
/// at will; so no more is believed than was sent again, and the work is the same whatever the block says.
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>Whether the first block is a DSACK; what follows from it is done. A dubious one counts for nothing, and as a SACK block it makes no sense either.</summary>
    private bool TakeDuplicateReport(ReadOnlySpan<SackBlock> blocks, SequenceNumber acknowledged, SequenceNumber unacknowledgedBefore, ref AckOutcome outcome)
    {
        if (!IsDuplicateReport(blocks, acknowledged))
        {
            return false;
        }

        _stack.Counters.Add(StackCounter.TcpDsackRecv);
        SackBlock block = blocks[0];
        int segments = CountDuplicates(block, ref outcome);
        RecoveryState recovery = Recovery;
        if (segments == 0)
        {
            return true;
        }

        // What is forgotten already is counted without a look; of what is not, the segment at the block's start tells whether it was sent again at all.
        bool isForgotten = block.End.AtOrBefore(unacknowledgedBefore);
        PacketBuffer? again = isForgotten || block.End.After(_sndNxt) ? null : SentAgain(block.Start);
        if ((isForgotten || again is not null) && recovery.UndoMarker is { } marker && recovery.UndoRetransmits > 0 && block.End.After(marker))
        {
            recovery.UndoRetransmits = Math.Max(0, recovery.UndoRetransmits - segments);
        }

        if (again is not null && (again.Segment & SegmentFlags.SackedAcked) != 0)
        {
            // The retransmission arrived behind the original, which so had only been late.
            outcome.LowestLate = SequenceNumber.Min(outcome.LowestLate, SequenceNumber.Max(again.Sequence, block.Start));
        }

        return true;
    }

    /// <summary>RFC 2883 4: the first block reports a duplicate when it lies below the cumulative ACK, or inside the second block.</summary>
    private static bool IsDuplicateReport(ReadOnlySpan<SackBlock> blocks, SequenceNumber acknowledged)
    {
        if (blocks.Length == 0)
        {
            return false;
        }

        if (blocks[0].Start.Before(acknowledged))
        {
            return true;
        }

        return blocks.Length > 1 && blocks[0].End.AtOrBefore(blocks[1].End) && blocks[0].Start.AtOrAfter(blocks[1].Start);
    }

    /// <summary>How many segments the block reports; 0 when it cannot be true: it is larger than any window was, or more was reported than was ever sent again.</summary>
    private int CountDuplicates(SackBlock block, ref AckOutcome outcome)
    {
        RecoveryState recovery = Recovery;
        if (!block.Start.Before(block.End) || block.End.Since(block.Start) > _maxWindow)
        {
            return 0;
        }

        int length = block.End.Since(block.Start);
        int mss = Math.Max(_pathMss - (_timestampsOk ? TcpOptionsWriter.TimestampsLength : 0), 1);
        int segments = 1;
        bool isProbe = false;
        if (length > mss)
        {
            segments = (length + mss - 1) / mss;
        }
        else
        {
            isProbe = recovery.TailProbeEnd == block.End;
        }

        recovery.DuplicatesReported += segments;
        if (recovery.DuplicatesReported > _totalRetransmits)
        {
            // The network, or a liar, made copies of what we sent once.
            return 0;
        }

        outcome.DuplicateReported = true;
        outcome.ProbeDuplicateReported |= isProbe;
        outcome.DuplicatesDelivered += segments;
        Delivery.OnDelivered(segments, outcome.NowNanos);
        if (recovery.ReorderingEvents > 0 && !isProbe)
        {
            // RFC 8985 6.2: only where reordering can have been the reason, and a probe is no verdict of RACK's.
            recovery.Rack.OnDuplicate();
        }

        return segments;
    }

    private PacketBuffer? SentAgain(SequenceNumber at) =>
        _retransmitQueue.FindEndingAfter(at) is { } buffer && (buffer.Segment & SegmentFlags.RetransmittedOnce) != 0 ? buffer : null;
}
