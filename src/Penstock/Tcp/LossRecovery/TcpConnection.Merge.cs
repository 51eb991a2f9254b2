using Penstock.Buffers;
using Penstock.Tcp.LossRecovery;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// Merging of queued buffers: small ones into the one that is being sent again (RFC 9293 3.8.1 lets a sender repacketize), and SACKed ones with each other, so that a long
/// scoreboard stays short. Bytes never move: only fragments, and with them references, change from one list to another. Whoever merges asks <see cref="CanMerge"/>.
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>
    /// Whether the payload of <paramref name="next"/> may be appended to <paramref name="buffer"/>, right in front of it in the same queue (Linux: tcp_skb_can_collapse). In a chain it is
    /// asked for each pair anew: every merge makes another neighbor.
    /// </summary>
    private bool CanMerge(PacketBuffer buffer, PacketBuffer next) =>
        (buffer.Segment & SegmentFlags.EndOfRecord) == 0
        && ((buffer.TcpFlags | next.TcpFlags) & TcpFlags.Syn) == 0
        && IsSameKind(buffer, next)
        && buffer.CanTakePayload(next)
        && !_device.Holds(buffer.DeviceMark) && !_device.Holds(next.DeviceMark);

    /// <summary>R2.22: one flag says for the whole buffer whether its payload is charged, so both must be of one kind.</summary>
    private bool IsSameKind(PacketBuffer buffer, PacketBuffer next) =>
        ((buffer.Segment ^ next.Segment) & SegmentFlags.PureZeroCopy) == 0 || !Keeps(Omission.CollapseKeepsKinds);

    /// <summary>Nothing that went with a zero-copy send, charged or not.</summary>
    private static bool HoldOnlyCopies(PacketBuffer buffer, PacketBuffer next) => ((buffer.Segment | next.Segment) & (SegmentFlags.ZeroCopy | SegmentFlags.PureZeroCopy)) == 0;

    /// <summary>
    /// Moves all of <paramref name="next"/> into <paramref name="buffer"/> and frees it; what remains stands for <paramref name="segments"/> segments. The payload takes exactly its true size
    /// along, with what page rounding is still in it, charged or not as before (R2.22). Of the send times the first buffer's stay: either it is about to be sent and
    /// stamped anew, or both are SACKed and nobody asks for theirs.
    /// </summary>
    private void Merge(PacketBuffer buffer, PacketBuffer next, int segments)
    {
        TakePayload(buffer, next);
        AdjustCounts(next.Segment, -next.SegmentCount);
        AdjustCounts(buffer.Segment, segments - buffer.SegmentCount);
        buffer.SegmentCount = segments;
        buffer.EndSequence = next.EndSequence;
        buffer.TcpFlags |= next.TcpFlags;

        // Karn: one of two that was sent again makes the age of both worthless.
        buffer.Segment |= next.Segment & (SegmentFlags.EndOfRecord | SegmentFlags.RetransmittedOnce | SegmentFlags.ZeroCopy);
        _retransmitQueue.Remove(next);
        next.Free();
    }

    private void TakePayload(PacketBuffer buffer, PacketBuffer next)
    {
        int head = next.HeadTrueSize;
        int payload = next.TrueSize - head;
        int headBefore = buffer.HeadTrueSize;
        buffer.TakePayload(next);
        buffer.TrueSize += payload;

        // The table of fragments that this one may have needed is paid for by the head that goes, which is larger.
        head -= buffer.HeadTrueSize - headBefore;
        Memory.UnchargeSend(head, head);
    }

    /// <summary>
    /// The head of the write queue gets so many payload bytes, from the buffers behind it if need be. False when records, kinds of memory or fragments forbid it.
    /// </summary>
    private bool GatherUnsent(PacketBuffer head, int bytes)
    {
        while (head.Length < bytes)
        {
            if (head.Next is not { } next || !CanGather(head, next))
            {
                return false;
            }

            Gather(head, next);
        }

        return true;
    }

    /// <summary>
    /// Before the head of the write queue is sent: up to <paramref name="bytes"/> of payload in it, out of the buffer behind it (Linux: tcp_grow_skb). Windows and probes cut buffers anywhere; a remainder would else
    /// travel alone, as a short segment. Never application memory, as in Linux. True when something was added.
    /// </summary>
    private bool FillUnsent(PacketBuffer head, int bytes, int mss)
    {
        if (head.Length >= bytes || head.Next is not { Length: > 0 } next || !HoldOnlyCopies(head, next) || !CanGather(head, next)
            || (head.Length + next.Length > bytes && !Split(next, bytes - head.Length, mss, inRetransmitQueue: false)))
        {
            return false;
        }

        Gather(head, next);
        return true;
    }

    private bool CanGather(PacketBuffer head, PacketBuffer next) =>
        !(_tailWithheld && next == _writeQueue.Last) && (head.Segment & SegmentFlags.EndOfRecord) == 0 && IsSameKind(head, next) && head.CanTakePayload(next);

    private void Gather(PacketBuffer head, PacketBuffer next)
    {
        TakePayload(head, next);
        head.EndSequence = next.EndSequence;
        head.TcpFlags |= next.TcpFlags;
        head.Segment |= next.Segment & (SegmentFlags.EndOfRecord | SegmentFlags.ZeroCopy);
        _writeQueue.Remove(next);
        next.Free();
    }

    /// <summary>
    /// Before a small buffer is sent again: those behind it that fit whole into <paramref name="space"/> payload bytes go with it, lost or not (Linux: tcp_retrans_try_collapse). One segment then does what
    /// several did, and what the peer has already costs less than a segment of its own. Application memory stays in the buffers that it was sent in, as in Linux.
    /// </summary>
    private void CollapseFollowing(PacketBuffer buffer, int space)
    {
        if (!_tcp.Settings.RetransmitCollapse || (buffer.Segment & SegmentFlags.SackedAcked) != 0)
        {
            return;
        }

        SequenceNumber windowEnd = _sndUna + (int)_sndWnd;
        while (buffer.Next is { } next
            && (next.Segment & SegmentFlags.SackedAcked) == 0
            && buffer.Length + next.Length <= space
            && next.EndSequence.AtOrBefore(windowEnd)
            && (HoldOnlyCopies(buffer, next) || !Keeps(Omission.CollapseKeepsKinds))
            && CanMerge(buffer, next))
        {
            Merge(buffer, next, segments: 1);
        }
    }

    /// <summary>
    /// After <paramref name="buffer"/> was SACKed: joins it with the SACKed buffer before it, and the result with the one behind (Linux: tcp_shift_skb_data). Returns the buffer that
    /// holds it now.
    /// </summary>
    private PacketBuffer JoinSacked(PacketBuffer buffer, bool isPart)
    {
        if (buffer.Previous is { } previous && HaveSameSegments(previous, buffer) && CanShift(previous, buffer))
        {
            _stack.Counters.Add(isPart ? StackCounter.TcpSackShifted : StackCounter.TcpSackMerged);
            Shift(previous, buffer);
            buffer = previous;
        }
        else
        {
            _stack.Counters.Add(StackCounter.TcpSackShiftFallback);
        }

        // The hole is filled. What lies behind it may be of another kind than what was just merged, and is asked for itself.
        if (buffer.Next is { } next && HaveSameSegments(buffer, next)
            && (CanShift(buffer, next) || !Keeps(Omission.ShiftTestsThirdNeighbor)))
        {
            _stack.Counters.Add(StackCounter.TcpSackMerged);
            Shift(buffer, next);
        }

        return buffer;
    }

    /// <summary>R2.22: application memory is never shifted between SACKed buffers.</summary>
    private bool CanShift(PacketBuffer buffer, PacketBuffer next) =>
        CanMerge(buffer, next)
        && (HoldOnlyCopies(buffer, next) || !Keeps(Omission.ShiftRefusesZeroCopy));

    /// <summary>
    /// Whether two neighbors are SACKed and of segments of one size, so that the boundaries stay where they were, and together no more than can be sent again at once. Nothing is added to
    /// what the ACK at hand is about to free.
    /// </summary>
    private bool HaveSameSegments(PacketBuffer buffer, PacketBuffer next) =>
        (buffer.Segment & next.Segment & SegmentFlags.SackedAcked) != 0
        && SegmentLength(buffer) == SegmentLength(next)
        && buffer.Length + next.Length <= MaximumSuperSegment
        && buffer.EndSequence.After(_sndUna);

    private void Shift(PacketBuffer buffer, PacketBuffer next)
    {
        int length = SegmentLength(buffer);
        Merge(buffer, next, buffer.SegmentCount + next.SegmentCount);
        buffer.GsoSize = length;
    }

    /// <summary>Payload of each full segment of a buffer.</summary>
    private static int SegmentLength(PacketBuffer buffer) => buffer.SegmentCount > 1 ? buffer.GsoSize : buffer.Length;
}
