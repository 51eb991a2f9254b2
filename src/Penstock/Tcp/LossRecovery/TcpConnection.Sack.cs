using Penstock.Buffers;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// The scoreboard (RFC 2018, RFC 2883): what the peer's SACK blocks say about each buffer. Blocks that were in the last ACK already are skipped, so that the work for an
/// ACK is what it newly reports; a block that makes no sense is counted and ignored.
/// </summary>
internal sealed partial class TcpConnection
{
    private SackCache _sackCache;
    private int _sackCacheCount;

    private bool TagSackBlocks(PacketBuffer ack, ref AckOutcome outcome)
    {
        ReadOnlySpan<SackBlock> blocks = ack.Options.SackBlocks;
        bool any = false;
        int first = 0;
        if (IsDuplicateReport(blocks, ack.Acknowledgment))
        {
            _stack.Counters.Add(StackCounter.TcpDsackRecv);
            outcome.DuplicateReported = true;
            Sending.DuplicatesReported += Math.Max(1, (blocks[0].End.Since(blocks[0].Start) + SegmentPayload() - 1) / SegmentPayload());
            if (Recovery.UndoMarker is { } marker && Recovery.UndoRetransmits > 0 && blocks[0].End.After(marker)
                && blocks[0].End.AtOrBefore(_sndNxt))
            {
                Recovery.UndoRetransmits--;
            }

            first = 1;
        }

        SackCache known = _sackCache;
        int knownCount = _sackCacheCount;
        int kept = 0;
        for (int i = first; i < blocks.Length; i++)
        {
            SackBlock block = blocks[i];
            if (!block.Start.Before(block.End) || block.End.After(_sndNxt))
            {
                _stack.Counters.Add(StackCounter.TcpSackDiscard);
                continue;
            }

            if (block.End.AtOrBefore(_sndUna))
            {
                // Old news: an ACK that was overtaken.
                continue;
            }

            block = new SackBlock(SequenceNumber.Max(block.Start, _sndUna), block.End);
            any |= TagNews(block, known, knownCount, ref outcome);
            _sackCache[kept++] = block;
        }

        _sackCacheCount = kept;
        return any;
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

    /// <summary>Tags the part of <paramref name="block"/> that no block of the last ACK covered.</summary>
    private bool TagNews(SackBlock block, in SackCache known, int knownCount, ref AckOutcome outcome)
    {
        SackBlock news = block;
        for (int i = 0; i < knownCount; i++)
        {
            SackBlock old = known[i];
            if (old.Start.AtOrBefore(news.Start) && old.End.After(news.Start))
            {
                if (old.End.AtOrAfter(news.End))
                {
                    return false;
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
                bool low = TagRange(news.Start, old.Start, block, ref outcome);
                return TagRange(old.End, news.End, block, ref outcome) || low;
            }
        }

        return TagRange(news.Start, news.End, block, ref outcome);
    }

    /// <summary>
    /// Tags the buffers that overlap [<paramref name="start"/>, <paramref name="end"/>) as far as they lie in <paramref name="block"/>: the news may complete a segment whose first bytes were
    /// reported before.
    /// </summary>
    private bool TagRange(SequenceNumber start, SequenceNumber end, SackBlock block, ref AckOutcome outcome)
    {
        bool any = false;
        PacketBuffer? buffer = _retransmitQueue.FindEndingAfter(start);
        while (buffer is not null && buffer.Sequence.Before(end))
        {
            int length = buffer.Length;
            PacketBuffer? target = (buffer.Segment & SegmentFlags.SackedAcked) != 0 ? null : MatchToRange(buffer, block.Start, block.End);
            if (target is not null)
            {
                bool isPart = target.Length < length;
                any |= TagOne(target, ref outcome);
                buffer = JoinSacked(target, isPart);
            }

            buffer = buffer.Next;
        }

        return any;
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

    private bool TagOne(PacketBuffer buffer, ref AckOutcome outcome)
    {
        if ((buffer.Segment & SegmentFlags.SackedAcked) != 0)
        {
            return false;
        }

        long now = outcome.NowNanos;
        RackAdvance(buffer, now);
        if ((buffer.Segment & SegmentFlags.SackedRetransmitted) != 0)
        {
            buffer.Segment &= ~SegmentFlags.SackedRetransmitted;
            _retransOut -= buffer.SegmentCount;
        }
        else if ((buffer.Segment & SegmentFlags.RetransmittedOnce) == 0)
        {
            if (buffer.Sequence.Before(_highestSacked) && _sackedOut > 0)
            {
                NoteReordering(buffer.Sequence);
            }

            outcome.SackRttNanos = now - buffer.SentNanos;
        }

        if ((buffer.Segment & SegmentFlags.Lost) != 0)
        {
            buffer.Segment &= ~SegmentFlags.Lost;
            _lostOut -= buffer.SegmentCount;
            if (_retransmitHint == buffer)
            {
                _retransmitHint = buffer.Next;
            }
        }

        buffer.Segment |= SegmentFlags.SackedAcked;
        _sackedOut += buffer.SegmentCount;
        _retransmitQueue.Unsent(buffer);
        outcome.NewlySacked += buffer.SegmentCount;
        Delivery.OnDelivered(buffer, buffer.SegmentCount, now);
        _highestSacked = SequenceNumber.Max(_highestSacked, buffer.EndSequence);
        return true;
    }

    private void ForgetSacks()
    {
        _sackCacheCount = 0;
        _highestSacked = _sndUna;
    }

    // --- Without SACK, duplicate ACKs stand for what was delivered (RFC 6582; Linux: tcp_add_reno_sack).
    private void AddDuplicateAcks(int count, ref AckOutcome outcome)
    {
        int before = _sackedOut;
        _sackedOut += Math.Max(1, count);
        LimitDuplicateAcks();
        outcome.NewlySacked += Math.Max(0, _sackedOut - before);
    }

    private void RemoveDuplicateAcks(int acked, ref AckOutcome outcome)
    {
        if (acked <= 0)
        {
            return;
        }

        // One of the acknowledged segments filled the hole; the others had been counted as duplicates.
        outcome.DeliveredCorrection -= Math.Min(_sackedOut, acked - 1);
        _sackedOut = acked - 1 >= _sackedOut ? 0 : _sackedOut - (acked - 1);
        LimitDuplicateAcks();
    }

    /// <summary>What is lost was not delivered, and at least one segment is missing, or nobody would send duplicates: they stand for no more than the others (Linux: tcp_limit_reno_sacked).</summary>
    private void LimitDuplicateAcks()
    {
        int holes = Math.Max(_lostOut, 1);
        _sackedOut = Math.Min(_sackedOut, Math.Max(0, _packetsOut - holes));
    }

    [System.Runtime.CompilerServices.InlineArray(TcpOptions.MaxSackBlocks)]
    private struct SackCache
    {
        private SackBlock _first;
    }
}
