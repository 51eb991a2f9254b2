using System.Diagnostics;
using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// What was sent and not acknowledged (Linux: <c>tcp_rtx_queue</c> and <c>tsorted_sent_queue</c>): ordered by sequence with O(log n) find; and each buffer in one of two lists more, or in none when it was
/// SACKed: of those in flight by the time of the last transmission, which is the order in which RACK looks at them, and of those that are lost and wait to be sent again, by sequence. So nobody has to
/// walk past others to find what he looks for.
/// </summary>
internal sealed class RetransmitQueue
{
    private readonly SequenceQueue _bySequence = new();

    /// <summary>The lost buffer that was last added, from where the place of the next is found: they come in the order of their sequence, or in runs of it.</summary>
    private PacketBuffer? _lastAdded;

    private Chain _sent;
    private Chain _lost;

    public PacketBuffer? First => _bySequence.First;

    public PacketBuffer? Last => _bySequence.Last;

    public int Count => _bySequence.Count;

    /// <summary>The buffer that was transmitted longest ago. SACKed and lost ones are not in this list.</summary>
    public PacketBuffer? OldestSent => _sent.First;

    /// <summary>The first of those that are lost and were not sent again.</summary>
    public PacketBuffer? FirstLost => _lost.First;

    /// <summary>Adds a buffer that was just sent for the first time: the highest sequence so far.</summary>
    public void Append(PacketBuffer buffer)
    {
        _bySequence.Append(buffer);
        _sent.InsertAfter(_sent.Last, buffer);
    }

    /// <summary>Adds the second half of a buffer that was split, in the same lists.</summary>
    public void InsertHalf(PacketBuffer first, PacketBuffer second)
    {
        _bySequence.InsertAfter(first, second);
        if ((first.Segment & SegmentFlags.WaitsInLost) != 0)
        {
            _lost.InsertAfter(first, second);
        }
        else if (_sent.Holds(first))
        {
            _sent.InsertAfter(first, second);
        }
    }

    public void Remove(PacketBuffer buffer)
    {
        Leave(buffer);
        _bySequence.Remove(buffer);
    }

    /// <summary>The buffer was transmitted again: it is now the newest.</summary>
    public void MoveToNewest(PacketBuffer buffer)
    {
        Leave(buffer);
        _sent.InsertAfter(_sent.Last, buffer);
    }

    /// <summary>Takes a buffer out of both lists: it was SACKed.</summary>
    public void Leave(PacketBuffer buffer)
    {
        if ((buffer.Segment & SegmentFlags.WaitsInLost) != 0)
        {
            if (_lastAdded == buffer)
            {
                _lastAdded = buffer.SentPrevious ?? buffer.SentNext;
            }

            buffer.Segment &= ~SegmentFlags.WaitsInLost;
            _lost.Remove(buffer);
        }
        else if (_sent.Holds(buffer))
        {
            _sent.Remove(buffer);
        }
    }

    /// <summary>The buffer is lost and waits to be sent again. Returns how many others had to be passed to find its place.</summary>
    public int MoveToLost(PacketBuffer buffer)
    {
        if ((buffer.Segment & SegmentFlags.WaitsInLost) != 0)
        {
            return 0;
        }

        Leave(buffer);
        int passed = 0;
        PacketBuffer? after = _lost.Last;
        if (after is not null && buffer.Sequence.Before(after.Sequence))
        {
            after = buffer.Sequence.Before(_lost.First!.Sequence) ? null : _lastAdded;
            while (after is not null && buffer.Sequence.Before(after.Sequence))
            {
                after = after.SentPrevious;
                passed++;
            }

            while (after?.SentNext is { } next && next.Sequence.Before(buffer.Sequence))
            {
                after = next;
                passed++;
            }
        }

        buffer.Segment |= SegmentFlags.WaitsInLost;
        _lost.InsertAfter(after, buffer);
        _lastAdded = buffer;
        return passed;
    }

