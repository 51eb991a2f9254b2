using Penstock.Accounting;
using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Data that arrived ahead of a gap, and the SACK blocks that tell the peer so: the block of the newest segment first (RFC 2018 4), in front of it one DSACK
/// (RFC 2883). Ranges are kept free of overlaps. Every buffer here is charged to the socket.
/// </summary>
internal sealed class OutOfOrderQueue(SocketMemory memory)
{
    /// <summary>With timestamps and a DSACK there is room for two blocks; Linux counts on no more either, for an ACK may be lost.</summary>
    private const int BlocksToCountOn = 2;

    private readonly SequenceQueue _queue = new();
    private SackBlocks _blocks;
    private int _blockCount;
    private SackBlock _duplicate;
    private bool _hasDuplicate;

    /// <summary>ACKs for what comes beyond the gap that wait to go as one.</summary>
    public SackCompression Compression;

    /// <summary>Segments that came beyond a gap in all (tcpi_rcv_ooopack).</summary>
    public long Arrivals { get; set; }

    public bool IsEmpty => _queue.First is null;

    public int Count => _queue.Count;

    public PacketBuffer? First => _queue.First;

    public PacketBuffer? Last => _queue.Last;

    /// <summary>Blocks that the next segment wants to carry, a DSACK included.</summary>
    public int SackCount => _blockCount + (_hasDuplicate ? 1 : 0);

    /// <summary>Notes that these bytes came although they were there already (RFC 2883); sent once, in place of what was noted before.</summary>
    public void NoteDuplicate(SequenceNumber start, SequenceNumber end)
    {
        _duplicate = new SackBlock(start, end);
        _hasDuplicate = true;
    }

    public void ForgetDuplicate() => _hasDuplicate = false;

    /// <summary>Notes more that the same segment brought again: a block reports one range, so what does not touch the first is left out. True when it is the first.</summary>
    public bool ExtendDuplicate(SequenceNumber start, SequenceNumber end)
    {
        if (!_hasDuplicate)
        {
            NoteDuplicate(start, end);
            return true;
        }

        if (start.AtOrBefore(_duplicate.End) && _duplicate.Start.AtOrBefore(end))
        {
            _duplicate = new SackBlock(SequenceNumber.Min(start, _duplicate.Start), SequenceNumber.Max(end, _duplicate.End));
        }

        return false;
    }

    /// <summary>Puts the blocks into a segment's options, as many as fit, and forgets the DSACK.</summary>
    public void WriteSackBlocks(ref TcpOptions options)
    {
        if (SackCount == 0)
        {
            return;
        }

        int room = TcpOptionsWriter.SackRoom(options.HasTimestamps ? TcpOptionsWriter.TimestampsLength : 0);
        if (_hasDuplicate && room > 0)
        {
            options.AddSackBlock(_duplicate);
            _hasDuplicate = false;
            room--;
        }

        for (int i = 0; i < _blockCount && i < room; i++)
        {
            options.AddSackBlock(_blocks[i]);
        }
    }

    /// <summary>The highest end of a block that was reported, at least <paramref name="floor"/>.</summary>
    public SequenceNumber HighestSacked(SequenceNumber floor)
    {
        for (int i = 0; i < _blockCount; i++)
        {
            floor = SequenceNumber.Max(floor, _blocks[i].End);
        }

        return floor;
    }

    /// <summary>
    /// Files a segment beyond the gap. Bytes that are there already are cut off and reported as duplicates. Takes the buffer over; true when something of it was new.
    /// <paramref name="sack"/>: the peer permitted SACK, so blocks are noted; <paramref name="dsack"/>: duplicates too.
    /// The caller has bought memory for its true size.
    /// </summary>
    public bool Insert(PacketBuffer buffer, bool sack, bool dsack, out bool merged, out bool duplicate)
    {
        merged = duplicate = false;

        // Charged before anything is freed: what was bought for it must not be given back meanwhile.
        memory.ChargeReceive(buffer.TrueSize);
        SequenceNumber start = buffer.Sequence;
        SequenceNumber end = buffer.EndSequence;
        PacketBuffer? previous = _queue.FindAtOrBefore(start);
        if (previous is not null && previous.EndSequence.After(start))
        {
            duplicate = true;
            if (end.AtOrBefore(previous.EndSequence))
            {
                return Discard(buffer, start, end, sack, dsack);
            }

            if (dsack)
            {
                NoteDuplicate(start, previous.EndSequence);
            }

            int overlap = previous.EndSequence.Since(start);
            buffer.TrimFront(Math.Min(overlap, buffer.Length));
            buffer.Sequence = previous.EndSequence;
        }

        PacketBuffer? next = previous is null ? _queue.First : previous.Next;
        while (next is not null && next.Sequence.Before(end))
        {
            duplicate = true;
            if (next.EndSequence.AtOrBefore(end))
            {
                ExtendDuplicate(next.Sequence, next.EndSequence, dsack);
                PacketBuffer covered = next;
                next = next.Next;
                RemoveAndFree(covered);
                continue;
            }

            ExtendDuplicate(next.Sequence, end, dsack);
            int keep = next.Sequence.Since(buffer.Sequence);
            buffer.TrimTo(Math.Min(keep, buffer.Length));
            buffer.TcpFlags &= ~TcpFlags.Fin;
            buffer.EndSequence = next.Sequence;
            break;
        }

        if (buffer.Length == 0 && (buffer.TcpFlags & TcpFlags.Fin) == 0)
        {
            return Discard(buffer, start, end, sack, dsack);
        }

        SequenceNumber from = buffer.Sequence;
        SequenceNumber to = buffer.EndSequence;
        if (previous is not null && TryMerge(memory, previous, buffer, charged: true))
        {
            merged = true;
        }
        else
        {
            _queue.InsertAfter(previous, buffer);
        }

        if (sack)
        {
            NoteArrival(from, to);
        }

        return true;
    }

