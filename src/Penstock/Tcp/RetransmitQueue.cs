using Penstock.Buffers;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// What was sent and not acknowledged (Linux: <c>tcp_rtx_queue</c> and <c>tsorted_sent_queue</c>): ordered by sequence with O(log n) find,
/// and by the time of the last transmission, which is the order in which RACK looks at it.
/// </summary>
internal sealed class RetransmitQueue
{
    private readonly SequenceQueue _bySequence = new();

    public PacketBuffer? First => _bySequence.First;

    public PacketBuffer? Last => _bySequence.Last;

    public int Count => _bySequence.Count;

    /// <summary>The buffer that was transmitted longest ago. Sacked and lost ones are not in this list.</summary>
    public PacketBuffer? OldestSent { get; private set; }

    public PacketBuffer? NewestSent { get; private set; }

    /// <summary>Adds a buffer that was just sent for the first time: the highest sequence so far.</summary>
    public void Append(PacketBuffer buffer)
    {
        _bySequence.Append(buffer);
        LinkNewest(buffer);
    }

    /// <summary>Adds the second half of a buffer that was split, with the same send time.</summary>
    public void InsertHalf(PacketBuffer first, PacketBuffer second)
    {
        _bySequence.InsertAfter(first, second);
        if (IsInSentList(first))
        {
            second.SentPrevious = first;
            second.SentNext = first.SentNext;
            if (first.SentNext is null)
            {
                NewestSent = second;
            }
            else
            {
                first.SentNext.SentPrevious = second;
            }

            first.SentNext = second;
        }
    }

    public void Remove(PacketBuffer buffer)
    {
        Unsent(buffer);
        _bySequence.Remove(buffer);
    }

    /// <summary>The buffer was transmitted again: it is now the newest.</summary>
    public void MoveToNewest(PacketBuffer buffer)
    {
        Unsent(buffer);
        LinkNewest(buffer);
    }

    /// <summary>Takes a buffer out of the send-time list: it was sacked, or marked lost.</summary>
    public void Unsent(PacketBuffer buffer)
    {
        if (!IsInSentList(buffer))
        {
            return;
        }

        if (buffer.SentPrevious is null)
        {
            OldestSent = buffer.SentNext;
        }
        else
        {
            buffer.SentPrevious.SentNext = buffer.SentNext;
        }

        if (buffer.SentNext is null)
        {
            NewestSent = buffer.SentPrevious;
        }
        else
        {
            buffer.SentNext.SentPrevious = buffer.SentPrevious;
        }

        buffer.SentNext = buffer.SentPrevious = null;
    }

    /// <summary>
    /// Puts a buffer that was taken out of the send-time list back to where its transmission belongs. Returned one after the other in that order all of them cost one walk along the list; <paramref name="cursor"/>
    /// keeps the place.
    /// </summary>
    public void ReturnToSent(PacketBuffer buffer, ref PacketBuffer? cursor)
    {
        if (IsInSentList(buffer))
        {
            return;
        }

        PacketBuffer? after = cursor is { } last && last.SentOrder <= buffer.SentOrder ? last : null;
        while ((after is null ? OldestSent : after.SentNext) is { } next && next.SentOrder <= buffer.SentOrder)
        {
            after = next;
        }

        buffer.SentPrevious = after;
        buffer.SentNext = after is null ? OldestSent : after.SentNext;
        if (after is null)
        {
            OldestSent = buffer;
        }
        else
        {
            after.SentNext = buffer;
        }

        if (buffer.SentNext is null)
        {
            NewestSent = buffer;
        }
        else
        {
            buffer.SentNext.SentPrevious = buffer;
        }

        cursor = buffer;
    }

    public PacketBuffer? FindEndingAfter(SequenceNumber sequence) => _bySequence.FindEndingAfter(sequence);

    public string? Verify() => _bySequence.Verify();

    private bool IsInSentList(PacketBuffer buffer) => buffer.SentPrevious is not null || OldestSent == buffer;

    private void LinkNewest(PacketBuffer buffer)
    {
        buffer.SentNext = null;
        buffer.SentPrevious = NewestSent;
        if (NewestSent is null)
        {
            OldestSent = buffer;
        }
        else
        {
            NewestSent.SentNext = buffer;
        }

        NewestSent = buffer;
    }
}