    /// <summary>
    /// The buffer is not lost after all: back to where its transmission belongs. Returned one after the other in the order of their transmission all of them cost one walk along the list; <paramref name="cursor"/>
    /// keeps the place. Returns how many others had to be passed.
    /// </summary>
    public int ReturnToSent(PacketBuffer buffer, ref PacketBuffer? cursor)
    {
        if (_sent.Holds(buffer))
        {
            return 0;
        }

        Leave(buffer);
        int passed = 0;
        PacketBuffer? after = cursor is { } last && last.SentOrder <= buffer.SentOrder ? last : null;
        while ((after is null ? _sent.First : after.SentNext) is { } next && next.SentOrder <= buffer.SentOrder)
        {
            after = next;
            passed++;
        }

        _sent.InsertAfter(after, buffer);
        cursor = buffer;
        return passed;
    }

    public PacketBuffer? FindEndingAfter(SequenceNumber sequence) => _bySequence.FindEndingAfter(sequence);

    /// <summary>Checks order and lists; null when all is well. For tests' teardown.</summary>
    public string? Verify()
    {
        int waiting = 0;
        for (PacketBuffer? buffer = First; buffer is not null; buffer = buffer.Next)
        {
            bool waits = (buffer.Segment & SegmentFlags.WaitsInLost) != 0;
            bool should = (buffer.Segment & (SegmentFlags.Lost | SegmentFlags.SackedRetransmitted | SegmentFlags.SackedAcked)) == SegmentFlags.Lost;
            if (waits != should)
            {
                return $"the buffer at {buffer.Sequence} is {buffer.Segment}";
            }

            waiting += waits ? 1 : 0;
        }

        for (PacketBuffer? buffer = _lost.First; buffer is not null; buffer = buffer.SentNext)
        {
            waiting--;
            if (buffer.SentNext is { } next && next.Sequence.Before(buffer.Sequence))
            {
                return $"of the lost ones {next.Sequence} comes after {buffer.Sequence}";
            }
        }

        for (PacketBuffer? buffer = _sent.First; buffer is not null; buffer = buffer.SentNext)
        {
            if (buffer.SentNext is { } next && next.SentOrder < buffer.SentOrder)
            {
                return $"{next.Sequence} was sent before {buffer.Sequence}";
            }
        }

        return waiting == 0 ? _bySequence.Verify() : "the list of the lost ones has lost some";
    }

    /// <summary>One of the two lists, through <see cref="PacketBuffer.SentNext"/>.</summary>
    private struct Chain
    {
        public PacketBuffer? First { get; private set; }

        public PacketBuffer? Last { get; private set; }

        /// <summary>Asked only of buffers that are not in the other list.</summary>
        public readonly bool Holds(PacketBuffer buffer) => buffer.SentPrevious is not null || First == buffer;

        /// <summary>Adds behind <paramref name="after"/>; in front of all when that is null.</summary>
        public void InsertAfter(PacketBuffer? after, PacketBuffer buffer)
        {
            if (First is null)
            {
                Debug.Assert(buffer.SentPrevious is null && buffer.SentNext is null, "a buffer is in both lists");
                First = Last = buffer;
                return;
            }

            PacketBuffer? next = after is null ? First : after.SentNext;
            buffer.SentPrevious = after;
            buffer.SentNext = next;
            if (after is null)
            {
                First = buffer;
            }
            else
            {
                after.SentNext = buffer;
            }

            if (next is null)
            {
                Last = buffer;
            }
            else
            {
                next.SentPrevious = buffer;
            }
        }

        public void Remove(PacketBuffer buffer)
        {
            if (First == Last)
            {
                First = Last = null;
                return;
            }

            if (buffer.SentPrevious is { } previous)
            {
                previous.SentNext = buffer.SentNext;
            }
            else
            {
                First = buffer.SentNext;
            }

            if (buffer.SentNext is { } next)
            {
                next.SentPrevious = buffer.SentPrevious;
            }
            else
            {
                Last = buffer.SentPrevious;
            }

            buffer.SentNext = buffer.SentPrevious = null;
        }
    }
}
