using Penstock.Buffers;
using Penstock.Tcp.LossRecovery;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// The scoreboard (RFC 2018, RFC 2883): what the peer's SACK blocks say about each buffer. Blocks that were in the last ACK already are skipped, so that the work for an
/// ACK is what it newly reports; a block that makes no sense is counted and ignored.
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>Takes what the SACK option of an ACK says. <paramref name="before"/> is what was unacknowledged when it came.</summary>
    private void TagSackBlocks(PacketBuffer ack, SequenceNumber before, ref AckOutcome outcome)
    {
        ReadOnlySpan<SackBlock> blocks = ack.Options.SackBlocks;
        RecoveryState recovery = Recovery;
        if (_sackedOut == 0)
        {
            recovery.HighestSacked = _sndUna;
        }

        outcome.LowestLate = _sndNxt;
        int first = TakeDuplicateReport(blocks, ack.Acknowledgment, before, ref outcome) ? 1 : 0;
        if (_packetsOut == 0)
        {
            return;
        }

        // From the lowest: what another block of the same ACK reports beyond it is no sign that it was late, and RACK goes by the last that it is told of.
        RecoveryState.SackCache known = recovery.Sacks;
        RecoveryState.SackCache reported = default;
        for (int i = first; i < blocks.Length; i++)
        {
            SackBlock block = blocks[i];

            // A block that begins at the cumulative ACK would have moved it (RFC 2018 4): no receiver means that.
            if (!block.Start.Before(block.End) || block.End.After(_sndNxt) || !block.Start.After(_sndUna) || !block.Start.Before(_sndNxt))
            {
                if (ack.Acknowledgment == _sndUna || block.End.After(_sndUna))
                {
                    _stack.Counters.Add(StackCounter.TcpSackDiscard);
                }

                // Else old news: an ACK that was overtaken.
                continue;
            }

            reported.Insert(block);
        }

        for (int i = 0; i < reported.Count; i++)
        {
            TagNews(reported.Blocks[i], known, ref outcome);
        }

        recovery.Sacks = reported;
        if (recovery.State != CongestionState.Loss || recovery.UndoMarker is not null)
        {
            NoteReordering(outcome.LowestLate);
        }
    }

    /// <summary>Tags the part of <paramref name="block"/> that no block of the last ACK covered.</summary>
    private void TagNews(SackBlock block, in RecoveryState.SackCache known, ref AckOutcome outcome)
    {
        SackBlock news = block;
        for (int i = 0; i < known.Count; i++)
        {
            SackBlock old = known.Blocks[i];
            if (old.Start.AtOrBefore(news.Start) && old.End.After(news.Start))
            {
                if (old.End.AtOrAfter(news.End))
                {
                    return;
                }

                news = new SackBlock(old.End, news.End);
            }
            else if (old.Start.Before(news.End) && old.End.AtOrAfter(news.End))
            {
                news = new SackBlock(news.Start, old.Start);
            }
            else if (old.Start.After(news.Start) && old.End.Before(news.End))
            {
                // Grew at both ends: what lies between is known.
                TagRange(news.Start, old.Start, block, ref outcome);
                TagRange(old.End, news.End, block, ref outcome);
                return;
            }
        }

        TagRange(news.Start, news.End, block, ref outcome);
    }

    /// <summary>
    /// Tags the buffers that overlap [<paramref name="start"/>, <paramref name="end"/>) as far as they lie in <paramref name="block"/>: the news may complete a segment whose first bytes were
    /// reported before.
    /// </summary>
    private void TagRange(SequenceNumber start, SequenceNumber end, SackBlock block, ref AckOutcome outcome)
    {
        PacketBuffer? buffer = _retransmitQueue.FindEndingAfter(start);
        while (buffer is not null && buffer.Sequence.Before(end))
        {
            Visit();
            int length = buffer.Length;
            PacketBuffer? target = (buffer.Segment & SegmentFlags.SackedAcked) != 0 ? null : MatchToRange(buffer, block.Start, block.End);
            if (target is not null)
            {
                bool isPart = target.Length < length;
                TagOne(target, ref outcome);
                buffer = JoinSacked(target, isPart);
            }

            buffer = buffer.Next;
        }
    }

    /// <summary>
    /// The part of a buffer that lies wholly in the range, cut out at segment boundaries; null when less than one segment of it does. Boundaries keep a peer that reports single bytes from
    /// making a buffer of each.
    /// </summary>
    private PacketBuffer? MatchToRange(PacketBuffer buffer, SequenceNumber start, SequenceNumber end)
    {
        bool fromStart = start.AtOrBefore(buffer.Sequence);
        if (fromStart && end.AtOrAfter(buffer.EndSequence))
        {
            return buffer;
        }

        int mss = buffer.GsoSize;
        if (mss == 0 || buffer.SegmentCount <= 1)
        {
            return null;
        }

        if (!fromStart)
        {
            int offset = start.Since(buffer.Sequence);
            offset = (offset + mss - 1) / mss * mss;
            if (offset >= buffer.Length || !Split(buffer, offset, mss, inRetransmitQueue: true))
            {
                return null;
            }

            buffer = buffer.Next!;
        }

        if (end.Before(buffer.EndSequence))
        {
            int length = end.Since(buffer.Sequence) / mss * mss;
            if (length <= 0 || (length < buffer.Length && !Split(buffer, length, mss, inRetransmitQueue: true)))
            {
                return null;
            }
        }

        return buffer;
    }

    private void TagOne(PacketBuffer buffer, ref AckOutcome outcome)
    {
        RecoveryState recovery = Recovery;
        RackAdvance(buffer, outcome);
        if ((buffer.Segment & SegmentFlags.SackedRetransmitted) != 0)
        {
            buffer.Segment &= ~SegmentFlags.SackedRetransmitted;
            _retransOut -= buffer.SegmentCount;
        }
        else if ((buffer.Segment & SegmentFlags.RetransmittedOnce) == 0)
        {
            if (_sackedOut > 0 && buffer.Sequence.Before(recovery.HighestSacked) && buffer.Sequence.Before(outcome.LowestLate))
            {
                // It had been passed by others without having been lost: that is reordering.
                outcome.LowestLate = buffer.Sequence;
            }

            outcome.OriginalDelivered |= buffer.EndSequence.AtOrBefore(recovery.HighSequence);
            outcome.TakeSackSample(buffer.SentNanos);
        }

        if ((buffer.Segment & SegmentFlags.Lost) != 0)
        {
            buffer.Segment &= ~SegmentFlags.Lost;
            _lostOut -= buffer.SegmentCount;
        }

        buffer.Segment |= SegmentFlags.SackedAcked;
        _sackedOut += buffer.SegmentCount;
        _retransmitQueue.Leave(buffer);
        outcome.NewlySacked += buffer.SegmentCount;
        outcome.NewlyTagged = true;
        NoteDelivered(buffer, buffer.SegmentCount, ref outcome);
        recovery.HighestSacked = SequenceNumber.Max(recovery.HighestSacked, buffer.EndSequence);
    }

    private void NoteDelivered(PacketBuffer buffer, int segments, ref AckOutcome outcome)
    {
        if (buffer.SentOrder > outcome.NewestOrder)
        {
            outcome.NewestOrder = buffer.SentOrder;
            outcome.PriorDelivered = buffer.DeliveredAtSend;
        }

        if ((buffer.TcpFlags & TcpFlags.Syn) == 0)
        {
            Delivery.OnDelivered(buffer, segments, outcome.NowNanos);
        }
    }

    private void ForgetSacks()
    {
        if (_recovery is { } recovery)
        {
            recovery.Sacks.Count = 0;
            recovery.HighestSacked = _sndUna;
        }
    }
}