    /// <summary>
    /// Moves the payload of <paramref name="buffer"/> behind that of <paramref name="tail"/>, which it continues, and frees it: one head less. The difference is charged,
    /// all of it or what <paramref name="charged"/> leaves. False when it cannot be done, and for memory that another stack's application lent (R2.22).
    /// </summary>
    public static bool TryMerge(SocketMemory memory, PacketBuffer tail, PacketBuffer buffer, bool charged)
    {
        if (tail.EndSequence != buffer.Sequence || (tail.TcpFlags & (TcpFlags.Fin | TcpFlags.Syn)) != 0
            || tail.FragmentCount + buffer.FragmentCount > PacketBuffer.MaximumFragments
            || ((tail.Segment | buffer.Segment) & SegmentFlags.ZeroCopy) != 0)
        {
            return false;
        }

        int before = tail.TrueSize;
        int whole = buffer.TrueSize;
        int payload = whole - buffer.HeadTrueSize;
        tail.TakePayload(buffer);
        tail.TrueSize += payload;
        tail.EndSequence = buffer.EndSequence;
        tail.TcpFlags |= buffer.TcpFlags & (TcpFlags.Fin | TcpFlags.Psh);
        int growth = tail.TrueSize - before - (charged ? whole : 0);
        if (growth >= 0)
        {
            memory.ChargeReceive(growth);
        }
        else
        {
            memory.UnchargeReceive(-growth);
        }

        buffer.Free();
        return true;
    }

    /// <summary>Takes the first buffer out if it begins at or before <paramref name="next"/>; it stays charged.</summary>
    public PacketBuffer? TakeReady(SequenceNumber next)
    {
        if (_queue.First is { } first && first.Sequence.AtOrBefore(next))
        {
            _queue.Remove(first);
            return first;
        }

        return null;
    }

    /// <summary>The cumulative acknowledgment has moved: forgets blocks below it.</summary>
    public void OnAdvanced(SequenceNumber next)
    {
        if (IsEmpty)
        {
            _blockCount = 0;
            return;
        }

        int kept = 0;
        for (int i = 0; i < _blockCount; i++)
        {
            if (_blocks[i].Start.After(next))
            {
                _blocks[kept++] = _blocks[i];
            }
        }

        _blockCount = kept;
    }

    /// <summary>Frees the buffer with the highest sequence: what memory pressure takes first. False when nothing is left.</summary>
    public bool PruneLast()
    {
        if (_queue.Last is not { } last)
        {
            return false;
        }

        RemoveAndFree(last);

        // What was reported may be gone now (reneging, RFC 2018 8): report nothing rather than something wrong.
        _blockCount = 0;
        return true;
    }

    public void Clear()
    {
        while (_queue.First is { } first)
        {
            RemoveAndFree(first);
        }

        _blockCount = 0;
        _hasDuplicate = false;
    }

    public string? Verify() => _queue.Verify();

    public int TrueSizeSum()
    {
        int sum = 0;
        for (PacketBuffer? buffer = _queue.First; buffer is not null; buffer = buffer.Next)
        {
            sum += buffer.TrueSize;
        }

        return sum;
    }

    private void RemoveAndFree(PacketBuffer buffer)
    {
        _queue.Remove(buffer);
        memory.UnchargeReceive(buffer.TrueSize);
        buffer.Free();
    }

    private void ExtendDuplicate(SequenceNumber start, SequenceNumber end, bool wanted)
    {
        if (wanted)
        {
            ExtendDuplicate(start, end);
        }
    }

    /// <summary>All of a segment was here already: reports it, and behind it the block that it lies in (RFC 2883 4).</summary>
    private bool Discard(PacketBuffer buffer, SequenceNumber start, SequenceNumber end, bool sack, bool dsack)
    {
        if (dsack)
        {
            NoteDuplicate(start, end);
        }

        if (sack)
        {
            NoteArrival(start, end);
        }

        memory.UnchargeReceive(buffer.TrueSize);
        buffer.Free();
        return false;
    }

    /// <summary>
    /// True when a segment would push a block from the first <see cref="BlocksToCountOn"/> places: ACKs that wait go first then, or the peer might never hear of that block.
    /// </summary>
    public bool Displaces(SequenceNumber start, SequenceNumber end)
    {
        for (int i = 0; i < Math.Min(_blockCount, BlocksToCountOn); i++)
        {
            if (start.AtOrBefore(_blocks[i].End) && _blocks[i].Start.AtOrBefore(end))
            {
                return false;
            }
        }

        return _blockCount >= BlocksToCountOn;
    }

    /// <summary>RFC 2018 4: the block that contains the segment just received comes first.</summary>
    private void NoteArrival(SequenceNumber start, SequenceNumber end)
    {
        int kept = 0;
        for (int i = 0; i < _blockCount; i++)
        {
            SackBlock block = _blocks[i];
            if (start.AtOrBefore(block.End) && block.Start.AtOrBefore(end))
            {
                start = SequenceNumber.Min(start, block.Start);
                end = SequenceNumber.Max(end, block.End);
            }
            else
            {
                _blocks[kept++] = block;
            }
        }

        kept = Math.Min(kept, TcpOptions.MaxSackBlocks - 1);
        for (int i = kept; i > 0; i--)
        {
            _blocks[i] = _blocks[i - 1];
        }

        _blocks[0] = new SackBlock(start, end);
        _blockCount = kept + 1;
    }

    [System.Runtime.CompilerServices.InlineArray(TcpOptions.MaxSackBlocks)]
    private struct SackBlocks
    {
        private SackBlock _first;
    }
}
